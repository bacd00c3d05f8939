"""The batches, races and conditions of an `async def` handler, run by tasks."""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Set
from contextvars import ContextVar
from functools import partial
from inspect import CORO_CREATED, getcoroutinestate, iscoroutine
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar, Unpack, overload

from atomic.sdk._calls.batch_run import TOLD_S, BatchCall, BatchRun, Branch
from atomic.sdk._calls.batches import ALL, ALL_SUCCESSFUL, Batch, DueItem, Progress
from atomic.sdk._calls.batching import (
    BatchingContext,
    MapOptions,
    ParallelOptions,
    gathered,
    names_of,
    winner,
)
from atomic.sdk._calls.conditions import NO_STATE, UntilOptions
from atomic.sdk._calls.context import AsyncFunction, PlainFunction, Step, StepCall
from atomic.sdk._calls.identity import enter_branch, untracked
from atomic.sdk._calls.pending import Made, PendingCall, Unawaited
from atomic.sdk._wire.api import Outcome
from atomic.sdk._wire.suspension import Suspended
from atomic.sdk._wire.transport import Flow

if TYPE_CHECKING:
    # asyncio is a seventh of the SDK's import time. A program with `async def` has imported it anyway.
    import asyncio

    from atomic.sdk._calls.branches import Branches

T = TypeVar("T")
# The largest number of simultaneous posts.
_TASKS_MAX: Final = 64
# The branch of a batch that the running task belongs to.
_in_branch: Final[ContextVar[Branch | None]] = ContextVar("atomic_batch_branch", default=None)


