"""Reads the signature of a user's function when it is served, and refuses one that cannot be called.

One parameter gets the payload. Parameters annotated as `Call`, `Context` or `AsyncContext` get this object.
"""

import functools
import inspect
import types
import typing
from collections.abc import Awaitable, Coroutine, Mapping
from dataclasses import dataclass
from inspect import Parameter
from typing import Any, Final

from pydantic.errors import (
    PydanticSchemaGenerationError,
    PydanticUndefinedAnnotation,
    PydanticUserError,
)
from pydantic.fields import FieldInfo

from atomic.sdk._calls.call import Call
from atomic.sdk._calls.context import BaseContext
from atomic.sdk._calls.served import Function
from atomic.sdk._wire.values import ValueType, value_type
from atomic.sdk.async_context import AsyncContext
from atomic.sdk.context import Context

_CONTEXTS: Final = (Call, BaseContext)
# The names of these types in annotations that exist for type checkers only, and the names of parameters
# that get a context or call without an annotation.
_BY_ANNOTATION: Final[Mapping[str, type]] = {"Call": Call, "Context": Context, "AsyncContext": AsyncContext}
_UNANNOTATED: Final = frozenset({"ctx", "context", "call"})
_MANY: Final = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
_UNIONS: Final = (typing.Union, types.UnionType)


@dataclass(frozen=True, slots=True)
class Argument:
    """The value of a parameter: the payload, a context or call (`kind` is the class), or its default."""

    name: str
    is_positional: bool
    default: Any
    kind: type | None = None
    is_payload: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """How a function is called. `takes` is None when it takes no payload.

    `is_async`: an `async def` does the work, perhaps inside plain wrappers. `may_block`: the call may block
    before it returns something to await.
    """

    function: Function
    arguments: tuple[Argument, ...]
    takes: ValueType | None
    returns: ValueType
    is_async: bool
    may_block: bool

    def call(self, call: Call, context: Call | BaseContext, payload: Any) -> Any:
        """Call the function. `context` is the context of a workflow; for a step it is the call, too."""
        positional: list[Any] = []
        named: dict[str, Any] = {}
        for argument in self.arguments:
            value = payload if argument.is_payload else argument.default
            if argument.kind is not None:
                value = call if argument.kind is Call else context
            if argument.is_positional:
                positional.append(value)
            else:
                named[argument.name] = value
        return self.function(*positional, **named)


def signature_of(function: Function, *, is_workflow: bool) -> Signature:
    """Read a function's signature. If it cannot be served, raises TypeError, which says what to change."""
    return _Reader(function, is_workflow=is_workflow).read()


def name_of(function: Function) -> str:
    """The name of a function; for a partial, that of the function inside."""
    while isinstance(function, functools.partial):
        function = function.func
    return str(getattr(function, "__qualname__", type(function).__qualname__))


