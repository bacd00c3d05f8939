"""Finds the difference between a value and the value that is read back from its JSON.

Python's equality is not enough: 1 equals True and 1.0, and many objects have no equality of their own.
"""

import dataclasses
import datetime
import reprlib
from collections import OrderedDict, deque
from collections.abc import Iterator, Mapping, Sequence, Set
from enum import Enum
from typing import Any, Final

_MISSING: Final = object()
_NO_EQUALITY: Final[Any] = object.__eq__
_SCALARS: Final = frozenset({str, int, bool, type(None), bytes})
_SHORT: Final = reprlib.Repr()
_SHORT.maxother = _SHORT.maxstring = 60
# A part of two values: its name, and its value in each of them.
_Part = tuple[object, Any, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class Difference:
    """The first place at which two values differ. `path` is written as in Python: `.items[0]['x']`."""

    path: str
    sent: Any
    got: Any

    @property
    def is_rounded(self) -> bool:
        """Whether an integer became the nearest float."""
        return isinstance(self.sent, int) and isinstance(self.got, float) and float(self.sent) == self.got

    def __str__(self) -> str:
        where = f"at {self.path}: " if self.path else ""
        if self.sent is _MISSING:
            return f"{where}{_shown(self.got)} would be added"
        if self.got is _MISSING:
            return f"{where}{_shown(self.sent)} would be lost"
        return f"{where}{_shown(self.sent)} would arrive as {_shown(self.got)}"


def difference(sent: Any, got: Any) -> Difference | None:
    """The first difference between `sent` and `got`; None when they are the same.

    JSON has one kind of number, so 1 and 1.0 are the same. A time zone arrives as its offset. Otherwise,
    types must be equal. Objects without their own equality are compared by type only.
    """
    if type(sent) is not type(got):
        return None if _are_one_number(sent, got) else Difference("", sent, got)
    if type(sent) in _SCALARS:
        return None if sent == got else Difference("", sent, got)
    parts = _parts(sent, got)
    if parts is None:
        return None if _is_equal(sent, got) else Difference("", sent, got)
    for name, mine, theirs in parts:
        found = difference(mine, theirs)
        if found is not None:
            return dataclasses.replace(found, path=f"{name}{found.path}")
    return None


def _are_one_number(sent: Any, got: Any) -> bool:
    numbers = isinstance(sent, int | float) and type(got) in (int, float)
    return numbers and not isinstance(sent, bool | Enum) and bool(sent == got)


def _parts(sent: Any, got: Any) -> Iterator[_Part] | None:
    """The parts of two values of one type; None when they are compared as a whole."""
    if isinstance(sent, str | bytes | int):
        return None
    if isinstance(sent, Mapping):
        return _members(sent, got)
    if isinstance(sent, Set):
        return _elements(sent, got)
    if isinstance(sent, Sequence | deque):
        return _items(sent, got)
    if isinstance(sent, Iterator):
        return _items(list(sent), list(got))
    if hasattr(type(sent), "__pydantic_fields__") or dataclasses.is_dataclass(sent):
        return _fields(sent, got)
    return None


def _members(sent: Mapping[Any, Any], got: Mapping[Any, Any]) -> Iterator[_Part]:
    keys = {key: key for key in got}
    for key, member in sent.items():
        where = f"[{_shown(key)}]"
        # 1, 1.0 and True are the same key in Python.
        if difference(key, keys.get(key, _MISSING)) is not None:
            yield where, member, _MISSING
        yield where, member, got[key]
    yield ".__len__()", len(sent), len(got)
    if isinstance(sent, OrderedDict):
        yield "", list(sent), list(got)


def _elements(sent: Set[Any], got: Set[Any]) -> Iterator[_Part]:
    elements = {element: element for element in got}
    for element in sent:
        yield "", element, elements.get(element, _MISSING)
    yield ".__len__()", len(sent), len(got)


def _items(sent: Any, got: Any) -> Iterator[_Part]:
    for where, item in enumerate(sent):
        yield f"[{where}]", item, got[where] if where < len(got) else _MISSING
    yield ".__len__()", len(sent), len(got)
    yield ".maxlen", getattr(sent, "maxlen", None), getattr(got, "maxlen", None)


def _fields(sent: Any, got: Any) -> Iterator[_Part]:
    """Fields, extra members that a model allows, and private attributes."""
    kind = type(sent)
    names = getattr(kind, "__pydantic_fields__", None)
    if dataclasses.is_dataclass(kind):
        names = [field.name for field in dataclasses.fields(kind) if field.compare]
    for name in names or ():
        yield f".{name}", getattr(sent, name, _MISSING), getattr(got, name, _MISSING)
    for beside in ("__pydantic_extra__", "__pydantic_private__"):
        mine, theirs = getattr(sent, beside, None) or {}, getattr(got, beside, None) or {}
        for name in {**mine, **theirs}:
            yield f".{name}", mine.get(name, _MISSING), theirs.get(name, _MISSING)


def _is_equal(sent: Any, got: Any) -> bool:
    if isinstance(sent, datetime.datetime | datetime.time):
        # For different time zones, Python compares in UTC, and times of a repeated hour are never equal.
        clocks = [(each.replace(tzinfo=None), each.utcoffset()) for each in (sent, got)]
        return clocks[0] == clocks[1]
    if type(sent).__eq__ is _NO_EQUALITY:
        return True
    try:
        # NaN equals NaN here.
        equal: object = sent == got or (sent != sent and got != got)
    except Exception:
        return False
    # Comparing arrays gives an array.
    return equal if isinstance(equal, bool) else True


def _shown(value: Any) -> str:
    try:
        text = _SHORT.repr(value)
    except Exception:
        text = "…"
    is_plain = isinstance(value, str | int | float | None) and type(value).__module__ == "builtins"
    return text if is_plain and not isinstance(value, str) else f"{text} ({type(value).__qualname__})"
