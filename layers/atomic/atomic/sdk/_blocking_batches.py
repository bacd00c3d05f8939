"""The batches, races and conditions of a `def` handler."""

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Literal, TypeVar, Unpack, overload

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
from atomic.sdk._identity import Scope
from atomic.sdk._thread_batch_run import ThreadBatchRun
from atomic.sdk._value_calls import BlockingValues

T = TypeVar("T")


class BlockingBatches(BatchingContext, BlockingValues, ABC):
    """The methods `map`, `parallel`, `gather`, `race` and `until` of a `def` handler's context."""

    # Contains the branch that the current thread runs.
    _local: threading.local

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
        return self._run_batch(self._plan_map(items, step, key, result, options))

    def parallel(
        self,
        calls: Iterable[StepCall[T] | Callable[[], T]],
        **policy: Unpack[PolicyOptions],
    ) -> Batch[T]:
        """Make calls side by side under a policy, 32 at a time.

        - `calls`: a list of calls that `call` returned, or of functions without arguments, which may call
          several steps.
        - `concurrency`: how many of them may be unfinished at a time (default: all). When one of them ends,
          the next one starts, in the order of the calls.
        - `min_successful`: end when this many calls have succeeded (default: when all have ended).
        - `tolerated_failures`: end when more calls than this have failed (default: failures do not end it).

        Returns a `Batch`: the outcome of each call, in the order of the calls. Calls that were not started
        are not posted. When the batch ends, unfinished steps go on, and nothing waits for them; an
        unfinished function ends at its next call of a step. If the batch may end before all of its calls,
        its end is recorded, and each replay gets the same end.

        Raises `InvalidRequestError`, which is a ValueError, for a wrong option, or too many calls. Anything
        in the list that is not such a call fails the workflow.
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

        - `calls`: calls that `call` returned, or functions without arguments, which may call several steps.
          Give each of them as an argument of its own.
        - `return_exceptions`: put the errors of failed calls among the results (default False: raise the
          first error at once, while the other steps go on).

        If the handler waits for nothing else, it is not called again for each call. It is called again when
        all calls have succeeded or one has failed; with `return_exceptions`, when all have ended.

        Raises the error of the first call that fails.
        """
        policy = ALL if return_exceptions else ALL_SUCCESSFUL
        batch = self._run_batch(self._plan_units("gather", self._taken("gather", calls), policy))
        return gathered(batch, return_exceptions=return_exceptions)

    def race(self, calls: Mapping[str, StepCall[T] | Callable[[], T]]) -> tuple[str, T]:
        """Make calls side by side, and wait for the first one that ends.

        - `calls`: names, each with a call that `call` returned, or with a function without arguments, which
          may call several steps.

        Returns the name and the result of the first call that ends. This call is recorded, and each replay
        gets the same one. The other calls are cancelled: their steps, and the steps that these started.

        Raises the error of the first call that ends, and `InvalidRequestError`, a ValueError, when there
        are no calls.
        """
        taken = dict(zip(calls, self._taken("race", calls.values()), strict=True))
        return winner(self._run_batch(self._plan_race(taken)), taken)

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

        Returns the result of the last check; with `state`, the last state. The condition is met when a
        check returns a true value; with `state`, when `is_met` is True.

        Raises `ConditionNotMetError` when the deadline is over or no attempt is left, the error of a check,
        and `InvalidRequestError`, a ValueError, for a wrong option.
        """
        condition = self._plan_until(check, payload, state, options)
        found: Recorded | None = None
        while True:
            try:
                request = condition.poll.send(found) if found else next(condition.poll)
            except StopIteration as end:
                return end.value
            found = self._result(condition, request)

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
            self._take(call)
        return taken

    def _run_batch(self, batch: BatchCall) -> Batch[Any]:
        self._check()
        if not batch.count:
            return EMPTY
        run = ThreadBatchRun(batch, self._open, self._ask, self._enter, is_replay=self.attempt > 1)
        self._runs.append(run)
        with self._suspending():
            if (end := self._earlier_end(batch, run.progress.may_start_too_many)) is not None:
                run.progress.adopt(end)
            ended = run.run(self._left_s, partial(self._recorded, batch))
        self._runs.remove(run)
        live = [*run.left, *self._left_before(batch, run, self._known())]
        if batch.cancels_rest:
            for step_id in live:
                self._client.run_flow(self._leaving(step_id))
        self._leave(live)
        return ended

    def _earlier_end(self, batch: BatchCall, must_know: bool) -> Any:
        """The end that an earlier attempt recorded; None when it is not known."""
        if not batch.policy.may_end_early(batch.count):
            return None
        record = self._plan_record(batch, None)
        found = self._found(record) if must_know else self._earlier(self._known(), record)
        return None if found is None else found.unwrap()

    def _recorded(self, batch: BatchCall, end: Any) -> Any:
        return self._settle(self._plan_record(batch, end)).unwrap()

    def _result(self, condition: Condition, request: Request) -> Recorded:
        """Carry out a request of a condition, and return its recorded result."""
        if isinstance(request, Check) and self._is_function(condition):
            outcome = self._asked_value(self._plan_check(condition, request))
            return Recorded(outcome.unwrap(), outcome.ended_at)
        step_call = self._plan_request(condition, request)
        outcome = self._settle(step_call)
        return Recorded(step_call.read(outcome.unwrap()), outcome.ended_at)

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

    @abstractmethod
    def _take(self, call: Any) -> None:
        """Note that a batch makes this call."""

    @abstractmethod
    def _ask(self, step_call: StepCall[Any]) -> Outcome: ...

    @abstractmethod
    def _settle(self, step_call: StepCall[Any]) -> Outcome: ...
