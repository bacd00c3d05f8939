"""The port to the counters of runs; a step store implements it as well.

A store counts by itself: with the writes of its rows, or later from them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

from atomic.domain.counters import HOUR_MS, Counter, WorkflowCount, summed


@dataclass(frozen=True, slots=True, kw_only=True)
class CounterQuery:
    """Which counters: hours that began from `from_ms` to before `before_ms`, the newest first.

    Those of an hour are in the order of the workflows' names. `after` is the last one of the page before.
    The hours of each `every_ms` are summed up, and with `all_names` all workflows as well.
    """

    client_id: str
    from_ms: int
    before_ms: int
    workflow_name: str | None = None
    every_ms: int = HOUR_MS
    all_names: bool = False
    after: tuple[int, str] | None = None
    limit: int = 50

    @property
    def is_sum(self) -> bool:
        """Whether counters are summed up."""
        return self.all_names or self.every_ms != HOUR_MS

    def page(self, counters: Iterable[Counter]) -> "CounterPage":
        """The page of the client's counters, which come in their order. All stores use this rule."""
        found: Iterable[Counter] = filter(self._fits, counters)
        if self.is_sum:
            found = sorted(summed(found, self.every_ms, self.all_names), key=order_of)
        return CounterPage.of([*islice(filter(self._is_next, found), self.limit + 1)], self.limit)

    def _fits(self, counter: Counter) -> bool:
        is_of_time = self.from_ms <= counter.hour_ms < self.before_ms
        return is_of_time and self.workflow_name in {None, counter.workflow_name}

    def _is_next(self, counter: Counter) -> bool:
        return self.after is None or order_of(counter) > (-self.after[0], self.after[1])


@dataclass(frozen=True, slots=True)
class CounterPage:
    """A page of counters. `next_after` is None at the end."""

    counters: Sequence[Counter]
    next_after: tuple[int, str] | None

    @classmethod
    def of(cls, found: Sequence[Counter], limit: int) -> "CounterPage":
        """The page of what was found in its order: one more than the limit shows that there are more."""
        page = found[:limit]
        more = len(found) > limit
        return cls(page, (page[-1].hour_ms, page[-1].workflow_name) if more else None)


class Counters(Protocol):
    """The counters of runs by client, hour and workflow (`domain.counters`). May raise StoreUnavailable."""

    async def counters(self, query: CounterQuery) -> CounterPage:
        """A page of counters."""
        ...

    async def workflows(
        self, client_id: str, *, from_ms: int, recent_from_ms: int, after: str | None, limit: int
    ) -> Sequence[WorkflowCount]:
        """The workflows that runs were started of from `from_ms` on, in the order of their names.

        They begin after the given name. Both moments are the beginning of an hour.
        """
        ...


def order_of(counter: Counter) -> tuple[int, str]:
    """The newest hour first."""
    return -counter.hour_ms, counter.workflow_name
