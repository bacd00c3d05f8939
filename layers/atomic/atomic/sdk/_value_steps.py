"""Values of a handler: what it computes itself and is to have the same at each of its calls.

A value is a step that has succeeded when it is posted. The function runs first, so it runs again when its
attempt dies before the value is stored. The first value that is stored counts: when attempts overlap, each
of them goes on with that one, whatever its own function returned.
"""

import random as chance
import time
import typing
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from inspect import isawaitable, unwrap
from typing import Any, Final, TypeVar, overload
from uuid import UUID, uuid4

from atomic.protocol.backoff import drawn_ms, planned_ms
from atomic.protocol.retry import RetryOptions
from atomic.sdk._api import Outcome
from atomic.sdk._context import BaseContext, RunningValue, StepCall, running_value
from atomic.sdk._identity import FIRST, step_key
from atomic.sdk._results import Results, read_one
from atomic.sdk._transport import Flow
from atomic.sdk._values import UNDECLARED, ValueType, value_type
from atomic.sdk.async_client import AsyncClient
from atomic.sdk.client import Client
from atomic.sdk.errors import InvalidRequestError, NonRetryable, RetryAfter, UnavailableError
from atomic.sdk.retry import Retry, is_retried, local_retry

T = TypeVar("T")
# Raised on purpose, each with a meaning of its own for the whole handler.
_NOT_RETRIED: Final = (NonRetryable, RetryAfter)


@dataclass(frozen=True, slots=True)
class ValueCall:
    """A value with its identity, what computes it, and how that is repeated."""

    step: StepCall[Any]
    function: Callable[[], Any]
    retry: Retry
    policy: RetryOptions

    def pause_s(self, error: Exception, retries: int, left_s: float) -> float:
        """How long to pause before the next retry. Raises the error when there is none."""
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
        """The step with a computed value. Raises SerializationError for one that cannot be kept."""
        written = self.step.result.kept(value, f"value {self.step.name!r}")
        return replace(self.step, document={**self.step.document, "payload": written})


class ValueSteps(BaseContext, ABC):
    """What both contexts share of values."""

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
        if not isinstance(newest, int) or isinstance(newest, bool) or newest < 1:
            raise InvalidRequestError(f"newest: use a whole number from 1 on, not {newest!r}.")
        # The same in all branches and at each call of the name.
        key = step_key(self.idempotency_key, FIRST)
        return self._value_call(name, f"version {name}", key, value_type(int))

    def _value_call(self, name: str, step_name: str, key: str, result: ValueType) -> StepCall[Any]:
        document: dict[str, Any] = {
            "workflowName": self.workflow_name,
            "kind": "value",
            "stepName": step_name,
            "idempotencyKey": key,
        }
        return self._step_call(name, document, result=result)

    def _stored(self, step_call: StepCall[Any]) -> Flow[Outcome | None] | None:
        """Asks for a value that an earlier attempt may have stored a moment ago; None at the first one."""
        if self._query is None:
            return None
        return read_one(self._query, step_call.id, step_call.document, self._client.patience_s)

    def _first_version(self, step_call: StepCall[int], newest: int, results: Results) -> StepCall[int]:
        """The version that this run is to have from now on.

        Where results are left that nobody has asked for, an earlier attempt went on from here without it.
        """
        if not results.is_complete:
            raise UnavailableError(
                f"What earlier attempts did is not known to version({step_call.name!r})."
            )
        version = 0 if results.unused else newest
        return replace(step_call, document={**step_call.document, "payload": version})

    def _left_s(self) -> float:
        return self._until_s - self._now_s()

    @contextmanager
    def _running(self, step_call: StepCall[Any]) -> Iterator[None]:
        """While the function of a value runs. It must not call the context."""
        outer = running_value.set(RunningValue(self, step_call.name))
        try:
            yield
        finally:
            running_value.reset(outer)


