"""The step store in one SQLite file.

Each row has two checksums, which detect bytes that changed on the disk: one for the columns that are
written once, one for those that every write sets. Rows of earlier versions have none.
"""

import asyncio
import zlib
from bisect import bisect_left
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final, Self, TypeVar

import apsw
import orjson

from atomic.adapters.sqlite import counters, queries
from atomic.adapters.sqlite.acts import SqliteAuditLog
from atomic.adapters.sqlite.causes import causes
from atomic.adapters.sqlite.counters import SqliteCounters
from atomic.adapters.sqlite.counts import SqliteCounts
from atomic.adapters.sqlite.damage import damaged_row
from atomic.adapters.sqlite.database import (
    close_database,
    is_checked_at_start,
    open_database,
    open_reader,
)
from atomic.adapters.sqlite.deletes import SqliteDeletes
from atomic.adapters.sqlite.due import due
from atomic.adapters.sqlite.flow import SqliteFlowStore
from atomic.adapters.sqlite.listing import failed_ids, page_of, run_rows
from atomic.adapters.sqlite.outlines import outlines
from atomic.adapters.sqlite.page_check import PageCheck
from atomic.adapters.sqlite.pointers import SqlitePointers
from atomic.adapters.sqlite.reader import Reader
from atomic.adapters.sqlite.schedules import SqliteSchedules
from atomic.adapters.sqlite.schema import STEPS
from atomic.adapters.sqlite.tags import DELETE_TAGS, INSERT_TAG, tag_rows
from atomic.adapters.sqlite.writer import Writer
from atomic.application.cause_query import CausePage, CauseQuery
from atomic.application.child_steps import ChildPage, first_page
from atomic.application.ports import DueStep
from atomic.application.run_query import ListPage, RunQuery
from atomic.application.server_store import LiveStep
from atomic.domain.blobs import Place, Text, row_text
from atomic.domain.counters import HOUR_MS, MINUTE_MS, OTHER
from atomic.domain.histograms import BOUNDS_MS
from atomic.domain.outlines import StepOutline
from atomic.domain.records import Record, load_step, progress_record, spec_record
from atomic.domain.steps import Step
from atomic.protocol import keys
from atomic.protocol.enums import LIVE, Status

T = TypeVar("T")
_Rows = list[tuple[Any, ...]]
# An outline of more rows, at 10 us each, takes long and goes to a thread.
_OUTLINE_MAX: Final = 200
# A text whose bytes have changed may not be valid UTF-8.
_UNREADABLE: Final = (apsw.Error, UnicodeDecodeError)


