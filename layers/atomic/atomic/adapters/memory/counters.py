"""Counters, counted from the rows when they are asked for. Those of rows that go are kept before."""

from collections.abc import Iterable, Iterator, Sequence

from atomic.application.counter_store import CounterPage, CounterQuery, order_of
from atomic.domain.counters import (
    KEPT_MS,
    NAMES_MAX,
    OTHER,
    Counter,
    Tally,
    WorkflowCount,
    hour_of,
    retries_of,
    tally_of,
    total,
    workflow_counts,
)
from atomic.domain.steps import Step
from atomic.protocol import keys

# A root, by its client, the hour and the moment of its start, and its name.
_Start = tuple[str, int, int, str]


class MemoryCounters:
    """Implements `ports.Counters`."""

    _rows: dict[str, Step]

    def __init__(self) -> None:
        self._gone: list[tuple[_Start, Tally]] = []
        self._purged_ms = 0

    async def counters(self, query: CounterQuery) -> CounterPage:
        """A page of counters."""
        return query.page(sorted(self._counters_of(query.client_id), key=order_of))

    async def workflows(
        self, client_id: str, *, from_ms: int, recent_from_ms: int, after: str | None, limit: int
    ) -> Sequence[WorkflowCount]:
        """The workflows of these hours."""
        found = [each for each in self._counters_of(client_id) if each.hour_ms >= from_ms]
        counts = workflow_counts(found, recent_from_ms)
        return [each for each in counts if after is None or each.name > after][:limit]

    def _keep_counts(self, going: Iterable[Step]) -> None:
        """Count rows that are about to go."""
        self._gone += self._tallies(going)

    def _purge_counters(self, now_ms: int) -> None:
        self._purged_ms = now_ms - KEPT_MS
        self._gone = [each for each in self._gone if each[0][1] > self._purged_ms]

    def _tallies(self, steps: Iterable[Step]) -> Iterator[tuple[_Start, Tally]]:
        for step in steps:
            root = self._rows.get(keys.root_of(step.spec.run_id))
            if root is not None:
                at_ms, spec = root.created_at_ms, root.spec
                used = retries_of(step)
                tally = tally_of(step, used) if step.is_root else Tally(retries=used)
                yield (spec.client_id, hour_of(at_ms), at_ms, spec.workflow_name), tally

    def _counters_of(self, client_id: str) -> Iterator[Counter]:
        # By the times of their starts: the first names of an hour have counters of their own.
        everything = sorted([*self._gone, *self._tallies(self._rows.values())], key=lambda each: each[0])
        hours: dict[int, dict[str, list[Tally]]] = {}
        for (owner, hour_ms, _, name), tally in everything:
            if owner == client_id and hour_ms > self._purged_ms:
                of_hour = hours.setdefault(hour_ms, {})
                is_own = name in of_hour or len(of_hour.keys() - {OTHER}) < NAMES_MAX
                of_hour.setdefault(name if is_own else OTHER, []).append(tally)
        for hour_ms, of_hour in hours.items():
            for name, tallies in of_hour.items():
                yield Counter(hour_ms, name, total(tallies))