class AsyncBatches(BatchingContext, ABC):
    """The methods `map`, `parallel`, `gather`, `race` and `until` of an `async def` handler's context."""

    _branches: "Branches"
    _unawaited: Unawaited

    @overload
    def map(
        self, items: Iterable[Any], step: Step, *, result: type[T], **options: Unpack[MapOptions]
    ) -> Coroutine[Any, Any, Batch[T]]: ...
    @overload
    def map(
        self, items: Iterable[Any], step: str, **options: Unpack[MapOptions]
    ) -> Coroutine[Any, Any, Batch[Any]]: ...
    @overload
    def map(
        self, items: Iterable[Any], step: AsyncFunction[T], **options: Unpack[MapOptions]
    ) -> Coroutine[Any, Any, Batch[T]]: ...
    @overload
    def map(
        self, items: Iterable[Any], step: PlainFunction[T], **options: Unpack[MapOptions]
    ) -> Coroutine[Any, Any, Batch[T]]: ...
    def map(
        self, items: Iterable[Any], step: Step, *, result: Any = None, **options: Unpack[MapOptions]
    ) -> Coroutine[Any, Any, Batch[Any]]:
        """Call a step for each of the items, side by side; await the batch.

        - `items`: the payloads, 100,000 at most.
        - `step`: a URL, absolute or relative to the workflow's own, or a function that the same `Endpoints`
          serve.
        - `concurrency`: how many of the steps may be unfinished at a time (default: all). When one of them
          ends, the next one starts, in the order of the items.
        - `min_successful`: end when this many steps have succeeded (default: when all have ended).
        - `tolerated_failures`: end when more steps than this have failed; a number, or a share of them such
          as "25%" (default: failures do not end it).
        - `key`: a function that returns the key of an item, as a str, an int or a UUID. Give it if the
          order of the items may change between replays: the items then start in the order of their keys
          (default: the key of an item is its place).
        - `result`: the type that the responses are read as (default: the return type of the function; for a
          URL, plain JSON values).
        - `retry`: how often a failed attempt is repeated, as a `Retry` or a number of retries (default: 25,
          with growing pauses of 1 s to 2 minutes).
        - `delay`: seconds, or a timedelta, before the first attempt of each step (default 0).
        - `start_at`: when to make the first attempt, as a datetime with a time zone, in place of `delay`
          (default: at once, as for a time that is over).
        - `start_by`: it fails unless its first attempt has begun by then: a datetime, or seconds or a
          timedelta after its start (default: no limit).
        - `deadline`: seconds, or a timedelta, that each step may take in total (default: no limit).
        - `attempt_timeout`: seconds, or a timedelta, that one HTTP attempt may take (default 20).
        - `on_lost`: what to do when Atomic does not know whether an attempt was made: "repeat" (the
          default) calls the step again, "fail" lets it fail.
        - `flow`: a `Flow`, or a list of them: limits that it shares with others (default: none).
        - `name`: the name of the steps in errors, lists and the dashboard, or a function that returns the
          name for an item (default: their URL).

        Returns a `Batch`: the outcome of each item, in the order of the items. Items that were not started
        are not posted. When the batch ends, unfinished steps go on, and nothing waits for them. If the
        batch may end before all of its items, its end is recorded, and each replay gets the same end.

        Raises `InvalidRequestError`, which is a ValueError, for a wrong option, two items with one key, or
        too many items; `SerializationError` when an item does not fit its type; and LookupError for a
        function that is not served. All of these errors are raised before anything is posted.
        """
        batch = self._plan_map(items, step, result, options)
        return self._pending_batch(batch, self._perform_batch)

    def parallel(
        self,
        calls: Iterable[Awaitable[T]] | Mapping[str, Awaitable[T]],
        **options: Unpack[ParallelOptions],
    ) -> Coroutine[Any, Any, Batch[T]]:
        """Make calls side by side under a policy; await the batch.

        - `calls`: a list of calls of this context, or of coroutines, which may make several calls. A dict
          gives them names.
        - `concurrency`: how many of them may be unfinished at a time (default: all). When one of them ends,
          the next one starts, in the order of the calls.
        - `min_successful`: end when this many calls have succeeded (default: when all have ended).
        - `tolerated_failures`: end when more calls than this have failed; a number, or a share of them such
          as "25%" (default: failures do not end it).
        - `name`: the name of the batch in errors, and in lists and the dashboard if its end is recorded
          (default: "parallel"). A step that a coroutine calls is shown with the name of the coroutine, or
          with this name and the place of the coroutine: "load 0: charge".

        Returns a `Batch`: the outcome of each call, in the order of the calls. Calls that were not started
        are not posted. When the batch ends, unfinished steps go on, and nothing waits for them; an
        unfinished coroutine is cancelled. If the batch may end before all of its calls, its end is
        recorded, and each replay gets the same end.

        Raises `InvalidRequestError`, which is a ValueError, for a wrong option, or too many calls. Anything
        in the list that is not such a call fails the workflow.
        """
        batch = self._plan_parallel(self._taken("parallel", calls), names_of(calls), options)
        return self._pending_batch(batch, self._perform_batch)

    @overload
    def gather(
        self, *calls: Awaitable[T], return_exceptions: Literal[False] = False, name: str | None = None
    ) -> Coroutine[Any, Any, list[T]]: ...
    @overload
    def gather(
        self, *calls: Awaitable[T], return_exceptions: bool, name: str | None = None
    ) -> Coroutine[Any, Any, list[T | Exception]]: ...
    def gather(
        self, *calls: Awaitable[Any], return_exceptions: bool = False, name: str | None = None
    ) -> Coroutine[Any, Any, list[Any]]:
        """Make calls side by side, and return their results in order; await the list.

        - `calls`: calls of this context, or coroutines, which may make several calls.
        - `return_exceptions`: put the errors of failed calls among the results (default False: raise the
          first error at once, while the other steps go on).
        - `name`: the name of this call in errors (default: "gather"). What a coroutine calls is shown with
          this name and the place of the coroutine: "load 0: charge".

        If the handler waits for nothing else, it is called again when all calls have succeeded or one has
        failed, and not at the end of each call. With `return_exceptions`, it is called again when all have
        ended. Of more than 64 calls, the later ones wait to be started. Until all are started, the handler
        is called again whenever one has ended.

        Raises the error of the first call that fails.
        """
        policy = ALL if return_exceptions else ALL_SUCCESSFUL
        batch = self._plan_units("gather", self._taken("gather", calls), policy, name=name)

        async def gather(batch: BatchCall) -> list[Any]:
            return gathered(await self._perform_batch(batch), return_exceptions=return_exceptions)

        return self._pending_batch(batch, gather)

    def race(
        self, calls: Mapping[str, Awaitable[T]], *, name: str | None = None
    ) -> Coroutine[Any, Any, tuple[str, T]]:
        """Make calls side by side, and await the first one that ends.

        - `calls`: names, each with a call of this context, or with a coroutine, which may make several
          calls.
        - `name`: the name of the race in errors, lists and the dashboard (default: "race"). A step that a
          coroutine calls is shown with the name of the coroutine: "flight: charge".

        Returns the name and the result of the first call that ends. The winner is recorded, so each replay
        returns the same one. The steps of the other calls are cancelled, with the steps below them.

        Raises the error of the first call that ends, and `InvalidRequestError`, a ValueError, when there
        are no calls.
        """
        batch = self._plan_race(self._taken("race", calls), names_of(calls), name)

        async def race(batch: BatchCall) -> tuple[str, T]:
            return winner(await self._perform_batch(batch))

        return self._pending_batch(batch, race)

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
        - `name`: the name of the checks and pauses in errors, lists and the dashboard (default: the name of
          the check, and "sleep").

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
        taken = list(calls.values() if isinstance(calls, Mapping) else calls)
        for call in taken:
            if not isinstance(call, Awaitable):
                self._refuse(
                    f"{method} takes calls of the context, or coroutines, not a {type(call).__qualname__}."
                )
        return [call.taken(self._perform) if isinstance(call, PendingCall) else call for call in taken]

    def _pending_batch(
        self, made: Made, begin: Callable[[Made], Coroutine[Any, Any, T]]
    ) -> "PendingCall[T]":
        return PendingCall(made, begin, self._unawaited, depth=3)

    async def _perform_batch(self, batch: BatchCall) -> Batch[Any]:
        try:
            await self._check_late()
            return await self._run_batch(batch)
        finally:
            _close_unstarted(batch.works)

    def _make_run(self, batch: BatchCall) -> BatchRun:
        fetched = self._fetched if self.attempt > 1 else None
        return TaskRun(batch, self._open, self._branches, self._ask, self._enter, fetched)

    async def _enter(self, branch: Branch) -> Any:
        assert isinstance(branch.work, Awaitable), "a batch of an `async def` handler is given awaitables"
        enter_branch(self, branch.scope)
        _in_branch.set(branch)
        return await branch.work

    def _branch(self) -> Branch | None:
        branch = _in_branch.get()
        return branch if branch is not None and branch.owner is self else None

    async def _cancel(self, leaving: Flow[None]) -> None:
        with self._branches.call() as call:
            try:
                await self._send(leaving)
            except Suspended as signal:
                call.answered()
                await self._branches.park(signal.cause)

    async def _take_turn(self, progress: Progress) -> None:
        if self._branches.has_order:
            at, was_replayed = progress.ended_at, progress.was_replayed
            await self._branches.turn(self._branches.call().post, at, was_replayed=was_replayed)

    @abstractmethod
    async def _perform(self, step_call: StepCall[T]) -> T:
        """Ask for the outcome of a call, and return its response."""

    @abstractmethod
    async def _check_late(self) -> None:
        """End a task that calls the context after the end of the handler."""


