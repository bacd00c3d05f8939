"""The batches, races and conditions of a `def` handler, run by threads."""

import queue
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable, Mapping, Set
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from contextvars import copy_context
from functools import partial
from typing import Any, Final, Literal, TypeVar, Unpack, overload

from atomic.sdk._calls.batch_run import TOLD_S, BatchCall, BatchRun, Branch
from atomic.sdk._calls.batches import ALL, ALL_SUCCESSFUL, Batch, DueItem
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
from atomic.sdk._calls.identity import Scope
from atomic.sdk._calls.pending import MadeCall
from atomic.sdk._calls.recorded import at_once
from atomic.sdk._wire.api import Outcome
from atomic.sdk._wire.suspension import Suspended

T = TypeVar("T")
# The largest numbers of simultaneous posts and of branches.
_THREADS_MAX: Final = 32
_BRANCH_THREADS_MAX: Final = 128


class BlockingBatches(BatchingContext, ABC):
    """The methods `map`, `parallel`, `gather`, `race` and `until` of a `def` handler's context."""

    # Contains the branch that the current thread runs.
    _local: threading.local
    _told: bool
    # The calls that `call` has described and that are in no batch yet.
    _uncalled: dict[int, MadeCall]

    @overload
    def map(
        self, items: Iterable[Any], step: Step, *, result: type[T], **options: Unpack[MapOptions]
    ) -> Batch[T]: ...
    @overload
    def map(self, items: Iterable[Any], step: str, **options: Unpack[MapOptions]) -> Batch[Any]: ...
    @overload
    def map(
        self, items: Iterable[Any], step: AsyncFunction[T], **options: Unpack[MapOptions]
    ) -> Batch[T]: ...
    @overload
    def map(
        self, items: Iterable[Any], step: PlainFunction[T], **options: Unpack[MapOptions]
    ) -> Batch[T]: ...
    def map(
        self, items: Iterable[Any], step: Step, *, result: Any = None, **options: Unpack[MapOptions]
    ) -> Batch[Any]:
        """Call a step for each of the items, side by side.

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
        return self._perform_batch(self._plan_map(items, step, result, options))

    def parallel(
        self,
        calls: Iterable[StepCall[T] | Callable[[], T]] | Mapping[str, StepCall[T] | Callable[[], T]],
        **options: Unpack[ParallelOptions],
    ) -> Batch[T]:
        """Make calls side by side under a policy: at most 32 calls of steps at a time, and 128 functions.

        - `calls`: a list of calls that `call` returned, or of functions without arguments, which may call
          several steps. A dict gives them names.
        - `concurrency`: how many of them may be unfinished at a time (default: all). When one of them ends,
          the next one starts, in the order of the calls.
        - `min_successful`: end when this many calls have succeeded (default: when all have ended).
        - `tolerated_failures`: end when more calls than this have failed; a number, or a share of them such
          as "25%" (default: failures do not end it).
        - `name`: the name of the batch in errors, and in lists and the dashboard if its end is recorded
          (default: "parallel"). A step that a function calls is shown with the name of the function, or
          with this name and the place of the function: "load 0: charge".

        Returns a `Batch`: the outcome of each call, in the order of the calls. Calls that were not started
        are not posted. When the batch ends, unfinished steps go on, and nothing waits for them; an
        unfinished function ends at its next call of a step. If the batch may end before all of its calls,
        its end is recorded, and each replay gets the same end.

        Raises `InvalidRequestError`, which is a ValueError, for a wrong option, or too many calls. Anything
        in the list that is not such a call fails the workflow.
        """
        taken = self._taken("parallel", calls)
        return self._perform_batch(self._plan_parallel(taken, names_of(calls), options))

    @overload
    def gather(
        self,
        *calls: StepCall[T] | Callable[[], T],
        return_exceptions: Literal[False] = False,
        name: str | None = None,
    ) -> list[T]: ...
    @overload
    def gather(
        self, *calls: StepCall[T] | Callable[[], T], return_exceptions: bool, name: str | None = None
    ) -> list[T | Exception]: ...
    def gather(
        self,
        *calls: StepCall[Any] | Callable[[], Any],
        return_exceptions: bool = False,
        name: str | None = None,
    ) -> list[Any]:
        """Make calls side by side, and return their results in order.

        - `calls`: calls that `call` returned, or functions without arguments, which may call several steps.
          Give each of them as an argument of its own.
        - `return_exceptions`: put the errors of failed calls among the results (default False: raise the
          first error at once, while the other steps go on).
        - `name`: the name of this call in errors (default: "gather"). What a function calls is shown with
          this name and the place of the function: "load 0: charge".

        If the handler waits for nothing else, it is called again when all calls have succeeded or one has
        failed, and not at the end of each call. With `return_exceptions`, it is called again when all have
        ended. Of more than 32 calls, or 128 functions, the later ones wait to be started. Until all are
        started, the handler is called again whenever one has ended.

        Raises the error of the first call that fails.
        """
        policy = ALL if return_exceptions else ALL_SUCCESSFUL
        batch = self._plan_units("gather", self._taken("gather", calls), policy, name=name)
        return gathered(self._perform_batch(batch), return_exceptions=return_exceptions)

    def race(
        self, calls: Mapping[str, StepCall[T] | Callable[[], T]], *, name: str | None = None
    ) -> tuple[str, T]:
        """Make calls side by side, and wait for the first one that ends.

        - `calls`: names, each with a call that `call` returned, or with a function without arguments, which
          may call several steps.
        - `name`: the name of the race in errors, lists and the dashboard (default: "race"). A step that a
          function calls is shown with the name of the function: "flight: charge".

        Returns the name and the result of the first call that ends. The winner is recorded, so each replay
        returns the same one. The steps of the other calls are cancelled, with the steps below them.

        Raises the error of the first call that ends, and `InvalidRequestError`, a ValueError, when there
        are no calls.
        """
        batch = self._plan_race(self._taken("race", calls), names_of(calls), name)
        return winner(self._perform_batch(batch))

    def until(
        self, check: Step, payload: Any = None, *, state: Any = NO_STATE, **options: Unpack[UntilOptions]
    ) -> Any:
        """Repeat a check until a condition is met.

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
        return at_once(self._run_until(self._plan_until(check, payload, state, options)))

    def _taken(self, method: str, calls: Iterable[Any]) -> list[Any]:
        """The calls that a batch makes."""
        if isinstance(calls, StepCall) or not isinstance(calls, Iterable):
            self._refuse(f"{method} takes a list of calls: write `ctx.{method}([...])`.")
        taken = list(calls.values() if isinstance(calls, Mapping) else calls)
        for call in taken:
            if not (isinstance(call, StepCall) or callable(call)):
                self._refuse(
                    f"{method} takes what `ctx.call` gives, or functions, not a {type(call).__qualname__}: "
                    "write `ctx.gather(*calls)` for a list of them, and `ctx.call` instead of `ctx.step`."
                )
            self._uncalled.pop(id(call), None)
        return taken

    def _perform_batch(self, batch: BatchCall) -> Batch[Any]:
        self._check()
        with self._suspending():
            return at_once(self._run_batch(batch))

    def _make_run(self, batch: BatchCall) -> BatchRun:
        def ask(step_call: StepCall[Any]) -> Outcome:
            return at_once(self._ask(step_call))

        return ThreadRun(batch, self._open, ask, self._enter, self._fetched if self.attempt > 1 else None)

    def _enter(self, branch: Branch) -> Any:
        assert not isinstance(branch.work, Awaitable), "a batch of a plain handler is given functions"
        self._local.branch = branch
        try:
            return branch.work()
        finally:
            self._local.branch = None
            if branch.suspended is not None:
                # The suspension counts even if the code of the branch has caught it.
                raise branch.suspended from None

    def _branch(self) -> Branch | None:
        branch: Branch | None = getattr(self._local, "branch", None)
        return branch

    def _is_told(self) -> bool:
        branch = self._branch()
        return self._told if branch is None else branch.is_told

    def _mark_told(self) -> None:
        self._told = True
        if (branch := self._branch()) is not None:
            branch.tell()

    def _scope(self) -> Scope:
        branch = self._branch()
        return self._root if branch is None else branch.scope

    @abstractmethod
    def _check(self) -> None: ...

    @abstractmethod
    def _suspending(self) -> AbstractContextManager[None]: ...


