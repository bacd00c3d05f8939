"""The context of a plain `def` workflow: it identifies the run, and calls steps."""

import random as chance
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from typing import Any, TypeVar, Unpack, overload
from uuid import UUID, uuid4

from atomic.sdk._calls.blocking_batches import BlockingBatches
from atomic.sdk._calls.blocking_child_runs import BlockingChildRuns
from atomic.sdk._calls.blocking_events import BlockingEvents
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
from atomic.sdk._calls.pending import MadeCall
from atomic.sdk._calls.recorded import Ask, at_once, utc_now
from atomic.sdk._calls.results import Results
from atomic.sdk._calls.sagas import BlockingSagas
from atomic.sdk._calls.served import NO_NAMES, Names
from atomic.sdk._wire.api import Outcome
from atomic.sdk._wire.codecs import PLAIN, Coder
from atomic.sdk._wire.in_process import pause
from atomic.sdk._wire.moments import lasting, until
from atomic.sdk._wire.suspension import Suspended
from atomic.sdk._wire.transport import TRANSIENT, Flow
from atomic.sdk.client import Client
from atomic.sdk.errors import NonRetryable
from atomic.sdk.retry import Retry, Seconds

T = TypeVar("T")


class Context(BlockingBatches, BlockingChildRuns, BlockingEvents, BlockingSagas):
    """The context of a plain `def` workflow: it identifies the run, and calls steps.

    `run_id`, `step_id`, `workflow_name` and `idempotency_key` name the run; `attempt` counts from 1.

    A step that is done answers at once, however often the workflow is called. While a step is not finished,
    the handler is suspended: it ends, and is called again when the step is done. To suspend it, every
    method below raises a BaseException. Do not catch this: what the handler does after it has no effect.

    Atomic makes the context. In tests, `call` says who calls, `client` posts the steps, `wait_s` is how
    many seconds one call of the handler waits for them, `names` are the functions that are served beside
    it, `build` is that of the application, `observers` are its hooks, and `coder` encodes its values.
    """

    _client: Client

    def __init__(
        self,
        call: Call,
        client: Client,
        wait_s: float,
        names: Names = NO_NAMES,
        build: str = "",
        observers: Observers = NO_OBSERVERS,
        coder: Coder = PLAIN,
    ) -> None:
        super().__init__(call, client, wait_s, names, build, observers, coder)
        self._reading_lock = threading.Lock()
        self._thread = threading.get_ident()
        self._suspended = threading.Event()
        self._cause: Exception | None = None
        self._uncalled = {}
        self._has_ended = False
        self._told = False
        self._local = threading.local()

    @overload
    def step(
        self, step: Step, payload: Any = None, *, result: type[T], **options: Unpack[CallOptions]
    ) -> T: ...
    @overload
    def step(self, step: str, payload: Any = None, **options: Unpack[CallOptions]) -> Any: ...
    @overload
    def step(self, step: AsyncFunction[T], payload: Any = None, **options: Unpack[CallOptions]) -> T: ...
    @overload
    def step(self, step: PlainFunction[T], payload: Any = None, **options: Unpack[CallOptions]) -> T: ...
    def step(
        self, step: Step, payload: Any = None, *, result: Any = None, **options: Unpack[CallOptions]
    ) -> Any:
        """Call a step and return its response. A step that is done is not called again.

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
        return self._perform(self._plan(step, payload, options, result))

    @overload
    def call(
        self, step: Step, payload: Any = None, *, result: type[T], **options: Unpack[CallOptions]
    ) -> StepCall[T]: ...
    @overload
    def call(self, step: str, payload: Any = None, **options: Unpack[CallOptions]) -> StepCall[Any]: ...
    @overload
    def call(
        self, step: AsyncFunction[T], payload: Any = None, **options: Unpack[CallOptions]
    ) -> StepCall[T]: ...
    @overload
    def call(
        self, step: PlainFunction[T], payload: Any = None, **options: Unpack[CallOptions]
    ) -> StepCall[T]: ...
    def call(
        self, step: Step, payload: Any = None, *, result: Any = None, **options: Unpack[CallOptions]
    ) -> StepCall[Any]:
        """Describe a call of a step, which `gather` or `parallel` then makes. It has the options of `step`.

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

        Returns the call.

        Raises `SerializationError` when the payload does not fit its type, `InvalidRequestError` for a
        wrong option, and LookupError for a function that is not served. A call that is described but never
        made fails the workflow.
        """
        step_call = self._plan(step, payload, options, result)
        self._uncalled[id(step_call)] = MadeCall.here(step_call, 1)
        return step_call

    def sleep(self, duration: Seconds, *, name: str | None = None) -> None:
        """Pause for a time, which may be days or months. Nothing runs meanwhile.

        - `duration`: seconds or a timedelta, at most 366 days; a negative one counts as 0.
        - `name`: the name of the pause in lists and the dashboard (default: "sleep").

        Raises `InvalidRequestError` for an invalid duration, and `CancelledError` when the run was
        cancelled.
        """
        self._perform(self._plan_sleep(lasting(duration), name))

    def sleep_until(self, moment: datetime, *, name: str | None = None) -> None:
        """Pause until a moment, as `sleep` does for a time. The first call decides it, and replays keep it.

        - `moment`: a datetime with a time zone, at most 366 days away; one that is over is no pause.
        - `name`: the name of the pause in lists and the dashboard (default: "sleep").

        Raises `InvalidRequestError` for an invalid moment, and `CancelledError` when the run was cancelled.
        """
        self._perform(self._plan_sleep(until(moment), name))

    @overload
    def run(
        self, name: str, function: Callable[[], Any], *, returns: type[T], retry: Retry | int | None = None
    ) -> T: ...
    @overload
    def run(self, name: str, function: Callable[[], T], *, retry: Retry | int | None = None) -> T: ...
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
        """Return the time, in UTC, at which the run first made this call. Replays get the same time.

        Raises `CancelledError`.
        """
        moment: datetime = self._value("now", utc_now, None, datetime)
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

        Returns `newest` when the run makes this call for the first time. The run keeps this version, and
        each replay gets it. Returns 0 when the run went on from here before the code had this call.

        Raises `InvalidRequestError` for an invalid version, and `CancelledError`.
        """
        return self._perform(self._plan_version(name, newest), partial(self._ask_version, newest=newest))

    def call_handler(self, function: Callable[[], T]) -> T:
        """Run the handler, a `function` without arguments. For framework adapters.

        Raises Suspended when the handler is suspended, even if the handler catches it.
        """
        try:
            result = function()
            if left_out := self._left_out():
                raise NonRetryable(left_out)
            return result
        finally:
            self._has_ended = True
            is_stopped = isinstance(sys.exception(), KeyboardInterrupt | SystemExit)
            if self._suspended.is_set() and not is_stopped:
                raise self._suspension(self._cause) from None

    def _value(
        self, name: str, function: Callable[[], Any], retry: Retry | int | None, returns: Any
    ) -> Any:
        value = self._plan_value(name, function, retry, returns)
        return self._perform(value.step, lambda _: self._ask_value(value))

    def _perform(self, step_call: StepCall[T], ask: Ask | None = None) -> T:
        return step_call.result_of(at_once(self._settle(step_call, ask)))

    async def _settle(self, step_call: StepCall[Any], ask: Ask | None = None) -> Outcome:
        self._check()
        with self._suspending():
            outcome = await (ask or self._ask)(step_call)
        self._went_on(outcome)
        return outcome

    async def _known(self) -> Results:
        with self._reading_lock:
            if self._results is None:
                self._results = self._client.run_flow(self._reading())
        return self._results

    def _known_now(self) -> Results:
        return at_once(self._known())

    def _has_stopped(self) -> bool:
        branch = self._branch()
        return self._suspended.is_set() or (branch is not None and branch.suspended is not None)

    def _is_behind(self) -> bool:
        # Threads have no order: another branch may be behind, while this one is past all results.
        branch = self._branch()
        return super()._is_behind() and not (branch is not None and branch.ended_at)

    async def _send(self, flow: Flow[T]) -> T:
        return self._client.run_flow(flow)

    async def _call_function(self, function: Callable[[], Any]) -> Any:
        return function()

    async def _pause(self, seconds: float) -> None:
        pause(seconds)

    @contextmanager
    def _suspending(self) -> Iterator[None]:
        """Wrap a call of a branch: when the branch is suspended, so is the whole handler."""
        try:
            yield
        except Suspended as signal:
            if (branch := self._branch()) is not None:
                # The batch knows whether anything else goes on.
                branch.suspended = signal
                raise
            if threading.get_ident() != self._thread:
                # The other threads go on while there is time.
                self._suspended.wait(max(0.0, self._until_s - self._now_s()))
            self._suspend(signal.cause)
            raise

    def _suspend(self, cause: Exception | None) -> None:
        with self._lock:
            if self._cause is None or isinstance(self._cause, TRANSIENT):
                self._cause = cause or self._cause
            self._suspended.set()

    def _left_out(self) -> str:
        made = "; ".join(map(str, self._uncalled.values()))
        return f"Not called: {made}. Give it to `ctx.gather` or `ctx.parallel`." if made else ""

    def _check(self) -> None:
        """Raise Suspended when the handler is suspended: its calls have no effect any more."""
        if self._suspended.is_set():
            if self._came_late():
                time.sleep(LOOP_PAUSE_S)
            raise Suspended
        if (branch := self._branch()) is not None and (branch.is_over or branch.suspended is not None):
            raise Suspended
        if self._has_ended:
            raise RuntimeError("The workflow ended before this call: let it wait for its threads.")
