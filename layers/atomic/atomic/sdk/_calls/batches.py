"""Batches: calls side by side under a policy, their progress, and their outcomes.

`Progress` tells which items may start, and when the batch has ended. Nothing in this module waits or posts.
The caller does both, and reports the outcome of each item.

Items start in the order of their indexes, so the started items are always the first ones. An item starts
when the number of unfinished items before it is small enough. An ended item stays ended, so a replay starts
the same items again. An early end of a batch is different: at a replay, more items may have ended than at
that time. So an early end is recorded as a value, and each replay reads it.
"""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Generic, Literal, TypedDict, TypeVar, get_args

from atomic.protocol.enums import WakePolicy
from atomic.sdk._wire.api import check_number
from atomic.sdk.errors import InvalidRequestError, UnavailableError

T = TypeVar("T")
ItemStatus = Literal["succeeded", "failed", "started", "not_started"]
EndedBy = Literal["all_completed", "min_successful", "failures_exceeded"]

# The record of an early end has a letter for each item.
ITEMS_MAX: Final = 100_000
_LETTERS: Final[Mapping[ItemStatus, str]] = {
    "succeeded": "S",
    "failed": "F",
    "started": "L",
    "not_started": "N",
}
_ENDED: Final = frozenset("SF")
NOT_STARTED: Final = _LETTERS["not_started"]
# Sorts after every time. A branch without steps gets it, because the time of its end is not recorded.
_LAST: Final = "~"


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchItem(Generic[T]):
    """The outcome of one item of a batch.

    - `index`: its place among the items, from 0.
    - `status`: "succeeded", "failed", "started" (not ended when the batch ended) or "not_started".
    - `result`: the result of an item that has succeeded, else None.
    - `error`: the error of an item that has failed, else None.
    - `name`: its name, where the batch was given names (default: empty).
    """

    index: int
    status: ItemStatus
    result: T | None = None
    error: Exception | None = None
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch(Generic[T]):
    """The outcome of a batch. `len`, an index and a loop give its items, in order.

    - `items`: the items.
    - `ended_by`: why the batch ended: "all_completed", "min_successful" (enough items have succeeded) or
      "failures_exceeded" (more items have failed than `tolerated_failures`).
    """

    items: tuple[BatchItem[T], ...]
    ended_by: EndedBy

    @property
    def succeeded(self) -> tuple[BatchItem[T], ...]:
        """The items that have succeeded."""
        return self._of("succeeded")

    @property
    def failed(self) -> tuple[BatchItem[T], ...]:
        """The items that have failed."""
        return self._of("failed")

    @property
    def counts(self) -> dict[ItemStatus, int]:
        """The number of items with each status."""
        return {status: len(self._of(status)) for status in get_args(ItemStatus)}

    def results(self) -> list[T]:
        """The results of the items that have succeeded, in order.

        Raises the error of the first item that has failed.
        """
        for item in self.failed:
            assert item.error is not None, "an item that has failed has an error"
            raise item.error
        results: list[Any] = [item.result for item in self.succeeded]
        return results

    def __getitem__(self, index: int) -> BatchItem[T]:
        return self.items[index]

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[BatchItem[T]]:
        return iter(self.items)

    def _of(self, status: ItemStatus) -> tuple[BatchItem[T], ...]:
        return tuple(item for item in self.items if item.status == status)


class PolicyOptions(TypedDict, total=False):
    """When a batch starts its items, and when it ends early; see `BatchPolicy`. A share: "25%"."""

    concurrency: int | None
    min_successful: int | None
    tolerated_failures: int | str | None


EMPTY: Final[Batch[Any]] = Batch(items=(), ended_by="all_completed")


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchPolicy:
    """How many items may be unfinished at a time, and when the batch ends before all items have ended.

    - `concurrency`: the largest number of unfinished items (None: no limit).
    - `min_successful`: end when this many items have succeeded (None: when all have ended).
    - `tolerated_failures`: end when more items than this have failed (None: failures do not end it).
    """

    concurrency: int | None = None
    min_successful: int | None = None
    tolerated_failures: int | None = None

    def may_end_early(self, count: int) -> bool:
        """Whether a batch of `count` items may end before all of them have ended."""
        return self.tolerated_failures is not None or (self.min_successful or count) < count

    def check(self, count: int) -> None:
        """Raise InvalidRequestError, a ValueError, if a batch of `count` items cannot have this policy."""
        for name, least in (("concurrency", 1), ("min_successful", 1), ("tolerated_failures", 0)):
            if (number := getattr(self, name)) is not None:
                check_number(name, number, least)
        if count > ITEMS_MAX:
            raise InvalidRequestError(f"items: a batch has {ITEMS_MAX} at most; make several batches.")
        if self.min_successful is not None and self.min_successful > count:
            raise InvalidRequestError(
                f"min_successful: {self.min_successful} of {count} items can never succeed; use fewer."
            )


