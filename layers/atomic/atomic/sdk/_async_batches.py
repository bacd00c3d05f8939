"""The batches, races and conditions of an `async def` handler."""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from contextvars import ContextVar
from functools import partial
from inspect import CORO_CREATED, getcoroutinestate, iscoroutine
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar, Unpack, overload

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
from atomic.sdk._context import AsyncFunction, PlainFunction, Step, StepCall
from atomic.sdk._identity import enter_branch
from atomic.sdk._made_calls import Titled
from atomic.sdk._value_calls import AsyncValues

if TYPE_CHECKING:
    from atomic.sdk._branches import Branches

T = TypeVar("T")
Made = TypeVar("Made", bound=Titled)
Ask = Callable[[StepCall[Any]], Coroutine[Any, Any, Outcome]]
# The branch of a batch that the running task belongs to.
_in_branch: Final[ContextVar[Branch | None]] = ContextVar("atomic_batch_branch", default=None)


class AsyncBatches(BatchingContext, AsyncValues, ABC):
    """What an `async def` handler calls side by side, or again and again."""

    _branches: "Branches"

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
        - `name`: what the steps are called in errors, lists and the dashboard (default: their URL).

        Returns a `Batch`: the outcome of each item, in their order. Items that were not started are not
        posted. Steps that have not ended when the batch does go on, and nothing waits for them. Where a
        batch may end before all of its items have, its end is recorded, and every replay sees the same.

        Raises `InvalidRequestError`, which is a ValueError, for a wrong option, two items with one key, or
        too many items; `SerializationError` when an item does not fit; and LookupError for a function that
        is not served. All of these come before anything is posted.
        """
        batch = self._plan_map(items, step, key, result, options)
        return self._pending_batch(batch, self._run_batch)

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

        Returns a `Batch`: the outcome of each call, in their order. Calls that were not started are not
        posted. Steps that have not ended when the batch does go on, and nothing waits for them; a coroutine
        is cancelled. Where a batch may end before all of its calls have, its end is recorded, and every
        replay sees the same.

        Raises `InvalidRequestError`, which is a ValueError, for a wrong option, or too many calls. A call
        that is none fails the workflow.
        """
        known = policy_of(policy)
        batch = self._plan_units("parallel", self._taken("parallel", calls), known)
        return self._pending_batch(batch, self._run_batch)

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

        return self._pending_batch(batch, gather)

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

        return self._pending_batch(self._plan_race(taken), race)

    def until(
        self, check: Step, payload: Any = None, *, state: Any = NO_STATE, **options: Unpack[UntilOptions]
    ) -> Coroutine[Any, Any, Any]:
        """Check again and again until a condition is met; await what was found.

        Nothing runs between two checks.

        - `check`: a step, as `step` takes it, or a function that is not served: that runs in this handler,
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
        return self._pending_batch(self._plan_until(check, payload, state, options), self._run_until)

    def _taken(self, method: str, calls: Iterable[Any]) -> list[Any]:
        """The calls that a batch makes: those of one step as such, everything else as it is."""
        if isinstance(calls, Awaitable) or not isinstance(calls, Iterable):
            self._refuse(f"{method} takes a list of calls: write `ctx.{method}([...])`.")
        taken = list(calls)
        for call in taken:
            if not isinstance(call, Awaitable):
                self._refuse(
                    f"{method} takes calls of the context, or coroutines, not a {type(call).__qualname__}."
                )
        return [self._take(call) for call in taken]

    async def _run_batch(self, batch: BatchCall) -> Batch[Any]:
        await self._check_late()
        if not batch.count:
            return EMPTY
        from atomic.sdk._async_batch_run import AsyncBatchRun

        run = AsyncBatchRun(
            batch, self._open, self._branches, self._ask, self._enter, is_replay=self.attempt > 1
        )
        self._runs.append(run)
        try:
            if (end := await self._earlier_end(batch, run.progress.may_start_too_many)) is not None:
                run.progress.adopt(end)
            ended = await run.run(self._left_s, partial(self._recorded, batch))
        finally:
            self._runs.remove(run)
            _close_unstarted(batch.works)
        live = [*run.left, *self._left_before(batch, run, await self._known())]
        if batch.cancels_rest:
            for step_id in live:
                with self._branches.call():
                    await self._client.run_flow(self._leaving(step_id))
        self._leave(live)
        if self._branches.has_order:
            at, was_replayed = run.progress.ended_at, run.progress.was_replayed
            await self._branches.turn(self._branches.call().post, at, was_replayed=was_replayed)
        return ended

    async def _earlier_end(self, batch: BatchCall, must_know: bool) -> Any:
        """How the batch ended in an earlier attempt; None when that is not known."""
        if not batch.policy.may_end_early(batch.count):
            return None
        record = self._plan_record(batch, None)

        async def ask(record: StepCall[Any]) -> Outcome:
            with self._called(record):
                known = await self._known()
                found = await self._found(record) if must_know else self._earlier(known, record)
            return found or Outcome("", was_replayed=True)

        return (await self._settle(record, ask)).unwrap()

    async def _recorded(self, batch: BatchCall, end: Any) -> Any:
        return (await self._settle(self._plan_record(batch, end))).unwrap()

    async def _run_until(self, condition: Condition) -> Any:
        found: Recorded | None = None
        while True:
            try:
                request = condition.poll.send(found) if found else next(condition.poll)
            except StopIteration as end:
                return end.value
            found = await self._result(condition, request)

    async def _result(self, condition: Condition, request: Request) -> Recorded:
        """The answer to a request."""
        if isinstance(request, Check) and self._is_function(condition):
            value = self._plan_check(condition, request)
            outcome = await self._settle(value.step, lambda _: self._asked_value(value))
            return Recorded(outcome.unwrap(), outcome.ended_at)
        step_call = self._plan_request(condition, request)
        outcome = await self._settle(step_call)
        return Recorded(step_call.read(outcome.unwrap()), outcome.ended_at)

    async def _enter(self, branch: Branch) -> Any:
        assert isinstance(branch.work, Awaitable), "a batch of an `async def` handler is given awaitables"
        enter_branch(self, branch.scope)
        _in_branch.set(branch)
        return await branch.work

    def _branch(self) -> Branch | None:
        branch = _in_branch.get()
        return branch if branch is not None and branch.owner is self else None

    @abstractmethod
    def _pending_batch(
        self, made: Made, begin: Callable[[Made], Coroutine[Any, Any, T]]
    ) -> Coroutine[Any, Any, T]: ...

    @abstractmethod
    def _take(self, call: Any) -> Any:
        """What a batch makes of an awaitable: the call of a step, or the awaitable itself."""

    @abstractmethod
    async def _check_late(self) -> None:
        """End a task that calls after the end of the handler."""

    @abstractmethod
    async def _ask(self, step_call: StepCall[Any]) -> Outcome: ...

    @abstractmethod
    async def _settle(self, step_call: StepCall[Any], ask: Ask | None = None) -> Outcome: ...


def _close_unstarted(works: Iterable[Any]) -> None:
    """Let go of what a batch that ended early did not start: Python warns of such coroutines otherwise."""
    for work in works:
        is_coroutine = iscoroutine(work)
        if isinstance(work, Coroutine) and (not is_coroutine or getcoroutinestate(work) == CORO_CREATED):
            work.close()