class SqliteStepStore(
    SqliteCounts, SqliteSchedules, SqlitePointers, SqliteAuditLog, SqliteCounters, SqliteDeletes
):
    """Implements `ports.ServerStore`. To be used on the event loop that opened it.

    Writes go to the one writer. Single rows are read on the loop's thread, since that takes microseconds;
    reads that may take long run in threads.
    """

    def __init__(self, path: Path, connection: apsw.Connection, on_fatal: Callable[[str], None]) -> None:
        self._connection = connection
        self._execute = connection.cursor().execute
        self._rows = open_reader(path)
        self._lists = Reader(path, "atomic-sqlite-lists")
        # A thread of its own, so that reads of clients do not delay due steps.
        self._timers = Reader(path, "atomic-sqlite-timers")
        self._writer = Writer(connection, on_fatal=on_fatal)
        self._check: PageCheck | None = None
        self.flow = SqliteFlowStore(connection, self._writer, self._lists, self._timers)

    @classmethod
    async def open(cls, path: Path, *, on_fatal: Callable[[str], None]) -> Self:
        """Open or create the file. When it can no longer be trusted, `on_fatal` is called on the loop.

        Raises DatabaseRefused for a file that is damaged, newer than this program, or of another program.
        The caller must ensure that no other process has it open (`DataDirLock`).
        """
        store = cls(path, await asyncio.to_thread(open_database, path, STEPS), on_fatal)
        if not is_checked_at_start(path):
            store._check = PageCheck(path, store.give_up)
        return store

    def give_up(self, message: str) -> None:
        """Refuse every write from now on, since the file can no longer be trusted; the message says why."""
        self._writer.give_up(message)

    async def close(self) -> None:
        """Finish the writes that wait, end the threads, close the file. May be called twice."""
        await self._writer.close()
        if self._check is not None:
            await self._check.close()
        self._lists.close()
        self._timers.close()
        self._rows.close()
        close_database(self._connection)

    async def create(self, step: Step) -> Step | None:
        """Insert the step unless its id is taken."""
        row = (*immutable_columns(step), *mutable_columns(step), step.id)
        return await self._writer.submit(self._create, step, row)

    async def get(self, step_id: str) -> Step | None:
        """The newest durable row."""
        rows = self._read(queries.GET, (step_id,))
        return decode(rows[0]) if rows else None

    async def replace(self, step: Step, expected_version: int) -> Step | None:
        """Write the row if it has the expected version; raises LookupError if there is none.

        A step with another `created_at_ms` than the row's is a new one, and all of it is written.
        """
        return await self._writer.submit(self._replace, step, expected_version, mutable_columns(step))

    async def list_live(self, step: Step) -> None:
        """Nothing: every row is found."""

    async def run(self, run_id: str, *, after: str | None, limit: int) -> Sequence[Step]:
        """A page of the run's steps in the order of their ids."""
        first, end = keys.steps_range(run_id)
        rows = await self._long_rows(self._lists, queries.RUN, (max(first, after or ""), end, limit))
        return [decode(row) for row in rows]

    async def outline(self, run_id: str) -> Sequence[StepOutline]:
        """The state of every step of the run."""
        rows = self._read(queries.OUTLINE, (*keys.steps_range(run_id), _OUTLINE_MAX))
        if len(rows) < _OUTLINE_MAX:
            return outlines(rows)
        everything = (*keys.steps_range(run_id), -1)
        return await self._long(
            self._lists, lambda lists: outlines(lists.execute(queries.OUTLINE, everything).fetchall())
        )

    async def children(self, parent_id: str, *, after: str, limit: int) -> Sequence[StepOutline]:
        """A page of the step's children in the order of their ids."""
        first, end = keys.children_range(parent_id)
        rows = await self._long_rows(
            self._timers, queries.CHILDREN, (max(first, after), end, parent_id, limit)
        )
        return outlines(rows)

    async def child_steps(self, parent_id: str, *, after: str, limit: int, max_bytes: int) -> ChildPage:
        """A page of the step's children in the order of their ids, whole."""
        first, end = keys.children_range(parent_id)
        # One row more than asked for: it shows whether there are more.
        values = (max(first, after), end, parent_id, limit + 1)

        def read(lists: apsw.Connection) -> ChildPage:
            with closing(lists.execute(queries.CHILD_STEPS, values)) as rows:
                return first_page(map(decode, rows), limit=limit, max_bytes=max_bytes)

        return await self._long(self._lists, read)

    async def list(self, query: RunQuery) -> ListPage:
        """Root steps that fit, newest first."""
        rows = await self._long(self._lists, lambda lists: run_rows(lists, query))
        return page_of(rows, query, decode)

    async def failed(self, query: RunQuery) -> Sequence[str]:
        """Ids of the failed steps that fit, newest first."""
        return await self._long(self._lists, lambda lists: failed_ids(lists, query))

    async def causes(self, query: CauseQuery) -> CausePage:
        """The causes that most of the client's runs failed for."""
        return await self._long(self._lists, lambda lists: causes(lists, query, decode))

    async def due(self, before_ms: int, limit: int) -> Sequence[DueStep]:
        """Live steps that are due before the moment, clients in turns, the most overdue first."""
        return await self._long(self._timers, lambda timers: due(timers, before_ms, limit))

    async def with_status(self, status: Status, *, after: str, limit: int) -> Sequence[str]:
        """A page of the ids of steps in a state, in their order. Settled states have no index."""
        sql = queries.LIVE_WITH_STATUS if status in LIVE else queries.SETTLED_WITH_STATUS
        return [
            step_id for (step_id,) in await self._long_rows(self._timers, sql, (status.value, after, limit))
        ]

    async def live(self, status: Status, *, after: str, limit: int) -> Sequence[LiveStep]:
        """A page of the live steps in a state, in the order of their ids."""
        rows = await self._long_rows(self._timers, queries.LIVE_STEPS, (status.value, after, limit))
        return [
            LiveStep(step_id, bool(calls), last_recorded_ms, root and Status(root))
            for step_id, calls, last_recorded_ms, root in rows
        ]

    async def erase(self, client_id: str, run_id: str, root: Step | None) -> bool:
        """Delete all of a run, if its root is still this row: in one transaction."""
        return root is not None and await self._writer.submit(self._erase, client_id, run_id, root.version)

    async def put_blob(self, step_id: str, digest: str, text: bytes, until_ms: int) -> Place:
        """Store a large text."""
        await self._writer.submit(self._put_blob, (step_id, digest, until_ms, text))
        return "table"

    async def get_blob(self, step_id: str, digest: str, place: Place) -> bytes | None:  # noqa: ARG002 - one place
        """A large text."""
        rows = self._read(queries.GET_BLOB, (step_id, digest))
        return rows[0][0] if rows else None

    async def add_stored_bytes(self, client_id: str, size: int, *, day: int, since_day: int) -> int:
        """Add to the stored bytes of the client and drop earlier days; the sum."""
        return await self._writer.submit(self._add_stored_bytes, client_id, size, day, since_day)

    def _add_stored_bytes(self, client_id: str, size: int, day: int, since_day: int) -> int:
        self._execute(queries.ADD_STORED, (client_id, day, size))
        self._execute(queries.FORGET_STORED, (client_id, since_day))
        total: int = self._execute(queries.SUM_STORED, (client_id,)).get
        return total

    def _create(self, step: Step, row: tuple[Any, ...]) -> Step | None:
        self._execute(queries.INSERT, row)
        if not self._connection.changes():
            return self._existing(step.id)
        self._begun(step)
        return None

    def _begun(self, step: Step) -> None:
        if step.spec.parent is not None:
            return
        self._count_start(step)
        if step.spec.tags:
            for tag in tag_rows(step):
                self._execute(INSERT_TAG, tag)

    def _replace(self, step: Step, expected: int, changing: tuple[Any, ...]) -> Step | None:
        before = self._counted(step)
        self._execute(queries.UPDATE_PROGRESS, (*changing, step.id, expected, step.created_at_ms))
        if self._connection.changes():
            for status, retries in before:
                self._count_change(status, retries, step)
            return None
        existing = self._existing(step.id)
        if existing is None:
            raise LookupError(step.id)
        if existing.version != expected:
            return existing
        self._execute(queries.UPDATE_ALL, (*immutable_columns(step), *changing, step.id))
        self._execute(DELETE_TAGS, (step.id,))
        self._begun(step)
        return None

    def _count_start(self, root: Step) -> None:
        at_ms, client_id = root.created_at_ms, root.spec.client_id
        name = self._count(counters.STARTED, at_ms, root)
        if name is None:
            first = (at_ms, client_id, at_ms - at_ms % HOUR_MS, root.spec.workflow_name)
            name = self._execute(counters.FIRST_OF_HOUR, first).get
        elif self._connection.changes():
            return
        self._execute(counters.FIRST_OF_MINUTE, (at_ms, client_id, at_ms - at_ms % MINUTE_MS, name))

    def _counted(self, step: Step) -> _Rows:
        """The status and the retries that a step was counted with; nothing of one that does not count."""
        if step.status is Status.RETRYING:
            return self._execute(counters.RETRIES, (step.id,)).fetchall()
        return [] if step.spec.parent is not None else self._execute(counters.STATUS, (step.id,)).fetchall()

    def _count_change(self, status: str, retries: int, step: Step) -> None:
        """Count a step that was written; before, it had this status and these retries."""
        used = step.retries_before + step.retries_used - retries
        if step.status is Status.RETRYING and used > 0:
            for sql in counters.RETRIED:
                self._execute(sql, (used, step.id))
        if step.spec.parent is not None or step.status == status:
            return
        if status == Status.FAILED:
            # It was redriven.
            self._count(counters.ENDED[Status.FAILED], -1, step)
        if step.status is Status.SUCCEEDED:
            lasted_ms = max(0, (step.finished_at_ms or 0) - step.created_at_ms)
            self._count(counters.SUCCEEDED[bisect_left(BOUNDS_MS, lasted_ms)], lasted_ms, step)
        elif step.status in counters.ENDED:
            self._count(counters.ENDED[step.status], 1, step)

    def _count(self, pair: counters.Pair, value: int, root: Step) -> str | None:
        """Add to the counters of a run, and return their name; None when its hour has none.

        If its name has no counter of its own, the run is counted with others. It was so at its start as
        well, since the names of an hour only become more. The last statement is that of the minute.
        """
        at_ms, client_id = root.created_at_ms, root.spec.client_id
        for name in (root.spec.workflow_name, OTHER):
            self._execute(pair[0], (value, client_id, at_ms - at_ms % HOUR_MS, name))
            if self._connection.changes():
                self._execute(pair[1], (value, client_id, at_ms - at_ms % MINUTE_MS, name))
                return name
        return None

    def _put_blob(self, values: tuple[str, str, int, bytes]) -> None:
        self._execute(queries.PUT_BLOB, values)

    def _existing(self, step_id: str) -> Step | None:
        rows = self._execute(queries.GET, (step_id,)).fetchall()
        return decode(rows[0]) if rows else None

    def _read(self, sql: str, values: tuple[Any, ...]) -> _Rows:
        try:
            return self._rows.execute(sql, values).fetchall()
        except _UNREADABLE as error:
            raise self._writer.failed(error) from error

    async def _long(self, reader: Reader, read: Callable[[apsw.Connection], T]) -> T:
        try:
            return await reader.do(read)
        except _UNREADABLE as error:
            raise self._writer.failed(error) from error

    async def _long_rows(self, reader: Reader, sql: str, values: Any) -> _Rows:
        return await self._long(reader, lambda connection: connection.execute(sql, values).fetchall())


