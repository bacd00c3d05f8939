"""The methods of both contexts that keep values: `run`, `now`, `uuid`, `random` and `version`."""

import random as chance
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from functools import partial
from inspect import isawaitable
from typing import Any, TypeVar, overload
from uuid import UUID, uuid4

from atomic.sdk._api import Outcome
from atomic.sdk._context import StepCall
from atomic.sdk._results import Results
from atomic.sdk._value_steps import ValueCall, ValueSteps
from atomic.sdk.async_client import AsyncClient
from atomic.sdk.client import Client
from atomic.sdk.retry import Retry

T = TypeVar("T")


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
        """Compute a value in this handler, once. Each replay gets the same value.

        The function runs again when the attempt ends before the value is stored. Use a value for small work
        that may be repeated. Use a step for work that takes long, costs money or needs retries for hours.

        - `name`: the name of the value. Each call with the same name is another value, numbered in order.
        - `function`: a function without arguments. It must not call steps.
        - `retry`: how often the function is called again when it raises, as a number of retries or a
          `Retry` (default 0). Here, `on` and `never` of the `Retry` are types of exceptions. The pauses
          must fit into the time that the handler may wait. When no retry is left, the error fails this
          attempt of the handler.
        - `returns`: the type of the value (default: the return type of the function, else plain JSON
          values).

        Raises the error of the function, `SerializationError` for a value that JSON would change,
        `TooLargeError`, `InvalidRequestError` for a wrong option, and `CancelledError`.
        """
        return self._value(name, function, retry, returns)

    def now(self) -> datetime:
        """Return the time, in UTC, when the run first makes this call. Replays get the same time.

        Raises `CancelledError`.
        """
        moment: datetime = self._value("now", _utc_now, None, datetime)
        return moment

    def uuid(self) -> UUID:
        """Return a random UUID. Replays get the same UUID.

        Raises `CancelledError`.
        """
        drawn: UUID = self._value("uuid", uuid4, None, UUID)
        return drawn

    def random(self) -> float:
        """Return a random number from 0 to below 1. Replays get the same number.

        Raises `CancelledError`.
        """
        drawn: float = self._value("random", chance.random, None, float)
        return drawn

    def version(self, name: str, newest: int) -> int:
        """Return the version of this part of the code that the run uses.

        - `name`: the name of the change.
        - `newest`: the newest version in this code, a whole number from 1 on.

        Returns `newest` when the run makes this call for the first time. The run keeps this version: each
        replay gets it. Returns 0 when the run had continued from here before this call was in the code.

        Raises `InvalidRequestError` for an invalid version, and `CancelledError`.
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
        value = self._plan_value(name, function, retry, returns)
        return value.step.read(self._asked_value(value).unwrap())

    def _asked_value(self, value: ValueCall) -> Outcome:
        self._check()
        with self._suspending(), self._called(value.step):
            found = self._found(value.step)
        if found is None:
            posted = value.posted(self._computed(value))
            with self._suspending(), self._called(posted):
                found = self._client.run_flow(self._flow(posted))
        return found

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
        """Await this to compute a value in this handler, once. Each replay gets the same value.

        The function runs again when the attempt ends before the value is stored. Use a value for small work
        that may be repeated. Use a step for work that takes long, costs money or needs retries for hours.

        - `name`: the name of the value. Each call with the same name is another value, numbered in order.
        - `function`: a function without arguments, `async def` or `def`. It must not call steps. A `def`
          function runs on the event loop.
        - `retry`: how often the function is called again when it raises, as a number of retries or a
          `Retry` (default 0). Here, `on` and `never` of the `Retry` are types of exceptions. The pauses
          must fit into the time that the handler may wait. When no retry is left, the error fails this
          attempt of the handler.
        - `returns`: the type of the value (default: the return type of the function, else plain JSON
          values).

        Raises the error of the function, `SerializationError` for a value that JSON would change,
        `TooLargeError`, `InvalidRequestError` for a wrong option, and `CancelledError`.
        """
        return self._value(name, function, retry, returns)

    def now(self) -> Coroutine[Any, Any, datetime]:
        """Await this for the time, in UTC, when the run first makes this call. Replays get the same time.

        Raises `CancelledError`.
        """
        return self._value("now", _utc_now, None, datetime)

    def uuid(self) -> Coroutine[Any, Any, UUID]:
        """Await this for a random UUID. Replays get the same UUID.

        Raises `CancelledError`.
        """
        return self._value("uuid", uuid4, None, UUID)

    def random(self) -> Coroutine[Any, Any, float]:
        """Await this for a random number from 0 to below 1. Replays get the same number.

        Raises `CancelledError`.
        """
        return self._value("random", chance.random, None, float)

    def version(self, name: str, newest: int) -> Coroutine[Any, Any, int]:
        """Await this for the version of this part of the code that the run uses.

        - `name`: the name of the change.
        - `newest`: the newest version in this code, a whole number from 1 on.

        Returns `newest` when the run makes this call for the first time. The run keeps this version: each
        replay gets it. Returns 0 when the run had continued from here before this call was in the code.

        Raises `InvalidRequestError` for an invalid version, and `CancelledError`.
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


def _utc_now() -> datetime:
    return datetime.now(UTC)
