"""Writes values as JSON and reads them back: a value that would not arrive unchanged is refused.

A value passes between processes, replays and versions. So the writer reads its own JSON back, as the reader
will, and compares the result with the value. The JSON of pydantic is brought into one spelling, or refused
with the path of the fault: strict JSON has no NaN, no integers beyond 64 bit, no half surrogate pairs and
at most 64 levels (see `protocol.strict_json`), and pydantic writes all of these.
"""

import inspect
import json
import marshal
import math
import re
import typing
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import cached_property, lru_cache, partial
from itertools import repeat
from typing import Any, Final, NoReturn

from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_jsonable_python

from atomic.protocol.constants import JSON_MAX_DEPTH
from atomic.sdk._wire.differences import Difference, difference
from atomic.sdk.errors import InvalidRequestError, SerializationError

_CONTAINERS: Final = frozenset({"builtins", "collections", "collections.abc", "typing"})
_TOLD_MAX: Final = 20
_INT_MIN: Final = -(2**63)
_INT_MAX: Final = 2**64 - 1
_UNKNOWN: Final = object()
# Matches integers that may be beyond 64 bit, and floats that are integers, also within strings. It begins
# with one set of characters, so that `re` passes over the others quickly.
_ODD_NUMBER: Final = re.compile(r"[0-9](?:[0-9]{18}|\.0(?![0-9])|e\+)")
# Kept here, because `json.dumps` makes a new encoder at each call that has options.
_SORTED: Final = json.JSONEncoder(sort_keys=True)
_STRICT: Final = json.JSONEncoder(allow_nan=False, ensure_ascii=False)
_HALF_A_CHARACTER: Final = "a string holds half of a surrogate pair; send whole characters"


class ValueType:
    """A declared type, read by pydantic; `Any` where nothing is declared. `what` names the value."""

    def __init__(self, annotation: Any = Any) -> None:
        self.annotation = annotation

    def kept(self, value: Any, what: str) -> Any:
        """The JSON form of a value. Reading it back as this type gives an equal value of the same type.

        Raises SerializationError for any other value.
        """
        written, is_plain = self._written(value, what)
        got = self.read(written, what)
        # Plain values, and models of plain values, have equal types if they are equal. A value of a union
        # may come back as an equal value of another type: Fraction(0) as Decimal(0).
        if is_plain and value == got and not self._has_union:
            return written
        found = difference(value, got)
        if found is not None and not found.is_rounded and self.annotation is not Any:
            found = self._changed(value, written, got)
        if found is not None:
            raise SerializationError(f"{_capital(what)} would not arrive unchanged: {found}.")
        return written

    def given(self, value: Any, what: str) -> Any:
        """The JSON form of an answer, for readers that this program does not know.

        Like `kept`, but parts whose type is open (`Any`, `dict`) may become plain JSON values.
        """
        if not self._is_open:
            return self.kept(value, what)
        written, _ = self._written(value, what)
        self.read(written, what)
        return written

    def read(self, written: Any, what: str) -> Any:
        """JSON values as a value of this type. Raises SerializationError when they do not fit."""
        if self.annotation is Any:
            return written
        try:
            # In JSON mode, strict types read what they wrote. The server sorts members. A member with an
            # alias only for reading was written by its name.
            return self._adapter.validate_json(_SORTED.encode(written), by_alias=True, by_name=True)
        except ValidationError as error:
            raise SerializationError(f"{_capital(what)} does not fit: {_misfits(error)}.") from error

    def check(self) -> None:
        """Raise pydantic's error when it does not know the type."""
        if self.annotation is not Any:
            _ = self._adapter

    @cached_property
    def _is_open(self) -> bool:
        return _is_open(self.annotation)

    @cached_property
    def _has_union(self) -> bool:
        return self.annotation is not Any and "'type': 'union'" in repr(self._adapter.core_schema)

    @cached_property
    def _adapter(self) -> TypeAdapter[Any]:
        return TypeAdapter(self.annotation)

    def _written(self, value: Any, what: str) -> tuple[Any, bool]:
        """The JSON form, and whether the value has only parts that JSON has, too."""
        if self.annotation is Any:
            write = partial(to_jsonable_python, value, by_alias=True, round_trip=True, fallback=_refuse)
            return _stored(value, what, write)
        written = partial(self._adapter.dump_python, value, by_alias=True, round_trip=True, warnings=False)
        try:
            # Models become dicts, and all other values stay: sets, dates, secrets.
            parts = written(mode="python")
        except Exception:
            parts = value
        return _stored(parts, what, lambda: written(mode="json", fallback=_refuse))

    def _changed(self, value: Any, written: Any, got: Any) -> Difference | None:
        """The first change in a value that this type does not read back equal."""
        try:
            made = self._made(value)
        except ValidationError:
            # Only JSON input gives this type: a strict model reads its UUID from a string.
            return difference(value, written) and difference(value, got)
        found = difference(made, got)
        if found is not None and difference(made, self._made(value)) is not None:
            # The type has defaults that differ each time, such as random ids.
            return None
        return found

    def _made(self, value: Any) -> Any:
        return self._adapter.validate_python(value, by_alias=True, by_name=True)