class ThreadRun(BatchRun):
    """A batch of a `def` handler. Threads put their reports into a queue for the handler's thread."""

    def __init__(
        self,
        batch: BatchCall,
        open_steps: Mapping[str, object],
        ask: Callable[[StepCall[Any]], Outcome],
        enter: Callable[[Branch], Any],
        fetched: Set[str] | None,
    ) -> None:
        super().__init__(batch, open_steps, fetched, _THREADS_MAX)
        self._ask = ask
        self._enter = enter
        # Posts have threads of their own, because a branch may take as long as it wants.
        self._post_threads = ThreadPoolExecutor(_THREADS_MAX, "atomic-batch")
        self._branch_threads = ThreadPoolExecutor(_BRANCH_THREADS_MAX, "atomic-branch")
        self._reports: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._under_way = 0

    def _run_branch(self, due: DueItem, branch: Branch) -> None:
        work = partial(self._enter, branch)
        self._submit(self._branch_threads, work, partial(self._branch_ended, due, branch))

    def _post(self, due: DueItem, step_call: StepCall[Any]) -> None:
        work = partial(self._ask, step_call)
        self._submit(self._post_threads, work, partial(self._answered, due, step_call))

    def _submit(
        self, pool: ThreadPoolExecutor, work: Callable[[], Any], report: Callable[[Any, Any], None]
    ) -> None:
        def run() -> None:
            result, error = None, None
            try:
                result = work()
            except BaseException as raised:
                error = raised
            self._reports.put(partial(report, result, error))

        self._under_way += 1
        # A thread goes on in the context of the handler, as a task does.
        pool.submit(copy_context().run, run)

    def _suspend(self, cause: Exception) -> None:
        raise Suspended(cause)

    async def _await_answer(self) -> None:
        if not self._under_way:
            raise Suspended(self.progress.cause)
        self._take_report(None)

    async def _await_others(self) -> None:
        until_s = time.monotonic() + TOLD_S
        while self._under_way and (left_s := until_s - time.monotonic()) > 0:
            with suppress(queue.Empty):
                self._take_report(left_s)

    def _take_report(self, timeout_s: float | None) -> None:
        report = self._reports.get(timeout=timeout_s)
        self._under_way -= 1
        report()

    async def _stop(self) -> None:
        # Threads that still run end by themselves, and their reports are not read.
        for branch in self._branches_of.values():
            branch.is_left = True
        for pool in (self._post_threads, self._branch_threads):
            pool.shutdown(wait=False, cancel_futures=True)
