"""The batches, races and conditions of an `async def` handler, and its calls that have not begun."""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from inspect import CORO_CREATED, getcoroutinestate, iscoroutine
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar, Unpack, overload

from atomic.sdk._calls.batch_run import BatchCall, BatchRun, Branch, TaskRun
from atomic.sdk._calls.batches import ALL, ALL_SUCCESSFUL, Batch, Progress
from atomic.sdk._calls.batching import (
    BatchingContext,
    MadeCall,
    MapOptions,
    ParallelOptions,
    Titled,
    gathered,
    names_of,
    winner,
)
from atomic.sdk._calls.context import AsyncFunction, PlainFunction, Step, StepCall
from atomic.sdk._calls.identity import enter_branch
from atomic.sdk._calls.recorded import NO_STATE, UntilOptions
from atomic.sdk._wire.transport import Flow
from atomic.sdk.errors import Suspended

if TYPE_CHECKING:
    from atomic.sdk._calls.branches import Branches

T = TypeVar("T")
Made = TypeVar("Made", bound=Titled)
# The branch of a batch that the running task belongs to.
_in_branch: Final[ContextVar[Branch | None]] = ContextVar("atomic_batch_branch", default=None)


class AsyncBatches(BatchingContext, ABC):
    """The methods `map`, `parallel`, `gather`, `race` and `until` of an `async def` handler's context."""

    _branches: "Branches"
    _unawaited: "Unawaited"

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
        - `tolerated_failures`: end when more steps than this have failed (default: failures do not end it).
        - `key`: a function that returns the key of an item, as a str, an int or a UUID. Give it if the
          order of the items may change between replays: the items then start in the order of their keys
          (default: the key of an item is its place).
        - `result`: the type that the responses are read as (default: the return type of the function; for a
          URL, plain JSON values).
        - `retry`: how often a failed attempt is repeated, as a `Retry` or a number of retries (default: 25,
          with growing pauses of 1 s to 2 minutes).
        - `delay`: seconds, or a timedelta, before the first attempt of each step (default 0).
        - `deadline`: seconds, or a timedelta, that each step may take in total (default: no limit).
        - `attempt_timeout`: seconds, or a timedelta, that one HTTP attempt may take (default 20).
        - `on_lost`: what to do when Atomic does not know whether an attempt was made: "repeat" (the
          default) calls the step again, "fail" lets it fail.
        - `name`: the name of the steps in errors, lists and the dashboard (default: their URL).

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
        - `tolerated_failures`: end when more calls than this have failed (default: failures do not end it).
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


def _close_unstarted(works: Iterable[Any]) -> None:
    """Close the coroutines that a batch did not start. Without this, Python warns about them."""
    for work in works:
        is_coroutine = iscoroutine(work)
        if isinstance(work, Coroutine) and (not is_coroutine or getcoroutinestate(work) == CORO_CREATED):
            work.close()


@dataclass(slots=True)
class Unawaited:
    """The calls of a handler that are not awaited yet; `dropped` are those that nothing can await now."""

    calls: dict[int, MadeCall] = field(default_factory=dict)
    dropped: list[MadeCall] = field(default_factory=list)


class PendingCall(Coroutine[Any, Any, T]):
    """What a method of the context returns: a coroutine. One that is never awaited is reported.

    The real coroutine is made only when this one is awaited. So Python does not warn about the real one.
    """

    __slots__ = ("_begin", "_coroutine", "_made", "_unawaited")

    def __init__(
        self,
        made: Made,
        begin: Callable[[Made], Coroutine[Any, Any, T]],
        unawaited: Unawaited,
        *,
        depth: int = 2,
    ) -> None:
        self._made: Any = made
        self._begin = begin
        self._coroutine: Coroutine[Any, Any, T] | None = None
        self._unawaited = unawaited
        # The context's own methods are between the handler and this constructor.
        unawaited.calls[id(self)] = MadeCall.here(made, depth)

    def send(self, value: Any) -> Any:
        """Do what any coroutine does."""
        return self._begun().send(value)

    def throw(
        self,
        kind: Any,
        error: BaseException | object = None,
        trace: TracebackType | None = None,
    ) -> Any:
        """Do what any coroutine does."""
        coroutine = self._begun()
        return coroutine.throw(kind) if error is None else coroutine.throw(kind, error, trace)

    def close(self) -> None:
        """Do what any coroutine does."""
        self._begun().close()

    def is_of(self, made: object) -> bool:
        """Whether this coroutine awaits the call `made`, and nothing else."""
        return self._made is made

    def taken(self, begin: Callable[[Any], Coroutine[Any, Any, Any]]) -> "StepCall[Any] | PendingCall[T]":
        """What a batch runs: the call of a step, if `begin` would begin it; otherwise this coroutine."""
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
