"""How far a batch is: which of its items may start, and when it has ended.


Nothing here waits or posts. Who does tells the outcome of each item.

Items start in the order of their indexes, so those that were started are always the first ones. An item
starts when few enough of the ones before it are unfinished. What has ended stays ended, so a replay starts
all of them again. Which items had ended when a batch ended early is another matter: more of them may have
ended by the time of a replay. Such an end is recorded as a value, and each replay takes it from there.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from atomic.sdk._batches import Batch, BatchItem, BatchPolicy, EndedBy, ItemStatus

Wake = Literal["any", "all", "settled"]
_LETTERS: Final[Mapping[ItemStatus, str]] = {
    "succeeded": "S",
    "failed": "F",
    "started": "L",
    "not_started": "N",
}
_ENDED: Final = frozenset("SF")
# Sorts behind every moment: when a branch without a step has ended is not recorded.
_LAST: Final = "~"


@dataclass(frozen=True, slots=True)
class Ask:
    """An item to be asked for its outcome now. `is_brief`: others want to start, so do not wait for it."""

    at: int
    is_brief: bool


@dataclass(frozen=True, slots=True)
class _End:
    result: Any
    error: Exception | None
    ended_at: str
    was_replayed: bool

    @property
    def letter(self) -> str:
        return _LETTERS["succeeded" if self.error is None else "failed"]


@dataclass(slots=True)
class Progress:
    """How far a batch is, in one call of its handler. At most `window` items are asked at a time."""

    count: int
    policy: BatchPolicy
    window: int
    _next: int = 0
    _asked: set[int] = field(default_factory=set)
    _branches: set[int] = field(default_factory=set)
    # Unfinished, and not asked now: those that were not waited for, and those that were, with the cause.
    _again: deque[int] = field(default_factory=deque)
    _parked: dict[int, Exception | None] = field(default_factory=dict)
    _ends: dict[int, _End] = field(default_factory=dict)
    _failures: int = 0
    # Once it has ended: the items that had ended by then.
    _counted: frozenset[int] = frozenset()
    # Once the end is recorded: the record, and the items of it that are still to be asked.
    _record: str | None = None
    _wanted: deque[int] = field(default_factory=deque)
    # The steps of branches that had not ended then.
    left_steps: tuple[str, ...] = ()
    _ended_by: EndedBy | None = None

    def next(self, *, may_start: bool, may_wait: bool) -> Ask | None:
        """The item to ask now, if there is one.

        `may_start`: there is time to start another item. A batch of which nothing is unfinished does so in
        any case, since a handler that is suspended waits for something. `may_wait`: there is time to wait.
        """
        if len(self._asked) >= self.window:
            return None
        if self._record is not None:
            return self._asking(self._wanted.popleft()) if self._wanted else None
        if self.may_end:
            return None
        unfinished = len(self._asked) + len(self._branches) + len(self._again) + len(self._parked)
        slots = self.count if self.policy.concurrency is None else self.policy.concurrency - unfinished
        startable = min(slots, self.count - self._next)
        if startable > 0 and (may_start or unfinished == 0):
            self._next += 1
            return self._asking(self._next - 1, is_brief=startable > self.window - len(self._asked))
        return self._asking(self._again.popleft()) if self._again and may_wait else None

    def _asking(self, index: int, *, is_brief: bool = False) -> Ask:
        self._parked.pop(index, None)
        self._asked.add(index)
        return Ask(index, is_brief)

    def runs(self, index: int) -> None:
        """An item is a branch, which goes on without taking part of the window."""
        self._asked.discard(index)
        self._branches.add(index)

    def unfinished(self, ask: Ask, cause: Exception | None) -> None:
        """An item has no outcome yet; `cause` is why, unless it is a live step."""
        self._asked.discard(ask.at)
        if ask.is_brief and cause is None:
            self._again.append(ask.at)
        else:
            self._parked[ask.at] = cause

    def ended(
        self,
        index: int,
        *,
        result: Any = None,
        error: Exception | None = None,
        ended_at: str = "",
        was_replayed: bool = True,
    ) -> None:
        """An item has its outcome."""
        self._asked.discard(index)
        self._branches.discard(index)
        self._ends[index] = _End(result, error, ended_at, was_replayed)
        self._failures += error is not None

    @property
    def may_end(self) -> bool:
        """Whether enough is known for the end of the batch."""
        return self._why_ended(len(self._ends), self._failures) is not None

    def end(self) -> None:
        """End the batch where it ended, in the order in which its items did.

        A handler that is called late finds more of them, and learns of them in any order.
        """
        if self._record is not None or self._ended_by is not None:
            return
        ended = failures = 0
        counted: list[int] = []
        for at in sorted(self._ends, key=lambda at: self._ends[at].ended_at or _LAST):
            counted.append(at)
            ended, failures = ended + 1, failures + (self._ends[at].error is not None)
            if (why := self._why_ended(ended, failures)) is not None:
                self._ended_by, self._counted = why, frozenset(counted)
                return

    def _why_ended(self, ended: int, failures: int) -> EndedBy | None:
        policy = self.policy
        if policy.tolerated_failures is not None and failures > policy.tolerated_failures:
            return "failures_exceeded"
        if ended == self.count:
            return "all_completed"
        if policy.min_successful is not None and ended - failures >= policy.min_successful:
            return "min_successful"
        return None

    @property
    def may_start_too_many(self) -> bool:
        """Whether a replay might start items before it finds that the batch has ended without them."""
        is_gradual = self.policy.concurrency is not None or self.count > self.window
        return is_gradual and self.policy.may_end_early(self.count)

    @property
    def is_over(self) -> bool:
        """Whether the batch has ended, and what it ended with is known."""
        if self._record is None:
            return self._ended_by is not None
        return all(index in self._ends for index, letter in enumerate(self._record) if letter in _ENDED)

    def left_before(self) -> list[int]:
        """The items that an earlier attempt started, and that this one did not ask."""
        letters = self._record or ""
        known = self._ends.keys() | self._asked | self._branches | self._parked.keys() | {*self._again}
        left = _LETTERS["started"]
        return [at for at, letter in enumerate(letters) if letter == left and at not in known]

    def has_ended(self, at: int) -> bool:
        """Whether an item has its outcome."""
        return at in self._ends

    @property
    def has_unfinished(self) -> bool:
        """Whether items without an outcome are not asked now."""
        return bool(self._again or self._parked)

    @property
    def cause(self) -> Exception | None:
        """What else than a live step keeps an item from its outcome."""
        return next((cause for cause in self._parked.values() if cause is not None), None)

    @property
    def wake(self) -> Wake:
        """When a handler that waits for the unfinished items has something to do."""
        if self._next < self.count or self.policy.min_successful is not None:
            return "any"
        return "settled" if self.policy.tolerated_failures is None else "all"

    @property
    def ended_at(self) -> str:
        """When the last of the items that count has ended; it sorts."""
        return max((end.ended_at for end in self._ends.values()), default="")

    @property
    def was_replayed(self) -> bool:
        """Whether all of them had ended before they were asked for."""
        return all(end.was_replayed for end in self._ends.values())

    @property
    def needs_record(self) -> bool:
        """Whether a replay might find another end."""
        if self._record is not None:
            return False
        return (
            self._ended_by == "failures_exceeded" or (self.policy.min_successful or self.count) < self.count
        )

    def record(self) -> dict[str, Any]:
        """The end as it is recorded."""
        letters = [_LETTERS[self._status(index)] for index in range(self.count)]
        return {"endedBy": self._ended_by, "items": "".join(letters)}

    def adopt(self, record: Mapping[str, Any]) -> None:
        """Take the end that was recorded first.

        When one of its failed items has succeeded since, somebody has redriven it: that end is no more, and
        the batch ends as it does now.
        """
        letters: str = record["items"]
        if any(end.letter != letters[at] for at, end in self._ends.items() if letters[at] in _ENDED):
            letters = self.record()["items"]
        else:
            self._ended_by = record["endedBy"]
            self.left_steps = tuple(record["left"])
        self._record = letters
        known = self._ends.keys() | self._asked | self._branches
        self._wanted.extend(at for at, each in enumerate(letters) if each in _ENDED and at not in known)

    def result(self) -> Batch[Any]:
        """The batch that has ended."""
        assert self._ended_by is not None, "it is over"
        items = []
        for index in range(self.count):
            status = self._status(index)
            end = self._ends[index] if _LETTERS[status] in _ENDED else None
            result, error = (None, None) if end is None else (end.result, end.error)
            items.append(BatchItem(index=index, status=status, result=result, error=error))
        return Batch(items=tuple(items), ended_by=self._ended_by)

    def _status(self, index: int) -> ItemStatus:
        if self._record is not None and self._record[index] not in _ENDED:
            return "started" if self._record[index] == _LETTERS["started"] else "not_started"
        if index in self._ends and (self._record is not None or index in self._counted):
            return "succeeded" if self._ends[index].error is None else "failed"
        return "started" if index < self._next else "not_started"
