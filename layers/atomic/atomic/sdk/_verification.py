"""Which calls an endpoint takes: those that Atomic signed for it within five minutes, each of them once."""

import os
import threading
import time
from collections.abc import Sequence
from hashlib import sha256
from typing import Final
from urllib.parse import unquote

from atomic.protocol import ed25519, signatures
from atomic.protocol.signatures import SignatureRefused
from atomic.sdk._request import Request

# 333 calls a second, for the five minutes in which one may come again. Beyond it the oldest are forgotten.
_REMEMBERED_MAX: Final = 100_000
SIGNING_SECRET: Final = "ATOMIC_SIGNING_SECRET"  # noqa: S105 - the name of a variable, not a secret


def signing_secrets() -> tuple[str, ...]:
    """The secrets of ATOMIC_SIGNING_SECRET, separated by white space while they rotate."""
    return tuple(os.environ.get(SIGNING_SECRET, "").split())


class SignatureCheck:
    """Takes calls that one of the secrets (`whsec_…`) or public keys (`whpk_…`) signed; without any, all.

    Calls that were taken are remembered for as long as their time stamp is good, by this process.
    """

    def __init__(self, given: Sequence[str]) -> None:
        public = [text for text in given if text.startswith(ed25519.PUBLIC_PREFIX)]
        self._public_keys = [ed25519.decode_public_key(text) for text in public]
        self._secrets = [signatures.decode_secret(text) for text in given if text not in public]
        self._taken: dict[bytes, float] = {}
        # When two threads have the same call, only one may take it.
        self._lock = threading.Lock()

    def check(self, request: Request) -> str:
        """The signed URL of the call, empty when nothing is checked.

        Raises SignatureRefused for a call that may not be taken.
        """
        if not self._secrets and not self._public_keys:
            return ""
        now_s = time.time()
        signatures.verify(
            self._secrets, request.headers, request.body, now_s=int(now_s), public_keys=self._public_keys
        )
        path = unquote(request.at.path)
        signatures.verify_target(self._secrets, request.headers, path, public_keys=self._public_keys)
        self._take_once(request, now_s)
        return request.headers[signatures.ATOMIC_URL]

    def _take_once(self, request: Request, now_s: float) -> None:
        sent = request.headers[signatures.WEBHOOK_TIMESTAMP]
        head = f"{request.headers[signatures.WEBHOOK_ID]}.{sent}.".encode()
        call = sha256(head + request.body).digest()
        with self._lock:
            self._forget(now_s)
            if call in self._taken:
                raise SignatureRefused("this very call was taken before")
            self._taken[call] = int(sent) + signatures.TOLERANCE_S + 1

    def _forget(self, now_s: float) -> None:
        # In the order in which they came, so the oldest stand in front.
        while self._taken and (
            len(self._taken) >= _REMEMBERED_MAX or self._taken[next(iter(self._taken))] <= now_s
        ):
            del self._taken[next(iter(self._taken))]
