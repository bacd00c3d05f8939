"""What a workflow's plain handler is given: which run it is, and how to call steps."""

import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, Literal, TypeVar, Unpack, overload

from atomic.sdk._api import Key, Outcome
from atomic.sdk._batches import (
    ALL,
    ALL_SUCCESSFUL,
    EMPTY,
    Batch,
    PolicyOptions,
    gathered,
    policy_of,
    winner,
)
from atomic.sdk._batching import BatchCall, BatchingContext, Branch, MapOptions
from atomic.sdk._conditions import NO_STATE, Check, Condition, Recorded, Request, UntilOptions
from atomic.sdk._context import (
    LOOP_PAUSE_S,
    NO_NAMES,
    AsyncFunction,
    Call,
    CallOptions,
    MadeCall,
    Names,
    PlainFunction,
    Step,
    StepCall,
)
from atomic.sdk._identity import Position, Scope
from atomic.sdk._transport import TRANSIENT
from atomic.sdk._values import jsonable
from atomic.sdk.client import Client
from atomic.sdk.errors import NonRetryable, Suspended
from atomic.sdk.retry import Seconds

T = TypeVar("T")


class Context(BatchingContext):
    """What a plain `def` workflow is given: which run it is, and how to call steps.

    `run_id`, `step_id`, `workflow_name` and `idempotency_key` name the run; `attempt` counts from 1.

    A step that is done answers at once, however often the workflow is called. While a step is not finished,
    the handler is suspended: it ends, and is called again when the step is done. Every method below does so
    by raising a BaseException; nothing that the handler does after it counts, so let it pass.

    Atomic makes the context. In tests, `call` says who calls, `client` posts the steps, `wait_s` is how
    many seconds one call of the handler waits for them, and `names` are the functions that are served
    beside it.
    """

    _client: Client

    def __init__(self, call: Call, client: Client, wait_s: float, names: Names = NO_NAMES) -> None:
        super().__init__(call, client, wait_s, names)
        self._thread = threading.get_ident()
        self._suspended = threading.Event()
        self._cause: Exception | None = None
        self._uncalled: dict[int, MadeCall] = {}
        self._has_ended = False
        # The branch of a batch that a thread runs.
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
        - `payload`: what it is given: JSON values, a model, a dataclass (default None).
        - `result`: the type that the response is read as (default: what the function says it returns; for a
          URL, plain JSON values).
        - `retry`: how often a failed attempt is repeated, as a `Retry` or a number of retries (default: 25,
          with growing pauses of 1 s to 2 minutes).
        - `delay`: seconds, or a timedelta, before the first attempt (default 0).
        - `deadline`: seconds, or a timedelta, that the step may take in total (default: no limit).
        - `attempt_timeout`: seconds, or a timedelta, that one HTTP attempt may take (default 20).
        - `timeout`: seconds, or a timedelta, that this handler waits for the step before it is suspended
          (default: `wait` of the endpoint).
        - `key`: which call of this step it is, as a str, an int or a UUID, where the order of the calls may
          change between replays (default None: they are numbered in order).

        Raises `StepFailedError` when the step has failed, `CancelledError` when it was cancelled,
        `SerializationError` when the payload or the response does not fit its type, `InvalidRequestError`
        for a wrong option, `TooLargeError`, `UrlNotAllowedError`, and LookupError for a function that is
        not served.
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
        """Describe a call of a step, for `gather` or `parallel` to make. It takes what `step` takes.

        - `step`: a URL, absolute or relative to the workflow's own ("charge" beside "order" is
          ".../charge"), or a function that the same `Endpoints` serve.
        - `payload`: what it is given: JSON values, a model, a dataclass (default None).
        - `result`: the type that the response is read as (default: what the function says it returns; for a
          URL, plain JSON values).
        - `retry`: how often a failed attempt is repeated, as a `Retry` or a number of retries (default: 25,
          with growing pauses of 1 s to 2 minutes).
        - `delay`: seconds, or a timedelta, before the first attempt (default 0).
        - `deadline`: seconds, or a timedelta, that the step may take in total (default: no limit).
        - `attempt_timeout`: seconds, or a timedelta, that one HTTP attempt may take (default 20).
        - `timeout`: seconds, or a timedelta, that this handler waits for the step before it is suspended
          (default: `wait` of the endpoint).
        - `key`: which call of this step it is, as a str, an int or a UUID, where the order of the calls may
          change between replays (default None: they are numbered in order).

        Returns the call.

        Raises `SerializationError` when the payload does not fit its type, `InvalidRequestError` for a
        wrong option, and LookupError for a function that is not served. A call that neither of them is ever
        given fails the workflow.
        """
        step_call = self._plan(step, payload, options, result)
        self._uncalled[id(step_call)] = MadeCall.here(step_call, 1)
        return step_call

    @overload
    def map(
        self,
        items: Iterable[Any],
        step: Step,
        *,
        key: Callable[[Any], Key] | None = None,
        result: type[T],
        **options: Unpack[MapOptions],
    ) -> Batch[T]: ...
    @overload
    def map(
        self,
        items: Iterable[Any],
        step: str,
        *,
        key: Callable[[Any], Key] | None = None,
        **options: Unpack[MapOptions],
    ) -> Batch[Any]: ...
    @overload
    def map(
        self,
        items: Iterable[Any],
        step: AsyncFunction[T],
        *,
        key: Callable[[Any], Key] | None = None,
        **options: Unpack[MapOptions],
    ) -> Batch[T]: ...
    @overload
    def map(
        self,
        items: Iterable[Any],
        step: PlainFunction[T],
        *,
        key: Callable[[Any], Key] | None = None,
        **options: Unpack[MapOptions],
    ) -> Batch[T]: ...
    def map(
        self,
        items: Iterable[Any],
        step: Step,
        *,
        key: Callable[[Any], Key] | None = None,
        result: Any = None,
        **options: Unpack[MapOptions],
    ) -> Batch[Any]:
        """Call a step for each of the items, side by side.

        - `items`: the payloads, 100,000 at most.
        - `step`: a URL, absolute or relative to the workflow's own, or a function that the same `Endpoints`
          serve.
        - `concurrency`: how many of the steps may be unfinished at a time (default: all). When one of them
          ends, the next one starts, in the order of the items.
        - `min_successful`: end as soon as so many have succeeded (default: not before all have ended).
        - `tolerated_failures`: end as soon as more than so many have failed (default: however many fail).
        - `key`: a function that tells what an item is, as a str, an int or a UUID, where the order of the
          items may change between replays (default: their places tell them apart).
        - `result`: the type that the responses are read as (default: what the function says it returns; for
          a URL, plain JSON values).
        - `retry`: how often a failed attempt is repeated, as a `Retry` or a number of retries (default: 25,
          with growing pauses of 1 s to 2 minutes).
        - `delay`: seconds, or a timedelta, before the first attempt of each step (default 0).
        - `deadline`: seconds, or a timedelta, that each step may take in total (default: no limit).
        - `attempt_timeout`: seconds, or a timedelta, that one HTTP attempt may take (default 20).

        Returns a `Batch`: what came of each item, in their order. Items that were not started are not
        posted. Steps that have not ended when the batch does go on, and nothing waits for them. Where a
        batch may end before all of its items have, its end is recorded, and every replay sees the same.

        Raises `InvalidRequestError`, which is a ValueError, for a wrong option, two items with one key, or
        too many items; `SerializationError` when an item does not fit; and LookupError for a function that
        is not served. All of these come before anything is posted.
        """
        return self._run_batch(self._plan_map(items, step, key, result, options))

    def parallel(
        self,
        calls: Iterable[StepCall[T] | Callable[[], T]],
        **policy: Unpack[PolicyOptions],
    ) -> Batch[T]:
        """Make calls side by side under a policy, 32 at a time.

        - `calls`: a list of what `call` returned, or of functions without arguments, which may call steps
          themselves.
        - `concurrency`: how many of them may be unfinished at a time (default: all). When one of them ends,
          the next one starts, in the order of the calls.
        - `min_successful`: end as soon as so many have succeeded (default: not before all have ended).
        - `tolerated_failures`: end as soon as more than so many have failed (default: however many fail).

        Returns a `Batch`: what came of each call, in their order. Calls that were not started are not
        posted. Steps that have not ended when the batch does go on, and nothing waits for them; a function
        ends at its next call of a step. Where a batch may end before all of its calls have, its end is
        recorded, and every replay sees the same.

        Raises `InvalidRequestError`, which is a ValueError, for a wrong option, or too many calls. A call
        that is none fails the workflow.
        """
        known = policy_of(policy)
        return self._run_batch(self._plan_units("parallel", self._taken("parallel", calls), known))

    @overload
    def gather(
        self, *calls: StepCall[T] | Callable[[], T], return_exceptions: Literal[False] = False
    ) -> list[T]: ...
    @overload
    def gather(
        self, *calls: StepCall[T] | Callable[[], T], return_exceptions: bool
    ) -> list[T | Exception]: ...
    def gather(
        self, *calls: StepCall[Any] | Callable[[], Any], return_exceptions: bool = False
    ) -> list[Any]:
        """Make calls side by side, and return their results in order, 32 at a time.

        - `calls`: what `call` returned, each as an argument of its own, or functions without arguments,
          which may call steps themselves.
        - `return_exceptions`: put the errors of calls that failed among the results (default False: raise
          the first one at once, while the other steps go on).

        While nothing else of the handler is unfinished, it is not called again for each of them, but when
        all have succeeded or one has failed.

        Raises what the first call that failed raises.
        """
        policy = ALL if return_exceptions else ALL_SUCCESSFUL
        batch = self._run_batch(self._plan_units("gather", self._taken("gather", calls), policy))
        return gathered(batch, return_exceptions=return_exceptions)

    def race(self, calls: Mapping[str, StepCall[T] | Callable[[], T]]) -> tuple[str, T]:
        """Make calls side by side, and wait for the first one that ends.

        - `calls`: what `call` returned, or functions without arguments, which may call steps, each under a
          name.

        Returns the name of the first one that has ended, and its result. Which one it was is recorded, and
        every replay sees the same. The others are cancelled: their steps, and what these have started.

        Raises what the first one that has ended raises, and `InvalidRequestError`, a ValueError, when there
        are no calls.
        """
        taken = dict(zip(calls, self._taken("race", calls.values()), strict=True))
        return winner(self._run_batch(self._plan_race(taken)), taken)

    def until(
        self, check: Step, payload: Any = None, *, state: Any = NO_STATE, **options: Unpack[UntilOptions]
    ) -> Any:
        """Check again and again until a condition is met.

        Nothing runs between two checks.

        - `check`: a step, as `step` takes it, or a function that nobody serves: that runs in this handler,
          and what it returns is recorded.
        - `payload`: what the check is given (default None: a function is given nothing).
        - `every`: seconds, or a timedelta, between two checks.
        - `back_off`: by how much each pause is longer than the one before (default 1.0: all are the same).
        - `deadline`: seconds, or a timedelta, after which the last check is made (default: never).
        - `max_attempts`: how many checks there are at most (default: any number).
        - `state`: what the first check is given instead of a payload. Then each returns `[is_met, state]`,
          and the next one is given that state.

        Returns what the last check returned, or with `state` the last state. A check that returns something
        true has met the condition; with `state`, one that returns true as the first of the two.

        Raises `ConditionNotMetError` when the deadline or the attempts are over, what the check raises, and
        `InvalidRequestError`, a ValueError, for a wrong option.
        """
        condition = self._plan_until(check, payload, state, options)
        found: Recorded | None = None
        while True:
            try:
                request = condition.poll.send(found) if found else next(condition.poll)
            except StopIteration as end:
                return end.value
            found = self._found(condition, request)

    def sleep(self, duration: Seconds) -> None:
        """Go on after a time, which may be days or months. Nothing runs meanwhile.

        - `duration`: seconds or a timedelta, of 366 days at most; less than nothing is nothing.

        Raises `InvalidRequestError` for what is no duration, and `CancelledError` when the run was
        cancelled.
        """
        self._perform(self._plan_sleep(duration))

    @overload
    def event(self, name: str, *, result: type[T], deadline: Seconds | None = None) -> T: ...
    @overload
    def event(self, name: str, *, deadline: Seconds | None = None) -> Any: ...
    def event(self, name: str, *, result: Any = None, deadline: Seconds | None = None) -> Any:
        """Wait until somebody gives an event its result by `Client.complete`.

        - `name`: the name of the event.
        - `result`: the type that its result is read as (default: plain JSON values).
        - `deadline`: seconds, or a timedelta, until it expires (default: never), counted from this call, or
          from `open_event` when that was given the deadline.

        The oldest event that `open_event` has opened under this name, and nobody has waited for yet, is
        taken. If there is none, each call opens another event.

        Returns the result.

        Raises `EventTimeoutError` when the deadline is over, `CancelledError`, `SerializationError` when
        the result does not fit the type, and `InvalidRequestError` for a deadline that is none. A deadline
        other than the one of `open_event` fails the workflow.
        """
        return self._perform(self._plan_event(name, deadline, result))

    def open_event(self, name: str, *, deadline: Seconds | None = None) -> str:
        """Open an event before the workflow waits for it, so that its id can be passed on.

        - `name`: the name of the event.
        - `deadline`: seconds, or a timedelta, from now on until it expires (default: never). When it is
          over, `event` raises `EventTimeoutError`; this does not.

        Returns the id, for `Client.complete`. Each call opens another event.

        Raises `InvalidRequestError` for a deadline that is none, and `CancelledError`.
        """
        self._check()
        step_call = self._plan_opening(name, deadline)
        with self._suspending(), self._called(step_call):
            return self._client.run_flow(self._opening(step_call))

    def call_handler(self, function: Callable[[], T]) -> T:
        """Run the handler, a `function` without arguments. For framework adapters.

        Raises Suspended when the handler is suspended, whatever it ends with.
        """
        try:
            result = function()
            if self._uncalled:
                made = "; ".join(map(str, self._uncalled.values()))
                raise NonRetryable(f"Not called: {made}. Give it to `ctx.gather` or `ctx.parallel`.")
            return result
        finally:
            self._has_ended = True
            is_stopped = isinstance(sys.exception(), KeyboardInterrupt | SystemExit)
            if self._suspended.is_set() and not is_stopped:
                raise self._suspension(self._cause) from None

    def _perform(self, step_call: StepCall[T]) -> T:
        return step_call.read(self._settle(step_call).unwrap())

    def _settle(self, step_call: StepCall[Any]) -> Outcome:
        self._check()
        with self._suspending():
            return self._ask(step_call)

    def _ask(self, step_call: StepCall[Any]) -> Outcome:
        with self._called(step_call):
            return self._client.run_flow(self._flow(step_call))

    def _taken(self, method: str, calls: Iterable[Any]) -> list[Any]:
        """The calls that a batch makes."""
        if isinstance(calls, StepCall) or not isinstance(calls, Iterable):
            self._refuse(f"{method} takes a list of calls: write `ctx.{method}([...])`.")
        taken = list(calls)
        for call in taken:
            if not (isinstance(call, StepCall) or callable(call)):
                self._refuse(
                    f"{method} takes what `ctx.call` gives, or functions, not a {type(call).__qualname__}: "
                    "write `ctx.gather(*calls)` for a list of them, and `ctx.call` instead of `ctx.step`."
                )
            self._uncalled.pop(id(call), None)
        return taken

    def _run_batch(self, batch: BatchCall) -> Batch[Any]:
        self._check()
        if not batch.count:
            return EMPTY
        from atomic.sdk._thread_batches import ThreadBatchRun

        run = ThreadBatchRun(batch, self._open, self._ask, self._enter)
        if run.progress.may_start_too_many and (known := self._known(self._plan_record(batch, None))):
            run.progress.adopt(known.unwrap())
        self._runs.append(run)
        with self._suspending():
            ended = run.run(self._left_s, partial(self._recorded, batch))
        self._runs.remove(run)
        if batch.cancels_rest:
            for step_id in run.left:
                self._client.run_flow(self._leaving(step_id))
        self._leave(run.left)
        return ended

    def _found(self, condition: Condition, request: Request) -> Recorded:
        """What came of a request."""
        if isinstance(request, Check) and self._is_function(condition):
            return self._computed(*self._plan_check(condition), partial(condition.run, request))
        step_call = self._plan_request(condition, request)
        outcome = self._settle(step_call)
        return Recorded(step_call.read(outcome.unwrap()), outcome.ended_at)

    def _computed(self, name: str, position: Position, function: Callable[[], Any]) -> Recorded:
        """The value of a function, which runs unless an earlier attempt has recorded its value."""
        known = self._known(self._plan_value(name, position, None))
        if known is None:
            value = jsonable(function(), f"what {name!r} returns")
            known = self._settle(self._plan_value(name, position, value))
        return Recorded(known.unwrap(), known.ended_at)

    def _known(self, step_call: StepCall[Any]) -> Outcome | None:
        self._check()
        return self._client.run_flow(self._knowing(step_call)) if self.attempt > 1 else None

    def _recorded(self, batch: BatchCall, end: Any) -> Any:
        return self._perform(self._plan_record(batch, end))

    def _enter(self, branch: Branch) -> Any:
        assert callable(branch.work), "a batch of a plain handler is given functions"
        self._local.branch = branch
        try:
            return branch.work()
        finally:
            self._local.branch = None

    def _branch(self) -> Branch | None:
        branch: Branch | None = getattr(self._local, "branch", None)
        return branch

    def _scope(self) -> Scope:
        branch = self._branch()
        return self._root if branch is None else branch.scope

    @contextmanager
    def _suspending(self) -> Iterator[None]:
        """Around a call of a branch: when it is suspended, so is the whole handler."""
        try:
            yield
        except Suspended as signal:
            if self._branch() is not None:
                # The batch knows whether anything else goes on.
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

    def _check(self) -> None:
        """Raises Suspended when the handler is suspended: nothing of it has an effect any more."""
        if self._suspended.is_set():
            if self._came_late():
                time.sleep(LOOP_PAUSE_S)
            raise Suspended
        branch = self._branch()
        if branch is not None and branch.is_over:
            raise Suspended
        if self._has_ended:
            raise RuntimeError(
                "The workflow has ended, and this call came after: let it wait for its threads."
            )