class _Reader:
    """Reads one function."""

    def __init__(self, function: Function, *, is_workflow: bool) -> None:
        self._function = function
        self._is_workflow = is_workflow
        self._plain = _plain(function)
        self._is_async = inspect.iscoroutinefunction(self._plain)
        self._arguments: list[Argument] = []
        self._takes: ValueType | None = None

    def read(self) -> Signature:
        """The signature."""
        if inspect.isgeneratorfunction(self._function) or inspect.isasyncgenfunction(self._function):
            raise self._refusal("it yields; return a list instead")
        try:
            known = inspect.signature(self._function)
        except (ValueError, TypeError, NameError) as error:
            raise self._refusal(f"its signature cannot be read ({error}); wrap it in a function") from None
        bound = self._function.keywords if isinstance(self._function, functools.partial) else {}
        for parameter in known.parameters.values():
            if parameter.name not in bound:
                self._add(parameter, self._annotation(parameter.name, parameter.annotation))
        if self._takes is None and any(each.kind in _MANY for each in known.parameters.values()):
            raise self._refusal(
                "name the parameter that takes the payload (a decorator: use functools.wraps)"
            )
        returned = _awaited(self._annotation("return", known.return_annotation))
        return Signature(
            function=self._function,
            arguments=tuple(self._arguments),
            takes=self._takes,
            returns=self._known_type("what it returns", returned),
            is_async=self._is_async,
            may_block=not _is_coroutine_function(self._function),
        )

    def _add(self, parameter: Parameter, annotation: Any) -> None:
        kind = _context_kind(parameter.name, annotation)
        if kind is not None:
            self._check_context(parameter.name, kind)
            self._arguments.append(_argument(parameter, kind=kind))
            return
        self._check_injected(parameter, annotation)
        if parameter.kind in _MANY:
            return
        if self._takes is None:
            self._takes = self._known_type(parameter.name, annotation)
            self._arguments.append(_argument(parameter, is_payload=True))
        elif parameter.default is Parameter.empty:
            payload = next(argument.name for argument in self._arguments if argument.is_payload)
            raise self._refusal(
                f"{payload!r} takes the payload; give {parameter.name!r} a default, or take one model"
            )
        elif parameter.kind is Parameter.POSITIONAL_ONLY:
            self._arguments.append(_argument(parameter))

    def _annotation(self, name: str, annotation: Any) -> Any:
        """The evaluated annotation; its text if it cannot be evaluated and names a context."""
        if annotation is Parameter.empty:
            return Any
        # One at a time, so that the error names the one that cannot be evaluated.
        alone = types.SimpleNamespace(__annotations__={name: annotation})
        names = getattr(self._plain, "__globals__", {})
        try:
            return typing.get_type_hints(alone, names, include_extras=True)[name]
        except NameError as error:
            if isinstance(annotation, str) and _names_context(annotation) is not None:
                return annotation
            raise self._refusal(
                f"the annotation of {name!r} cannot be read, {error}; define or import it above the "
                "function, outside of `if TYPE_CHECKING:`"
            ) from None

    def _known_type(self, name: str, annotation: Any) -> ValueType:
        known = value_type(annotation)
        try:
            known.check()
        except PydanticSchemaGenerationError:
            raise self._refusal(
                f"{name!r} is annotated as {annotation!r}, which has no form in JSON; use a model, a "
                "dataclass or plain values"
            ) from None
        except PydanticUndefinedAnnotation:
            # The annotation names types that are defined later.
            pass
        except PydanticUserError as error:
            if error.code != "class-not-fully-defined":
                raise self._refusal(f"the annotation of {name!r} cannot be used: {error.message}") from None
        return known

    def _check_context(self, name: str, kind: type) -> None:
        wanted: type = Call
        if self._is_workflow:
            wanted = AsyncContext if self._is_async else Context
        if kind in {Call, BaseContext, wanted}:
            return
        what = "a workflow" if self._is_workflow else "a step"
        kind_of_function = "async def" if self._is_async else "def"
        raise self._refusal(
            f"{name!r} is a {kind.__name__}, but {what} in `{kind_of_function}` gets a {wanted.__name__}"
        )

    def _check_injected(self, parameter: Parameter, annotation: Any) -> None:
        """Raise TypeError for defaults that only a framework resolves: Atomic would pass them unchanged."""
        marks = [parameter.default, *getattr(annotation, "__metadata__", ())]
        if any(type(mark).__module__.partition(".")[0] == "fastapi" for mark in marks):
            raise self._refusal(
                f"Atomic calls it, so FastAPI injects nothing into {parameter.name!r}; get that inside"
            )
        if isinstance(parameter.default, FieldInfo):
            raise self._refusal(f"write {parameter.name!r} as Annotated[…, Field(…)], with a plain default")

    def _refusal(self, reason: str) -> TypeError:
        return TypeError(f"{name_of(self._function)} cannot be served: {reason}")


def _argument(parameter: Parameter, *, kind: type | None = None, is_payload: bool = False) -> Argument:
    is_positional = parameter.kind is Parameter.POSITIONAL_ONLY
    return Argument(parameter.name, is_positional, parameter.default, kind, is_payload)


def _context_kind(name: str, annotation: Any) -> type | None:
    """Which of the contexts a parameter is for, if any."""
    if annotation is Any:
        return BaseContext if name in _UNANNOTATED else None
    if isinstance(annotation, str):
        return _names_context(annotation)
    if typing.get_origin(annotation) is typing.Annotated:
        return _context_kind("", typing.get_args(annotation)[0])
    if typing.get_origin(annotation) in _UNIONS:
        kinds = [_context_kind("", each) for each in typing.get_args(annotation) if each is not type(None)]
        return kinds[0] if len(kinds) == 1 else None
    is_context = isinstance(annotation, type) and issubclass(annotation, _CONTEXTS)
    return annotation if is_context else None


def _names_context(annotation: str) -> type | None:
    named = annotation.removeprefix("Optional[").removesuffix("]").partition("|")[0].strip()
    return _BY_ANNOTATION.get(named.rpartition(".")[2])


def _plain(function: Function) -> Any:
    """The function that does the work, inside partials, methods and wrappers with `__wrapped__`."""
    while True:
        if isinstance(function, functools.partial):
            function = function.func
        elif hasattr(function, "__wrapped__"):
            function = function.__wrapped__
        elif inspect.ismethod(function):
            function = function.__func__
        elif inspect.isroutine(function) or isinstance(function, type):
            return function
        else:
            function = type(function).__call__


def _is_coroutine_function(function: Function) -> bool:
    # For a callable object, its `__call__` counts.
    called = function if inspect.isroutine(function) else type(function).__call__
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(called)


def _awaited(annotation: Any) -> Any:
    """The type of the result after it has been awaited."""
    if annotation in (typing.NoReturn, typing.Never):
        return Any
    if typing.get_origin(annotation) in (Awaitable, Coroutine):
        return typing.get_args(annotation)[-1]
    return annotation
