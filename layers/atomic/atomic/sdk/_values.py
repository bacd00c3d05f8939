"""Values on their way into JSON and back: what a declared type does not give back is refused.

A value crosses processes, replays and versions. So it is read back where it is written, as its reader will
read it, and compared with what was sent.
"""

import inspect
import json
import typing
from collections.abc import Callable, Collection
from functools import cached_property, lru_cache, partial
from typing import Any, Final, NoReturn

from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_jsonable_python

from atomic.sdk._difference import Difference, difference
from atomic.sdk._storable import HALF_A_CHARACTER, Unstorable, is_json, storable
from atomic.sdk.errors import SerializationError

_CONTAINERS: Final = frozenset({"builtins", "collections", "collections.abc", "typing"})
_TOLD_MAX: Final = 20


class ValueType:
    """A declared type, as pydantic knows it; `Any` where nothing is declared. `what` names the value."""

    def __init__(self, annotation: Any = Any) -> None:
        self.annotation = annotation

    def kept(self, value: Any, what: str) -> Any:
        """The JSON form of a value that is equal, and of the same type, when it is read back as this type.

        Raises SerializationError for any other value.
        """
        written, is_plain = self._written(value, what)
        got = self.read(written, what)
        # Of plain values, and models of such, equal ones have equal types.
        if is_plain and value == got:
            return written
        found = difference(value, got)
        if found is not None and not found.is_rounded and self.annotation is not Any:
            found = self._changed(value, written, got)
        if found is not None:
            raise SerializationError(f"{_capital(what)} would not arrive as it is: {found}.")
        return written

    def given(self, value: Any, what: str) -> Any:
        """The JSON form of an answer, for readers that this program does not know.

        As `kept`, but the parts that the type leaves open (`Any`, `dict`) may become plain JSON values.
        """
        if not _is_open(self.annotation):
            return self.kept(value, what)
        written, _ = self._written(value, what)
        self.read(written, what)
        return written

    def read(self, written: Any, what: str) -> Any:
        """JSON values as a value of this type. Raises SerializationError when they are none."""
        if self.annotation is Any:
            return written
        try:
            # In JSON mode strict types take what they wrote. The server sorts members. What has an alias
            # for reading alone was written by its name.
            text = json.dumps(written, sort_keys=True)
            return self._adapter.validate_json(text, by_alias=True, by_name=True)
        except ValidationError as error:
            raise SerializationError(f"{_capital(what)} does not fit: {misfits(error)}.") from error

    def check(self) -> None:
        """Raise pydantic's error when it does not know the type."""
        if self.annotation is not Any:
            _ = self._adapter

    @cached_property
    def _adapter(self) -> TypeAdapter[Any]:
        return TypeAdapter(self.annotation)

    def _written(self, value: Any, what: str) -> tuple[Any, bool]:
        """The JSON form, and whether the value has no other parts than JSON has."""
        if self.annotation is Any:
            return _stored(value, what, lambda: _any_written(value))
        written = partial(self._adapter.dump_python, value, by_alias=True, round_trip=True, warnings=False)
        try:
            # Models become dicts, and all else stays: sets, dates, secrets.
            parts = written(mode="python")
        except Exception:
            parts = value
        return _stored(parts, what, lambda: written(mode="json", fallback=_refuse))

    def _changed(self, value: Any, written: Any, got: Any) -> Difference | None:
        """What the trip changed of a value that this type makes another one of."""
        try:
            made = self._made(value)
        except ValidationError:
            # Only JSON makes this type of it: as a strict model is made of a string for its UUID.
            return difference(value, written) and difference(value, got)
        found = difference(made, got)
        if found is not None and difference(made, self._made(value)) is not None:
            # It has defaults that are drawn anew each time.
            return None
        return found

    def _made(self, value: Any) -> Any:
        return self._adapter.validate_python(value, by_alias=True, by_name=True)


UNDECLARED: Final = ValueType()


def value_type(annotation: Any) -> ValueType:
    """The type of an annotation."""
    try:
        # Equal unions may have another order, which counts when two members fit.
        return _value_type(annotation, repr(annotation))
    except TypeError:
        return ValueType(annotation)


@lru_cache(maxsize=1024)
def _value_type(annotation: Any, _spelling: str) -> ValueType:
    return ValueType(annotation)


def jsonable(value: Any, what: str = "the value") -> Any:
    """A value as plain JSON values, for readers of any kind: models, dataclasses, dates, UUIDs and more.

    Members of models go by their aliases; computed fields are left out. Equal values have equal forms, in
    every process. Raises SerializationError for what has no JSON form, or none that Atomic can store.
    """
    return UNDECLARED.given(value, what)


def misfits(error: ValidationError) -> str:
    """What does not fit where, without the values."""
    found = error.errors(include_url=False, include_input=False, include_context=False)
    wrong = (f"{'.'.join(map(str, item['loc'])) or 'payload'}: {item['msg']}" for item in found[:_TOLD_MAX])
    return "; ".join(wrong)


def _any_written(value: Any) -> Any:
    return to_jsonable_python(value, by_alias=True, round_trip=True, fallback=_refuse)


def _stored(parts: Any, what: str, write: Callable[[], Any]) -> tuple[Any, bool]:
    try:
        written = write()
        if is_json(parts, written):
            return written, True
        return storable(parts, written), False
    except SerializationError as refused:
        raise SerializationError(f"{_capital(what)} {refused.detail}") from None
    except Unstorable as refused:
        raise SerializationError(f"{_capital(what)} cannot be stored: {refused}.") from None
    except UnicodeEncodeError:
        raise SerializationError(f"{_capital(what)} cannot be stored: {HALF_A_CHARACTER}.") from None
    except UnicodeDecodeError:
        cure = "send them as Base64Bytes, or as text"
        raise SerializationError(f"{_capital(what)} has bytes that are not UTF-8: {cure}.") from None
    except (ValueError, TypeError, RecursionError) as error:
        raise SerializationError(f"{_capital(what)} has no JSON form: {error}.") from error


def _refuse(value: Any) -> NoReturn:
    """Pydantic does not know what to write for this."""
    kind = type(value).__qualname__
    cure = "use a model, a dataclass or plain values"
    if inspect.isawaitable(value):
        cure = "is an `await` missing?"
        if inspect.iscoroutine(value):
            value.close()
    elif type(value).__module__.startswith("atomic.sdk"):
        cure = "that belongs to the SDK and is no value"
    elif inspect.isroutine(value):
        cure = "is a call missing, `()`?"
    raise SerializationError(f"has no JSON form: it holds a value of type {kind}; {cure}.")


def _is_open(annotation: Any) -> bool:
    """Whether a type says of all or a part of a value no more than that it is there."""
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
