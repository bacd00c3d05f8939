"""A step that a handler calls: what to post, the id it will have, and whether it was called at all.

A call that is never awaited, or never given to `parallel`, does not begin. Python has nothing to warn of
then, so this module reports it.
"""

import sys
from collections.abc import Callable, Coroutine, Generator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePath
from types import CodeType, MappingProxyType, TracebackType
from typing import Any, Final, Generic, NamedTuple, TypeVar

from atomic.protocol import keys
from atomic.sdk._values import UNDECLARED, ValueType
from atomic.sdk.errors import SerializationError

Function = Callable[..., Any]
Result = TypeVar("Result")
CallResult = TypeVar("CallResult", covariant=True)
Begin = Callable[["StepCall[Any]"], Coroutine[Any, Any, Result]]


@dataclass(frozen=True, slots=True)
class Served:
    """A function that is served beside a workflow, and what it takes (None: no payload) and returns."""

    name: str
    takes: ValueType | None
    returns: ValueType

    def written(self, payload: Any) -> Any:
        """The JSON form of a payload that the function gets as it is. Raises SerializationError."""
        if self.takes is None and payload is not None:
            raise SerializationError(f"Step {self.name!r} takes no payload.")
        return (self.takes or UNDECLARED).kept(payload, f"the payload of step {self.name!r}")


Names = Mapping[Function, Served]
NO_NAMES: Final[Names] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class StepCall(Generic[CallResult]):
    """A step with its identity. The handler waits `timeout_s` for it at most (None: what is left).

    `name` is how messages call it.
    """

    id: str
    name: str
    document: dict[str, Any]
    result: ValueType = UNDECLARED
    timeout_s: float | None = None

    @property
    def title(self) -> str:
        """What it is, for people."""
        kind = self.document.get("kind", "step")
        return "sleep" if kind == "timer" else f"{kind} {self.name!r}"

    def read(self, response: Any) -> CallResult:
        """The response as the type that was asked for. Raises SerializationError when it is none."""
        value: CallResult = self.result.read(response, f"the result of step {self.name!r}")
        return value


class MadeCall(NamedTuple):
    """A call of the context, and the line of the handler that made it."""

    step: StepCall[Any]
    code: CodeType
    line: int

    @classmethod
    def here(cls, step: StepCall[Any], depth: int) -> "MadeCall":
        """The call that is being made now; its line is `depth` frames above the caller of this."""
        frame = sys._getframe(depth + 1)  # noqa: SLF001 - quicker than `inspect.stack()`
        return cls(step, frame.f_code, frame.f_lineno)

    def __str__(self) -> str:
        return f"{self.step.title} ({PurePath(self.code.co_filename).name}, line {self.line})"


@dataclass(slots=True)
class Unawaited:
    """The calls of a handler that were made and are not awaited yet; `dropped` are those that cannot be."""

    calls: dict[int, MadeCall] = field(default_factory=dict)
    dropped: list[MadeCall] = field(default_factory=list)


class PendingCall(Coroutine[Any, Any, Result]):
    """What a call of the context returns: a coroutine, which is reported when it is never awaited.

    No coroutine exists before it is awaited, so Python does not warn of it.
    """

    __slots__ = ("_begin", "_coroutine", "_step", "_unawaited")

    def __init__(self, step: StepCall[Any], begin: Begin[Result], unawaited: Unawaited) -> None:
        self._step = step
        self._begin = begin
        self._coroutine: Coroutine[Any, Any, Result] | None = None
        self._unawaited = unawaited
        # The context's method stands between.
        unawaited.calls[id(self)] = MadeCall.here(step, 2)

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
            self._coroutine = self._begin(self._step)
        return self._coroutine


def step_id(client_id: str, run_id: str, document: dict[str, Any]) -> str:
    """The id that the server will give to a step with a parent in this run."""
    identity = keys.identity(
        client_id,
        document["workflowName"],
        document["parent"],
        document.get("stepInvokeUrl") or document["kind"],
        document.get("stepName", ""),
        document["idempotencyKey"],
    )
    return keys.step_id(run_id, identity)