UNDECLARED: Final = ValueType()


def value_type(annotation: Any) -> ValueType:
    """The type of an annotation."""
    try:
        # Equal unions may have a different order, which matters when two members fit.
        return _value_type(annotation, repr(annotation))
    except TypeError:
        return ValueType(annotation)


@lru_cache(maxsize=1024)
def _value_type(annotation: Any, _spelling: str) -> ValueType:
    return ValueType(annotation)


def jsonable(value: Any, what: str = "the value") -> Any:
    """A value as plain JSON values, for all readers: models, dataclasses, dates, UUIDs and more.

    Members of models have their aliases as names; computed fields are left out. Equal values have equal
    forms, in every process. Raises SerializationError for a value that has no JSON form, or that Atomic
    cannot store.
    """
    return UNDECLARED.given(value, what)


def _misfits(error: ValidationError) -> str:
    """The paths that do not fit and the reasons, without the values."""
    found = error.errors(include_url=False, include_input=False, include_context=False)
    wrong = (f"{'.'.join(map(str, item['loc'])) or 'payload'}: {item['msg']}" for item in found[:_TOLD_MAX])
    return "; ".join(wrong)


def _stored(parts: Any, what: str, write: Callable[[], Any]) -> tuple[Any, bool]:
    try:
        written = write()
        if _is_json(parts, written):
            return written, True
        return _storable(parts, written), False
    except SerializationError as refused:
        raise SerializationError(f"{_capital(what)} {refused.detail}") from None
    except _Unstorable as refused:
        raise SerializationError(f"{_capital(what)} cannot be stored: {refused}.") from None
    except UnicodeEncodeError:
        raise SerializationError(f"{_capital(what)} cannot be stored: {_HALF_A_CHARACTER}.") from None
    except UnicodeDecodeError:
        cure = "send them as Base64Bytes, or as text"
        raise SerializationError(f"{_capital(what)} has bytes that are not UTF-8: {cure}.") from None
    except (ValueError, TypeError, RecursionError) as error:
        raise SerializationError(f"{_capital(what)} has no JSON form: {error}.") from error


def _refuse(value: Any) -> NoReturn:
    """Refuse a value that pydantic cannot write."""
    kind = type(value).__qualname__
    cure = "use a model, a dataclass or plain values"
    if inspect.isawaitable(value):
        cure = "is an `await` missing?"
        if inspect.iscoroutine(value):
            value.close()
    elif type(value).__module__.startswith("atomic.sdk"):
        cure = "that belongs to the SDK and is not a value"
    elif inspect.isroutine(value):
        cure = "is a call missing, `()`?"
    raise SerializationError(f"has no JSON form: it holds a value of type {kind}; {cure}.")


def _is_open(annotation: Any) -> bool:
    """Whether a type, or a part of it, is open: it says nothing about the value."""
    annotation = getattr(annotation, "__value__", annotation)
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Literal:
        return False
    if origin is typing.Annotated:
        arguments = arguments[:1]
    if arguments:
        return any(_is_open(argument) for argument in arguments if argument is not ...)
    if annotation in (Any, object) or isinstance(annotation, typing.TypeVar) or origin is not None:
        return True
    is_container = isinstance(annotation, type) and issubclass(annotation, Collection)
    return is_container and annotation.__module__ in _CONTAINERS and not issubclass(annotation, str | bytes)


def _capital(what: str) -> str:
    return what[:1].upper() + what[1:]


