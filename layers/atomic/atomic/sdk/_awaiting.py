"""Calls of a handler that are made and never begun: nobody awaits them, or gives them to `parallel`."""

import sys
from collections.abc import Callable, Coroutine, Generator
from dataclasses import dataclass, field
from pathlib import PurePath
from types import CodeType, TracebackType
from typing import Any, NamedTuple, TypeVar

from atomic.sdk._planning import StepCall

Result = TypeVar("Result")
Begin = Callable[[StepCall[Any]], Coroutine[Any, Any, Result]]


class MadeCall(NamedTuple):
    """A call of the context, and the line of the handler that made it."""

    planned: StepCall[Any]
    code: CodeType
    line: int

    @classmethod
    def here(cls, planned: StepCall[Any], depth: int) -> "MadeCall":
        """One that the handler is making, so many functions above the caller of this."""
        frame = sys._getframe(depth + 1)  # noqa: SLF001
        return cls(planned, frame.f_code, frame.f_lineno)

    def __str__(self) -> str:
        return f"{self.planned.title} ({PurePath(self.code.co_filename).name}, line {self.line})"


@dataclass(slots=True)
class Unawaited:
    """The calls of a handler that were made and are not awaited yet; `dropped` are those that cannot be."""

    calls: dict[int, MadeCall] = field(default_factory=dict)
    dropped: list[MadeCall] = field(default_factory=list)


class PendingCall(Coroutine[Any, Any, Result]):
    """What a call of the context returns: a coroutine, which says so when nobody awaits it.

    Nothing has begun before it is awaited, so Python has nothing to warn of either.
    """

    __slots__ = ("_begin", "_coroutine", "_planned", "_unawaited")

    def __init__(self, planned: StepCall[Any], begin: Begin[Result], unawaited: Unawaited) -> None:
        self._planned = planned
        self._begin = begin
        self._coroutine: Coroutine[Any, Any, Result] | None = None
        self._unawaited = unawaited
        # The context's method stands between.
        unawaited.calls[id(self)] = MadeCall.here(planned, 2)

    def send(self, value: Any) -> Any:
        """As of any coroutine."""
        return self._begun().send(value)

    def throw(
        self,
        kind: Any,
        error: BaseException | object = None,
        trace: TracebackType | None = None,
    ) -> Any:
        """As of any coroutine."""
        coroutine = self._begun()
        return coroutine.throw(kind) if error is None else coroutine.throw(kind, error, trace)

    def close(self) -> None:
        """As of any coroutine."""
        self._begun().close()

    def __await__(self) -> Generator[Any, Any, Result]:
        return self._begun().__await__()

    def __del__(self) -> None:
        if self._coroutine is None:
            call = self._unawaited.calls.pop(id(self), None)
            if call is not None:
                self._unawaited.dropped.append(call)

    def _begun(self) -> Coroutine[Any, Any, Result]:
        if self._coroutine is None:
            self._unawaited.calls.pop(id(self), None)
            self._coroutine = self._begin(self._planned)
        return self._coroutine
