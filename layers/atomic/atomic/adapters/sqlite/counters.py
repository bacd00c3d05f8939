"""The table of counters, in the file of the steps. They are counted within the write of a row.

So they are exact, whenever the process ends: a transaction has both or none. Triggers were measured: they
cost each step twice the time of its write. So only roots, and steps that are retried, are looked at.
"""

# ruff: noqa: S608 - what is put into the SQL are names and numbers of this package; values are bound

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Final

import apsw

from atomic.adapters.sqlite.reader import Reader
from atomic.adapters.sqlite.writer import Writer
from atomic.application.counter_store import CounterPage, CounterQuery
from atomic.domain.counters import (
    BOUNDS_MS,
    HOUR_MS,
    KEPT_MS,
    LAST_START,
    NAMES_MAX,
    NUMBERS,
    OTHER,
    Counter,
    WorkflowCount,
    tally_of_numbers,
)
from atomic.protocol.enums import Status

_DURATIONS: Final = tuple(f"d{number}" for number in range(len(BOUNDS_MS) + 1))
# In the order of `tally_of_numbers`.
_COLUMNS: Final = (*NUMBERS, *_DURATIONS)
COUNTERS: Final = f"""
CREATE TABLE counters (
    client_id TEXT NOT NULL,
    hour_ms INTEGER NOT NULL,
    workflow_name TEXT NOT NULL,
    {", ".join(f"{name} INTEGER NOT NULL DEFAULT 0" for name in _COLUMNS)},
    PRIMARY KEY (client_id, hour_ms, workflow_name)
) STRICT, WITHOUT ROWID;
CREATE INDEX old_counters ON counters (hour_ms);
"""
_ADD: Final = "UPDATE counters SET {} WHERE client_id = ?2 AND hour_ms = ?3 AND workflow_name = ?4"
# Statements of `SqliteStepStore`, with a value, and with client, hour and name of a root. It is a
# run that starts, and its time; the first one of its name in the hour; one that has succeeded, by the bound
# up to which it has lasted; one that has ended otherwise.
STARTED: Final = _ADD.format("started = started + 1, last_started_ms = max(last_started_ms, ?1)")
FIRST: Final = f"""
INSERT INTO counters (last_started_ms, client_id, hour_ms, started, workflow_name)
VALUES (?1, ?2, ?3, 1, CASE WHEN (
    SELECT count(*) FROM counters WHERE client_id = ?2 AND hour_ms = ?3 AND workflow_name != '{OTHER}'
) < {NAMES_MAX} THEN ?4 ELSE '{OTHER}' END)
"""
SUCCEEDED: Final = tuple(
    _ADD.format(f"succeeded = succeeded + 1, duration_ms_sum = duration_ms_sum + ?1, {each} = {each} + 1")
    for each in _DURATIONS
)
ENDED: Final = {
    status: _ADD.format(f"{status} = {status} + ?1") for status in (Status.FAILED, Status.CANCELLED)
}
# What a step was counted with, by its id. A damaged record counts as empty.
STATUS: Final = "SELECT status, 0 FROM steps WHERE id = ?"
RETRIES: Final = """
SELECT status, CASE WHEN json_valid(CAST(progress AS TEXT)) THEN
    coalesce(CAST(progress AS TEXT) ->> '$.retries_used', 0)
    + coalesce(CAST(progress AS TEXT) ->> '$.retries_before', 0) ELSE 0 END
FROM steps WHERE id = ?
"""
# More retries of a step, with its id.
RETRIED: Final = f"""
UPDATE counters SET retries = retries + ?1 WHERE (client_id, hour_ms, workflow_name) = (
    SELECT own.client_id, own.hour_ms, own.workflow_name FROM steps AS root JOIN counters AS own
    ON own.client_id = root.client_id AND own.hour_ms = root.created_at_ms - root.created_at_ms % {HOUR_MS}
        AND own.workflow_name IN (root.workflow_name, '{OTHER}')
    WHERE root.id = substr(?2, 1, instr(?2, '-')) || 'root' ORDER BY own.workflow_name DESC LIMIT 1
)
"""
_PAGE: Final = f"""
SELECT hour_ms, workflow_name, {", ".join(_COLUMNS)} FROM counters
WHERE client_id = :client_id AND hour_ms >= :from_ms AND hour_ms < :before_ms
    AND (:workflow_name IS NULL OR workflow_name = :workflow_name)
    AND (hour_ms < :after_hour_ms OR (hour_ms = :after_hour_ms AND workflow_name > :after_name))
ORDER BY hour_ms DESC, workflow_name LIMIT :limit
"""


