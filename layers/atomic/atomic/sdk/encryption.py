"""A codec that encrypts: the server stores ciphertext, and only programs with the keys can read it.

Each value is encrypted by AES-256-GCM for its place: a ciphertext that is moved to another step, or from a
payload to a result, is refused. The nonce is computed from the key, the place and the value, because a
replay must post the same bytes again. So equal values of one place are seen to be equal, and nothing else
is. Nonce and cipher have keys of their own, which HKDF derives from the given one.

docs/encryption.md has the form byte by byte. Needs the extra `encryption` (`cryptography`).
"""

import asyncio
import hmac
import inspect
import json
import re
import threading
import time
from base64 import b64decode, b64encode
from collections.abc import Awaitable, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from pydantic_core import from_json

from atomic.sdk._wire.canonical import canonical_json
from atomic.sdk._wire.codecs import Where
from atomic.sdk.errors import UnknownKeyError

# The keys by their ids, the one to write with first; or a function that fetches them.
Keys = Mapping[str, bytes | str]
FetchKeys = Callable[[], Keys | Awaitable[Keys]]

MEMBER: Final = "$enc"
VERSION: Final = 1
_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_KEY_ID: Final = re.compile(r"[A-Za-z0-9._:/-]{1,128}")
_CIPHER_KEY: Final = b"atomic encryption 1: cipher"
_NONCE_KEY: Final = b"atomic encryption 1: nonce"
_FORM: Final = frozenset({"v", "k", "n", "c"})
# A stored value that names an unknown key does not make this program ask for keys all the time.
_FETCH_PAUSE_S: Final = 10.0


class CiphertextError(ValueError):
    """A value is no ciphertext of its place. A client or an endpoint raises DecodingError from it."""


class Encryption:
    """A `Codec` for clients and endpoints: `Client(codec=Encryption(keys))`.

    - `keys`: 32 random bytes each (or their base64), by an id that is no secret. The first one encrypts,
      and each of them decrypts. Or a function, `def` or `async def`, that fetches them. It is called when
      they are first needed, and again for an id that is unknown.
    - `refuse_plain`: whether a value that is not encrypted is refused (default False: it is read as it is,
      such as the result of an event that is posted with curl).

    Raises ValueError for wrong keys, and ImportError without the library `cryptography`.
    """

    def __init__(self, keys: Keys | FetchKeys, *, refuse_plain: bool = False) -> None:
        require_cryptography()
        self._refuse_plain = refuse_plain
        self._fetch = keys if callable(keys) else None
        self._keys = {} if callable(keys) else _checked(keys)
        self._fetched_s = 0.0
        # Handlers have threads, and only one of them fetches.
        self._lock = threading.Lock()

    async def load(self) -> None:
        """Fetch the keys now, in this event loop; for the start of a program that serves on a loop.

        Without this, the first value that is encrypted or decrypted blocks until the keys are there.
        """
        if self._fetch is not None:
            got = self._fetch()
            self._take(await got if inspect.isawaitable(got) else got)

    def encode(self, value: Any, where: Where) -> Any:
        """Encrypt a value for its place, with the first key."""
        return next(iter(self._known().values())).encrypted(value, where)

    def encode_older(self, value: Any, where: Where) -> Iterator[Any]:
        """Encrypt a value for its place, with each other key in turn."""
        for key in list(self._known().values())[1:]:
            yield key.encrypted(value, where)

    def decode(self, value: Any, where: Where) -> Any:
        """Decrypt a value. Raises UnknownKeyError, and CiphertextError for no ciphertext of this place."""
        if not (isinstance(value, dict) and value.keys() == {MEMBER}):
            if self._refuse_plain:
                raise CiphertextError("it is not encrypted, and `refuse_plain` is set")
            return value
        form = value[MEMBER]
        if not isinstance(form, dict) or form.get("v") != VERSION or form.keys() != _FORM:
            raise CiphertextError(f"its form is not version {VERSION} of {MEMBER}; use a newer release")
        return self._key(form["k"], where).decrypted(form, where)

    def _key(self, key_id: object, where: Where) -> "_Key":
        known = self._known()
        if key_id not in known and self._fetch is not None:
            with self._lock:
                self._refetch()
            known = self._keys
        if not isinstance(key_id, str) or key_id not in known:
            have = ", ".join(map(repr, known)) or "none"
            what = f"The {where.part} of {where.step_id or f'an event of {where.run_id}'}"
            raise UnknownKeyError(
                f"{what} is encrypted with key {key_id!r}, and this program has {have}.",
                key_id=str(key_id),
            )
        return known[key_id]

    def _known(self) -> "dict[str, _Key]":
        if not self._keys:
            with self._lock:
                if not self._keys:
                    self._refetch()
        return self._keys

    def _refetch(self) -> None:
        now_s = time.monotonic()
        if self._fetch is None or (self._keys and now_s < self._fetched_s + _FETCH_PAUSE_S):
            return
        got = self._fetch()
        if inspect.isawaitable(got):
            # This thread may run an event loop, so the coroutine gets a loop of its own.
            with ThreadPoolExecutor(1) as pool:
                got = pool.submit(asyncio.run, _awaited(got)).result()
        self._take(got)

    def _take(self, keys: Keys) -> None:
        self._keys = _checked(keys)
        self._fetched_s = time.monotonic()


