"""A strict JSON parser that names what is wrong and needs only the standard library.

`json` of Python accepts more than JSON and silently drops or changes it (duplicate members, NaN, 1e999).
"""

import codecs
import json
import math
from collections import Counter
from typing import Any, Final, NoReturn

from atomic.protocol.constants import JSON_MAX_DEPTH
from atomic.protocol.json_text import is_deeper

_INT_MIN: Final = -(2**63)
_INT_MAX: Final = 2**64 - 1


class JsonRefused(ValueError):
    """The text is not JSON that Atomic can store; the message says what to change."""


TWICE: Final = "appears twice in one object; keep one of them"
HUGE_INTEGER: Final = "an integer is beyond 64 bit; send it as a string"
TOO_DEEP: Final = f"nested deeper than {JSON_MAX_DEPTH} levels; flatten it"


def read_json(text: bytes | str, *, max_depth: int = JSON_MAX_DEPTH) -> Any:
    """The same as `canonical.parse_json`, ten times slower."""
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
    if is_deeper(text.encode(errors="replace"), max_depth):
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
    # 20 digits and a sign hold every 64-bit number, and int() is quadratic in the number of digits.
    if len(digits) <= 21 and _INT_MIN <= (number := int(digits)) <= _INT_MAX:
        return number
    raise JsonRefused(HUGE_INTEGER)


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
