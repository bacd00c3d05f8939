"""Batches, races and conditions as plain Python: one call after another.

A batch is a generator that yields the index of the next call, and is sent its result or its error. So the
contexts of `def` and of `async def` share the rules.
"""

from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from atomic.sdk import ConditionNotMetError

# The calls of a race with such a name never end first.
LOSER: Final = "loser"


@dataclass
class Item:
    """The outcome of a call of a batch."""

    index: int
    status: str = "not_started"
    result: Any = None
    error: Exception | None = None


@dataclass
class Batch:
    """What came of calls side by side."""

    items: list[Item]
    ended_by: str = "all_completed"

    @property
    def succeeded(self) -> list[Item]:
        """The items that have succeeded."""
        return [item for item in self.items if item.status == "succeeded"]

    @property
    def failed(self) -> list[Item]:
        """The items that have failed."""
        return [item for item in self.items if item.status == "failed"]

    @property
    def counts(self) -> dict[str, int]:
        """The number of items with each status."""
        found = Counter(item.status for item in self.items)
        return {status: found[status] for status in ("succeeded", "failed", "started", "not_started")}

    def results(self) -> list[Any]:
        """All of them, or the first error."""
        for item in self.failed:
            assert item.error is not None
            raise item.error
        return [item.result for item in self.succeeded]

    def __iter__(self) -> Iterator[Item]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)


def batch(
    count: int,
    *,
    min_successful: int | None = None,
    tolerated_failures: int | None = None,
    **_options: Any,
) -> Generator[int, Any, Batch]:
    """The calls of a batch under a policy."""
    made = Batch([Item(index) for index in range(count)])
    for item in made.items:
        answer = yield item.index
        if isinstance(answer, Exception):
            item.status, item.error = "failed", answer
        else:
            item.status, item.result = "succeeded", answer
        if tolerated_failures is not None and len(made.failed) > tolerated_failures:
            made.ended_by = "failures_exceeded"
            return made
        if min_successful == len(made.succeeded) and item.index + 1 < count:
            made.ended_by = "min_successful"
            return made
    return made


def winner(calls: Mapping[str, Any]) -> str:
    """The name of the call that wins a race."""
    return next(name for name in calls if not name.startswith(LOSER))


def gathered(made: Batch, return_exceptions: bool) -> list[Any]:
    """What `gather` returns."""
    if not return_exceptions:
        return made.results()
    return [item.error or item.result for item in made]


def own(options: Mapping[str, Any], names: Iterable[str] = ("retry", "name")) -> dict[str, Any]:
    """The options of a map that are those of its steps."""
    return {name: options[name] for name in names if name in options}


def checks(
    payload: Any,
    *,
    every: float,
    back_off: float = 1.0,
    max_attempts: int | None = None,
    state: Any = None,
    **_deadline: Any,
) -> Generator[tuple[str, Any], Any, Any]:
    """The checks and the pauses of `until`. The generator is sent what each check returned."""
    attempts, pause_s = 0, every
    while True:
        attempts += 1
        found = yield "check", payload if state is None else state
        is_met, found = (bool(found), found) if state is None else found
        state = None if state is None else found
        if is_met:
            return found
        if attempts == max_attempts:
            raise ConditionNotMetError(attempts=attempts, state=found)
        yield "pause", pause_s
        pause_s *= back_off


def arguments(payload: Any) -> Sequence[Any]:
    """What a check that is a function is given."""
    return () if payload is None else (payload,)