def require_cryptography() -> None:
    """Raise ImportError, with what to install, when `cryptography` is missing."""
    try:
        import cryptography  # noqa: F401 - an extra
    except ImportError:
        raise ImportError(
            "Encryption needs the library cryptography: pip install 'atomic-workflows[encryption]'"
        ) from None


class _Key:
    """One key, as those that HKDF derives from it: of the cipher, and of the nonces."""

    def __init__(self, key_id: str, key: bytes) -> None:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        self._id = key_id
        self._cipher: AESGCM = AESGCM(_derived(key, _CIPHER_KEY))
        self._nonce_key = _derived(key, _NONCE_KEY)

    def encrypted(self, value: Any, where: Where) -> dict[str, Any]:
        """A value for its place: the same each time."""
        text, place = canonical_json(value), self._place(where)
        nonce = self._nonce(text, place)
        sealed = self._cipher.encrypt(nonce, text, place)
        return {
            MEMBER: {
                "v": VERSION,
                "k": self._id,
                "n": b64encode(nonce).decode(),
                "c": b64encode(sealed).decode(),
            }
        }

    def decrypted(self, form: Mapping[str, Any], where: Where) -> Any:
        """The value. Raises CiphertextError."""
        from cryptography.exceptions import InvalidTag

        place = self._place(where)
        try:
            nonce, sealed = _decoded(form["n"]), _decoded(form["c"])
            if len(nonce) != _NONCE_BYTES:
                raise ValueError("the nonce has another length")
            text = self._cipher.decrypt(nonce, sealed, place)
        except (InvalidTag, ValueError, TypeError):
            raise CiphertextError(
                f"it was changed, or encrypted for another place or with another key named {self._id!r}"
            ) from None
        # Only this nonce belongs to the value, so there is one ciphertext and no other.
        if not hmac.compare_digest(nonce, self._nonce(text, place)):
            raise CiphertextError("its nonce is not the one of the value")
        return from_json(text)

    def _nonce(self, text: bytes, place: bytes) -> bytes:
        framed = len(place).to_bytes(8, "big") + place + text
        return hmac.digest(self._nonce_key, framed, "sha256")[:_NONCE_BYTES]

    def _place(self, where: Where) -> bytes:
        """The place, as the cipher authenticates it. Each part is ASCII without quotation marks."""
        parts = [MEMBER, VERSION, self._id, where.run_id, where.step_id, where.kind, where.part]
        return json.dumps(parts, separators=(",", ":")).encode()


def _decoded(text: str) -> bytes:
    """The bytes of a base64 text. Raises ValueError for a text that `b64encode` does not write."""
    decoded = b64decode(text, validate=True)
    if b64encode(decoded).decode() != text:
        raise ValueError("it is another spelling of the same bytes")
    return decoded


def _derived(key: bytes, purpose: bytes) -> bytes:
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    return HKDF(algorithm=SHA256(), length=_KEY_BYTES, salt=None, info=purpose).derive(key)


def _checked(keys: Keys) -> dict[str, _Key]:
    """The keys, in their order. Raises ValueError; no message shows a key."""
    if not isinstance(keys, Mapping) or not keys:
        raise ValueError("keys: give at least one, as {id: 32 bytes}; the first one encrypts")
    known: dict[str, _Key] = {}
    for key_id, given in keys.items():
        if not isinstance(key_id, str) or not _KEY_ID.fullmatch(key_id):
            raise ValueError(f"key id {key_id!r}: use 1 to 128 ASCII letters, digits and . _ : / -")
        try:
            key = b64decode(given, validate=True) if isinstance(given, str) else given
        except ValueError:
            key = b""
        # `bytes(32)` would be 32 zeros.
        if not isinstance(key, bytes) or len(key) != _KEY_BYTES:
            raise ValueError(f"key {key_id!r}: give {_KEY_BYTES} random bytes, or their base64")
        known[key_id] = _Key(key_id, key)
    return known


async def _awaited(got: Awaitable[Keys]) -> Keys:
    return await got