def immutable_columns(step: Step) -> tuple[Any, ...]:
    """The columns that are written once, in the order of the statements."""
    spec = step.spec
    spec_text = _json(spec_record(step))
    payload = _in_row(spec.payload, step.id) or b""
    return (
        spec.client_id,
        int(step.is_root),
        step.created_at_ms,
        spec.parent,
        int(spec.kind == "http"),
        spec.workflow_name,
        spec.idempotency_key,
        spec_text,
        payload,
        _checksum(step.id.encode(), spec_text, payload),
    )


def mutable_columns(step: Step) -> tuple[Any, ...]:
    """The columns that every write sets, in the order of the statements."""
    progress = _json(progress_record(step))
    response = None if step.response is None else _in_row(step.response.text, step.id)
    return (
        step.status.value,
        step.version,
        step.found_due_ms if step.owes else step.due_at_ms,
        step.finished_at_ms,
        # What owes something is not deleted.
        None if step.owes else step.expires_at_ms,
        progress,
        response,
        _checksum(progress, response),
        None if step.cause is None else step.cause.id,
        int(step.dismissal is not None),
    )


def decode(row: tuple[Any, ...]) -> Step:
    """The step of a row of COLUMNS. Raises StoreUnavailable for a damaged row."""
    step_id, spec, payload, progress, response, fixed_sum, progress_sum = row
    if not (fits(fixed_sum, step_id.encode(), spec, payload) and fits(progress_sum, progress, response)):
        raise damaged_row(step_id)
    return load_step(orjson.loads(spec), payload, orjson.loads(progress), response)


def _in_row(text: Text, step_id: str) -> bytes | None:
    return text if isinstance(text, bytes) else row_text(text, step_id)


def _json(record: Record) -> bytes:
    # A copy: the bytes of orjson keep 4 KiB allocated while the row waits for its commit.
    return bytes(memoryview(orjson.dumps(record)))


def fits(expected: int | None, *parts: bytes | None) -> bool:
    """Whether values of a row have their checksum, or none."""
    try:
        return expected is None or expected == _checksum(*parts)
    except TypeError:  # another type than was written
        return False


def _checksum(*parts: bytes | None) -> int:
    checksum = 0
    for part in parts:
        # The lengths are included, so that no byte can move from one value to the next unseen.
        length = 0xFFFFFFFF if part is None else len(part)
        checksum = zlib.crc32(part or b"", checksum ^ length)
    return checksum
