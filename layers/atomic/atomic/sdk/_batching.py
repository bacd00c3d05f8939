"""What batches need of both contexts: their calls are planned here, and asked for their outcomes.

`_batches` has the rules. An event loop (`_async_batches`) and threads (in `context`) run them.
"""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final

from atomic.sdk._api import Key, Outcome, StepOptions, cancel_step, check_options
from atomic.sdk._batch_progress import Ask, Progress, Wake
from atomic.sdk._batches import FIRST, Batch, BatchPolicy, PolicyOptions, listed, policy_of
from atomic.sdk._conditions import Begin, Check, Condition, Pause, UntilOptions, poll
from atomic.sdk._context import NO_NAMES, Call, Names, Step, StepCall
from atomic.sdk._identity import Position, Scope, step_key
from atomic.sdk._results import Results
from atomic.sdk._transport import TRANSIENT, Flow
from atomic.sdk._value_steps import ValueCall, ValueSteps
from atomic.sdk._values import UNDECLARED
from atomic.sdk.async_client import AsyncClient
from atomic.sdk.client import Client
from atomic.sdk.errors import AtomicError, InvalidRequestError, Suspended

# An item that others wait behind is asked for its outcome so briefly: long enough for a step that is done,
# or takes no time.
_BRIEF_S: Final = 0.05
# How long a handler whose time for waiting is over goes on to start items. The rest is started when it is
# called again, since its attempt has an end as well.
_STARTING_S: Final = 3.0
# Proxies take some 4 KiB of headers. A server that knows no `*` wakes on one of the others.
_NAMED_MAX: Final = 40
_EVERY_CHILD: Final = "*"
_UNTIL: Final[Mapping[str, Any]] = {"back_off": 1.0, "deadline": None, "max_attempts": None}


@dataclass(slots=True, kw_only=True, eq=False)
class Branch:
    """An item that calls steps itself: what to await (in a `def` handler: to call), and its own scope.

    `owner` is the handler's context. `outer` is the branch that the batch is called in. `is_left`: the
    batch has ended without it. `steps` are the ids of its steps, and `ended_at` is when the last of them
    has ended.
    """

    owner: object
    work: Awaitable[Any] | Callable[[], Any]
    scope: Scope
    outer: "Branch | None" = None
    is_left: bool = False
    ended_at: str = ""
    steps: list[str] = field(default_factory=list)

    def calls(self, step_id: str) -> None:
        """A step of the branch, or of one within it, is called."""
        self.steps.append(step_id)
        if self.outer is not None:
            self.outer.calls(step_id)

    def went_on(self, outcome: Outcome) -> None:
        """A step of the branch, or of one within it, has its outcome."""
        self.ended_at = max(self.ended_at, outcome.ended_at)
        if self.outer is not None:
            self.outer.went_on(outcome)

    def contains(self, other: object) -> bool:
        """Whether another one is this, or belongs to a batch that is called in it."""
        while isinstance(other, Branch) and other is not self:
            other = other.outer
        return other is self

    @property
    def is_over(self) -> bool:
        """Whether nothing that it does counts."""
        return self.is_left or (self.outer is not None and self.outer.is_over)


class ItemOptions(StepOptions, total=False):
    """Options of each step of a map; `name` is what they are called."""

    name: str | None


class MapOptions(ItemOptions, PolicyOptions, total=False):
    """The policy of a map, and the options of each of its steps."""


Unit = StepCall[Any] | Branch


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchCall:
    """A batch with its identity. `unit` makes an item, and `record` is where an early end is recorded.

    `works` are what its items were given as, when not all of them may come to be awaited. `cancels_rest`:
    what has not ended with it is cancelled.
    """

    title: str
    count: int
    policy: BatchPolicy
    unit: Callable[[int], Unit]
    record: Position
    works: Sequence[Any] = ()
    cancels_rest: bool = False


