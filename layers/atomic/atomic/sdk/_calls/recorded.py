"""Results that a handler records itself: values, versions, and the checks of `until`.

A value is computed once, and each replay gets the same value. It is a step that has succeeded when it is
posted. The function runs before the post. So it runs again when the attempt ends before the value is
stored. The first stored value counts: when attempts overlap, each of them uses that value, and not the
result of its own function.

`until` uses only recorded results and the times at which they ended. So each replay has the same pauses,
and ends at the same check.

What both kinds of handlers do is written once, as coroutines. In a `def` handler, every part of them
blocks, so `at_once` runs them without an event loop.
"""

import math
import random as chance
import typing
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from inspect import unwrap
from typing import Any, Final, Required, TypedDict, TypeVar

from atomic.protocol.backoff import drawn_ms, planned_ms
from atomic.protocol.constants import DURATION_MAX_MS
from atomic.protocol.wire import RetryOptions
from atomic.sdk._calls.context import BaseContext, RunningValue, Step, StepCall, running_value
from atomic.sdk._calls.identity import Position, Scope, name_text, step_key
from atomic.sdk._calls.results import Results, read_one
from atomic.sdk._wire.api import Outcome, check_number, check_options
from atomic.sdk._wire.transport import Flow
from atomic.sdk._wire.values import UNDECLARED, ValueType, value_type
from atomic.sdk.errors import (
    ConditionNotMetError,
    InvalidRequestError,
    NonRetryable,
    RetryAfter,
    UnavailableError,
)
from atomic.sdk.retry import Retry, Seconds, is_retried, local_retry, milliseconds

T = TypeVar("T")
Ask = Callable[[StepCall[Any]], Coroutine[Any, Any, Outcome]]
# The handler raises these on purpose, and each has its own effect on the whole handler.
_NOT_RETRIED: Final = (NonRetryable, RetryAfter)
# Means that no state was given. None is a valid state.
NO_STATE: Final[Any] = object()
_PAUSE_MAX_S: Final = DURATION_MAX_MS / 1000


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
        return with_payload(self.step, self.step.result.kept(value, f"value {self.step.name!r}"))


class UntilOptions(TypedDict, total=False):
    """How often a check is repeated, and for how long. Durations are seconds or timedeltas."""

    every: Required[Seconds]
    back_off: float
    deadline: Seconds | None
    max_attempts: int | None
    name: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """A call of `until`. `check` is a step or a function, and `scope` numbers the calls of the check.

    `pause_s` is the first pause, and `back_off` the factor from one pause to the next.
    """

    check: Step
    name: str
    scope: Scope
    payload: Any
    state: Any
    pause_s: float
    back_off: float
    deadline_ms: int | None
    max_attempts: int | None

    @property
    def check_name(self) -> str:
        """The name of the check, for people."""
        return self.check if isinstance(self.check, str) else getattr(self.check, "__name__", "check")

    @property
    def title(self) -> str:
        """The name of the call, for people."""
        return f"until {self.name or self.check_name!r}"

    def outcome(self, found: Any) -> tuple[bool, Any]:
        """Whether the result of a check meets the condition, and the result or the next state."""
        if self.state is NO_STATE:
            return bool(found), found
        if not isinstance(found, list | tuple) or len(found) != 2 or not isinstance(found[0], bool):
            raise InvalidRequestError(
                f"until(state=…): return [is the condition met, the next state], not {str(found)[:99]}."
            )
        return found[0], found[1]


