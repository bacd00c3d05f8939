"""API keys: `atm_`, 8 hex digits that name the key, `_`, and 64 hex digits (256 bit) that are secret."""

import hashlib
import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from atomic.protocol.signatures import encode_secret

_KEY: Final = re.compile(r"atm_([0-9a-f]{8})_[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Issued:
    """What a new client is handed, once: of the key only a hash is stored."""

    key_id: str
    api_key: str
    signing_secret: str


def issue(token_bytes: Callable[[int], bytes]) -> Issued:
    """A new key and a new signing secret; `token_bytes(n)` gives n unguessable bytes."""
    key_id = token_bytes(4).hex()
    return Issued(key_id, f"atm_{key_id}_{token_bytes(32).hex()}", encode_secret(token_bytes(32)))


def key_id_of(api_key: str) -> str | None:
    """The part that names the key; None for a text that cannot be a key."""
    found = _KEY.fullmatch(api_key)
    return found[1] if found else None


def digest(api_key: str) -> bytes:
    """What is stored of a key: 32 bytes."""
    # The key is 256 random bits, so there is nothing to guess that a slow hash would protect.
    return hashlib.sha256(api_key.encode()).digest()


def opens(api_key: str, stored: bytes) -> bool:
    """Whether the digest is that of the key, compared in constant time."""
    return hmac.compare_digest(stored, digest(api_key))
