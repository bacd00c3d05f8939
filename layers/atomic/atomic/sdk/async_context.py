"""What a workflow's `async def` handler is given: which run it is, and how to call steps."""

from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Literal, NoReturn, TypeVar, Unpack, overload

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
    Titled,
)
from atomic.sdk._identity import Position, Scope, current_scope, enter_branch
from atomic.sdk._transport import TRANSIENT, Flow
from atomic.sdk._values import jsonable
from atomic.sdk.async_client import AsyncClient
from atomic.sdk.errors import NonRetryable, Suspended
from atomic.sdk.retry import Seconds

if TYPE_CHECKING:
    from atomic.sdk._branches import Branches

T = TypeVar("T")
Made = TypeVar("Made", bound=Titled)
Result = TypeVar("Result")
# The branch of a batch that the running task belongs to.
_in_branch: Final[ContextVar[Branch | None]] = ContextVar("atomic_batch_branch", default=None)


class AsyncContext(BatchingContext):
    """What an `async def` workflow is given: which run it is, and how to call steps.

    `run_id`, `step_id`, `workflow_name` and `idempotency_key` name the run; `attempt` counts from 1.

    Steps side by side are calls in `asyncio.gather` or a TaskGroup. A step that is done answers at once,
    however often the workflow is called. Which call of a step one is, is settled when the method is called,
    not when its result is awaited; a call that is never awaited fails the workflow.

    A task that awaits a step that is not finished does not go on. The other tasks do; when none of them
    can, the handler is suspended: it ends, and is called again when a step is done.

    Atomic makes the context. In tests, `call` says who calls, `client` posts the steps, `wait_s` is how
    many seconds one call of the handler waits for them, and `names` are the functions that are served
    beside it.
    """

    _client: AsyncClient

    def __init__(self, call: Call, client: AsyncClient, wait_s: float, names: Names = NO_NAMES) -> None:
        super().__init__(call, client, wait_s, names)
        self._branches: Branches
        self._unawaited = _Unawaited()
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
        """Call a step; await the result for its response. A step that is done is not called again.

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
        step_call = self._plan(step, payload, options, result)
        return PendingCall(step_call, self._perform, self._unawaited)

    @overload
    def map(
        self,
        items: Iterable[Any],
        step: Step,
        *,
        key: Callable[[Any], Key] | None = None,
        result: type[T],
        **options: Unpack[MapOptions],
    ) -> Coroutine[Any, Any, Batch[T]]: ...
    @overload
    def map(
        self,
        items: Iterable[Any],
        step: str,
        *,
        key: Callable[[Any], Key] | None = None,
        **options: Unpack[MapOptions],
    ) -> Coroutine[Any, Any, Batch[Any]]: ...
    @overload
    def map(
        self,
        items: Iterable[Any],
        step: AsyncFunction[T],
        *,
        key: Callable[[Any], Key] | None = None,
        **options: Unpack[MapOptions],
    ) -> Coroutine[Any, Any, Batch[T]]: ...
    @overload
    def map(
        self,
        items: Iterable[Any],
        step: PlainFunction[T],
        *,
        key: Callable[[Any], Key] | None = None,
        **options: Unpack[MapOptions],
    ) -> Coroutine[Any, Any, Batch[T]]: ...
    def map(
        self,
        items: Iterable[Any],
        step: Step,
        *,
        key: Callable[[Any], Key] | None = None,
        result: Any = None,
        **options: Unpack[MapOptions],
    ) -> Coroutine[Any, Any, Batch[Any]]:
        """Call a step for each of the items, side by side; await the batch.

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
        batch = self._plan_map(items, step, key, result, options)
        return PendingCall(batch, self._run_batch, self._unawaited)

    def parallel(
        self,
        calls: Iterable[Awaitable[T]],
        **policy: Unpack[PolicyOptions],
    ) -> Coroutine[Any, Any, Batch[T]]:
        """Make calls side by side under a policy; await the batch.

        - `calls`: a list of calls of this context, or of coroutines, which may make several of them.
        - `concurrency`: how many of them may be unfinished at a time (default: all). When one of them ends,
          the next one starts, in the order of the calls.
        - `min_successful`: end as soon as so many have succeeded (default: not before all have ended).
        - `tolerated_failures`: end as soon as more than so many have failed (default: however many fail).

        Returns a `Batch`: what came of each call, in their order. Calls that were not started are not
        posted. Steps that have not ended when the batch does go on, and nothing waits for them; a coroutine
        is cancelled. Where a batch may end before all of its calls have, its end is recorded, and every
        replay sees the same.

        Raises `InvalidRequestError`, which is a ValueError, for a wrong option, or too many calls. A call
        that is none fails the workflow.
        """
        known = policy_of(policy)
        batch = self._plan_units("parallel", self._taken("parallel", calls), known)
        return PendingCall(batch, self._run_batch, self._unawaited)

    @overload
    def gather(
        self, *calls: Awaitable[T], return_exceptions: Literal[False] = False
    ) -> Coroutine[Any, Any, list[T]]: ...
    @overload
    def gather(
        self, *calls: Awaitable[T], return_exceptions: bool
    ) -> Coroutine[Any, Any, list[T | Exception]]: ...
    def gather(
        self, *calls: Awaitable[Any], return_exceptions: bool = False
    ) -> Coroutine[Any, Any, list[Any]]:
        """Make calls side by side, and return their results in order; await the list.

        - `calls`: calls of this context, or coroutines, which may make several of them.
        - `return_exceptions`: put the errors of calls that failed among the results (default False: raise
          the first one at once, while the other steps go on).

        While nothing else of the handler is unfinished, it is not called again for each of them, but when
        all have succeeded or one has failed.

        Raises what the first call that failed raises.
        """
        policy = ALL if return_exceptions else ALL_SUCCESSFUL
        batch = self._plan_units("gather", self._taken("gather", calls), policy)

        async def gather(batch: BatchCall) -> list[Any]:
            return gathered(await self._run_batch(batch), return_exceptions=return_exceptions)

        return PendingCall(batch, gather, self._unawaited)

    def race(self, calls: Mapping[str, Awaitable[T]]) -> Coroutine[Any, Any, tuple[str, T]]:
        """Make calls side by side, and await the first one that ends.

        - `calls`: calls of this context, or coroutines, which may make several of them, each under a name.

        Returns the name of the first one that has ended, and its result. Which one it was is recorded, and
        every replay sees the same. The others are cancelled: their steps, and what these have started.

        Raises what the first one that has ended raises, and `InvalidRequestError`, a ValueError, when there
        are no calls.
        """
        taken = dict(zip(calls, self._taken("race", calls.values()), strict=True))

        async def race(batch: BatchCall) -> tuple[str, T]:
            return winner(await self._run_batch(batch), taken)

        return PendingCall(self._plan_race(taken), race, self._unawaited)

    def until(
        self, check: Step, payload: Any = None, *, state: Any = NO_STATE, **options: Unpack[UntilOptions]
    ) -> Coroutine[Any, Any, Any]:
        """Check again and again until a condition is met; await what was found.

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
        return PendingCall(
            self._plan_until(check, payload, state, options), self._run_until, self._unawaited
        )

    def sleep(self, duration: Seconds) -> Coroutine[Any, Any, None]:
        """Await this to go on after a time, which may be days or months. Nothing runs meanwhile.

        - `duration`: seconds or a timedelta, of 366 days at most; less than nothing is nothing.

        Raises `InvalidRequestError` for what is no duration, and `CancelledError` when the run was
        cancelled.
        """
        step_call = self._plan_sleep(duration)
        return PendingCall(step_call, self._perform, self._unawaited)

    @overload
    def event(
        self, name: str, *, result: type[T], deadline: Seconds | None = None
    ) -> Coroutine[Any, Any, T]: ...
    @overload
    def event(self, name: str, *, deadline: Seconds | None = None) -> Coroutine[Any, Any, Any]: ...
    def event(
        self, name: str, *, result: Any = None, deadline: Seconds | None = None
    ) -> Coroutine[Any, Any, Any]:
        """Await this until somebody gives an event its result by `Client.complete`.

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
        step_call = self._plan_event(name, deadline, result)
        return PendingCall(step_call, self._perform, self._unawaited)

    def open_event(self, name: str, *, deadline: Seconds | None = None) -> Coroutine[Any, Any, str]:
        """Open an event before the workflow waits for it, so that its id can be passed on; await the id.

        - `name`: the name of the event.
        - `deadline`: seconds, or a timedelta, from now on until it expires (default: never). When it is
          over, `event` raises `EventTimeoutError`; this does not.

        Returns the id, for `Client.complete`. Each call opens another event.

        Raises `InvalidRequestError` for a deadline that is none, and `CancelledError`.
        """
        step_call = self._plan_opening(name, deadline)
        return PendingCall(step_call, self._open_event, self._unawaited)

    async def await_handler(self, handler: Awaitable[T]) -> T:
        """Await the `handler` until it has ended or is suspended. For framework adapters.

        Raises what the handler raises, and Suspended when it is suspended.
        """
        # A seventh of the SDK's import time. A program with an `async def` workflow has imported it.
        from asyncio import get_running_loop

        from atomic.sdk._branches import Branches

        self._wait_by(get_running_loop().time)
        self._branches = Branches(self._until_s, is_replay=self.attempt > 1)
        try:
            main = await self._branches.run(self._main(handler))
            if self._branches.is_suspended:
                self._require_awaited(self._unawaited.dropped)
                raise self._suspension(self._branches.cause)
            if main.cancelled():
                raise RuntimeError("The handler cancelled itself.")
            result: T = main.result()
            return result
        finally:
            self._has_ended = True
            await self._branches.unwind()

    async def _main(self, handler: Awaitable[T]) -> T:
        enter_branch(self, self._root)
        result = await handler
        self._require_awaited([*self._unawaited.dropped, *self._unawaited.calls.values()])
        return result

    async def _perform(self, step_call: StepCall[T]) -> T:
        return step_call.read((await self._settle(step_call)).unwrap())

    async def _settle(self, step_call: StepCall[Any]) -> Outcome:
        if self._has_ended or self._branches.is_suspended:
            await self._refuse_late()
        with self._branches.call() as call:
            try:
                outcome = await self._ask(step_call)
            except Suspended as signal:
                call.answered()
                await self._stay(step_call, signal.cause)
            call.answered()
            if self._branches.has_order:
                await self._branches.turn(call.post, outcome.ended_at, was_replayed=outcome.was_replayed)
        return outcome

    async def _ask(self, step_call: StepCall[Any]) -> Outcome:
        with self._called(step_call):
            return await self._client.run_flow(self._flow(step_call))

    def _taken(self, method: str, calls: Iterable[Any]) -> list[Any]:
        """The calls that a batch makes: those of one step as such, everything else as it is."""
        if isinstance(calls, PendingCall) or not isinstance(calls, Iterable):
            self._refuse(f"{method} takes a list of calls: write `ctx.{method}([...])`.")
        taken = list(calls)
        for call in taken:
            if not isinstance(call, Awaitable):
                self._refuse(
                    f"{method} takes calls of the context, or coroutines, not a {type(call).__qualname__}."
                )
        return [call.taken(self._perform) if isinstance(call, PendingCall) else call for call in taken]

    async def _run_batch(self, batch: BatchCall) -> Batch[Any]:
        if self._has_ended or self._branches.is_suspended:
            await self._refuse_late()
        if not batch.count:
            return EMPTY
        from atomic.sdk._async_batches import AsyncBatchRun

        run = AsyncBatchRun(batch, self._open, self._branches, self._ask, self._enter)
        if run.progress.may_start_too_many and (known := await self._known(self._plan_record(batch, None))):
            run.progress.adopt(known.unwrap())
        self._runs.append(run)
        try:
            ended = await run.run(self._left_s, partial(self._recorded, batch))
        finally:
            self._runs.remove(run)
            self._leave(run.left)
            _close_unstarted(batch.works)
        if batch.cancels_rest:
            for step_id in run.left:
                await self._beside(self._leaving(step_id))
        if self._branches.has_order:
            at, was_replayed = run.progress.ended_at, run.progress.was_replayed
            await self._branches.turn(self._branches.call().post, at, was_replayed=was_replayed)
        return ended

    async def _run_until(self, condition: Condition) -> Any:
        found: Recorded | None = None
        while True:
            try:
                request = condition.poll.send(found) if found else next(condition.poll)
            except StopIteration as end:
                return end.value
            found = await self._found(condition, request)

    async def _found(self, condition: Condition, request: Request) -> Recorded:
        """What came of a request."""
        if isinstance(request, Check) and self._is_function(condition):
            return await self._computed(*self._plan_check(condition), partial(condition.run, request))
        step_call = self._plan_request(condition, request)
        outcome = await self._settle(step_call)
        return Recorded(step_call.read(outcome.unwrap()), outcome.ended_at)

    async def _computed(self, name: str, position: Position, function: Callable[[], Any]) -> Recorded:
        """The value of a function, which runs unless an earlier attempt has recorded its value."""
        known = await self._known(self._plan_value(name, position, None))
        if known is None:
            value = function()
            value = await value if isinstance(value, Awaitable) else value
            value = jsonable(value, f"what {name!r} returns")
            known = await self._settle(self._plan_value(name, position, value))
        return Recorded(known.unwrap(), known.ended_at)

    async def _known(self, step_call: StepCall[Any]) -> Outcome | None:
        return await self._beside(self._knowing(step_call)) if self.attempt > 1 else None

    async def _beside(self, flow: Flow[Result]) -> Result:
        """Requests that belong to no step, or to one that nobody waits for."""
        with self._branches.call():
            return await self._client.run_flow(flow)

    async def _recorded(self, batch: BatchCall, end: Any) -> Any:
        return await self._perform(self._plan_record(batch, end))

    async def _enter(self, branch: Branch) -> Any:
        assert isinstance(branch.work, Awaitable), "a batch of an `async def` handler is given awaitables"
        enter_branch(self, branch.scope)
        _in_branch.set(branch)
        return await branch.work

    def _branch(self) -> Branch | None:
        branch = _in_branch.get()
        return branch if branch is not None and branch.owner is self else None

    async def _open_event(self, step_call: StepCall[Any]) -> str:
        if self._has_ended or self._branches.is_suspended:
            await self._refuse_late()
        with self._branches.call() as call:
            try:
                with self._called(step_call):
                    return await self._client.run_flow(self._opening(step_call))
            except Suspended as signal:
                call.answered()
                await self._stay(step_call, signal.cause)

    async def _refuse_late(self) -> NoReturn:
        """End a task that calls after the end of the handler."""
        from asyncio import CancelledError, current_task, sleep

        # Let other tasks of the loop run, however often this one calls.
        await sleep(LOOP_PAUSE_S if self._came_late() else 0)
        task = current_task()
        if self._branches.is_suspended or (task is not None and task.cancelling()):
            raise CancelledError
        raise RuntimeError("The workflow has ended, and this call came after: await what calls steps.")

    async def _stay(self, step_call: StepCall[Any], cause: Exception | None) -> NoReturn:
        """Go on no more. What other branches do cannot change a cause that does not pass."""
        if cause is not None and not isinstance(cause, TRANSIENT):
            self._suspend(cause)
        try:
            await self._branches.park(cause)
        finally:
            self._leave([step_call.id])

    def _suspend(self, cause: Exception | None) -> None:
        self._branches.suspend(cause)

    def _scope(self) -> Scope:
        return current_scope(self, self._root)

    def _require_awaited(self, calls: Sequence[object]) -> None:
        if calls:
            raise NonRetryable(f"Not awaited: {'; '.join(map(str, calls))}. Write `await` before the call.")


