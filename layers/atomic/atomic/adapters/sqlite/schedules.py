"""The table of schedules, in the file of the steps."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Final

import apsw
import orjson

from atomic.adapters.sqlite.writer import Writer
from atomic.application.ports import DueStep
from atomic.domain.schedule_records import load_schedule, schedule_record
from atomic.domain.schedules import Schedule
from atomic.protocol import keys

_GET: Final = "SELECT record, payload FROM schedules WHERE client_id = ? AND name = ?"
_LIST: Final = (
    "SELECT record, payload FROM schedules WHERE client_id = ? AND name > ? ORDER BY name LIMIT ?"
)
_INSERT: Final = """
INSERT INTO schedules (version, due_at_ms, record, payload, client_id, name) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT DO NOTHING
"""
_UPDATE: Final = """
UPDATE schedules SET version = ?, due_at_ms = ?, record = ?, payload = ?
WHERE client_id = ? AND name = ? AND version = ?
"""
_DELETE: Final = "DELETE FROM schedules WHERE client_id = ? AND name = ?"
_DUE: Final = """
SELECT client_id, name, due_at_ms FROM schedules INDEXED BY due_schedules
WHERE due_at_ms IS NOT NULL AND due_at_ms < ? ORDER BY due_at_ms LIMIT ?
"""


class SqliteSchedules(ABC):
    """Implements `ports.Schedules`, within `SqliteStepStore`."""

    _writer: Writer
    _connection: apsw.Connection

    @abstractmethod
    def _read(self, sql: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]: ...

    async def get_schedule(self, client_id: str, name: str) -> Schedule | None:
        """The newest durable row."""
        return _first(self._read(_GET, (client_id, name)))

    async def create_schedule(self, schedule: Schedule) -> Schedule | None:
        """Insert the schedule unless its name is taken."""
        return await self._writer.submit(self._create_schedule, schedule)

    async def replace_schedule(self, schedule: Schedule, expected_version: int) -> Schedule | None:
        """Write the schedule if it has the expected version; raises LookupError if there is none."""
        return await self._writer.submit(self._replace_schedule, schedule, expected_version)

    async def delete_schedule(self, client_id: str, name: str) -> bool:
        """Delete the schedule; whether there was one."""
        return await self._writer.submit(self._delete_schedule, client_id, name)

    async def list_schedules(self, client_id: str, *, after: str, limit: int) -> Sequence[Schedule]:
        """A page of the client's schedules in the order of their names."""
        return [_decode(row) for row in self._read(_LIST, (client_id, after, limit))]

    def _create_schedule(self, schedule: Schedule) -> Schedule | None:
        self._connection.execute(_INSERT, _columns(schedule))
        return None if self._connection.changes() else self._existing_schedule(schedule)

    def _replace_schedule(self, schedule: Schedule, expected: int) -> Schedule | None:
        self._connection.execute(_UPDATE, (*_columns(schedule), expected))
        if self._connection.changes():
            return None
        existing = self._existing_schedule(schedule)
        if existing is None:
            raise LookupError(schedule.id)
        return existing

    def _delete_schedule(self, client_id: str, name: str) -> bool:
        self._connection.execute(_DELETE, (client_id, name))
        return bool(self._connection.changes())

    def _existing_schedule(self, schedule: Schedule) -> Schedule | None:
        return _first(self._connection.execute(_GET, (schedule.client_id, schedule.name)).fetchall())


def due_schedules(timers: apsw.Connection, before_ms: int, limit: int) -> list[DueStep]:
    """The schedules that are due before the moment, the most overdue first."""
    return [
        DueStep(keys.schedule_id(client_id, name), client_id, due_at_ms)
        for client_id, name, due_at_ms in timers.execute(_DUE, (before_ms, limit))
    ]


def _columns(schedule: Schedule) -> tuple[Any, ...]:
    record, payload = schedule_record(schedule)
    return (
        schedule.version,
        schedule.found_due_ms,
        orjson.dumps(record),
        payload,
        schedule.client_id,
        schedule.name,
    )


def _first(rows: Sequence[tuple[Any, ...]]) -> Schedule | None:
    return _decode(rows[0]) if rows else None


def _decode(row: tuple[Any, ...]) -> Schedule:
    record, payload = row
    return load_schedule(orjson.loads(record), payload)