ALL: Final = BatchPolicy()
ALL_SUCCESSFUL: Final = BatchPolicy(tolerated_failures=0)
FIRST_ENDED: Final = BatchPolicy(min_successful=1, tolerated_failures=0)


@dataclass(frozen=True, slots=True)
class DueItem:
    """An item to ask for its outcome now. `is_brief`: wait only briefly, because other items can start."""

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
    """The progress of a batch in one call of its handler. At most `window` items are asked at a time."""

    count: int
    policy: BatchPolicy
    window: int
    _next: int = 0
    _asked: set[int] = field(default_factory=set)
    _branches: set[int] = field(default_factory=set)
    # Unfinished items that are not asked now. Those in `_again` were asked only briefly. The others are in
    # `_parked`, with the cause.
    _again: deque[int] = field(default_factory=deque)
    _parked: dict[int, Exception | None] = field(default_factory=dict)
    # Whether items do not start only because the time of the handler is over.
    _is_late: bool = False
    _ends: dict[int, _End] = field(default_factory=dict)
    _failures: int = 0
    # Set when the batch ends: the items that count as ended.
    _counted: frozenset[int] = frozenset()
    # Set when the end is recorded: the record, and its ended items without an outcome or a question.
    _record: str | None = None
    _missing: set[int] = field(default_factory=set)
    _wanted: deque[int] = field(default_factory=deque)
    # The steps of the branches that had not ended at the recorded end.
    left_steps: tuple[str, ...] = ()
    _ended_by: EndedBy | None = None

    def next(self, *, may_start: bool, may_wait: bool) -> DueItem | None:
        """The item to ask for its outcome now; None when there is none.

        `may_start`: there is time to start another item. Even without it, the first items start, and one
        item starts if no item is unfinished: a suspended handler must wait for a step. `may_wait`: there is
        time to wait for an outcome.
        """
        self._is_late = False
        if len(self._asked) >= self.window:
            return None
        if self._record is not None:
            return self._asking(self._wanted.popleft()) if self._wanted else None
        if self.may_end:
            return None
        unfinished = len(self._asked) + len(self._branches) + len(self._again) + len(self._parked)
        slots = self.count if self.policy.concurrency is None else self.policy.concurrency - unfinished
        startable = min(slots, self.count - self._next)
        # A small batch starts at once, so that every call of the handler knows all of its items.
        if startable > 0 and (may_start or unfinished == 0 or self._next < self.window):
            self._next += 1
            return self._asking(self._next - 1, is_brief=startable > self.window - len(self._asked))
        self._is_late = startable > 0
        return self._asking(self._again.popleft()) if self._again and may_wait else None

    def _asking(self, index: int, *, is_brief: bool = False) -> DueItem:
        self._parked.pop(index, None)
        self._asked.add(index)
        return DueItem(index, is_brief)

    def runs(self, index: int) -> None:
        """Note that an item is a running branch. Such an item does not count in the window."""
        self._asked.discard(index)
        self._branches.add(index)

    def unfinished(self, due: DueItem, cause: Exception | None) -> None:
        """Note that an item has no outcome yet. `cause` is the reason; None for a live step."""
        self._asked.discard(due.at)
        self._branches.discard(due.at)
        if due.is_brief and cause is None:
            self._again.append(due.at)
        else:
            self._parked[due.at] = cause

    def ended(
        self,
        index: int,
        *,
        result: Any = None,
        error: Exception | None = None,
        ended_at: str = "",
        was_replayed: bool = True,
    ) -> None:
        """Note the outcome of an item."""
        self._asked.discard(index)
        self._branches.discard(index)
        self._missing.discard(index)
        self._ends[index] = _End(result, error, ended_at, was_replayed)
        self._failures += error is not None

    @property
    def may_end(self) -> bool:
        """Whether the known outcomes are enough to end the batch."""
        return self._why_ended(len(self._ends), self._failures) is not None

    def end(self) -> None:
        """End the batch at the item that ended it, by the order in which the items ended.

        A late call of the handler finds more ended items than the batch needed, in any order.
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
        """Whether a replay might start items before it finds that the batch ended without these items."""
        is_gradual = self.policy.concurrency is not None or self.count > self.window
        return is_gradual and self.policy.may_end_early(self.count)

    @property
    def is_over(self) -> bool:
        """Whether the batch has ended, and the outcome of each ended item is known."""
        return self._ended_by is not None if self._record is None else not self._missing

    def left_before(self, *, any_started: bool) -> list[int]:
        """The items that an earlier attempt started, or may have, and that this attempt has not asked."""
        letters = self._record or ""
        known = self._ends.keys() | self._asked | self._branches | self._parked.keys() | {*self._again}
        # An attempt that died may have started items that the recorded end calls not started.
        left = {_LETTERS["started"], *(NOT_STARTED if any_started else "")}
        return [at for at, letter in enumerate(letters) if letter in left and at not in known]

    def has_ended(self, at: int) -> bool:
        """Whether an item has its outcome."""
        return at in self._ends

    @property
    def has_unfinished(self) -> bool:
        """Whether there are unfinished items that are not asked now."""
        return bool(self._again or self._parked)

    @property
    def cause(self) -> Exception | None:
        """The first error that left an item without an outcome; None if they all wait for live steps.

        Items that had no time to start must not wait for live steps, which may never end. With this error,
        the handler is called again soon.
        """
        if self._is_late:
            return UnavailableError("There was no time to start all items of a batch.")
        return next((cause for cause in self._parked.values() if cause is not None), None)

    @property
    def wake(self) -> WakePolicy:
        """The wake policy of a handler that waits for the unfinished items."""
        if self._next < self.count or self.policy.min_successful is not None:
            return "any"
        return "settled" if self.policy.tolerated_failures is None else "all"

    @property
    def ended_at(self) -> str:
        """The latest time at which an item ended, as a text that sorts by time."""
        return max((end.ended_at for end in self._ends.values()), default="")

    @property
    def was_replayed(self) -> bool:
        """Whether each ended item had ended before it was asked."""
        return all(end.was_replayed for end in self._ends.values())

    @property
    def needs_record(self) -> bool:
        """Whether the end must be recorded, because a replay might find a different end."""
        if self._record is not None:
            return False
        return (
            self._ended_by == "failures_exceeded" or (self.policy.min_successful or self.count) < self.count
        )

    def record(self, left: Sequence[str]) -> dict[str, Any]:
        """The end of the batch, in the form that is recorded; `left` are the ids of steps that go on."""
        return {"endedBy": self._ended_by, "items": self._letters(), "left": list(left)}

    def adopt(self, record: Mapping[str, Any]) -> None:
        """Use the end that was recorded first.

        A failed item of that end may have been redriven, and have succeeded since. Then the recorded end is
        not used, and the batch ends with the present outcomes.
        """
        letters: str = record["items"]
        if any(end.letter != letters[at] for at, end in self._ends.items() if letters[at] in _ENDED):
            letters = self._letters()
        else:
            self._ended_by = record["endedBy"]
            self.left_steps = tuple(record["left"])
        self._record = letters
        self._missing = {at for at, each in enumerate(letters) if each in _ENDED} - self._ends.keys()
        known = self._ends.keys() | self._asked | self._branches
        self._wanted.extend(at for at, each in enumerate(letters) if each in _ENDED and at not in known)

    def result(self, names: Sequence[str] = (), places: Sequence[int] = ()) -> Batch[Any]:
        """The outcome of the batch, which has ended. `names` and `places` are those of a `BatchCall`."""
        assert self._ended_by is not None, "it is over"
        items = []
        for index in range(self.count):
            status = self._status(index)
            end = self._ends[index] if _LETTERS[status] in _ENDED else None
            result, error = (None, None) if end is None else (end.result, end.error)
            name = names[index] if names else ""
            at = places[index] if places else index
            items.append(BatchItem(index=at, status=status, result=result, error=error, name=name))
        items.sort(key=lambda item: item.index)
        return Batch(items=tuple(items), ended_by=self._ended_by)

    def _letters(self) -> str:
        return "".join(_LETTERS[self._status(index)] for index in range(self.count))

    def _status(self, index: int) -> ItemStatus:
        if self._record is not None and self._record[index] not in _ENDED:
            return "started" if self._record[index] == _LETTERS["started"] else "not_started"
        if index in self._ends and (self._record is not None or index in self._counted):
            return "succeeded" if self._ends[index].error is None else "failed"
        return "started" if index < self._next else "not_started"
