"""A batch in one call of its handler: starts the items, asks for their outcomes, and counts them.

The rules are in `batches`. `BatchRun` applies them, and uses neither tasks nor threads. `TaskRun` (in
`async_batches`) runs the items of an `async def` handler on its event loop, and `ThreadRun` (in
`blocking_batches`) those of a `def` handler in threads.
"""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any, Final

from atomic.sdk._calls.batches import Batch, BatchPolicy, DueItem, Progress
from atomic.sdk._calls.context import StepCall
from atomic.sdk._calls.identity import Position, Scope
from atomic.sdk._wire.api import Outcome
from atomic.sdk._wire.suspension import Suspended
from atomic.sdk._wire.transport import TRANSIENT
from atomic.sdk.errors import RunCancelledError

# Wait this long for an item while other items can start: enough for a step that is done or takes no time.
_BRIEF_S: Final = 0.05
# After its time for waiting, a handler starts items for this long only, because its attempt must end.
_STARTING_S: Final = 3.0
# The record of an end holds these ids: an id takes about 60 bytes, and ends are to stay small.
_LEFT_MAX: Final = 1000
# A replay waits this long for other ended items before it decides how the batch ended.
TOLD_S: Final = 0.1


@dataclass(slots=True, kw_only=True, eq=False)
class Branch:
    """An item that calls steps itself, in a scope of its own.

    `owner` is the handler's context. `work` is awaited; in a `def` handler it is called. `outer` is the
    branch that calls the batch. `label` is its name for people. `may_be_left`: the batch may end before
    this branch; `is_left`: it has. `suspended`: it has to wait, and its further calls have no effect.
    `is_told` is explained in `tell`. `steps` are the ids of its steps, and `ended_at` is the time at which
    the last of them ended.
    """

    owner: object
    work: Awaitable[Any] | Callable[[], Any]
    scope: Scope
    outer: "Branch | None" = None
    label: str = ""
    may_be_left: bool = False
    is_left: bool = False
    suspended: Suspended | None = None
    ended_at: str = ""
    is_told: bool = False
    steps: list[str] = field(default_factory=list)

    def calls(self, step_id: str) -> None:
        """Note that this branch, or a branch within it, calls a step."""
        self.steps.append(step_id)
        if self.outer is not None:
            self.outer.calls(step_id)

    def went_on(self, outcome: Outcome) -> None:
        """Note the outcome of a step of this branch, or of a branch within it."""
        self.ended_at = max(self.ended_at, outcome.ended_at)
        if self.outer is not None:
            self.outer.went_on(outcome)

    def tell(self) -> None:
        """Note that a call has raised because the run is cancelled; outer branches will get its error."""
        self.is_told = True
        if self.outer is not None:
            self.outer.tell()

    def contains(self, other: object) -> bool:
        """Whether `other` is this branch, or a branch within it."""
        while isinstance(other, Branch) and other is not self:
            other = other.outer
        return other is self

    @property
    def is_over(self) -> bool:
        """Whether its batch, or the batch of an outer branch, has ended without it."""
        return self.is_left or (self.outer is not None and self.outer.is_over)


Unit = StepCall[Any] | Branch


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchCall:
    """A batch with its identity. `unit` makes an item. An early end is recorded at the position `record`.

    `title` and `name` name the batch for people, and `names` name its items. `places` are the indexes of
    the items in the order in which they start, and `keys` are their keys. `works` are the calls: some may
    never be awaited. `cancels_rest`: the steps that have not ended are cancelled when the batch ends.
    """

    title: str
    kind: str
    name: str
    count: int
    policy: BatchPolicy
    unit: Callable[[int], Unit]
    record: Position
    names: Sequence[str] = ()
    places: Sequence[int] = ()
    keys: Sequence[str] = ()
    works: Sequence[Any] = ()
    cancels_rest: bool = False


