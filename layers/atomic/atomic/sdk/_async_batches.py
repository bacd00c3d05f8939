"""The batches, races and conditions of an `async def` handler."""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from contextvars import ContextVar
from functools import partial
from inspect import CORO_CREATED, getcoroutinestate, iscoroutine
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar, Unpack, overload

from atomic.sdk._api import Key, Outcome
from atomic.sdk._batch_run import BatchCall, Branch
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
from atomic.sdk._batching import BatchingContext, MapOptions
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
    """The methods `map`, `parallel`, `gather`, `race` and `until` of an `async def` handler's context."""

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
        - `min_successful`: end when this many steps have succeeded (default: when all have ended).
        - `tolerated_failures`: end when more steps than this have failed (default: failures do not end it).
        - `key`: a function that returns the key of an item, as a str, an int or a UUID. Give it where the
          order of the items may change between replays (default: the key is the place of the item).
        - `result`: the type that the responses are read as (default: the return type of the function; for a
          URL, plain JSON values).
        - `retry`: how often a failed attempt is repeated, as a `Retry` or a number of retries (default: 25,
          with growing pauses of 1 s to 2 minutes).
        - `delay`: seconds, or a timedelta, before the first attempt of each step (default 0).
        - `deadline`: seconds, or a timedelta, that each step may take in total (default: no limit).
        - `attempt_timeout`: seconds, or a timedelta, that one HTTP attempt may take (default 20).
        - `name`: the name of the steps in errors, lists and the dashboard (default: their URL).

        Returns a `Batch`: the outcome of each item, in the order of the items. Items that were not started
        are not posted. When the batch ends, unfinished steps go on, and nothing waits for them. If the
        batch may end before all of its items, its end is recorded, and each replay gets the same end.

        Raises `InvalidRequestError`, which is a ValueError, for a wrong option, two items with one key, or
        too many items; `SerializationError` when an item does not fit its type; and LookupError for a
        function that is not served. It raises these errors before anything is posted.
        """
        batch = self._plan_map(items, step, key, result, options)
        return self._pending_batch(batch, self._run_batch)

    def parallel(
        self,
        calls: Iterable[Awaitable[T]],
        **policy: Unpack[PolicyOptions],
    ) -> Coroutine[Any, Any, Batch[T]]:
        """Make calls side by side under a policy; await the batch.

        - `calls`: a list of calls of this context, or of coroutines, which may make several calls.
        - `concurrency`: how many of them may be unfinished at a time (default: all). When one of them ends,
          the next one starts, in the order of the calls.
        - `min_successful`: end when this many calls have succeeded (default: when all have ended).
        - `tolerated_failures`: end when more calls than this have failed (default: failures do not end it).

        Returns a `Batch`: the outcome of each call, in the order of the calls. Calls that were not started
        are not posted. When the batch ends, unfinished steps go on, and nothing waits for them; an
        unfinished coroutine is cancelled. If the batch may end before all of its calls, its end is
        recorded, and each replay gets the same end.

        Raises `InvalidRequestError`, which is a ValueError, for a wrong option, or too many calls. Anything
        in the list that is not such a call fails the workflow.
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

        - `calls`: calls of this context, or coroutines, which may make several calls.
        - `return_exceptions`: put the errors of failed calls among the results (default False: raise the
          first error at once, while the other steps go on).

        If the handler waits for nothing else, it is not called again for each call. It is called again when
        all calls have succeeded or one has failed; with `return_exceptions`, when all have ended.

        Raises the error of the first call that fails.
        """
        policy = ALL if return_exceptions else ALL_SUCCESSFUL
        batch = self._plan_units("gather", self._taken("gather", calls), policy)

        async def gather(batch: BatchCall) -> list[Any]:
            return gathered(await self._run_batch(batch), return_exceptions=return_exceptions)

        return self._pending_batch(batch, gather)

    def race(self, calls: Mapping[str, Awaitable[T]]) -> Coroutine[Any, Any, tuple[str, T]]:
        """Make calls side by side, and await the first one that ends.

        - `calls`: names, each with a call of this context, or with a coroutine, which may make several
          calls.

        Returns the name and the result of the first call that ends. This call is recorded, and each replay
        gets the same one. The other calls are cancelled: their steps, and the steps that these started.

        Raises the error of the first call that ends, and `InvalidRequestError`, a ValueError, when there
        are no calls.
        """
        taken = dict(zip(calls, self._taken("race", calls.values()), strict=True))

        async def race(batch: BatchCall) -> tuple[str, T]:
            return winner(await self._run_batch(batch), taken)

        return self._pending_batch(self._plan_race(taken), race)

    def until(
        self, check: Step, payload: Any = None, *, state: Any = NO_STATE, **options: Unpack[UntilOptions]
    ) -> Coroutine[Any, Any, Any]:
        """Repeat a check until a condition is met; await the result.

        Nothing runs between two checks.

        - `check`: a step, as for the method `step`, or a function that is not served. Such a function runs
          in this handler, and its result is recorded.
        - `payload`: the input of the check (default None: a function is called without arguments).
        - `every`: seconds, or a timedelta, between two checks.
        - `back_off`: the factor from one pause to the next (default 1.0: all pauses are the same).
        - `deadline`: seconds, or a timedelta, from this call to the last check (default: no limit).
        - `max_attempts`: the largest number of checks (default: no limit).
        - `state`: the input of the first check, instead of a payload. Each check then returns
          `[is_met, state]`, and the next check gets this state.

        Returns the result of the last check; with `state`, the last state. The condition is met when a
        check returns a true value; with `state`, when `is_met` is True.

        Raises `ConditionNotMetError` when the deadline is over or no attempt is left, the error of a check,
        and `InvalidRequestError`, a ValueError, for a wrong option.
        """
        return self._pending_batch(self._plan_until(check, payload, state, options), self._run_until)

    def _taken(self, method: str, calls: Iterable[Any]) -> list[Any]:
        """The calls that a batch makes. A call of one step becomes a StepCall; others stay the same."""
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
        """The end that an earlier attempt recorded; None when it is not known."""
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
        """Carry out a request of a condition, and return its recorded result."""
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
        """The StepCall of an awaitable that calls one step; any other awaitable itself."""

    @abstractmethod
    async def _check_late(self) -> None:
        """End a task that calls the context after the end of the handler."""

    @abstractmethod
    async def _ask(self, step_call: StepCall[Any]) -> Outcome: ...

    @abstractmethod
    async def _settle(self, step_call: StepCall[Any], ask: Ask | None = None) -> Outcome: ...


def _close_unstarted(works: Iterable[Any]) -> None:
    """Close the coroutines that a batch did not start. Without this, Python warns about them."""
    for work in works:
        is_coroutine = iscoroutine(work)
        if isinstance(work, Coroutine) and (not is_coroutine or getcoroutinestate(work) == CORO_CREATED):
            work.close()
