"""The context of an `async def` workflow: it identifies the run, and calls steps."""

import random as chance
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from datetime import datetime
from functools import partial
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, Unpack, overload
from uuid import UUID, uuid4

from atomic.sdk._calls.async_batches import AsyncBatches
from atomic.sdk._calls.async_child_runs import AsyncChildRuns
from atomic.sdk._calls.async_events import AsyncEvents
from atomic.sdk._calls.call import Call
from atomic.sdk._calls.context import (
    LOOP_PAUSE_S,
    AsyncFunction,
    CallOptions,
    PlainFunction,
    Step,
    StepCall,
)
from atomic.sdk._calls.hooks import NO_OBSERVERS, Observers
from atomic.sdk._calls.identity import Scope, current_branch, current_scope, enter_branch
from atomic.sdk._calls.pending import PendingCall, Unawaited, is_only
from atomic.sdk._calls.recorded import Ask, utc_now
from atomic.sdk._calls.results import Results
from atomic.sdk._calls.sagas import AsyncSagas
from atomic.sdk._calls.served import NO_NAMES, Names
from atomic.sdk._wire.api import Outcome
from atomic.sdk._wire.codecs import PLAIN, Coder
from atomic.sdk._wire.moments import lasting, until
from atomic.sdk._wire.suspension import Suspended
from atomic.sdk._wire.transport import TRANSIENT, Flow
from atomic.sdk.async_client import AsyncClient
from atomic.sdk.errors import NonRetryable
from atomic.sdk.retry import Retry, Seconds

if TYPE_CHECKING:
    import asyncio

    from atomic.sdk._calls.branches import Branches

T = TypeVar("T")