class BlockingValues(ValueSteps, ABC):
    """Values of a `def` handler."""

    _client: Client

    @overload
    def run(
        self, name: str, function: Callable[[], Any], *, returns: type[T], retry: Retry | int | None = None
    ) -> T: ...
    @overload
    def run(
        self,
        name: str,
        function: Callable[[], T],
        *,
        returns: None = None,
        retry: Retry | int | None = None,
    ) -> T: ...
    def run(
        self,
        name: str,
        function: Callable[[], Any],
        *,
        returns: Any = None,
        retry: Retry | int | None = None,
    ) -> Any:
        """Compute a value here, once: at each further call of the handler it is the same.

        The function runs again when the attempt dies before the value is stored. Small work that may be
        repeated belongs here; what takes long, costs money or must be retried for hours is a step.

        - `name`: what the value is called; the second value of a name is another one, and so on in order.
        - `function`: takes no arguments, and must not call steps.
        - `retry`: how often the function is called again when it raises, as a number or a `Retry`, whose
          `on` and `never` are types of exceptions here (default 0). The pauses have to fit into the time
          that the handler may wait; an error that is left fails this attempt of the handler.
        - `returns`: the type of the value (default: what the function says it returns, else plain JSON
          values).

        Raises what the function raises, `SerializationError` for a value that would not come back as it is,
        `TooLargeError`, `InvalidRequestError` for a wrong option, and `CancelledError`.
        """
        return self._value(name, function, retry, returns)

    def now(self) -> datetime:
        """Tell the time, in UTC, as it was when the run came here for the first time.

        Raises `CancelledError`.
        """
        moment: datetime = self._value("now", _utc_now, None, datetime)
        return moment

    def uuid(self) -> UUID:
        """Draw a random UUID, the same at each further call of the handler.

        Raises `CancelledError`.
        """
        drawn: UUID = self._value("uuid", uuid4, None, UUID)
        return drawn

    def random(self) -> float:
        """Draw a random number from 0 to below 1, the same at each further call of the handler.

        Raises `CancelledError`.
        """
        drawn: float = self._value("random", chance.random, None, float)
        return drawn

    def version(self, name: str, newest: int) -> int:
        """Tell which version of this part of the code the run is to have.

        - `name`: what the change is called.
        - `newest`: the newest version that this code has, from 1 on.

        Returns `newest` in a run that comes here for the first time, and what it was then at each further
        call. It is 0 in a run that went on from here before there was a version.

        Raises `InvalidRequestError` for a version that is none, and `CancelledError`.
        """
        self._check()
        step_call = self._plan_version(name, newest)
        with self._suspending(), self._called(step_call):
            found = self._found(step_call)
            if found is None:
                posted = self._first_version(step_call, newest, self._known())
                found = self._client.run_flow(self._flow(posted))
                self._known().learn(step_call.id, found)
        return step_call.read(found.unwrap())

    def _value(
        self, name: str, function: Callable[[], Any], retry: Retry | int | None, returns: Any
    ) -> Any:
        self._check()
        value = self._plan_value(name, function, retry, returns)
        with self._suspending(), self._called(value.step):
            found = self._found(value.step)
        if found is None:
            posted = value.posted(self._computed(value))
            with self._suspending(), self._called(posted):
                found = self._client.run_flow(self._flow(posted))
        return value.step.read(found.unwrap())

    def _found(self, step_call: StepCall[Any]) -> Outcome | None:
        found = self._earlier(self._known(), step_call)
        if found is None and (asking := self._stored(step_call)) is not None:
            found = self._client.run_flow(asking)
        return found

    def _computed(self, value: ValueCall) -> Any:
        retries = 0
        with self._running(value.step):
            while True:
                try:
                    return value.function()
                except Exception as error:
                    pause_s = value.pause_s(error, retries, self._left_s())
                retries += 1
                time.sleep(pause_s)

    @abstractmethod
    def _check(self) -> None: ...

    @abstractmethod
    def _known(self) -> Results: ...

    @abstractmethod
    def _suspending(self) -> AbstractContextManager[None]: ...


