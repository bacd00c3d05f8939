"""A batch in one call of its handler: its items are started, asked, and counted.

`_batch_progress` has the rules. `_async_batch_run` runs a batch on an event loop, and `_thread_batch_run`
runs it with threads.
"""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from atomic.sdk._api import Outcome
from atomic.sdk._batch_progress import Ask, Progress
from atomic.sdk._batches import Batch, BatchPolicy
from atomic.sdk._context import StepCall
from atomic.sdk._identity import Position, Scope
from atomic.sdk._transport import TRANSIENT
from atomic.sdk.errors import Suspended

# Wait this long for an item while other items can start. It is enough for a step that is done or takes no
# time.
_BRIEF_S: Final = 0.05
# A handler still starts items for this long after its time for waiting is over. Its attempt must end too,
# so the next attempt starts the other items.
_STARTING_S: Final = 3.0
# An id takes about 60 bytes, and a value may have 256 KiB.
_LEFT_MAX: Final = 1000
# A replay waits this long for other ended items before it decides how the batch ended.
TOLD_S: Final = 0.1


@dataclass(slots=True, kw_only=True, eq=False)
class Branch:
    """An item that calls steps itself, in a scope of its own.

    `owner` is the handler's context. `work` is awaited; in a `def` handler it is called. `outer` is the
    branch that calls the batch. `is_left`: the batch has ended, and this branch had not. `steps` are the
    ids of its steps, and `ended_at` is the time at which the last of these steps ended.
    """

    owner: object
    work: Awaitable[Any] | Callable[[], Any]
    scope: Scope
    outer: "Branch | None" = None
    is_left: bool = False
    ended_at: str = ""
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

    `works` are the calls as the handler gave them: some of them may never be awaited. `cancels_rest`: the
    steps that have not ended are cancelled when the batch ends.
    """

    title: str
    count: int
    policy: BatchPolicy
    unit: Callable[[int], Unit]
    record: Position
    works: Sequence[Any] = ()
    cancels_rest: bool = False


class BatchRun(ABC):
    """A batch in one call of its handler. At most `window` items are asked at a time."""

    def __init__(
        self, batch: BatchCall, open_steps: Mapping[str, object], window: int, *, is_replay: bool
    ) -> None:
        self._batch = batch
        self._open = open_steps
        # True when the order of the ends counts: a replay finds several ended items at once.
        self._is_ordered = is_replay and batch.policy.may_end_early(batch.count)
        self.progress = Progress(batch.count, batch.policy, window)
        # The ids of the steps that were asked and have no outcome yet, by index.
        self.steps: dict[int, str] = {}
        self._branches_of: dict[int, Branch] = {}
        # The ids of the steps that had not ended when the batch ended.
        self.left: list[str] = []

    def _finished(self) -> Batch[Any]:
        """The outcome of the batch, which is over."""
        rest = self._unfinished_branches()
        within = [step for step, of in self._open.items() if any(branch.contains(of) for branch in rest)]
        self.left = [*self.steps.values(), *within]
        return self.progress.result()

    def _end(self) -> dict[str, Any]:
        """The end to record, with the steps of unfinished branches: no replay runs these branches."""
        left = [step_id for branch in self._unfinished_branches() for step_id in branch.steps]
        return self.progress.record(left[:_LEFT_MAX])

    def _unfinished_branches(self) -> list[Branch]:
        return [branch for at, branch in self._branches_of.items() if not self.progress.has_ended(at)]

    def _start(self, left_s: float) -> None:
        """Ask the items that may be asked now. The handler may still wait for `left_s` seconds."""
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
        """End the handler because of an error that is not transient."""

    def _take(self, ask: Ask, step_call: StepCall[Any], answer: Outcome | Suspended | Exception) -> None:
        """Take the answer to a post."""
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
