"""Reads strict JSON, and writes one spelling: the form that is stored, forwarded and fingerprinted.

Two spellings of one payload must not run a step twice, so ambiguous JSON is refused.

orjson is much faster than a strict parser, but silently drops duplicate members and rounds huge integers.
So its result is used only if the text shows that nothing was lost; otherwise the strict parser names the
fault. Its output differs from Python's in some numbers only, which are rewritten in the text.

What a text shows is computed by a few passes of `bytes` methods. A loop in Python over a hundred thousand
values takes tens of milliseconds and blocks the event loop; these take a millisecond or two for a megabyte.
"""

import codecs
import hashlib
import json
import math
import re
from collections import Counter
from collections.abc import Callable
from itertools import accumulate
from typing import Any, Final, NoReturn

import orjson

from atomic.protocol.constants import JSON_MAX_DEPTH

_INT_MIN: Final = -(2**63)
_INT_MAX: Final = 2**64 - 1
# Up to this size the strict parser takes 4 ms at most.
_NAMED_MAX_BYTES: Final = 32 * 1024
# Numbers that orjson spells differently from Python, or differently in some of its versions.
_ODD_NUMBER: Final = re.compile(rb"(-?[0-9]+(?:\.[0-9]+)?[eE][-+]?[0-9]+|(?<![0-9])-?0\.0000[0-9]*)")
_INT_CHARS: Final = 19  # any integer of fewer characters is within 64 bit
_INT_MAX_CHARS: Final = 21  # int() is quadratic, so longer ones are not even read
_STRUCTURE: Final = b"{}[],:"
_SPACE: Final = b" \t\n\r"
_DIGITS_AS_0: Final = bytes.maketrans(b"123456789", b"000000000")
_STRUCTURE_AS_SPACE: Final = bytes.maketrans(_STRUCTURE, b" " * len(_STRUCTURE))
_NUMBERS_AS_0: Final = bytes.maketrans(b"123456789+-.eE", b"0" * 14)
_ALL_BUT_0_AS_SPACE: Final = bytes(byte if byte == ord("0") else ord(" ") for byte in range(256))
_BRACKETS_AS_STEPS: Final = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")  # +1 and, signed, -1
_NO_BRACKETS: Final = bytes(byte for byte in range(256) if byte not in b"{}[]")


class JsonRefused(ValueError):
    """The text is not JSON that Atomic can store; the message says what to change."""


TWICE: Final = "appears twice in one object; keep one of them"
_HUGE_INTEGER: Final = "an integer is beyond 64 bit; send it as a string"
TOO_DEEP: Final = f"nested deeper than {JSON_MAX_DEPTH} levels; flatten it"


class JsonTooLong(ValueError):
    """The value is longer than it may be as canonical JSON."""


def parse_json(text: bytes | str, *, max_depth: int = JSON_MAX_DEPTH) -> Any:
    """Read strict JSON (RFC 8259), UTF-8 when given bytes.

    Raises JsonRefused for malformed text, duplicate members, NaN or Infinity, numbers beyond 64 bit,
    more than `max_depth` levels of nesting, and lone surrogates. For a small text the message names the
    member and its path.
    """
    if isinstance(text, str):
        return read_json(text, max_depth=max_depth)
    refusal = ""
    try:
        value = orjson.loads(text)
        refusal = _lost(text, orjson.dumps(value), max_depth)
        if not refusal:
            return value
    except orjson.JSONEncodeError:
        refusal = TOO_DEEP
    except orjson.JSONDecodeError as error:
        refusal = f"not JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        if _is_deeper(text[: error.pos], max_depth):
            refusal = TOO_DEEP
    if len(text) <= _NAMED_MAX_BYTES:
        return read_json(text, max_depth=max_depth)
    raise JsonRefused(refusal)


