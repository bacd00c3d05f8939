"""The tables of counters, in the file of the steps. They are counted within the write of a row.

So they are exact, whenever the process ends: a transaction has both or none. Triggers were measured: they
cost each step twice the time of its write. So only roots, and steps that are retried, are looked at.

There is a table of hours and one of minutes. One table of minutes that are summed up to hours later was
measured as well: it saves 5 us of a run, and the sum of a day then takes half a second with 200 workflows.
"""

# ruff: noqa: S608 - what is put into the SQL are names and numbers of this package; values are bound

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, Final

import apsw

from atomic.adapters.sqlite.reader import Reader
from atomic.adapters.sqlite.writer import Writer
from atomic.application.counter_store import CounterPage, CounterQuery, row_ms_of
from atomic.domain.counters import (
    HOUR_MS,
    KEPT_MS,
    LEAST,
    MINUTE_MS,
    MINUTES_KEPT_MS,
    MOST,
    NAMES_MAX,
    NUMBERS,
    OTHER,
    Counter,
    Tally,
    WorkflowCount,
    tally_of_columns,
)
from atomic.domain.histograms import BOUNDS_MS
from atomic.protocol.enums import Status

_WIDTH: Final = len(NUMBERS)
_DURATIONS: Final = tuple(f"d{number}" for number in range(len(BOUNDS_MS) + 1))
# In the order of `tally_of_columns`.
_COLUMNS: Final = (*NUMBERS, *_DURATIONS)
_HOURS: Final = "counters"
_MINUTES: Final = "minute_counters"

# The table as it was first: 16 bounds of durations, and hours only.
COUNTERS: Final = f"""
CREATE TABLE counters (
    client_id TEXT NOT NULL,
    hour_ms INTEGER NOT NULL,
    workflow_name TEXT NOT NULL,
    started INTEGER NOT NULL DEFAULT 0,
    succeeded INTEGER NOT NULL DEFAULT 0,
    failed INTEGER NOT NULL DEFAULT 0,
    cancelled INTEGER NOT NULL DEFAULT 0,
    retries INTEGER NOT NULL DEFAULT 0,
    duration_ms_sum INTEGER NOT NULL DEFAULT 0,
    last_started_ms INTEGER NOT NULL DEFAULT 0,
    {", ".join(f"d{number} INTEGER NOT NULL DEFAULT 0" for number in range(17))},
    PRIMARY KEY (client_id, hour_ms, workflow_name)
) STRICT, WITHOUT ROWID;
CREATE INDEX old_counters ON counters (hour_ms);
"""


def _table(name: str) -> str:
    return f"""
CREATE TABLE {name} (
    client_id TEXT NOT NULL,
    began_ms INTEGER NOT NULL,
    workflow_name TEXT NOT NULL,
    {", ".join(f"{column} INTEGER NOT NULL DEFAULT 0" for column in _COLUMNS)},
    PRIMARY KEY (client_id, began_ms, workflow_name)
) STRICT, WITHOUT ROWID;
CREATE INDEX old_{name} ON {name} (began_ms);
"""


_KEPT_COLUMNS: Final = (
    "workflow_name, started, succeeded, failed, cancelled, retries, duration_ms_sum, last_started_ms"
)
# The durations of before are dropped: it is unknown where between its two bounds each of them was.
FINER_COUNTERS: Final = f"""
ALTER TABLE counters RENAME TO coarse_counters;
DROP INDEX old_counters;
{_table(_HOURS)}
{_table(_MINUTES)}
INSERT INTO counters (client_id, began_ms, {_KEPT_COLUMNS})
SELECT client_id, hour_ms, {_KEPT_COLUMNS} FROM coarse_counters;
DROP TABLE coarse_counters;
"""


def _add(table: str, changes: str) -> str:
    return f"UPDATE {table} SET {changes} WHERE client_id = ?2 AND began_ms = ?3 AND workflow_name = ?4"


# Statements of `SqliteStepStore` for hours and for minutes, with a value, and with client, span and name of
# a root.
Pair = tuple[str, str]


def _pair(changes: str) -> Pair:
    return _add(_HOURS, changes), _add(_MINUTES, changes)


# A run that starts, and its time.
STARTED: Final = _pair("started = started + 1, last_started_ms = max(last_started_ms, ?1)")
# The first one of its name in the hour, and in the minute.
FIRST_OF_HOUR: Final = f"""
INSERT INTO {_HOURS} (last_started_ms, client_id, began_ms, started, workflow_name)
VALUES (?1, ?2, ?3, 1, CASE WHEN (
    SELECT count(*) FROM {_HOURS} WHERE client_id = ?2 AND began_ms = ?3 AND workflow_name != '{OTHER}'
) < {NAMES_MAX} THEN ?4 ELSE '{OTHER}' END)
RETURNING workflow_name
"""
FIRST_OF_MINUTE: Final = f"""
INSERT INTO {_MINUTES} (last_started_ms, client_id, began_ms, started, workflow_name)
VALUES (?1, ?2, ?3, 1, ?4)
"""
# A run that has succeeded and how long it took, by the bound up to which it has lasted.
SUCCEEDED: Final = tuple(
    _pair(
        "succeeded = succeeded + 1, duration_ms_sum = duration_ms_sum + ?1, "
        "duration_ms_min = iif(succeeded = 0, ?1, min(duration_ms_min, ?1)), "
        f"duration_ms_max = max(duration_ms_max, ?1), {each} = {each} + 1"
    )
    for each in _DURATIONS
)
# Runs that have ended otherwise, and how many.
ENDED: Final = {status: _pair(f"{status} = {status} + ?1") for status in (Status.FAILED, Status.CANCELLED)}
# What a step was counted with, by its id. A damaged record counts as empty.
STATUS: Final = "SELECT status, 0 FROM steps WHERE id = ?"
RETRIES: Final = """
SELECT status, CASE WHEN json_valid(CAST(progress AS TEXT)) THEN
    coalesce(CAST(progress AS TEXT) ->> '$.retries_used', 0)
    + coalesce(CAST(progress AS TEXT) ->> '$.retries_before', 0) ELSE 0 END
FROM steps WHERE id = ?
"""
# More retries of a step, with its id.
RETRIED: Final = tuple(
    f"""
UPDATE {table} SET retries = retries + ?1 WHERE (client_id, began_ms, workflow_name) = (
    SELECT own.client_id, own.began_ms, own.workflow_name FROM steps AS root JOIN {table} AS own
    ON own.client_id = root.client_id AND own.began_ms = root.created_at_ms - root.created_at_ms % {span_ms}
        AND own.workflow_name IN (root.workflow_name, '{OTHER}')
    WHERE root.id = substr(?2, 1, instr(?2, '-')) || 'root' ORDER BY own.workflow_name DESC LIMIT 1
)
"""
    for table, span_ms in ((_HOURS, HOUR_MS), (_MINUTES, MINUTE_MS))
)


