"""Counters, counted from the rows when they are asked for. Those of rows that go are kept before."""

from collections.abc import Iterable, Iterator, Sequence

from atomic.application.counter_store import CounterPage, CounterQuery, order_of, row_ms_of
from atomic.domain.counters import (
    HOUR_MS,
    KEPT_MS,
    MINUTES_KEPT_MS,
    NAMES_MAX,
    OTHER,
    Counter,
    Tally,
    WorkflowCount,
    hour_of,
    retries_of,
    span_of,
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

    has_minutes = True
    _rows: dict[str, Step]

    def __init__(self) -> None:
        self._gone: list[tuple[_Start, Tally]] = []
        self._purged_ms = 0
        self._minutes_purged_ms = 0

    async def counters(self, query: CounterQuery) -> CounterPage:
        """A page of counters."""
        return query.page(sorted(self._counters_of(query.client_id, query.row_ms), key=order_of))

    async def workflows(
        self, client_id: str, *, from_ms: int, recent_from_ms: int, after: str | None, limit: int
    ) -> Sequence[WorkflowCount]:
        """The workflows of these hours."""
        kept = [each for each in self._counters_of(client_id, HOUR_MS) if each.began_ms >= from_ms]
        rows = self._counters_of(client_id, row_ms_of(recent_from_ms))
        recent = [each for each in rows if each.began_ms >= recent_from_ms]
        counts = workflow_counts(kept, recent)
        return [each for each in counts if after is None or each.name > after][:limit]

    def _keep_counts(self, going: Iterable[Step]) -> None:
        """Count rows that are about to go."""
        self._gone += self._tallies(going)

    def _purge_counters(self, now_ms: int) -> None:
        self._purged_ms = now_ms - KEPT_MS
        self._minutes_purged_ms = now_ms - MINUTES_KEPT_MS
        self._gone = [each for each in self._gone if each[0][1] > self._purged_ms]

    def _tallies(self, steps: Iterable[Step]) -> Iterator[tuple[_Start, Tally]]:
        for step in steps:
            root = self._rows.get(keys.root_of(step.spec.run_id))
            if root is not None:
                at_ms, spec = root.created_at_ms, root.spec
                used = retries_of(step)
                tally = tally_of(step, used) if step.is_root else Tally(retries=used)
                yield (spec.client_id, hour_of(at_ms), at_ms, spec.workflow_name), tally

    def _counters_of(self, client_id: str, span_ms: int) -> Iterator[Counter]:
        """The counters of hours or of minutes."""
        # By the times of their starts: the first names of an hour have counters of their own.
        everything = sorted([*self._gone, *self._tallies(self._rows.values())], key=lambda each: each[0])
        purged_ms = self._purged_ms if span_ms == HOUR_MS else self._minutes_purged_ms
        names: dict[int, set[str]] = {}
        spans: dict[tuple[int, str], list[Tally]] = {}
        for (owner, hour_ms, at_ms, name), tally in everything:
            if owner != client_id:
                continue
            of_hour = names.setdefault(hour_ms, set())
            if len(of_hour) < NAMES_MAX:
                of_hour.add(name)
            began_ms = span_of(at_ms, span_ms)
            if began_ms > purged_ms:
                spans.setdefault((began_ms, name if name in of_hour else OTHER), []).append(tally)
        for (began_ms, name), tallies in spans.items():
            yield Counter(began_ms, name, total(tallies))
