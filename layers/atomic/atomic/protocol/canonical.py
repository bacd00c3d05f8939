"""Strict JSON in, one spelling out: the form that is stored, forwarded and fingerprinted.

Two spellings of one payload must not run a step twice, so ambiguous JSON is refused.

orjson is much faster than a strict parser, but silently drops duplicate members and rounds huge integers.
So its result is used only if the text shows that nothing was lost; otherwise the strict parser names the
fault. Its output differs from Python's in some numbers only, which are rewritten in the text.
"""

import hashlib
import re
from typing import Any, Final

import orjson

from atomic.protocol import json_text
from atomic.protocol.constants import JSON_MAX_DEPTH
from atomic.protocol.strict_json import HUGE_INTEGER, TOO_DEEP, TWICE, JsonRefused, read_json

__all__ = ["JsonRefused", "JsonTooLong", "canonical_json", "fingerprint", "parse_json"]

_INT_MIN: Final = -(2**63)
_INT_MAX: Final = 2**64 - 1

# Up to this size the strict parser takes 4 ms at most.
_NAMED_MAX_BYTES: Final = 32 * 1024
# Numbers that orjson spells differently from Python, or differently in some of its versions.
_ODD_NUMBER: Final = re.compile(rb"(-?[0-9]+(?:\.[0-9]+)?[eE][-+]?[0-9]+|(?<![0-9])-?0\.0000[0-9]*)")


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
        if json_text.is_deeper(text[: error.pos], max_depth):
            refusal = TOO_DEEP
    if len(text) <= _NAMED_MAX_BYTES:
        return read_json(text, max_depth=max_depth)
    raise JsonRefused(refusal)


def canonical_json(value: Any, *, max_bytes: int | None = None) -> bytes:
    """Encode a value of `parse_json`: members sorted, no white space, UTF-8, 1.0 written as 1.

    Raises JsonTooLong when that is longer than `max_bytes`.
    """
    text = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    if max_bytes is not None and len(text) > max_bytes < json_text.shortest_canonical(text):
        raise JsonTooLong
    if json_text.may_hold_float(text):
        text = json_text.with_numbers(text, _plain_numbers)
    if max_bytes is not None and len(text) > max_bytes:
        raise JsonTooLong
    # A copy, for payloads are kept while their steps run, and what orjson makes holds on to 8 KiB.
    return bytes(memoryview(text))


def fingerprint(canonical: bytes) -> str:
    """The SHA-256 (hex) of canonical JSON: equal exactly when two payloads mean the same."""
    return hashlib.sha256(canonical).hexdigest()


def _lost(text: bytes, written: bytes, max_depth: int) -> str:
    """What of the text orjson has not read, by what it writes; empty for nothing."""
    if text != written:
        if not json_text.has_as_many_strings(text, written):
            return f"a member {TWICE}"
        if json_text.holds_huge_integer(text):
            return HUGE_INTEGER
    return TOO_DEEP if json_text.is_deeper(text, max_depth) else ""


def _plain_numbers(outside: bytes) -> bytes:
    """Numbers as Python spells them, integers without a fraction."""
    if json_text.may_hold_exponent(outside) or b"0.0000" in outside:
        parts = _ODD_NUMBER.split(outside)
        parts[1::2] = map(_Spellings().__getitem__, parts[1::2])
        outside = b"".join(parts)
    # Each number stands before one of these, and one that ends so is an integer.
    for end in (b",", b"]", b"}"):
        outside = outside.replace(b".0" + end, end).replace(b"-0" + end, b"0" + end)
    # Or it is all there is.
    outside = outside.removesuffix(b".0")
    return b"0" if outside == b"-0" else outside


class _Spellings(dict[bytes, bytes]):
    """The one spelling of each float; a text often holds the same ones again and again."""

    def __missing__(self, digits: bytes) -> bytes:
        number = float(digits)
        is_integer = number.is_integer() and _INT_MIN <= number <= _INT_MAX
        spelling = self[digits] = repr(int(number) if is_integer else number).encode()
        return spelling