class BatchingContext(ValueSteps, ABC):
    """A context that runs batches."""

    def __init__(
        self,
        call: Call,
        client: Client | AsyncClient,
        wait_s: float,
        names: Names = NO_NAMES,
        build: str = "",
    ) -> None:
        super().__init__(call, client, wait_s, names, build)
        # Those that have not ended.
        self._runs: list[BatchRun] = []

    def _plan_map(
        self,
        items: Iterable[Any],
        step: Step,
        key: Callable[[Any], Key] | None,
        result: Any,
        options: MapOptions,
    ) -> BatchCall:
        check_options(options, MapOptions)
        given: Mapping[str, Any] = options
        own: Any = {name: value for name, value in given.items() if name in ItemOptions.__annotations__}
        rest: Any = {name: value for name, value in given.items() if name not in own}
        policy = policy_of(rest)
        known, keys = listed(items, key)
        policy.check(len(known))
        for item in known:
            # Nothing is posted before each of them is known to have a form in JSON.
            self._written(step, item)
        scope = self._batch_scope("map")

        def unit(index: int) -> StepCall[Any]:
            return self._plan(step, known[index], own, result, scope.below(keys[index]))

        name = step if isinstance(step, str) else self._served(step).name
        return self._batch_call(f"map {name!r}", len(known), policy, unit, scope)

    def _plan_units(
        self,
        kind: str,
        calls: Sequence[StepCall[Any] | Any],
        policy: BatchPolicy,
        names: Sequence[str] = (),
    ) -> BatchCall:
        policy.check(len(calls))
        scope = self._batch_scope(kind)
        outer = self._branch()

        def unit(index: int) -> Unit:
            call = calls[index]
            if isinstance(call, StepCall):
                return call
            part = names[index] if names else str(index)
            return Branch(owner=self, work=call, scope=scope.below(part), outer=outer)

        return replace(self._batch_call(kind, len(calls), policy, unit, scope), works=calls)

    def _batch_scope(self, kind: str) -> Scope:
        """The scope of the next batch of a kind."""
        with self._lock:
            return self._scope().below(f"{kind}{self._position(kind).number}")

    def _batch_call(
        self, title: str, count: int, policy: BatchPolicy, unit: Callable[[int], Unit], scope: Scope
    ) -> BatchCall:
        record = Position(scope.path)
        return BatchCall(title=title, count=count, policy=policy, unit=unit, record=record)

    def _plan_record(self, batch: BatchCall, end: Any) -> StepCall[Any]:
        name = batch.title.partition(" ")[0]
        return self._plan_recorded(name, f"end of {name}", batch.record, end)

    def _plan_recorded(self, name: str, step_name: str, position: Position, value: Any) -> StepCall[Any]:
        step_call = self._value_call(name, step_name, step_key(self.idempotency_key, position), UNDECLARED)
        return replace(step_call, document={**step_call.document, "payload": value})

    @abstractmethod
    def _branch(self) -> Branch | None:
        """The branch of a batch that calls; None outside of batches."""

    def _plan_race(self, calls: Mapping[str, Any]) -> BatchCall:
        if not calls:
            raise InvalidRequestError("race: give at least one call; a race of none has no winner.")
        names = [f"/{name}" for name in calls]
        batch = self._plan_units("race", list(calls.values()), FIRST, names)
        return replace(batch, cancels_rest=True)

    def _plan_until(self, check: Step, payload: Any, state: Any, options: UntilOptions) -> Condition:
        check_options(options, UntilOptions)
        if "every" not in options:
            raise InvalidRequestError("every: say how many seconds are between two checks.")
        asked = poll(payload, state, **{**_UNTIL, **options})
        return Condition(check=check, poll=asked, scope=self._batch_scope("until"))

    def _plan_request(self, condition: Condition, request: Check | Pause | Begin) -> StepCall[Any]:
        """The step of a request; a check that is a function has none."""
        if isinstance(request, Pause):
            return self._plan_sleep(request.seconds)
        if isinstance(request, Begin):
            return self._plan_recorded("until", "begin of until", Position(condition.scope.path), None)
        return self._plan(condition.check, request.payload, {}, None, condition.scope)

    def _plan_check(self, condition: Condition, check: Check) -> ValueCall:
        """The value of a check that is a function."""
        name = getattr(condition.check, "__name__", "check")
        return self._plan_value(name, partial(condition.run, check), None, None)

    def _is_function(self, condition: Condition) -> bool:
        """Whether the check is a function that is not served, so that it runs in the handler."""
        return callable(condition.check) and condition.check not in self._names

    def _left_before(self, batch: BatchCall, run: "BatchRun", results: Results) -> list[str]:
        """The ids of the live steps that the batch had left behind in an earlier attempt."""
        units = [batch.unit(at) for at in run.progress.left_before()]
        ids = [unit.id for unit in units if isinstance(unit, StepCall)]
        return [step_id for step_id in (*ids, *run.progress.left_steps) if results.is_live(step_id)]

    def _leaving(self, step_id: str) -> Flow[bool]:
        """Cancel a step that lost its race; False when it could not be, and goes on."""
        patience_s = min(self._client.patience_s, max(0.0, self._left_s()))
        try:
            yield from cancel_step(self._client.client_id, step_id, patience_s, self._path.headers)
        except AtomicError:
            return False
        return True

    def _owner(self, step_id: str) -> Branch | None:
        if (branch := self._branch()) is not None:
            branch.calls(step_id)
        return branch

    def _went_on(self, outcome: Outcome) -> None:
        """A call has its outcome; the branch that made it goes on."""
        if (branch := self._branch()) is not None:
            branch.went_on(outcome)

    def _suspension(self, cause: Exception | None) -> Suspended:
        """The end of a handler that is suspended: what it waits for, and when it is to be called again."""
        waiting_for, wake = self.unfinished, self._wake()
        if wake != "any" and len(waiting_for) > _NAMED_MAX:
            # Of more than go into a header the first ones do, unless all that are live are waited for.
            every = () if self._has_left else (_EVERY_CHILD,)
            waiting_for = [*every, *waiting_for[: _NAMED_MAX - 1]]
        return Suspended(cause, waiting_for, wake)

    def _wake(self) -> Wake:
        """As the batch says that all open steps belong to; otherwise any of them may be of use."""
        open_steps = self._open.keys()
        for run in self._runs:
            if open_steps and open_steps == set(run.steps.values()):
                return run.progress.wake
        return "any"