def _sum_of(column: str) -> str:
    if column == LEAST:
        # Where no run has succeeded, the number says nothing.
        return f"coalesce(min(iif(succeeded > 0, {column}, NULL)), 0)"
    return f"{'max' if column in MOST else 'sum'}({column})"


_TOTALS: Final = ", ".join(map(_sum_of, _COLUMNS))
_PAGE: Final = f"""
SELECT began_ms, workflow_name, {", ".join(_COLUMNS)} FROM {{table}}
WHERE client_id = :client_id AND began_ms >= :from_ms AND began_ms < :before_ms
    AND (:workflow_name IS NULL OR workflow_name = :workflow_name)
    AND (began_ms < :after_ms OR (began_ms = :after_ms AND workflow_name > :after_name))
ORDER BY began_ms DESC, workflow_name LIMIT :limit
"""
# The same for sums. What begins after the last one of the page before may have rows of its span.
_SUMS: Final = f"""
SELECT began_ms - began_ms % :every_ms AS span_began_ms, iif(:all_names, '{OTHER}', workflow_name) AS name,
    {_TOTALS}
FROM {{table}}
WHERE client_id = :client_id AND began_ms >= :from_ms AND began_ms < :before_ms
    AND began_ms < :after_ms + :every_ms AND (:workflow_name IS NULL OR workflow_name = :workflow_name)
GROUP BY span_began_ms, name
HAVING span_began_ms < :after_ms OR (span_began_ms = :after_ms AND name > :after_name)
ORDER BY span_began_ms DESC, name LIMIT :limit
"""
_WORKFLOWS: Final = f"""
SELECT kept.*, recent.* FROM (
    SELECT workflow_name, max(0, sum(started - succeeded - failed - cancelled)), max(last_started_ms)
    FROM {_HOURS}
    WHERE client_id = :client_id AND began_ms >= :from_ms AND (:after IS NULL OR workflow_name > :after)
    GROUP BY workflow_name ORDER BY workflow_name LIMIT :limit
) AS kept LEFT JOIN (
    SELECT workflow_name, {_TOTALS} FROM {{table}}
    WHERE client_id = :client_id AND began_ms >= :recent_from_ms
        AND (:after IS NULL OR workflow_name > :after)
    GROUP BY workflow_name
) AS recent USING (workflow_name) ORDER BY kept.workflow_name
"""
_PURGE: Final = "DELETE FROM {table} WHERE began_ms <= ?"


class SqliteCounters(ABC):
    """Implements `ports.Counters`, within `SqliteStepStore`."""

    has_minutes = True
    _writer: Writer
    _connection: apsw.Connection
    _execute: Callable[..., apsw.Cursor]
    _lists: Reader

    @abstractmethod
    async def _long_rows(self, reader: Reader, sql: str, values: Any) -> list[tuple[Any, ...]]: ...

    async def counters(self, query: CounterQuery) -> CounterPage:
        """A page of counters."""
        after_ms, after_name = query.after or (query.before_ms, "")
        values = {
            "client_id": query.client_id,
            "from_ms": query.from_ms,
            "before_ms": query.before_ms,
            "workflow_name": query.workflow_name,
            "after_ms": after_ms,
            "after_name": after_name,
            # One more shows whether there are more.
            "limit": query.limit + 1,
        }
        if query.is_sum:
            values |= {"every_ms": query.every_ms, "all_names": query.all_names}
        sql = (_SUMS if query.is_sum else _PAGE).format(table=_table_of(query.row_ms))
        rows = await self._long_rows(self._lists, sql, values)
        found = [Counter(began_ms, name, _tally(row)) for began_ms, name, *row in rows]
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
        table = _table_of(row_ms_of(recent_from_ms))
        rows = await self._long_rows(self._lists, _WORKFLOWS.format(table=table), values)
        return [
            WorkflowCount(name, live, last_ms, Tally() if own is None else _tally(recent))
            for name, live, last_ms, own, *recent in rows
        ]

    def _purge_counters(self, now_ms: int) -> None:
        for span_ms, kept_ms in ((HOUR_MS, KEPT_MS), (MINUTE_MS, MINUTES_KEPT_MS)):
            self._execute(_PURGE.format(table=_table_of(span_ms)), (now_ms - kept_ms,))


def _table_of(span_ms: int) -> str:
    return _HOURS if span_ms == HOUR_MS else _MINUTES


def _tally(row: Sequence[int]) -> Tally:
    """The tally of the columns."""
    return tally_of_columns(row[:_WIDTH], row[_WIDTH:])
