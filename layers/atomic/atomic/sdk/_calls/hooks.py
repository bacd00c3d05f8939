"""Hooks: an application's own functions that the SDK calls when something starts and ends.

They watch, and change nothing but the trace context of posts: an error of a hook is logged, and the handler
goes on. What starts is an object of its own, and its end comes with the same object. So a hook finds again
what it kept for it.
"""

import inspect
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Literal, Protocol

from atomic.protocol.headers import parse_trace
from atomic.sdk._calls.call import Call
from atomic.sdk._wire.answers import ContinuedAs
from atomic.sdk._wire.suspension import Suspended
from atomic.sdk.errors import CancelledError

_log: Final = logging.getLogger("atomic.sdk")
Outcome = Literal["succeeded", "failed", "cancelled", "suspended", "postponed"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HandlerCall:
    """One call of a function by Atomic.

    - `call`: run, step, key, attempt. From its second attempt on, a workflow replays.
    - `function`: the name of the function.
    - `is_workflow`: whether it is served as a workflow; otherwise it is a step.
    """

    call: Call
    function: str
    is_workflow: bool


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Operation:
    """One call of the context by a workflow: a step, a sleep, an event, a value or a run.

    - `call`: the call of the workflow.
    - `kind`: "step", "timer" (a sleep), "event", "value" or "run" (a run of its own).
    - `name`: its name in lists; for a step without one, its URL relative to the workflow.
    - `step_id`: the id of its step.
    - `is_replayed`: whether the step had ended before this call of the workflow began.
    """

    call: Call
    kind: str
    name: str
    step_id: str
    is_replayed: bool


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ValueAttempt:
    """One call of the function of `ctx.run`.

    - `call`: the call of the workflow.
    - `name`, `step_id`: the name of the value, and the id of its step.
    - `number`: which call of the function it is in this call of the workflow, from 1.
    """

    call: Call
    name: str
    step_id: str
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """How something ended.

    - `outcome`: "succeeded", "failed", "cancelled" (its step, its run or its asyncio task), "suspended" (it
      waits for steps, and is called again) or "postponed" (the endpoint answers later).
    - `error`: the error of a failure, or what keeps a suspended call from going on; else None.
    """

    outcome: Outcome
    error: BaseException | None = None


class Hooks:
    """What an application wants to know of its calls. Override the methods that you need.

    They are plain `def` methods, also for `async def` functions, and run where the function runs, so they
    must not block. Hooks that are listed first are called first at a start, and last at an end. What a hook
    raises is logged, once for each of its methods, and changes nothing else.
    """

    def call_started(self, call: HandlerCall) -> None:
        """Tell that Atomic calls a function. Its signature and payload are valid.

        - `call`: the call.
        """

    def call_ended(self, call: HandlerCall, end: End) -> None:
        """Tell that a call of a function has ended.

        - `call`: the object that `call_started` got.
        - `end`: how it ended.
        """

    def operation_started(self, operation: Operation) -> None:
        """Tell that a workflow calls its context.

        - `operation`: the call of the context.
        """

    def operation_ended(self, operation: Operation, end: End) -> None:
        """Tell that a call of the context has an outcome, or has to wait for one.

        - `operation`: the object that `operation_started` got.
        - `end`: how it ended.
        """

    def attempt_started(self, attempt: ValueAttempt) -> None:
        """Tell that the function of `ctx.run` is called.

        - `attempt`: the call of this function.
        """

    def attempt_ended(self, attempt: ValueAttempt, end: End) -> None:
        """Tell that the function of `ctx.run` has ended.

        - `attempt`: the object that `attempt_started` got.
        - `end`: how it ended.
        """

    def traceparent(self, call: Call) -> str:
        """Return the W3C `traceparent` for what the workflow posts now; empty leaves that of the call.

        - `call`: the call of the workflow.
        """
        del call
        return ""


class HasEnd(Protocol):
    """Takes the end of something that was observed."""

    def __call__(self, error: BaseException | None = None, *, is_postponed: bool = False) -> None: ...


def unobserved(error: BaseException | None = None, *, is_postponed: bool = False) -> None:
    """Take the end of something that no hook observes."""


class Observers:
    """The hooks of an endpoint. It is false when there are none."""

    def __init__(self, hooks: Sequence[Hooks] = ()) -> None:
        self._hooks = tuple(hooks)
        self._failed: set[tuple[int, str]] = set()

    def __bool__(self) -> bool:
        return bool(self._hooks)

    def starts(self, kind: str, subject: Any) -> HasEnd:
        """Tell all hooks that a "call", "operation" or "attempt" starts. Returns what takes its end."""
        for hooks in self._hooks:
            self._tell(hooks, f"{kind}_started", subject)

        def ended(error: BaseException | None = None, *, is_postponed: bool = False) -> None:
            end = End(outcome="postponed") if is_postponed else _end(error)
            for hooks in reversed(self._hooks):
                self._tell(hooks, f"{kind}_ended", subject, end)

        return ended

    @contextmanager
    def around(self, kind: str, subject: Any) -> Iterator[None]:
        """Tell all hooks of the start and the end of what happens within."""
        ended = self.starts(kind, subject)
        try:
            yield
        except BaseException as error:
            ended(error)
            raise
        ended()

    def trace_of(self, call: Call) -> Callable[[], str] | None:
        """What returns the `traceparent` for a post of this call; None when no hook gives one."""
        givers = [hooks for hooks in self._hooks if type(hooks).traceparent is not Hooks.traceparent]
        return partial(self._trace, givers, call) if givers else None

    def _trace(self, givers: Sequence[Hooks], call: Call) -> str:
        given = (self._tell(hooks, "traceparent", call) for hooks in givers)
        # What is no trace context is not sent.
        return next((each.strip() for each in given if isinstance(each, str) and parse_trace(each)[0]), "")

    def _tell(self, hooks: Hooks, method: str, *about: Any) -> Any:
        try:
            return getattr(hooks, method)(*about)
        except Exception:
            # By identity: hooks need not be hashable, as dataclasses are not.
            if (id(hooks), method) not in self._failed:
                self._failed.add((id(hooks), method))
                name = f"{type(hooks).__qualname__}.{method}"
                _log.exception("the hook %s failed; its further errors are not logged", name)
            return None


NO_OBSERVERS: Final = Observers()


def check_hooks(hooks: object) -> None:
    """Raise TypeError for anything but a list of Hooks with `def` methods."""
    if not isinstance(hooks, Sequence) or not all(isinstance(each, Hooks) for each in hooks):
        raise TypeError("hooks: give a list of objects whose classes are derived from atomic.sdk.Hooks")
    for each in hooks:
        for name in vars(Hooks):
            if inspect.iscoroutinefunction(getattr(each, name)):
                raise TypeError(f"hooks: write `def {name}` in {type(each).__qualname__}, not `async def`")


def _end(error: BaseException | None) -> End:
    if error is None:
        return End(outcome="succeeded")
    if isinstance(error, Suspended):
        if isinstance(error.cause, ContinuedAs):
            return End(outcome="succeeded")
        return End(outcome="suspended", error=error.cause)
    # The SDK imports asyncio only for those who use it.
    from asyncio import CancelledError as TaskCancelledError

    is_cancelled = isinstance(error, CancelledError | TaskCancelledError)
    return End(outcome="cancelled" if is_cancelled else "failed", error=error)