def canonical_json(value: Any, *, max_bytes: int | None = None) -> bytes:
    """Encode a value of `parse_json`: members sorted, no white space, UTF-8, 1.0 written as 1.

    Raises JsonTooLong when that is longer than `max_bytes`.
    """
    text = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    if max_bytes is not None and len(text) > max_bytes < shortest_canonical(text):
        raise JsonTooLong
    if _may_hold_float(text):
        text = _with_numbers(text, _plain_numbers)
    if max_bytes is not None and len(text) > max_bytes:
        raise JsonTooLong
    # A copy: payloads are kept while their steps run, and the bytes of orjson keep 8 KiB allocated.
    return bytes(memoryview(text))


def fingerprint(canonical: bytes) -> str:
    """The SHA-256 (hex) of canonical JSON: equal exactly when two payloads mean the same."""
    return hashlib.sha256(canonical).hexdigest()


def _lost(text: bytes, written: bytes, max_depth: int) -> str:
    """What orjson has lost of the text. Its output `written` shows this. Empty if it has lost nothing."""
    if text != written:
        if not _has_as_many_strings(text, written):
            return f"a member {TWICE}"
        if _holds_huge_integer(text):
            return _HUGE_INTEGER
    return TOO_DEEP if _is_deeper(text, max_depth) else ""


def _plain_numbers(outside: bytes) -> bytes:
    """Numbers as Python spells them, integers without a fraction."""
    if _may_hold_exponent(outside) or b"0.0000" in outside:
        parts = _ODD_NUMBER.split(outside)
        parts[1::2] = map(_Spellings().__getitem__, parts[1::2])
        outside = b"".join(parts)
    # One of these follows each number. A number that ends in .0 is an integer.
    for end in (b",", b"]", b"}"):
        outside = outside.replace(b".0" + end, end).replace(b"-0" + end, b"0" + end)
    # Or the number is the whole text.
    outside = outside.removesuffix(b".0")
    return b"0" if outside == b"-0" else outside


class _Spellings(dict[bytes, bytes]):
    """The one spelling of each float; a text often holds the same ones again and again."""

    def __missing__(self, digits: bytes) -> bytes:
        number = float(digits)
        is_integer = number.is_integer() and _INT_MIN <= number <= _INT_MAX
        spelling = self[digits] = repr(int(number) if is_integer else number).encode()
        return spelling


def read_json(text: bytes | str, *, max_depth: int = JSON_MAX_DEPTH) -> Any:
    """Does the same as `parse_json`, but with the standard library alone. It is ten times slower, and names
    what is wrong.

    `json` of Python accepts more than JSON, and drops or changes it silently (1e999, NaN, equal members).
    """
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
        raise JsonRefused(TOO_DEEP) from None
    if _is_deeper(text.encode(errors="replace"), max_depth):
        raise JsonRefused(TOO_DEEP)
    # A lone surrogate comes from an escape, or from a `str` that was not decoded from bytes.
    if "\\u" in text or not (text.isascii() or was_bytes):
        _check_encodable(value)
    return value


def _unique_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise JsonRefused(f"the member {twice[:80]!r} {TWICE}")
    return members


def _bounded_int(digits: str) -> int:
    if len(digits) <= _INT_MAX_CHARS and _INT_MIN <= (number := int(digits)) <= _INT_MAX:
        return number
    raise JsonRefused(_HUGE_INTEGER)