class BatchRun(ABC):
    """A batch in one call of its handler. At most `window` posts are under way at a time."""

    def __init__(
        self, batch: BatchCall, open_steps: Mapping[str, object], fetched: Set[str] | None, window: int
    ) -> None:
        self._batch = batch
        self._open = open_steps
        # In a replay, the ended steps whose outcomes have not arrived: the order of ends counts.
        self._fetched = fetched if batch.policy.may_end_early(batch.count) else None
        self.progress = Progress(batch.count, batch.policy, window)
        # The ids of the steps that were asked for their outcome and have none yet, by index.
        self.steps: dict[int, str] = {}
        self._branches_of: dict[int, Branch] = {}
        self._failure: BaseException | None = None
        self._told: RunCancelledError | None = None
        self.left: list[str] = []  # ids of the steps that had not ended when the batch ended

    async def run(self, left_s: Callable[[], float], record: Callable[[Any], Awaitable[Any]]) -> Batch[Any]:
        """Run the batch to its end. `record` posts this end, and returns the one recorded first."""
        try:
            while True:
                self._start(left_s())
                if self._failure is not None:
                    raise self._failure
                if self.progress.may_end:
                    if self._fetched is not None:
                        await self._await_others()
                        while not self._fetched.isdisjoint(self._asked_steps()):
                            await self._await_answer()
                        self._fetched = None
                    self.progress.end()
                if not self.progress.is_over:
                    await self._await_answer()
                elif self.progress.needs_record:
                    self.progress.adopt(await record(self._end()))
                else:
                    return self._finished()
        finally:
            await self._stop()

    def _finished(self) -> Batch[Any]:
        """The outcome of the batch, which is over."""
        rest = self._unfinished_branches()
        within = [step for step, of in self._open.items() if any(branch.contains(of) for branch in rest)]
        self.left = [*self.steps.values(), *within]
        if self._told is not None:
            raise self._told
        return self.progress.result(self._batch.names, self._batch.places)

    def _end(self) -> dict[str, Any]:
        """The end to record, with the steps of unfinished branches: no replay runs these branches."""
        return self.progress.record(list(islice(self._steps_of_branches(), _LEFT_MAX)))

    def _asked_steps(self) -> Iterator[str]:
        return chain(self.steps.values(), self._steps_of_branches())

    def _steps_of_branches(self) -> Iterator[str]:
        return (step_id for branch in self._unfinished_branches() for step_id in branch.steps)

    def _unfinished_branches(self) -> list[Branch]:
        return [branch for at, branch in self._branches_of.items() if not self.progress.has_ended(at)]

    def _start(self, left_s: float) -> None:
        """Ask for outcomes, as far as allowed now. The handler may still wait for `left_s` seconds."""
        may_start, may_wait = left_s > -_STARTING_S, left_s > _BRIEF_S
        while (due := self.progress.next(may_start=may_start, may_wait=may_wait)) is not None:
            if self._told is not None:
                # Nothing new begins when the run is cancelled; what goes on may undo what it did.
                self._take(due, self._told)
                continue
            unit = self._batch.unit(due.at)
            if isinstance(unit, Branch):
                self._branches_of[due.at] = unit
                self.progress.runs(due.at)
                self._run_branch(due, unit)
            else:
                self.steps[due.at] = unit.id
                self._post(due, unit.waited_for(_BRIEF_S) if due.is_brief else unit)

    def _branch_ended(self, due: DueItem, branch: Branch, result: Any, error: BaseException | None) -> None:
        self._take(due, error, result=result, ended_at=branch.ended_at)

    def _answered(
        self, due: DueItem, step_call: StepCall[Any], outcome: Outcome | None, error: BaseException | None
    ) -> None:
        """Take the answer to a post."""
        if not isinstance(error, Suspended):
            self.steps.pop(due.at, None)
        if outcome is None:
            self._take(due, error)
            return
        result, failed = None, None
        try:
            result = step_call.result_of(outcome)
        except Exception as raised:
            failed = raised
        self._take(due, failed, result=result, ended_at=outcome.ended_at, was_replayed=outcome.was_replayed)

    def _take(self, due: DueItem, error: BaseException | None, **end: Any) -> None:
        """Note the outcome of an item, or why it has none."""
        if isinstance(error, Suspended):
            self.progress.unfinished(due, error.cause)
            if error.cause is not None and not isinstance(error.cause, TRANSIENT):
                self._suspend(error.cause)
        elif error is None or isinstance(error, Exception):
            self._told = error if isinstance(error, RunCancelledError) else self._told
            self.progress.ended(due.at, error=error, **end)
        else:
            self._failure = self._failure or error

    @abstractmethod
    def _run_branch(self, due: DueItem, branch: Branch) -> None:
        """Run an item that calls steps itself. `_branch_ended` gets its result or its error."""

    @abstractmethod
    def _post(self, due: DueItem, step_call: StepCall[Any]) -> None:
        """Post the step of an item. `_answered` gets the answer."""

    @abstractmethod
    def _suspend(self, cause: Exception) -> None:
        """End the handler because of an error that is not transient."""

    @abstractmethod
    async def _await_answer(self) -> None:
        """Wait until there is a report about an item."""

    @abstractmethod
    async def _await_others(self) -> None:
        """Wait briefly for other items that may have ended earlier."""

    @abstractmethod
    async def _stop(self) -> None:
        """Cancel the posts and branches that have not ended with the batch."""
