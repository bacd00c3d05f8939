"""How a handler asks for an outcome, and what it records itself: values and versions.

A value is computed once, and each replay gets the same value. It is a step that has succeeded when it is
posted. The function runs before the post. So it runs again when the attempt ends before the value is
stored. The first stored value counts: when attempts overlap, each of them uses that value, and not the
result of its own function.

What both kinds of handlers do is written once, as coroutines. In a `def` handler, every part of them
blocks, so `at_once` runs them without an event loop.
"""

import random as chance
import typing
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from inspect import unwrap
from typing import Any, Final, TypeVar

from atomic.protocol.backoff import drawn_ms, planned_ms
from atomic.protocol.wire import RetryOptions
from atomic.sdk._calls.cancels import CancelledContext
from atomic.sdk._calls.context import RunningValue, StepCall, running_value
from atomic.sdk._calls.hooks import Operation, ValueAttempt
from atomic.sdk._calls.identity import Position, Scope, step_key
from atomic.sdk._calls.results import Results, read_one
from atomic.sdk._wire.api import Outcome, check_number
from atomic.sdk._wire.codecs import PLAIN, Coder
from atomic.sdk._wire.values import UNDECLARED, ValueType, value_type
from atomic.sdk.errors import (
    InvalidRequestError,
    NonRetryable,
    RetryAfter,
    UnavailableError,
)
from atomic.sdk.retry import Retry, is_retried, local_retry

T = TypeVar("T")
Ask = Callable[[StepCall[Any]], Coroutine[Any, Any, Outcome]]
# The handler raises these on purpose, and each has its own effect on the whole handler.
_NOT_RETRIED: Final = (NonRetryable, RetryAfter)


@dataclass(frozen=True, slots=True)
class ValueCall:
    """A value: its step, the function that computes it, and the retries of the function."""

    step: StepCall[Any]
    function: Callable[[], Any]
    retry: Retry
    policy: RetryOptions

    def pause_s(self, error: Exception, retries: int, left_s: float) -> float:
        """The pause before the next retry, in seconds. Raises the error when no retry is left."""
        if (
            isinstance(error, _NOT_RETRIED)
            or not is_retried(self.retry, error)
            or retries >= self.policy.count
        ):
            raise error
        policy = self.policy
        planned = planned_ms(
            policy.strategy,
            retries + 1,
            back_off_ms=policy.back_off,
            factor=policy.factor,
            most_ms=policy.max_back_off_ms,
        )
        pause_s = drawn_ms(policy.jitter, planned, chance.random()) / 1000  # noqa: S311 - keeps no secret
        if pause_s > left_s:
            raise error
        return pause_s

    def posted(self, value: Any) -> StepCall[Any]:
        """The step with the computed value. Raises SerializationError for one that JSON would change."""
        step, what = self.step, f"value {self.step.name!r}"
        given = step.coder.result(step.result.kept(value, what), step.id, "value", what)
        return with_payload(step, given.newest)