def _finite_float(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise JsonRefused("a number is beyond the range of a double; send it as a string")
    return number


def _refuse_constant(name: str) -> NoReturn:
    raise JsonRefused(f"{name} is not JSON; send null or a string")


def _check_encodable(value: Any) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise JsonRefused("a string holds half of a surrogate pair; send whole characters") from None


_DECODER = json.JSONDecoder(
    object_pairs_hook=_unique_members,
    parse_int=_bounded_int,
    parse_float=_finite_float,
    parse_constant=_refuse_constant,
)


def shortest(text: bytes) -> int:
    """A lower bound for the bytes of the value written without any space.

    A number counts as one byte, and so does what looks like a number in a string. For a text that is not
    JSON, the result has no meaning.
    """
    dense = text.translate(_NUMBERS_AS_0, _SPACE)
    numbers = dense.translate(_ALL_BUT_0_AS_SPACE)
    digits, apart = numbers.count(b"0"), numbers.count(b" 0") + numbers.startswith(b"0")
    # \uabcd is three bytes at least, and half a pair of surrogates two; \u0061 has three left by now.
    escapes = 3 * text.count(b"\\u") + text.count(b"\\ud") + text.count(b"\\uD") + text.count(b"\\/")
    return len(dense) - digits + apart - escapes


def _has_as_many_strings(text: bytes, other: bytes) -> bool:
    """Whether both have the same number of strings. Parsing drops all but one of duplicate members."""
    return _quotes(text) == _quotes(other)


def _holds_huge_integer(text: bytes) -> bool:
    """Whether an integer is beyond 64 bit."""
    if b"0" * _INT_CHARS not in text.translate(_DIGITS_AS_0):
        return False
    words = set(_outside_strings(text).translate(_STRUCTURE_AS_SPACE).split())
    integers = [word for word in words if len(word) >= _INT_CHARS and word.lstrip(b"-").isdigit()]
    return any(len(word) > _INT_MAX_CHARS or not _INT_MIN <= int(word) <= _INT_MAX for word in integers)


def _is_deeper(text: bytes, levels: int) -> bool:
    """Whether arrays and objects are nested deeper than that. Those that are never closed also count."""
    # No text is deeper than its number of opening brackets, and counting those is cheap.
    if text.count(b"[") + text.count(b"{") <= levels:
        return False
    steps = _outside_strings(text).translate(_BRACKETS_AS_STEPS, _NO_BRACKETS)
    return max(accumulate(memoryview(steps).cast("b")), default=0) > levels


def shortest_canonical(text: bytes) -> int:
    """A lower bound for the bytes of a text of orjson if its numbers were written as Python does."""
    plain = sum(text.count(b".0" + end) for end in (b",", b"]", b"}"))
    integers = text.count(b"e+1") + text.count(b"e1")  # 1.0000000000000002e+16, in full
    return len(text) - 2 * plain - text.count(b"-0.0") - 2 * text.count(b"0.0000") - 5 * integers - 2


def _with_numbers(text: bytes, rewrite: Callable[[bytes], bytes]) -> bytes:
    """The text of orjson, with everything outside of strings rewritten in one call.

    `rewrite` must keep the quotes, each of which marks one end of a string.
    """
    # A JSON text has no control characters, so these replacements can be undone.
    hidden = text.replace(b"\\\\", b"\x00\x00").replace(b'\\"', b"\x00\x01") if b"\\" in text else text
    parts = hidden.split(b'"')
    parts[::2] = rewrite(b'"'.join(parts[::2])).split(b'"')
    whole = b'"'.join(parts)
    return whole.replace(b"\x00\x00", b"\\\\").replace(b"\x00\x01", b'\\"') if b"\x00" in whole else whole


def _may_hold_float(text: bytes) -> bool:
    """Whether a number has a point or an exponent, or a string looks like such a number."""
    return b"0.0" in text.translate(_DIGITS_AS_0) or _may_hold_exponent(text)


def _may_hold_exponent(text: bytes) -> bool:
    """Whether a number has an exponent, or a string looks like such a number."""
    alike = text.translate(_DIGITS_AS_0)
    return b"0e" in alike or b"0E" in alike


def _outside_strings(text: bytes) -> bytes:
    return b"".join(_without_escaped_quotes(text).split(b'"')[::2])


def _quotes(text: bytes) -> int:
    return _without_escaped_quotes(text).count(b'"')


def _without_escaped_quotes(text: bytes) -> bytes:
    # Backslashes escape each other in pairs from the left; an odd one escapes what follows.
    return text.replace(b"\\\\", b"").replace(b'\\"', b"") if b"\\" in text else text
