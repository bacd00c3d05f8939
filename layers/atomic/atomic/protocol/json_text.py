"""Properties of a JSON text, computed by a few passes of `bytes` methods without parsing it.

A loop in Python over a hundred thousand values takes tens of milliseconds and blocks the event loop. These
functions take a millisecond or two for a megabyte. Texts are well-formed unless a function says
otherwise.
"""

from collections.abc import Callable
from itertools import accumulate
from typing import Final

_INT_MIN: Final = -(2**63)
_INT_MAX: Final = 2**64 - 1
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


def shortest(text: bytes) -> int:
    """A lower bound for the bytes of the value written without any space.

    A number counts as one byte, and so does what looks like one in a string. Meaningless for a text that is
    not JSON.
    """
    dense = text.translate(_NUMBERS_AS_0, _SPACE)
    numbers = dense.translate(_ALL_BUT_0_AS_SPACE)
    digits, apart = numbers.count(b"0"), numbers.count(b" 0") + numbers.startswith(b"0")
    # \uabcd is three bytes at least, and half a pair of surrogates two; \u0061 has three left by now.
    escapes = 3 * text.count(b"\\u") + text.count(b"\\ud") + text.count(b"\\uD") + text.count(b"\\/")
    return len(dense) - digits + apart - escapes


def has_as_many_strings(text: bytes, other: bytes) -> bool:
    """Whether both have the same number of strings. Parsing drops all but one of duplicate members."""
    return _quotes(text) == _quotes(other)


def holds_huge_integer(text: bytes) -> bool:
    """Whether an integer is beyond 64 bit."""
    if b"0" * _INT_CHARS not in text.translate(_DIGITS_AS_0):
        return False
    words = set(_outside_strings(text).translate(_STRUCTURE_AS_SPACE).split())
    integers = [word for word in words if len(word) >= _INT_CHARS and word.lstrip(b"-").isdigit()]
    return any(len(word) > _INT_MAX_CHARS or not _INT_MIN <= int(word) <= _INT_MAX for word in integers)


def is_deeper(text: bytes, levels: int) -> bool:
    """Whether arrays and objects are nested deeper than that. A text that never closes them is, too."""
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


def with_numbers(text: bytes, rewrite: Callable[[bytes], bytes]) -> bytes:
    """The text of orjson, with everything outside of strings rewritten in one call.

    `rewrite` must keep the quotes, each of which marks one end of a string.
    """
    # A JSON text has no control characters, so these can be turned back.
    hidden = text.replace(b"\\\\", b"\x00\x00").replace(b'\\"', b"\x00\x01") if b"\\" in text else text
    parts = hidden.split(b'"')
    parts[::2] = rewrite(b'"'.join(parts[::2])).split(b'"')
    whole = b'"'.join(parts)
    return whole.replace(b"\x00\x00", b"\\\\").replace(b"\x00\x01", b'\\"') if b"\x00" in whole else whole


def may_hold_float(text: bytes) -> bool:
    """Whether a number has a point or an exponent, or a string looks as if."""
    return b"0.0" in text.translate(_DIGITS_AS_0) or may_hold_exponent(text)


def may_hold_exponent(text: bytes) -> bool:
    """Whether a number has an exponent, or a string looks as if."""
    alike = text.translate(_DIGITS_AS_0)
    return b"0e" in alike or b"0E" in alike


def _outside_strings(text: bytes) -> bytes:
    return b"".join(_without_escaped_quotes(text).split(b'"')[::2])


def _quotes(text: bytes) -> int:
    return _without_escaped_quotes(text).count(b'"')


def _without_escaped_quotes(text: bytes) -> bytes:
    # Backslashes escape each other in pairs from the left; an odd one escapes what follows.
    return text.replace(b"\\\\", b"").replace(b'\\"', b"") if b"\\" in text else text