class AsyncContext(AsyncBatches, AsyncChildRuns, AsyncEvents, AsyncSagas):
    """The context of an `async def` workflow: it identifies the run, and calls steps.

    `run_id`, `step_id`, `workflow_name` and `idempotency_key` name the run; `attempt` counts from 1.

    To run steps concurrently, use `asyncio.gather` or a TaskGroup. A step that is done answers at once,
    however often the workflow is called. A step gets its number when the method is called, not when its
    result is awaited; a call that is never awaited fails the workflow.

    A task that awaits an unfinished step stops there, and the other tasks go on. When no task can go on,
    the handler is suspended: it ends, and is called again when a step is done.

    Atomic makes the context. In tests, `call` says who calls, `client` posts the steps, `wait_s` is how
    many seconds one call of the handler waits for them, `names` are the functions that are served beside
    it, `build` is that of the application, `observers` are its hooks, and `coder` encodes its values.
    """

    _client: AsyncClient

    def __init__(
        self,
        call: Call,
        client: AsyncClient,
        wait_s: float,
        names: Names = NO_NAMES,
        build: str = "",
        observers: Observers = NO_OBSERVERS,
        coder: Coder = PLAIN,
    ) -> None:
        super().__init__(call, client, wait_s, names, build, observers, coder)
        self._reader: asyncio.Task[Results]
        self._branches: Branches
        self._unawaited = Unawaited()
        self._has_ended = False

    @overload
    def step(
        self, step: Step, payload: Any = None, *, result: type[T], **options: Unpack[CallOptions]
    ) -> Coroutine[Any, Any, T]: ...
    @overload
    def step(
        self, step: str, payload: Any = None, **options: Unpack[CallOptions]
    ) -> Coroutine[Any, Any, Any]: ...
    @overload
    def step(
        self, step: AsyncFunction[T], payload: Any = None, **options: Unpack[CallOptions]
    ) -> Coroutine[Any, Any, T]: ...
    @overload
    def step(
        self, step: PlainFunction[T], payload: Any = None, **options: Unpack[CallOptions]
    ) -> Coroutine[Any, Any, T]: ...
    def step(
        self, step: Step, payload: Any = None, *, result: Any = None, **options: Unpack[CallOptions]
    ) -> Coroutine[Any, Any, Any]:
        """Call a step, and await this for its response. A step that is done is not called again.

        - `step`: a URL, absolute or relative to the workflow's own ("charge" beside "order" is
          ".../charge"), or a function that the same `Endpoints` serve.
        - `payload`: the input of the step: JSON values, a model, a dataclass (default None).
        - `result`: the type that the response is read as (default: the return type of the function; for a
          URL, plain JSON values).
        - `retry`: how often a failed attempt is repeated, as a `Retry` or a number of retries (default: 25,
          with growing pauses of 1 s to 2 minutes).
        - `delay`: seconds, or a timedelta, before the first attempt (default 0).
        - `start_at`: when to make the first attempt, as a datetime with a time zone, in place of `delay`
          (default: at once, as for a time that is over).
        - `start_by`: it fails unless its first attempt has begun by then: a datetime, or seconds or a
          timedelta after its start (default: no limit).
        - `deadline`: seconds, or a timedelta, that the step may take in total (default: no limit).
        - `attempt_timeout`: seconds, or a timedelta, that one HTTP attempt may take (default 20).
        - `on_lost`: what to do when Atomic does not know whether an attempt was made: "repeat" (the
          default) calls the step again, "fail" lets it fail.
        - `flow`: a `Flow`, or a list of them: limits that it shares with others (default: none).
        - `timeout`: seconds, or a timedelta, that this handler waits for the step before it is suspended
          (default: `wait` of the endpoint).
        - `key`: tells this call apart from others of the step, as a str, an int or a UUID. Give it if their
          order may change between replays (default None: they are numbered in order).
        - `name`: the name of the call in errors, lists and the dashboard (default: its URL). Calls of one
          URL with different names are different steps.

        Raises `StepFailedError` when the step has failed, `CancelledError` when it was cancelled,
        `SerializationError` when the payload or the response does not fit its type, `DecodingError` when
        the codec cannot read the response, `InvalidRequestError` for a wrong option, `TooLargeError`,
        `UrlNotAllowedError`, and LookupError for a function that is not served.
        """
        step_call = self._plan(step, payload, options, result)
        return PendingCall(step_call, self._perform, self._unawaited)

    def sleep(self, duration: Seconds, *, name: str | None = None) -> Coroutine[Any, Any, None]:
        """Await this to pause for a time, which may be days or months. Nothing runs meanwhile.

        - `duration`: seconds or a timedelta, at most 366 days; a negative one counts as 0.
        - `name`: the name of the pause in lists and the dashboard (default: "sleep").

        Raises `InvalidRequestError` for an invalid duration, and `CancelledError` when the run was
        cancelled.
        """
        step_call = self._plan_sleep(lasting(duration), name)
        return PendingCall(step_call, self._perform, self._unawaited)

    def sleep_until(self, moment: datetime, *, name: str | None = None) -> Coroutine[Any, Any, None]:
        """Await this to pause until a moment, which the first call decides: replays keep it.

        - `moment`: a datetime with a time zone, at most 366 days away; one that is over is no pause.
        - `name`: the name of the pause in lists and the dashboard (default: "sleep").

        Raises `InvalidRequestError` for an invalid moment, and `CancelledError` when the run was cancelled.
        """
        step_call = self._plan_sleep(until(moment), name)
        return PendingCall(step_call, self._perform, self._unawaited)

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
        retry: Retry | int | None = None,
    ) -> Coroutine[Any, Any, T]: ...
    @overload
    def run(
        self, name: str, function: Callable[[], T], *, retry: Retry | int | None = None
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
        """Await this for the time, in UTC, of the run's first such call. Replays get the same time.

        Raises `CancelledError`.
        """
        return self._value("now", utc_now, None, datetime)

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

        Returns `newest` when the run makes this call for the first time. The run keeps this version, and
        each replay gets it. Returns 0 when the run went on from here before the code had this call.

        Raises `InvalidRequestError` for an invalid version, and `CancelledError`.
        """
        step_call = self._plan_version(name, newest)
        return self._pending(step_call, partial(self._ask_version, newest=newest))

    async def await_handler(self, handler: Awaitable[T]) -> T:
        """Await the `handler` until it has ended or is suspended. For framework adapters.

        Raises the errors of the handler, and Suspended when it is suspended.
        """
        # asyncio is a seventh of the SDK's import time. A program with `async def` has imported it anyway.
        from asyncio import get_running_loop

        from atomic.sdk._calls.branches import Branches, take_notice

        loop = get_running_loop()
        self._wait_by(loop.time)
        self._branches = Branches(self._until_s, self._fetched, is_replay=self.attempt > 1)
        if self._results is None:
            # Made here, so that it is no task of the handler. The handler begins when it has ended.
            self._reader = loop.create_task(self._client.run_flow(self._reading()))
            self._reader.add_done_callback(take_notice)
        try:
            main = await self._branches.run(self._main(handler))
            if self._branches.is_suspended:
                if self._unawaited.dropped:
                    raise NonRetryable(_not_awaited(self._unawaited.dropped))
                raise self._suspension(self._branches.cause)
            if main.cancelled():
                raise RuntimeError("The handler cancelled itself.")
            result: T = main.result()
            return result
        finally:
            self._has_ended = True
            if self._results is None:
                self._reader.cancel()
            await self._branches.unwind()

    async def _main(self, handler: Awaitable[T]) -> T:
        await self._known()
        enter_branch(self, self._root)
        result = await handler
        if left_out := self._left_out():
            raise NonRetryable(left_out)
        return result

    def _value(
        self, name: str, function: Callable[[], Any], retry: Retry | int | None, returns: Any
    ) -> Coroutine[Any, Any, Any]:
        value = self._plan_value(name, function, retry, returns)
        return self._pending(value.step, lambda _: self._ask_value(value), depth=4)

    def _pending(self, step_call: StepCall[Any], ask: Ask, *, depth: int = 3) -> "PendingCall[Any]":
        # `depth` methods stand between the handler and the call's constructor.
        return PendingCall(step_call, partial(self._perform, ask=ask), self._unawaited, depth=depth)

    async def _perform(self, step_call: StepCall[T], ask: Ask | None = None) -> T:
        """Ask for the outcome of a call, and return its response when it is the call's turn."""
        return step_call.result_of(await self._settle(step_call, ask))

    async def _settle(self, step_call: StepCall[Any], ask: Ask | None = None) -> Outcome:
        await self._check_late()
        with self._branches.call() as call:
            try:
                outcome = await (ask or self._ask)(step_call)
            except Suspended as signal:
                call.answered()
                await self._stay(step_call, signal.cause)
            call.answered()
            if self._branches.has_order:
                await self._branches.turn(
                    call.post,
                    outcome.ended_at,
                    was_replayed=outcome.was_replayed,
                    ends_task=outcome.error is None and is_only(step_call, call.coroutine),
                )
        self._went_on(outcome)
        return outcome

    async def _known(self) -> Results:
        if self._results is None:
            self._results = await self._reader
        return self._results

    def _known_now(self) -> Results | None:
        return self._results

    def _has_stopped(self) -> bool:
        # A plain wrapper of the handler runs before the branches are there.
        return hasattr(self, "_branches") and self._branches.is_suspended

    async def _send(self, flow: Flow[T]) -> T:
        return await self._client.run_flow(flow)

    async def _call_function(self, function: Callable[[], Any]) -> Any:
        result = function()
        return await result if isawaitable(result) else result

    async def _pause(self, seconds: float) -> None:
        from asyncio import sleep

        await sleep(seconds)

    async def _check_late(self) -> None:
        """End a task that calls after the end of the handler."""
        if self._has_ended or self._branches.is_suspended:
            await self._refuse_late()

    async def _refuse_late(self) -> NoReturn:
        from asyncio import CancelledError, current_task, sleep

        # Let other tasks of the loop run, however often this one calls.
        await sleep(LOOP_PAUSE_S if self._came_late() else 0)
        task = current_task()
        if self._branches.is_suspended or (task is not None and task.cancelling()):
            raise CancelledError
        raise RuntimeError("The workflow ended before this call: await every task that calls steps.")

    async def _stay(self, step_call: StepCall[Any], cause: Exception | None) -> NoReturn:
        """Stop this branch. For a permanent cause, stop the handler: other branches cannot change it."""
        if cause is not None and not isinstance(cause, TRANSIENT):
            self._suspend(cause)
        try:
            await self._branches.park(cause)
        finally:
            self._leave([step_call.id])

    def _is_told(self) -> bool:
        branch = current_branch(self)
        return branch is not None and branch.is_told

    def _mark_told(self) -> None:
        if (branch := current_branch(self)) is not None:
            branch.tell()

    def _suspend(self, cause: Exception | None) -> None:
        self._branches.suspend(cause)

    def _scope(self) -> Scope:
        return current_scope(self, self._root)

    def _left_out(self) -> str:
        calls = [*self._unawaited.dropped, *self._unawaited.calls.values()]
        return _not_awaited(calls) if calls else ""


def _not_awaited(calls: Iterable[object]) -> str:
    return f"Not awaited: {'; '.join(map(str, calls))}. Write `await` before the call."
