"""What pydantic wrote of a value, as Atomic can store it: in one spelling, or refused with its place.

Strict JSON has no NaN, no integers beyond 64 bit, no halves of characters and 64 levels; see
`protocol.canonical`. Pydantic lets all of these out.
"""

import json
import marshal
import math
import re
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import repeat
from typing import Any, Final

from atomic.protocol.constants import JSON_MAX_DEPTH

_INT_MIN: Final = -(2**63)
_INT_MAX: Final = 2**64 - 1
_UNKNOWN: Final = object()
# What may be beyond 64 bit, or a float that is an integer. Texts that look so are looked at, too.
_ODD_NUMBER: Final = re.compile(r"\d{19}|\.0(?!\d)|\de\+")
HALF_A_CHARACTER: Final = "a string holds half of a surrogate pair; send whole characters"


class Unstorable(ValueError):
    """The value cannot be stored as what it is; `path` is the place, as Python writes it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.path = ""

    def __str__(self) -> str:
        reason = super().__str__()
        return f"at {self.path}: {reason}" if self.path else reason


def is_json(value: Any, written: Any) -> bool:
    """Whether a value is its own JSON form, in Python's own types, and can be stored as it is.

    Most are, and are looked at as a whole, by what runs in C. False also where that does not tell.
    """
    try:
        # marshal takes exact types only: no enums, no other subclasses.
        if value != written or not marshal.dumps(value):
            return False
        text = json.dumps(written, allow_nan=False, ensure_ascii=False)
        text.encode()
    except Exception:
        return False
    # Nesting cannot exceed the number of openings.
    is_flat = text.count("[") + text.count("{") <= JSON_MAX_DEPTH or _is_flat(written)
    return is_flat and _ODD_NUMBER.search(text) is None


def _is_flat(written: Any) -> bool:
    level = [written]
    for _ in range(JSON_MAX_DEPTH):
        level = [
            child
            for item in level
            for child in (item.values() if type(item) is dict else item)
            if type(child) in (dict, list)
        ]
        if not level:
            return True
    return False


def storable(value: Any, written: Any, depth: int = 0) -> Any:
    """`written`, the JSON form of `value`, with the members of its sets in one order and 1.0 as 1.

    A set has another order in each process, and a server must find the same payload in a replay. Changes
    `written` in place. Raises Unstorable.
    """
    if not isinstance(written, dict | list):
        return _scalar(value, written)
    if depth == JSON_MAX_DEPTH:
        raise Unstorable(f"nested deeper than {JSON_MAX_DEPTH} levels; flatten it")
    if isinstance(written, dict):
        return _object(value, written, depth + 1)
    return _array(value, written, depth + 1)


def _scalar(value: Any, written: Any) -> Any:
    if isinstance(written, str):
        return _text(value, written)
    if written is None and isinstance(value, float):
        # Some writers make null of NaN.
        written = value
    if isinstance(written, float):
        if not math.isfinite(written):
            raise Unstorable(f"{written} is not JSON; send None or a string")
        return int(written) if written.is_integer() and _INT_MIN <= written <= _INT_MAX else written
    if written is not None and not _INT_MIN <= written <= _INT_MAX:
        raise Unstorable("an integer is beyond 64 bit; send it as a string")
    return written


def _text(value: Any, text: str) -> str:
    if hasattr(type(value), "get_secret_value") and text and text == str(value):
        raise Unstorable(
            "a secret would be stored as asterisks; send a reference to it, or its get_secret_value()"
        )
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise Unstorable(HALF_A_CHARACTER) from None
    return text


def _object(value: Any, written: dict[str, Any], depth: int) -> dict[str, Any]:
    inner = dict(_members_of(value, written))
    name = ""
    try:
        for name, member in written.items():
            _text(None, name)
            written[name] = storable(inner.get(name, _UNKNOWN), member, depth)
    except Unstorable as refused:
        refused.path = f"[{name!r}]{refused.path}"
        raise
    return written


def _array(value: Any, written: list[Any], depth: int) -> list[Any]:
    value = _parts_of(value)
    is_set = isinstance(value, set | frozenset)
    items: Iterable[Any] = repeat(_UNKNOWN)
    if (is_set or isinstance(value, list | tuple | deque)) and len(value) == len(written):
        # Nothing was added meanwhile, so a set is in the order in which it was written.
        items = value
    index = 0
    try:
        for index, (item, member) in enumerate(zip(items, written, strict=False)):
            written[index] = storable(item, member, depth)
    except Unstorable as refused:
        refused.path = f"[{index}]{refused.path}"
        raise
    if is_set:
        written.sort(key=_spelling)
    return written


def _members_of(value: Any, written: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """The members of what became an object, by the names that they go by there."""
    value = _parts_of(value)
    if isinstance(value, dict):
        if len(value) > len(written) and not all(isinstance(key, str) for key in value):
            raise Unstorable("two keys are one in JSON, where all keys are strings; give them one type")
        _check_keys(value)
        return zip(written, value.values(), strict=False) if len(value) == len(written) else iter(())
    fields = getattr(type(value), "__pydantic_fields__", None)
    if fields is None:
        names = getattr(type(value), "__dataclass_fields__", ())
        return ((name, getattr(value, name, _UNKNOWN)) for name in names)
    known = (
        (field.serialization_alias or name, getattr(value, name, _UNKNOWN))
        for name, field in fields.items()
    )
    return iter((*known, *(getattr(value, "__pydantic_extra__", None) or {}).items()))


def _check_keys(value: dict[Any, Any]) -> None:
    for key in value:
        if isinstance(key, tuple) or key is None:
            raise Unstorable(f"the key {key!r} has no form in JSON; use strings")


def _parts_of(value: Any) -> Any:
    """What a model writes, before that becomes JSON: with the names and shapes of its own serializers."""
    serializer = getattr(type(value), "__pydantic_serializer__", None)
    if serializer is not None:
        try:
            return serializer.to_python(value, by_alias=True, round_trip=True, warnings=False)
        except Exception:
            # A set of models would become one of dicts. The parts of the model are asked one by one.
            return _root_of(value)
    return value


def _root_of(value: Any) -> Any:
    while getattr(type(value), "__pydantic_root_model__", False):
        value = value.root
    return value


def _spelling(written: Any) -> str:
    return json.dumps(written, sort_keys=True)