class RecordingContext(CancelledContext, ABC):
    """A context that asks for outcomes, tells hooks of that, and keeps values."""

    def _plan_value(
        self, name: str, function: Callable[[], Any], retry: Retry | int | None, returns: Any
    ) -> ValueCall:
        if not isinstance(name, str) or not name:
            raise InvalidRequestError(f"name: use a text that is not empty, not {name!r}.")
        if not callable(function):
            raise InvalidRequestError(
                f"value {name!r}: give a function without arguments, not {function!r}."
            )
        result = _returned_type(function) if returns is None else value_type(returns)
        retry, policy = local_retry(retry)
        key = step_key(self.idempotency_key, self._position(f"value {name}"))
        step_call = self._value_call(name, name, key, result, self._coder)
        return ValueCall(step_call, function, retry, policy)

    def _plan_version(self, name: str, newest: int) -> StepCall[int]:
        check_number("newest", newest, 1)
        # All branches and all calls with this name get the same version. No value has this path.
        key = step_key(self.idempotency_key, Position(("version",)))
        return self._value_call(name, f"version {name}", key, value_type(int))

    def _plan_recorded(self, name: str, step_name: str, position: Position, value: Any) -> StepCall[Any]:
        step_call = self._value_call(name, step_name, step_key(self.idempotency_key, position), UNDECLARED)
        return with_payload(step_call, value)

    def _value_call(
        self, name: str, step_name: str, key: str, result: ValueType, coder: Coder = PLAIN
    ) -> StepCall[Any]:
        """The call of a value. Versions, and what the SDK records for itself, are plain."""
        document: dict[str, Any] = {
            "workflowName": self.workflow_name,
            "kind": "value",
            "stepName": step_name,
            "idempotencyKey": key,
        }
        return self._step_call(name, document, result=result, coder=coder)

    def _scope_of(self, kind: str, name: str = "") -> Scope:
        """The scope of the next call of a kind. Calls with the same name are numbered among themselves."""
        with self._lock:
            number = self._position(f"{kind} {name}" if name else kind).number
            return self._scope().below(f"{kind}{number}:{name}" if name else f"{kind}{number}")

    async def _ask(self, step_call: StepCall[Any]) -> Outcome:
        return await self._observed(step_call, self._ask_step)

    async def _observed(self, step_call: StepCall[Any], ask: Ask) -> Outcome:
        """Ask for the outcome of a step, and tell the hooks."""
        if not self._observers:
            return await ask(step_call)
        ended = self._observers.starts("operation", self._operation(step_call, await self._known()))
        try:
            outcome = await ask(step_call)
        except BaseException as error:
            ended(error)
            raise
        ended(outcome.error)
        return outcome

    def _operation(self, step_call: StepCall[Any], known: Results) -> Operation:
        """A call as hooks see it."""
        return Operation(
            call=self._call,
            kind=step_call.document.get("kind", "step"),
            name=step_call.name,
            step_id=step_call.id,
            is_replayed=known.has_ended(step_call.id),
        )

    async def _ask_step(self, step_call: StepCall[Any]) -> Outcome:
        with self._called(step_call):
            results = await self._known()
            if (known := self._earlier(results, step_call)) is not None:
                return known
            await self._tell_if_cancelled(step_call)
            if results.has_ended(step_call.id):
                self._fetched.add(step_call.id)
            try:
                return await self._send(self._flow(step_call))
            finally:
                self._fetched.discard(step_call.id)

    async def _ask_value(self, value: ValueCall) -> Outcome:
        return await self._observed(value.step, lambda _: self._ask_computed(value))

    async def _ask_computed(self, value: ValueCall) -> Outcome:
        with self._called(value.step):
            found = await self._found(value.step)
            if found is None:
                await self._tell_if_cancelled(value.step)
        if found is not None:
            return found
        self._is_past = True
        posted = value.posted(await self._computed(value))
        with self._called(posted):
            return await self._send(self._flow(posted))

    async def _ask_version(self, step_call: StepCall[int], newest: int) -> Outcome:
        return await self._observed(step_call, partial(self._ask_newest, newest=newest))

    async def _ask_newest(self, step_call: StepCall[int], newest: int) -> Outcome:
        """Ask for the version of this run, or record it.

        An unused result shows that an earlier attempt continued from here without a version. Then it is 0.
        """
        with self._called(step_call):
            if (found := await self._found(step_call)) is not None:
                return found
            results = await self._known()
            if not results.unused:
                await self._tell_if_cancelled(step_call)
            if not results.is_complete:
                raise UnavailableError(
                    f"version({step_call.name!r}) cannot read the results of earlier attempts."
                )
            posted = with_payload(step_call, 0 if results.unused else newest)
            stored = await self._send(self._flow(posted))
            results.learn(step_call.id, stored)
            return stored

    async def _found(self, step_call: StepCall[Any]) -> Outcome | None:
        """The stored value. Asks the server for it, because an earlier attempt may have just stored it."""
        found = self._earlier(await self._known(), step_call)
        if found is not None or self._query is None:
            return found
        query, patience_s = self._query, self._client.patience_s
        return await self._send(read_one(query, step_call.id, step_call.document, patience_s))

    async def _computed(self, value: ValueCall) -> Any:
        retries = 0
        with self._running(value.step):
            while True:
                try:
                    return await self._attempted(value, retries + 1)
                except Exception as error:
                    pause_s = value.pause_s(error, retries, self._left_s())
                retries += 1
                await self._pause(pause_s)

    async def _attempted(self, value: ValueCall, number: int) -> Any:
        if not self._observers:
            return await self._call_function(value.function)
        step_call = value.step
        attempt = ValueAttempt(call=self._call, name=step_call.name, step_id=step_call.id, number=number)
        with self._observers.around("attempt", attempt):
            return await self._call_function(value.function)

    @contextmanager
    def _running(self, step_call: StepCall[Any]) -> Iterator[None]:
        """Note that the function of a value runs. The function must not call the context."""
        outer = running_value.set(RunningValue(self, step_call.name))
        try:
            yield
        finally:
            running_value.reset(outer)

    @abstractmethod
    async def _settle(self, step_call: StepCall[Any], ask: Ask | None = None) -> Outcome:
        """The outcome of a step. `ask` asks for it, instead of `_ask`."""

    @abstractmethod
    async def _call_function(self, function: Callable[[], Any]) -> Any: ...

    @abstractmethod
    async def _pause(self, seconds: float) -> None: ...


def at_once(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in which every part blocks, and return its result."""
    try:
        work.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    raise AssertionError("a part of it waits for an event loop")


def utc_now() -> datetime:
    """The time in UTC."""
    return datetime.now(UTC)


def with_payload(step_call: StepCall[Any], payload: Any) -> StepCall[Any]:
    """The call with a payload."""
    return replace(step_call, document={**step_call.document, "payload": payload})


def _returned_type(function: Callable[[], Any]) -> ValueType:
    """The annotated return type of a function; UNDECLARED when there is none."""
    inner: Any = unwrap(function)
    while isinstance(inner, partial):
        inner = unwrap(inner.func)
    if "return" not in getattr(inner, "__annotations__", {}):
        return UNDECLARED
    try:
        return value_type(typing.get_type_hints(inner, include_extras=True)["return"])
    except (NameError, TypeError):
        # The annotation uses a name that exists for type checkers only.
        return UNDECLARED