def _totals(of: str) -> str:
    """The columns of a workflow, each of them `of` it."""
    return ", ".join(f"{'max' if name == LAST_START else 'sum'}({of.format(name)})" for name in _COLUMNS)


_WORKFLOWS: Final = f"""
SELECT workflow_name, {_totals("{}")}, {_totals("iif(hour_ms >= :recent_from_ms, {}, 0)")}
FROM counters
WHERE client_id = :client_id AND hour_ms >= :from_ms AND (:after IS NULL OR workflow_name > :after)
GROUP BY workflow_name ORDER BY workflow_name LIMIT :limit
"""
# The same for sums. What begins after the last one of the page before may have hours of its span.
_SUMS: Final = f"""
SELECT hour_ms - hour_ms % :every_ms AS began_ms, iif(:all_names, '{OTHER}', workflow_name) AS name,
    {_totals("{}")}
FROM counters
WHERE client_id = :client_id AND hour_ms >= :from_ms AND hour_ms < :before_ms
    AND hour_ms < :after_hour_ms + :every_ms AND (:workflow_name IS NULL OR workflow_name = :workflow_name)
GROUP BY began_ms, name
HAVING began_ms < :after_hour_ms OR (began_ms = :after_hour_ms AND name > :after_name)
ORDER BY began_ms DESC, name LIMIT :limit
"""
_PURGE: Final = "DELETE FROM counters WHERE hour_ms <= ?"


class SqliteCounters(ABC):
    """Implements `ports.Counters`, within `SqliteStepStore`."""

    _writer: Writer
    _connection: apsw.Connection
    _lists: Reader

    @abstractmethod
    async def _long_rows(self, reader: Reader, sql: str, values: Any) -> list[tuple[Any, ...]]: ...

    async def counters(self, query: CounterQuery) -> CounterPage:
        """A page of counters."""
        after_hour_ms, after_name = query.after or (query.before_ms, "")
        values = {
            "client_id": query.client_id,
            "from_ms": query.from_ms,
            "before_ms": query.before_ms,
            "workflow_name": query.workflow_name,
            "after_hour_ms": after_hour_ms,
            "after_name": after_name,
            # One more shows whether there are more.
            "limit": query.limit + 1,
        }
        if query.is_sum:
            values |= {"every_ms": query.every_ms, "all_names": query.all_names}
        rows = await self._long_rows(self._lists, _SUMS if query.is_sum else _PAGE, values)
        found = [Counter(hour_ms, name, tally_of_numbers(row)) for hour_ms, name, *row in rows]
        return CounterPage.of(found, query.limit)

    async def workflows(
        self, client_id: str, *, from_ms: int, recent_from_ms: int, after: str | None, limit: int
    ) -> Sequence[WorkflowCount]:
        """The workflows of these hours."""
        values = {
            "client_id": client_id,
            "from_ms": from_ms,
            "recent_from_ms": recent_from_ms,
            "after": after,
            "limit": limit,
        }
        rows = await self._long_rows(self._lists, _WORKFLOWS, values)
        width = len(_COLUMNS)
        return [
            WorkflowCount(name, tally_of_numbers(row[:width]), tally_of_numbers(row[width:]))
            for name, *row in rows
        ]

    def _purge_counters(self, now_ms: int) -> None:
        self._connection.execute(_PURGE, (now_ms - KEPT_MS,))