class _Unstorable(ValueError):
    """The value cannot be stored unchanged; `path` is where, as Python writes it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.path = ""

    def __str__(self) -> str:
        reason = super().__str__()
        return f"at {self.path}: {reason}" if self.path else reason


def _is_json(value: Any, written: Any) -> bool:
    """Whether a value is its own JSON form, in Python's own types, and can be stored unchanged.

    This is true for most values. The check uses functions in C on the whole value, and returns False also
    where these cannot decide.
    """
    try:
        # marshal accepts only exact types: no enums, no other subclasses.
        if value != written or not marshal.dumps(value):
            return False
        text = _STRICT.encode(written)
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


def _storable(value: Any, written: Any, depth: int = 0) -> Any:
    """`written`, the JSON form of `value`, with the members of its sets in one order and 1.0 as 1.

    The order of a set differs between processes, but a replay must send the same payload. Changes `written`
    in place. Raises _Unstorable.
    """
    if not isinstance(written, dict | list):
        return _scalar(value, written)
    if depth == JSON_MAX_DEPTH:
        raise _Unstorable(f"nested deeper than {JSON_MAX_DEPTH} levels; flatten it")
    if isinstance(written, dict):
        return _object(value, written, depth + 1)
    return _array(value, written, depth + 1)


def _scalar(value: Any, written: Any) -> Any:
    if isinstance(written, str):
        return _text(value, written)
    if written is None and isinstance(value, float):
        # Some serializers write NaN as null.
        written = value
    if isinstance(written, float):
        if not math.isfinite(written):
            raise _Unstorable(f"{written} is not JSON; send None or a string")
        return int(written) if written.is_integer() and _INT_MIN <= written <= _INT_MAX else written
    if written is not None and not _INT_MIN <= written <= _INT_MAX:
        raise _Unstorable("an integer is beyond 64 bit; send it as a string")
    return written


def _text(value: Any, text: str) -> str:
    if hasattr(type(value), "get_secret_value") and text and text == str(value):
        raise _Unstorable(
            "a secret would be stored as asterisks; send a reference to it, or its get_secret_value()"
        )
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise _Unstorable(_HALF_A_CHARACTER) from None
    return text


def _object(value: Any, written: dict[str, Any], depth: int) -> dict[str, Any]:
    inner = dict(_members_of(value, written))
    name = ""
    try:
        for name, member in written.items():
            _text(None, name)
            written[name] = _storable(inner.get(name, _UNKNOWN), member, depth)
    except _Unstorable as refused:
        refused.path = f"[{name!r}]{refused.path}"
        raise
    return written


def _array(value: Any, written: list[Any], depth: int) -> list[Any]:
    value = _parts_of(value)
    is_set = isinstance(value, set | frozenset)
    items: Iterable[Any] = repeat(_UNKNOWN)
    if (is_set or isinstance(value, list | tuple | deque)) and len(value) == len(written):
        # The set was not changed, so it still has the order in which it was written.
        items = value
    index = 0
    try:
        for index, (item, member) in enumerate(zip(items, written, strict=False)):
            written[index] = _storable(item, member, depth)
    except _Unstorable as refused:
        refused.path = f"[{index}]{refused.path}"
        raise
    if is_set:
        written.sort(key=_spelling)
    return written


def _members_of(value: Any, written: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """The members of a value that became an object, by their names in it."""
    value = _parts_of(value)
    if isinstance(value, dict):
        if len(value) > len(written) and not all(isinstance(key, str) for key in value):
            raise _Unstorable("two keys are equal in JSON, where all keys are strings; give them one type")
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
            raise _Unstorable(f"the key {key!r} has no form in JSON; use strings")


def _parts_of(value: Any) -> Any:
    """The output of a model before it becomes JSON, with the names and shapes of its own serializers."""
    serializer = getattr(type(value), "__pydantic_serializer__", None)
    if serializer is not None:
        try:
            return serializer.to_python(value, by_alias=True, round_trip=True, warnings=False)
        except Exception:
            # A set of models would become a set of dicts, so the parts of the model are written one by one.
            while getattr(type(value), "__pydantic_root_model__", False):
                value = value.root
    return value


def _spelling(written: Any) -> str:
    return _SORTED.encode(written)


def utf8(member: str, text: str) -> bytes:
    """The bytes of a text. Raises InvalidRequestError for half of a surrogate pair: it has no bytes."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        cure = "holds half of a surrogate pair; use whole characters"
        raise InvalidRequestError(f"{member}: {text!r} {cure}.") from None