@dataclass(slots=True)
class _Unawaited:
    """The calls of a handler that were made and are not awaited yet; `dropped` are those that cannot be."""

    calls: dict[int, MadeCall] = field(default_factory=dict)
    dropped: list[MadeCall] = field(default_factory=list)


def _close_unstarted(works: Iterable[Any]) -> None:
    """Let go of what a batch that ended early did not start: Python warns of such coroutines otherwise."""
    from inspect import CORO_CREATED, getcoroutinestate, iscoroutine

    for work in works:
        if isinstance(work, PendingCall) or (iscoroutine(work) and getcoroutinestate(work) == CORO_CREATED):
            work.close()


class PendingCall(Coroutine[Any, Any, T]):
    """What a call of the context returns: a coroutine, which is reported when it is never awaited.

    No coroutine exists before it is awaited, so Python does not warn of it.
    """

    __slots__ = ("_begin", "_coroutine", "_made", "_unawaited")

    def __init__(
        self, made: Made, begin: Callable[[Made], Coroutine[Any, Any, T]], unawaited: _Unawaited
    ) -> None:
        self._made: Any = made
        self._begin = begin
        self._coroutine: Coroutine[Any, Any, T] | None = None
        self._unawaited = unawaited
        # The context's method stands between.
        unawaited.calls[id(self)] = MadeCall.here(made, 2)

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

    def taken(self, begin: Callable[[Any], Coroutine[Any, Any, Any]]) -> "StepCall[Any] | PendingCall[T]":
        """What a batch makes of it: the call of a step that would begin in this way, otherwise itself."""
        if self._coroutine is not None or self._begin != begin:
            return self
        self._unawaited.calls.pop(id(self), None)
        made: StepCall[Any] = self._made
        return made

    def __await__(self) -> Generator[Any, Any, T]:
        return self._begun().__await__()

    def __del__(self) -> None:
        if self._coroutine is None:
            call = self._unawaited.calls.pop(id(self), None)
            if call is not None:
                self._unawaited.dropped.append(call)

    def _begun(self) -> Coroutine[Any, Any, T]:
        if self._coroutine is None:
            self._unawaited.calls.pop(id(self), None)
            self._coroutine = self._begin(self._made)
        return self._coroutine