# An id takes some 60 bytes, and a value 256 KiB.
_LEFT_MAX: Final = 1000
# How long a replay waits for what else had ended before it decides how a batch did.
TOLD_S: Final = 0.1


class BatchRun(ABC):
    """A batch in one call of its handler. At most `window` items are asked at a time."""

    def __init__(
        self, batch: BatchCall, open_steps: Mapping[str, object], window: int, *, is_replay: bool
    ) -> None:
        self._batch = batch
        self._open = open_steps
        # Then it matters which items ended first, and a replay finds several at once.
        self._is_ordered = is_replay and batch.policy.may_end_early(batch.count)
        self.progress = Progress(batch.count, batch.policy, window)
        # The ids of the steps that were asked and have no outcome yet, by index.
        self.steps: dict[int, str] = {}
        self._branches_of: dict[int, Branch] = {}
        # What had not ended when the batch did.
        self.left: list[str] = []

    def _finished(self) -> Batch[Any]:
        """The batch, which is over."""
        rest = self._unfinished_branches()
        within = [step for step, of in self._open.items() if any(branch.contains(of) for branch in rest)]
        self.left = [*self.steps.values(), *within]
        return self.progress.result()

    def _end(self) -> dict[str, Any]:
        """How the batch ended, with the steps of branches that no replay will run."""
        left = [step_id for branch in self._unfinished_branches() for step_id in branch.steps]
        return {**self.progress.record(), "left": left[:_LEFT_MAX]}

    def _unfinished_branches(self) -> list[Branch]:
        return [branch for at, branch in self._branches_of.items() if not self.progress.has_ended(at)]

    def _start(self, left_s: float) -> None:
        """Ask for what is to be asked now; `left_s`: for how long the handler may still wait."""
        may_start, may_wait = left_s > -_STARTING_S, left_s > _BRIEF_S
        while (ask := self.progress.next(may_start=may_start, may_wait=may_wait)) is not None:
            unit = self._batch.unit(ask.at)
            if isinstance(unit, Branch):
                self._branches_of[ask.at] = unit
                self._run_branch(ask.at, unit)
            else:
                self.steps[ask.at] = unit.id
                self._ask(ask, unit.waited_for(_BRIEF_S) if ask.is_brief else unit)

    @abstractmethod
    def _run_branch(self, index: int, branch: Branch) -> None:
        """Run an item that calls steps itself."""

    @abstractmethod
    def _ask(self, ask: Ask, step_call: StepCall[Any]) -> None:
        """Post the step of an item."""

    @abstractmethod
    def _suspend(self, cause: Exception) -> None:
        """End the handler for a cause that does not pass."""

    def _take(self, ask: Ask, step_call: StepCall[Any], answer: Outcome | Suspended | Exception) -> None:
        """The answer to a post."""
        if isinstance(answer, Suspended):
            self._take_unfinished(ask, answer.cause)
            return
        self.steps.pop(ask.at, None)
        if isinstance(answer, Exception):
            self.progress.ended(ask.at, error=answer)
        else:
            self._take_outcome(ask.at, step_call, answer)

    def _take_outcome(self, index: int, step_call: StepCall[Any], outcome: Outcome) -> None:
        at, was_replayed = outcome.ended_at, outcome.was_replayed
        try:
            result = step_call.read(outcome.unwrap())
        except Exception as error:
            self.progress.ended(index, error=error, ended_at=at, was_replayed=was_replayed)
        else:
            self.progress.ended(index, result=result, ended_at=at, was_replayed=was_replayed)

    def _take_unfinished(self, ask: Ask, cause: Exception | None) -> None:
        self.progress.unfinished(ask, cause)
        if cause is not None and not isinstance(cause, TRANSIENT):
            self._suspend(cause)
