"""Calls that a handler has made and that have not begun. They begin when awaited, or in a batch."""

import sys
from collections.abc import Callable, Coroutine, Generator
from dataclasses import dataclass, field
from pathlib import PurePath
from types import CodeType, TracebackType
from typing import Any, NamedTuple, Protocol, TypeVar

from atomic.sdk._calls.context import StepCall

T = TypeVar("T")
Made = TypeVar("Made", bound="Titled")


class Titled(Protocol):
    """A call of a handler, with a name for people."""

    @property
    def title(self) -> str:
        """The name of the call, for people."""


class MadeCall(NamedTuple):
    """A call of the context, and the line of the handler that made it.

    A call that is never awaited, or never given to a batch, does not begin. Python does not warn about it,
    so the contexts report it.
    """

    made: Titled
    code: CodeType
    line: int

    @classmethod
    def here(cls, made: Titled, depth: int) -> "MadeCall":
        """The call that is made now. Its line is `depth` frames above the function that calls `here`."""
        frame = sys._getframe(depth + 1)  # noqa: SLF001 - quicker than `inspect.stack()`
        return cls(made, frame.f_code, frame.f_lineno)

    def __str__(self) -> str:
        return f"{self.made.title} ({PurePath(self.code.co_filename).name}, line {self.line})"


@dataclass(slots=True)
class Unawaited:
    """The calls of a handler that are not awaited yet; `dropped` are those that nothing can await now."""

    calls: dict[int, MadeCall] = field(default_factory=dict)
    dropped: list[MadeCall] = field(default_factory=list)


class PendingCall(Coroutine[Any, Any, T]):
    """What a method of the context returns: a coroutine. One that is never awaited is reported.

    The real coroutine is made only when this one is awaited. So Python does not warn about the real one.
    """

    __slots__ = ("_begin", "_coroutine", "_unawaited", "made")

    def __init__(
        self,
        made: Made,
        begin: Callable[[Made], Coroutine[Any, Any, T]],
        unawaited: Unawaited,
        *,
        depth: int = 2,
    ) -> None:
        self.made: Any = made
        self._begin = begin
        self._coroutine: Coroutine[Any, Any, T] | None = None
        self._unawaited = unawaited
        # The context's own methods are between the handler and this constructor.
        unawaited.calls[id(self)] = MadeCall.here(made, depth)

    def send(self, value: Any) -> Any:
        """Do what any coroutine does."""
        return self._begun().send(value)

    def throw(
        self,
        kind: Any,
        error: BaseException | object = None,
        trace: TracebackType | None = None,
    ) -> Any:
        """Do what any coroutine does."""
        coroutine = self._begun()
        return coroutine.throw(kind) if error is None else coroutine.throw(kind, error, trace)

    def close(self) -> None:
        """Do what any coroutine does."""
        self._begun().close()

    @property
    def has_begun(self) -> bool:
        """Whether something awaits it."""
        return self._coroutine is not None

    def taken(self, begin: Callable[[Any], Coroutine[Any, Any, Any]]) -> "StepCall[Any] | PendingCall[T]":
        """What a batch runs: the call of a step, if `begin` would begin it; otherwise this coroutine."""
        if self.has_begun or self._begin != begin:
            return self
        self._unawaited.calls.pop(id(self), None)
        made: StepCall[Any] = self.made
        return made

    def __await__(self) -> Generator[Any, Any, T]:
        return self._begun().__await__()

    def __del__(self) -> None:
        if self._coroutine is None:
            call = self._unawaited.calls.pop(id(self), None)
            if call is not None:
                self._unawaited.dropped.append(call)

    def _begun(self) -> Coroutine[Any, Any, T]:
        if self._coroutine is None:
            self._unawaited.calls.pop(id(self), None)
            self._coroutine = self._begin(self.made)
        return self._coroutine


def is_only(made: object, coroutine: object) -> bool:
    """Whether a task's coroutine awaits the call `made`, and nothing else."""
    return isinstance(coroutine, PendingCall) and coroutine.made is made
