"""Standard Webhooks 1.0 signatures (https://www.standardwebhooks.com): HMAC-SHA256 of `id.timestamp.body`.

They cover neither method nor URL, so `atomic-signature` does. Every live secret signs, and a receiver needs
any one of them, so secrets rotate without a refused call.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import unquote

from atomic.protocol import ed25519
from atomic.protocol.urls import parse_url

WEBHOOK_ID: Final = "webhook-id"
WEBHOOK_TIMESTAMP: Final = "webhook-timestamp"
WEBHOOK_SIGNATURE: Final = "webhook-signature"
SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - the public prefix of the format, not a secret
TOLERANCE_S: Final = 300
ATOMIC_URL: Final = "atomic-url"
ATOMIC_SIGNATURE: Final = "atomic-signature"
_V1: Final = "v1"
_V1A: Final = "v1a"
# Only one spelling of a moment: with `+1` for `1` the same call would look like another one.
_TIMESTAMP: Final = re.compile(r"[1-9][0-9]{0,14}")


class SignatureRefused(ValueError):
    """The request was not signed by a known secret within the last five minutes; answer it with 401."""


def encode_secret(secret: bytes) -> str:
    """The printable form of a secret (24 to 64 bytes): `whsec_` and base64."""
    return SECRET_PREFIX + base64.b64encode(secret).decode()


def decode_secret(text: str) -> bytes:
    """The bytes of a printable secret. Raises ValueError when it is none."""
    try:
        secret = base64.b64decode(text.removeprefix(SECRET_PREFIX), validate=True)
    except ValueError:
        secret = b""
    # Anybody could sign with an empty secret, and the standard wants no short one.
    if not 24 <= len(secret) <= 64:
        raise ValueError(f"a signing secret is {SECRET_PREFIX} and the base64 of 24 to 64 bytes")
    return secret


def sign(
    secrets: Iterable[bytes], message_id: str, timestamp_s: int, body: bytes, *, ed25519_too: bool = False
) -> str:
    """The value of `webhook-signature`: one `v1,<base64>` for each secret, separated by spaces.

    With Ed25519 one `v1a,<base64>` for each of them follows.
    """
    return _signed(secrets, f"{message_id}.{timestamp_s}.".encode() + body, ed25519_too=ed25519_too)


def sign_target(
    secrets: Iterable[bytes], url: str, webhook_signature: str, *, ed25519_too: bool = False
) -> str:
    """The value of `atomic-signature`: binds method and URL to what `webhook-signature` has signed."""
    return _signed(secrets, _target(url, webhook_signature), ed25519_too=ed25519_too)


def verify(
    secrets: Iterable[bytes],
    headers: Mapping[str, str],
    body: bytes,
    *,
    now_s: int,
    public_keys: Iterable[bytes] = (),
) -> None:
    """Accept a request that one of the secrets or keys signed; raise SignatureRefused otherwise.

    `headers` has lower-case names. The time stamp may be 300 s off in either direction.
    """
    try:
        message_id = headers[WEBHOOK_ID]
        timestamp_s = _read_timestamp_s(headers[WEBHOOK_TIMESTAMP])
        offered = headers[WEBHOOK_SIGNATURE]
        signed = f"{message_id}.{timestamp_s}.".encode() + body
        matches = _matches(secrets, public_keys, offered, signed)
    except (KeyError, ValueError):
        raise SignatureRefused("the webhook-* headers are missing or malformed") from None
    if abs(now_s - timestamp_s) > TOLERANCE_S:
        raise SignatureRefused("the time stamp is more than five minutes off; check the clocks")
    if not matches:
        raise SignatureRefused("no signature matches; check the signing secret of this client")


def verify_target(
    secrets: Iterable[bytes], headers: Mapping[str, str], path: str, *, public_keys: Iterable[bytes] = ()
) -> None:
    """Accept a request that was signed for this path; raise SignatureRefused for one made for elsewhere.

    Call it after `verify`. A proxy may have taken the beginning of the path away.
    """
    try:
        url, offered = headers[ATOMIC_URL], headers[ATOMIC_SIGNATURE]
        called = unquote(parse_url(url).path)
        signed = _target(url, headers[WEBHOOK_SIGNATURE])
        matches = _matches(secrets, public_keys, offered, signed)
    except (KeyError, ValueError):
        raise SignatureRefused(
            "the headers atomic-url and atomic-signature are missing or malformed"
        ) from None
    if not matches:
        raise SignatureRefused("no atomic-signature matches; the call was made for another URL")
    if called != path and not called.endswith(f"/{path.lstrip('/')}"):
        raise SignatureRefused(f"the call was made for {called}, not for this path")


def _read_timestamp_s(text: str) -> int:
    if not _TIMESTAMP.fullmatch(text):
        raise ValueError
    return int(text)


def _target(url: str, webhook_signature: str) -> bytes:
    # That signature covers id, time and body, so they need not be hashed again.
    return f"POST {url} {webhook_signature}".encode()


def _signed(secrets: Iterable[bytes], message: bytes, *, ed25519_too: bool) -> str:
    known = tuple(secrets)
    parts = [(_V1, hmac.digest(secret, message, hashlib.sha256)) for secret in known]
    if ed25519_too:
        parts += [(_V1A, ed25519.sign(secret, message)) for secret in known]
    return " ".join(f"{version},{base64.b64encode(signature).decode()}" for version, signature in parts)


def _matches(secrets: Iterable[bytes], public_keys: Iterable[bytes], offered: str, message: bytes) -> bool:
    expected = _signed(secrets, message, ed25519_too=False).encode().split()
    given = offered.encode().split()
    matches = [hmac.compare_digest(mine, theirs) for mine in expected for theirs in given]
    for public in public_keys:
        for version, _, text in (part.partition(b",") for part in given):
            if version == _V1A.encode():
                matches.append(ed25519.verifies(public, base64.b64decode(text, validate=True), message))
    return any(matches)