class TaskRun(BatchRun):
    """A batch of an `async def` handler.

    Its posts are not tasks of the handler. There may be thousands of posts, and all tasks of the handler
    are examined at each change. Its branches are tasks of the handler.
    """

    def __init__(
        self,
        batch: BatchCall,
        open_steps: Mapping[str, object],
        branches: "Branches",
        ask: Callable[[StepCall[Any]], Coroutine[Any, Any, Outcome]],
        enter: Callable[[Branch], Coroutine[Any, Any, Any]],
        fetched: Set[str] | None,
    ) -> None:
        from asyncio import get_running_loop

        super().__init__(batch, open_steps, fetched, _TASKS_MAX)
        self._loop = get_running_loop()
        self._branches = branches
        self._ask = ask
        self._enter = enter
        self._tasks: set[asyncio.Task[Any]] = set()
        self._posts: set[asyncio.Task[Any]] = set()
        self._has_moved = False
        self._move: asyncio.Future[None] | None = None

    def _run_branch(self, due: DueItem, branch: Branch) -> None:
        # The task factory of the loop makes this task a task of the handler.
        task = self._loop.create_task(self._enter(branch))
        self._tasks.add(task)
        task.add_done_callback(partial(self._branch_done, due, branch))

    def _branch_done(self, due: DueItem, branch: Branch, task: "asyncio.Task[Any]") -> None:
        self._tasks.discard(task)
        self._branch_ended(due, branch, *_end_of(task))
        self._wake()

    def _post(self, due: DueItem, step_call: StepCall[Any]) -> None:
        post = self._branches.post()
        task = untracked(lambda: self._loop.create_task(self._ask(step_call)))
        self._posts.add(task)
        task.add_done_callback(partial(self._post_done, due, step_call, post))

    def _post_done(
        self, due: DueItem, step_call: StepCall[Any], post: int, task: "asyncio.Task[Outcome]"
    ) -> None:
        self._posts.discard(task)
        self._branches.answered(post)
        if not task.cancelled():
            self._answered(due, step_call, *_end_of(task))
        self._wake()

    def _suspend(self, cause: Exception) -> None:
        self._branches.suspend(cause)

    def _wake(self) -> None:
        self._has_moved = True
        if self._move is not None and not self._move.done():
            self._move.set_result(None)

    async def _await_answer(self) -> None:
        if not self._has_moved:
            self._move = self._loop.create_future()
            is_parked = self.progress.has_unfinished and not self._posts
            with self._branches.within(self._move, self.progress.cause, is_parked=is_parked):
                await self._move
        self._has_moved = False

    async def _await_others(self) -> None:
        from asyncio import wait

        if others := [*self._posts, *self._tasks]:
            await wait(others, timeout=TOLD_S)

    async def _stop(self) -> None:
        from asyncio import current_task, wait

        for task in (*self._posts, *self._tasks):
            task.cancel()
        if self._posts:
            await wait(self._posts)
        self._branches.leave(current_task())


def _end_of(task: "asyncio.Task[Any]") -> tuple[Any, BaseException | None]:
    """The result and the error of a task."""
    from asyncio import CancelledError

    error = CancelledError() if task.cancelled() else task.exception()
    return (task.result() if error is None else None), error


def _close_unstarted(works: Iterable[Any]) -> None:
    """Close the coroutines that a batch did not start. Without this, Python warns about them."""
    for work in works:
        if isinstance(work, PendingCall):
            is_new = not work.has_begun
        else:
            is_new = iscoroutine(work) and getcoroutinestate(work) == CORO_CREATED
        if is_new:
            work.close()
