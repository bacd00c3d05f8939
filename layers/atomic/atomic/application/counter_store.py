"""The port to the counters of runs; a step store implements it as well.

A store counts by itself: with the writes of its rows, or later from them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

from atomic.domain.counters import HOUR_MS, MINUTE_MS, Counter, WorkflowCount, summed


@dataclass(frozen=True, slots=True, kw_only=True)
class CounterQuery:
    """Which counters: spans of `every_ms` that began from `from_ms` to before `before_ms`.

    The newest span comes first, and those of a span are in the order of the workflows' names. `after` is
    the last one of the page before.
    `every_ms` are whole hours, or minutes that divide an hour: only a store that `has_minutes` is asked for
    them, of the last `MINUTES_KEPT_MS`. With `all_names` all workflows are summed up as well.
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
    def row_ms(self) -> int:
        """The span of the counters that are read: a minute or an hour."""
        return MINUTE_MS if self.every_ms < HOUR_MS else HOUR_MS

    @property
    def is_sum(self) -> bool:
        """Whether these counters are summed up."""
        return self.all_names or self.every_ms != self.row_ms

    def page(self, counters: Iterable[Counter]) -> "CounterPage":
        """The page of the client's counters of hours or of minutes, which come in their order."""
        found: Iterable[Counter] = filter(self._fits, counters)
        if self.is_sum:
            found = sorted(summed(found, self.every_ms, self.all_names), key=order_of)
        return CounterPage.of([*islice(filter(self._is_next, found), self.limit + 1)], self.limit)

    def _fits(self, counter: Counter) -> bool:
        is_of_time = self.from_ms <= counter.began_ms < self.before_ms
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
        return cls(page, (page[-1].began_ms, page[-1].workflow_name) if more else None)


class Counters(Protocol):
    """The counters of runs by client, hour and workflow (`domain.counters`). May raise StoreUnavailable.

    `has_minutes`: whether there are counters of minutes as well.
    """

    @property
    def has_minutes(self) -> bool: ...

    async def counters(self, query: CounterQuery) -> CounterPage:
        """A page of counters."""
        ...

    async def workflows(
        self, client_id: str, *, from_ms: int, recent_from_ms: int, after: str | None, limit: int
    ) -> Sequence[WorkflowCount]:
        """The workflows that runs were started of from `from_ms` on, in the order of their names.

        They begin after the given name. Recent runs were started from `recent_from_ms` on. Both moments are
        the beginning of an hour, or the second one of a minute, for a store that `has_minutes`.
        """
        ...


def row_ms_of(from_ms: int) -> int:
    """The span of the counters that tell what was started from this beginning of an hour or minute on."""
    return MINUTE_MS if from_ms % HOUR_MS else HOUR_MS


def order_of(counter: Counter) -> tuple[int, str]:
    """The newest hour first."""
    return -counter.began_ms, counter.workflow_name