class RecordingContext(BaseContext, ABC):
    """A context that keeps values, and repeats checks."""

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
        return ValueCall(self._value_call(name, name, key, result), function, retry, policy)

    def _plan_version(self, name: str, newest: int) -> StepCall[int]:
        check_number("newest", newest, 1)
        # All branches and all calls with this name get the same version. No value has this path.
        key = step_key(self.idempotency_key, Position(("version",)))
        return self._value_call(name, f"version {name}", key, value_type(int))

    def _plan_recorded(self, name: str, step_name: str, position: Position, value: Any) -> StepCall[Any]:
        step_call = self._value_call(name, step_name, step_key(self.idempotency_key, position), UNDECLARED)
        return with_payload(step_call, value)

    def _plan_until(self, check: Step, payload: Any, state: Any, options: UntilOptions) -> Condition:
        check_options(options, UntilOptions)
        if "every" not in options:
            raise InvalidRequestError("every: say how many seconds are between two checks.")
        every, back_off = options["every"], options.get("back_off", 1.0)
        deadline, max_attempts = options.get("deadline"), options.get("max_attempts")
        every_ms = milliseconds("every", every)
        if not every_ms or every_ms > DURATION_MAX_MS:
            raise InvalidRequestError(f"every: use more than 0 and at most 366 days, not {every!r}.")
        is_number = isinstance(back_off, int | float) and not isinstance(back_off, bool)
        if not is_number or not 1 <= back_off < math.inf:
            raise InvalidRequestError(f"back_off: use a factor from 1 on, not {back_off!r}.")
        if max_attempts is not None:
            check_number("max_attempts", max_attempts, 1)
        if state is not NO_STATE and payload is not None:
            raise InvalidRequestError(
                "state: the check gets the state instead of a payload; give only one of them."
            )
        name = name_text(options.get("name"))
        return Condition(
            check=check,
            name=name,
            scope=self._scope_of("until", name),
            payload=payload,
            state=state,
            pause_s=every_ms / 1000,
            back_off=float(back_off),
            deadline_ms=None if deadline is None else milliseconds("deadline", deadline),
            max_attempts=max_attempts,
        )

    def _value_call(self, name: str, step_name: str, key: str, result: ValueType) -> StepCall[Any]:
        document: dict[str, Any] = {
            "workflowName": self.workflow_name,
            "kind": "value",
            "stepName": step_name,
            "idempotencyKey": key,
        }
        return self._step_call(name, document, result=result)

    def _scope_of(self, kind: str, name: str = "") -> Scope:
        """The scope of the next call of a kind. Calls with the same name are numbered among themselves."""
        with self._lock:
            number = self._position(f"{kind} {name}" if name else kind).number
            return self._scope().below(f"{kind}{number}:{name}" if name else f"{kind}{number}")

    def _left_s(self) -> float:
        return self._until_s - self._now_s()

    async def _ask(self, step_call: StepCall[Any]) -> Outcome:
        with self._called(step_call):
            results = await self._known()
            if (known := self._earlier(results, step_call)) is not None:
                return known
            if results.has_ended(step_call.id):
                self._fetched.add(step_call.id)
            try:
                return await self._send(self._flow(step_call))
            finally:
                self._fetched.discard(step_call.id)

    async def _ask_value(self, value: ValueCall) -> Outcome:
        with self._called(value.step):
            found = await self._found(value.step)
        if found is not None:
            return found
        posted = value.posted(await self._computed(value))
        with self._called(posted):
            return await self._send(self._flow(posted))

    async def _ask_version(self, step_call: StepCall[int], newest: int) -> Outcome:
        """Ask for the version of this run, or record it.

        An unused result shows that an earlier attempt continued from here without a version. Then it is 0.
        """
        with self._called(step_call):
            if (found := await self._found(step_call)) is not None:
                return found
            results = await self._known()
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
                    return await self._call_function(value.function)
                except Exception as error:
                    pause_s = value.pause_s(error, retries, self._left_s())
                retries += 1
                await self._pause(pause_s)

    @contextmanager
    def _running(self, step_call: StepCall[Any]) -> Iterator[None]:
        """Note that the function of a value runs. The function must not call the context."""
        outer = running_value.set(RunningValue(self, step_call.name))
        try:
            yield
        finally:
            running_value.reset(outer)

    async def _run_until(self, condition: Condition) -> Any:
        """Repeat the check. Raises ConditionNotMetError when the deadline is over or no attempt is left."""
        name, pause_s, deadline_ms = condition.name, condition.pause_s, condition.deadline_ms
        given = condition.payload if condition.state is NO_STATE else condition.state
        begun_s, attempts = 0.0, 0
        if deadline_ms is not None:
            position = Position(condition.scope.path)
            begin = self._plan_recorded("until", f"begin of {name or 'until'}", position, None)
            begun_s = _seconds(await self._settle(begin))
        while True:
            attempts += 1
            step_call, outcome = await self._check_condition(condition, given)
            is_met, found = condition.outcome(step_call.result_of(outcome))
            if is_met:
                return found
            left_s = math.inf if deadline_ms is None else begun_s + deadline_ms / 1000 - _seconds(outcome)
            if left_s <= 0 or attempts == condition.max_attempts:
                why = "its deadline is over" if left_s <= 0 else "no attempt is left"
                which = f"condition {name!r}" if name else "condition"
                raise ConditionNotMetError(
                    f"The {which} is not met at check {attempts}, and {why}.",
                    attempts=attempts,
                    state=found,
                )
            pause = self._plan_sleep(min(pause_s, left_s, _PAUSE_MAX_S), name or None)
            (await self._settle(pause)).unwrap()
            pause_s = min(pause_s * condition.back_off, _PAUSE_MAX_S)
            given = given if condition.state is NO_STATE else found

    async def _check_condition(self, condition: Condition, given: Any) -> tuple[StepCall[Any], Outcome]:
        check, name = condition.check, condition.name
        if isinstance(check, str) or check in self._names:
            step_call = self._plan(check, given, {"name": name or None}, None, condition.scope)
            return step_call, await self._settle(step_call)
        # A function that is not served runs in the handler.
        has_input = condition.state is not NO_STATE or given is not None
        function = partial(check, given) if has_input else check
        value = self._plan_value(name or condition.check_name, function, None, None)
        return value.step, await self._settle(value.step, lambda _: self._ask_value(value))

    @abstractmethod
    async def _known(self) -> Results:
        """The results of earlier attempts. The first call that needs these results reads them."""

    @abstractmethod
    async def _send(self, flow: Flow[T]) -> T: ...

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


def _seconds(outcome: Outcome) -> float:
    """The time at which a step ended."""
    return datetime.fromisoformat(outcome.ended_at).timestamp()


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
