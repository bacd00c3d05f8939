"""API keys: `atm_`, 12 hex digits that name the key, `_`, 43 digits to base 62 (256 bit), a checksum of 6.

With prefix and checksum, scanners for leaked keys have no false matches.
"""

import hashlib
import hmac
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

_KEY: Final = re.compile(r"atm_([0-9a-f]{12})_[0-9A-Za-z]{49}")
_DIGITS: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_SECRET_CHARS: Final = 43
_CHECKSUM_CHARS: Final = 6


@dataclass(frozen=True, slots=True)
class Peppers:
    """The pepper that new hashes and tokens are made under, and another that still counts in a rotation."""

    current: bytes
    other: bytes | None = None

    @property
    def all(self) -> tuple[bytes, ...]:
        """Each that counts, the current one first."""
        return (self.current,) if self.other is None else (self.current, self.other)


def issue(token_bytes: Callable[[int], bytes]) -> str:
    """A new key; `token_bytes(n)` gives n unguessable bytes."""
    secret = _base62(int.from_bytes(token_bytes(32)), _SECRET_CHARS)
    body = f"atm_{token_bytes(6).hex()}_{secret}"
    return body + _checksum(body)


def key_id_of(api_key: str) -> str | None:
    """The part that names the key; None for a text that cannot be a key."""
    found = _KEY.fullmatch(api_key)
    return found[1] if found and api_key.endswith(_checksum(api_key[:-_CHECKSUM_CHARS])) else None


def digest(api_key: str, pepper: bytes) -> bytes:
    """The 32 bytes that are stored of a key. Nobody can forge them without the pepper."""
    # The key is 256 random bits, which cannot be guessed, so a slow hash would add nothing.
    return hmac.digest(pepper, api_key.encode(), hashlib.sha256)


def name_of_pepper(pepper: bytes) -> str:
    """16 hex digits that identify a pepper without revealing it."""
    return hmac.digest(pepper, b"the name of this pepper", hashlib.sha256)[:8].hex()


def opens(api_key: str, stored: bytes, pepper: bytes) -> bool:
    """Whether the digest is that of the key, compared in constant time."""
    return hmac.compare_digest(stored, digest(api_key, pepper))


def _checksum(body: str) -> str:
    return _base62(zlib.crc32(body.encode()), _CHECKSUM_CHARS)


def _base62(number: int, chars: int) -> str:
    digits = []
    for _ in range(chars):
        number, digit = divmod(number, 62)
        digits.append(_DIGITS[digit])
    return "".join(reversed(digits))