class AsyncValues(ValueSteps, ABC):
    """Values of an `async def` handler."""

    _client: AsyncClient

    @overload
    def run(
        self, name: str, function: Callable[[], Any], *, returns: type[T], retry: Retry | int | None = None
    ) -> Coroutine[Any, Any, T]: ...
    @overload
    def run(
        self,
        name: str,
        function: Callable[[], Coroutine[Any, Any, T]],
        *,
        returns: None = None,
        retry: Retry | int | None = None,
    ) -> Coroutine[Any, Any, T]: ...
    @overload
    def run(
        self,
        name: str,
        function: Callable[[], T],
        *,
        returns: None = None,
        retry: Retry | int | None = None,
    ) -> Coroutine[Any, Any, T]: ...
    def run(
        self,
        name: str,
        function: Callable[[], Any],
        *,
        returns: Any = None,
        retry: Retry | int | None = None,
    ) -> Coroutine[Any, Any, Any]:
        """Await this to compute a value here, once: at each further call of the handler it is the same.

        The function runs again when the attempt dies before the value is stored. Small work that may be
        repeated belongs here; what takes long, costs money or must be retried for hours is a step.

        - `name`: what the value is called; the second value of a name is another one, and so on in order.
        - `function`: takes no arguments, may be `async def`, and must not call steps. A plain one runs on
          the event loop.
        - `retry`: how often the function is called again when it raises, as a number or a `Retry`, whose
          `on` and `never` are types of exceptions here (default 0). The pauses have to fit into the time
          that the handler may wait; an error that is left fails this attempt of the handler.
        - `returns`: the type of the value (default: what the function says it returns, else plain JSON
          values).

        Raises what the function raises, `SerializationError` for a value that would not come back as it is,
        `TooLargeError`, `InvalidRequestError` for a wrong option, and `CancelledError`.
        """
        return self._value(name, function, retry, returns)

    def now(self) -> Coroutine[Any, Any, datetime]:
        """Await this for the time, in UTC, as it was when the run came here for the first time.

        Raises `CancelledError`.
        """
        return self._value("now", _utc_now, None, datetime)

    def uuid(self) -> Coroutine[Any, Any, UUID]:
        """Await this for a random UUID, the same at each further call of the handler.

        Raises `CancelledError`.
        """
        return self._value("uuid", uuid4, None, UUID)

    def random(self) -> Coroutine[Any, Any, float]:
        """Await this for a random number from 0 to below 1, the same at each further call of the handler.

        Raises `CancelledError`.
        """
        return self._value("random", chance.random, None, float)

    def version(self, name: str, newest: int) -> Coroutine[Any, Any, int]:
        """Await this for the version of this part of the code that the run is to have.

        - `name`: what the change is called.
        - `newest`: the newest version that this code has, from 1 on.

        Returns `newest` in a run that comes here for the first time, and what it was then at each further
        call. It is 0 in a run that went on from here before there was a version.

        Raises `InvalidRequestError` for a version that is none, and `CancelledError`.
        """
        step_call = self._plan_version(name, newest)
        return self._pending(step_call, partial(self._asked_version, newest=newest), depth=3)

    def _value(
        self, name: str, function: Callable[[], Any], retry: Retry | int | None, returns: Any
    ) -> Coroutine[Any, Any, Any]:
        value = self._plan_value(name, function, retry, returns)
        return self._pending(value.step, lambda _: self._asked_value(value))

    async def _asked_version(self, step_call: StepCall[int], newest: int) -> Outcome:
        with self._called(step_call):
            found = await self._found(step_call)
            if found is None:
                posted = self._first_version(step_call, newest, await self._known())
                found = await self._client.run_flow(self._flow(posted))
                (await self._known()).learn(step_call.id, found)
            return found

    async def _asked_value(self, value: ValueCall) -> Outcome:
        with self._called(value.step):
            found = await self._found(value.step)
        if found is not None:
            return found
        posted = value.posted(await self._computed(value))
        with self._called(posted):
            return await self._client.run_flow(self._flow(posted))

    async def _found(self, step_call: StepCall[Any]) -> Outcome | None:
        found = self._earlier(await self._known(), step_call)
        if found is None and (asking := self._stored(step_call)) is not None:
            found = await self._client.run_flow(asking)
        return found

    async def _computed(self, value: ValueCall) -> Any:
        from asyncio import sleep

        retries = 0
        with self._running(value.step):
            while True:
                try:
                    result = value.function()
                    return await result if isawaitable(result) else result
                except Exception as error:
                    pause_s = value.pause_s(error, retries, self._left_s())
                retries += 1
                await sleep(pause_s)

    @abstractmethod
    def _pending(
        self,
        step_call: StepCall[Any],
        ask: Callable[[StepCall[Any]], Coroutine[Any, Any, Outcome]],
        *,
        depth: int = 4,
    ) -> Coroutine[Any, Any, Any]: ...

    @abstractmethod
    async def _known(self) -> Results: ...


def _returned_type(function: Callable[[], Any]) -> ValueType:
    """What a function says it returns; most say nothing."""
    inner = unwrap(function)
    if "return" not in getattr(inner, "__annotations__", {}):
        return UNDECLARED
    try:
        return value_type(typing.get_type_hints(inner, include_extras=True)["return"])
    except (NameError, TypeError):
        # It names what exists for type checkers only.
        return UNDECLARED


def _utc_now() -> datetime:
    return datetime.now(UTC)
