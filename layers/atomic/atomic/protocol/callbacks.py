"""Tokens of callback URLs: a token says which event it completes and until when, and proves it by a MAC.

It is checked without a read, and nothing is stored for it.
"""

import hmac
from base64 import b64decode, urlsafe_b64encode
from binascii import Error
from collections.abc import Sequence
from typing import Final, NamedTuple

from atomic.protocol import keys

# The two hashes of the step's id, its end in seconds since the epoch, and half of an HMAC-SHA256.
_HASH_BYTES: Final = 16
_END_BYTES: Final = 4
_MAC_BYTES: Final = 16
_SIGNED_BYTES: Final = 2 * _HASH_BYTES + _END_BYTES
_TOKEN_BYTES: Final = _SIGNED_BYTES + _MAC_BYTES


class Callback(NamedTuple):
    """What a token says: the event, and until when the token is valid (seconds since the epoch)."""

    step_id: str
    ends_s: int


def callback_token(key: bytes, callback: Callback) -> str:
    """The token, 70 characters of URL-safe base64. The step is no root: a root is no event."""
    run, position = keys.run_of(callback.step_id), keys.position_of(callback.step_id)
    signed = bytes.fromhex(run.removeprefix("run_") + position)
    signed += callback.ends_s.to_bytes(_END_BYTES, "big")
    return _encoded(signed + _mac(key, signed))


def parse_callback_token(valid_keys: Sequence[bytes], text: str, now_s: int) -> Callback | None:
    """What the token says; None when it is not valid, or not any more, or made under another key.

    All texts that are not valid take the same work.
    """
    raw = _decoded(text)
    signed = raw[:_SIGNED_BYTES]
    is_ours = any(hmac.compare_digest(_mac(key, signed), raw[_SIGNED_BYTES:]) for key in valid_keys)
    # The last character has spare bits, and decoders accept other spellings of the same bytes.
    is_canonical = hmac.compare_digest(_encoded(raw).encode(), text.encode(errors="replace"))
    ends_s = int.from_bytes(signed[2 * _HASH_BYTES :], "big")
    if not (is_ours and is_canonical and now_s < ends_s):
        return None
    hashes = signed[: 2 * _HASH_BYTES].hex()
    run = f"run_{hashes[: 2 * _HASH_BYTES]}"
    return Callback(keys.step_id(run, hashes[2 * _HASH_BYTES :]), ends_s)


def _mac(key: bytes, signed: bytes) -> bytes:
    return hmac.digest(key, signed, "sha256")[:_MAC_BYTES]


def _encoded(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def _decoded(text: str) -> bytes:
    """The bytes of a token; zeros for a text that is none."""
    try:
        raw = b64decode(f"{text}==", altchars=b"-_", validate=True)
    except (Error, ValueError):
        raw = b""
    return raw if len(raw) == _TOKEN_BYTES else bytes(_TOKEN_BYTES)
