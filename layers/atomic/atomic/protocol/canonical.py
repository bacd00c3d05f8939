"""Strict JSON in, one spelling out: what is stored, forwarded and fingerprinted.

Python's reader accepts more than JSON and forgets what it dropped (duplicate members, NaN, 1e999).
Two spellings of one payload must not run a step twice, so whatever has no single meaning is refused.

orjson is far faster and forgets as much. So its reading counts only of a text that it would write in
the very same bytes, for then nothing was lost; its writing only where there are no floats, which it spells
otherwise.
"""

import codecs
import hashlib
import json
import math
from collections import Counter
from typing import Any, Final, NoReturn

import orjson

from atomic.protocol.limits import JSON_MAX_DEPTH

_INT_MIN: Final = -(2**63)
_INT_MAX: Final = 2**64 - 1


class JsonRefused(ValueError):
    """The text is not JSON that Atomic can store; the message says what to change."""


def parse_json(text: bytes | str, *, max_depth: int = JSON_MAX_DEPTH) -> Any:
    """Read strict JSON (RFC 8259), UTF-8 when given bytes.

    Raises JsonRefused for malformed text, duplicate members, NaN or Infinity, numbers beyond 64 bit,
    more than `max_depth` levels of nesting, and lone surrogates.
    """
    if isinstance(text, bytes):
        try:
            value = orjson.loads(text)
            if orjson.dumps(value) == text:
                # Nesting cannot exceed the number of openings, and counting those costs nothing.
                if text.count(b"[") + text.count(b"{") > max_depth:
                    _check_depth(value, max_depth)
                return value
        except (orjson.JSONDecodeError, orjson.JSONEncodeError):
            pass
    return _parse_with_care(text, max_depth)


def canonical_json(value: Any) -> bytes:
    """Encode a value of `parse_json`: members sorted, no white space, UTF-8, 1.0 written as 1."""
    if _holds_float(value):
        return _ENCODER.encode(_with_plain_integers(value)).encode()
    # A copy, for payloads are kept while their steps run, and what orjson makes holds on to 8 KiB.
    return bytes(memoryview(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)))


def fingerprint(canonical: bytes) -> str:
    """The SHA-256 (hex) of canonical JSON: equal exactly when two payloads mean the same."""
    return hashlib.sha256(canonical).hexdigest()


def _parse_with_care(text: bytes | str, max_depth: int) -> Any:
    was_bytes = isinstance(text, bytes)
    if text[:3] == codecs.BOM_UTF8 or text[:1] == "\ufeff":
        raise JsonRefused("it begins with a byte order mark; leave that out")
    try:
        if isinstance(text, bytes):
            text = text.decode()
        value = _DECODER.decode(text)
    except UnicodeDecodeError as error:
        raise JsonRefused(f"not UTF-8 at byte {error.start}; send UTF-8 encoded JSON") from None
    except json.JSONDecodeError as error:
        raise JsonRefused(f"not JSON: {error.msg} at line {error.lineno}, column {error.colno}") from None
    except RecursionError:
        raise _too_deep() from None
    if text.count("[") + text.count("{") > max_depth:
        _check_depth(value, max_depth)
    # A lone surrogate comes through an escape, or in a text that never was bytes.
    if "\\u" in text or not (text.isascii() or was_bytes):
        _check_encodable(value)
    return value


def _unique_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise JsonRefused(f"the member {twice[:80]!r} stands twice in one object; keep one of them")
    return members


def _bounded_int(digits: str) -> int:
    # 20 digits and a sign hold every 64-bit number, and int() is quadratic in the number of digits.
    if len(digits) <= 21 and _INT_MIN <= (number := int(digits)) <= _INT_MAX:
        return number
    raise JsonRefused("an integer is beyond 64 bit; send it as a string")


def _finite_float(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise JsonRefused("a number is beyond the range of a double; send it as a string")
    return number


def _refuse_constant(name: str) -> NoReturn:
    raise JsonRefused(f"{name} is not JSON; send null or a string")


def _check_depth(value: Any, max_depth: int) -> None:
    level, depth = [value], 0
    while level:
        level = [
            child
            for item in level
            if isinstance(item, dict | list)
            for child in (item.values() if isinstance(item, dict) else item)
            if isinstance(child, dict | list)
        ]
        depth += 1
        if depth > max_depth:
            raise _too_deep()


def _too_deep() -> JsonRefused:
    return JsonRefused(f"nested deeper than {JSON_MAX_DEPTH} levels; flatten it")


def _check_encodable(value: Any) -> None:
    try:
        _ENCODER.encode(value).encode()
    except UnicodeEncodeError:
        raise JsonRefused("a string holds half of a surrogate pair; send whole characters") from None


def _holds_float(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_holds_float, value.values()))
    if isinstance(value, list):
        return any(map(_holds_float, value))
    return isinstance(value, float)


def _with_plain_integers(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer() and _INT_MIN <= value <= _INT_MAX:
        return int(value)
    if isinstance(value, dict):
        return {name: _with_plain_integers(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_with_plain_integers(item) for item in value]
    return value


_DECODER = json.JSONDecoder(
    object_pairs_hook=_unique_members,
    parse_int=_bounded_int,
    parse_float=_finite_float,
    parse_constant=_refuse_constant,
)
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
