"""Flow control in the file of the steps: each change is one of the writer's operations."""

# ruff: noqa: S608 - what is put into the SQL are names and conditions of this module; values are bound

from array import array
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

import apsw

from atomic.adapters.sqlite.reader import Reader
from atomic.adapters.sqlite.writer import Writer
from atomic.application.flow_store import LeasedSlot
from atomic.domain.flow import Pace, Rate
from atomic.domain.flow_table import (
    Entered,
    Entering,
    FlowKey,
    FlowTable,
    Handed,
    KeyRow,
    KeyState,
    Members,
    Slot,
    Waiting,
)

T = TypeVar("T")

FLOW: Final = """
CREATE TABLE flow_keys (
    client_id TEXT NOT NULL,
    key TEXT NOT NULL,
    concurrency INTEGER,
    rate_limit INTEGER,
    rate_per_ms INTEGER,
    given_at_ms INTEGER NOT NULL,
    pinned_concurrency INTEGER,
    pinned_rate_limit INTEGER,
    pinned_rate_per_ms INTEGER,
    is_paused INTEGER NOT NULL,
    turn INTEGER NOT NULL,
    next_us INTEGER NOT NULL,
    used_us BLOB NOT NULL,
    seen_at_ms INTEGER NOT NULL,
    PRIMARY KEY (client_id, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX flow_seen ON flow_keys (seen_at_ms);
CREATE TABLE flow_slots (
    client_id TEXT NOT NULL,
    key TEXT NOT NULL,
    step_id TEXT NOT NULL,
    version INTEGER NOT NULL,
    until_ms INTEGER NOT NULL,
    attempt_ms INTEGER NOT NULL,
    for_run INTEGER NOT NULL,
    PRIMARY KEY (client_id, key, step_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX flow_leases ON flow_slots (until_ms);
CREATE TABLE flow_waiting (
    client_id TEXT NOT NULL,
    key TEXT NOT NULL,
    step_id TEXT NOT NULL,
    version INTEGER NOT NULL,
    turn INTEGER NOT NULL,
    since_ms INTEGER NOT NULL,
    attempt_ms INTEGER NOT NULL,
    for_run INTEGER NOT NULL,
    PRIMARY KEY (client_id, key, step_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX flow_line ON flow_waiting (client_id, key, turn, since_ms, step_id);
CREATE INDEX flow_oldest ON flow_waiting (client_id, key, since_ms);
CREATE TABLE flow_lanes (
    client_id TEXT NOT NULL,
    key TEXT NOT NULL,
    lane TEXT NOT NULL,
    turn INTEGER NOT NULL,
    PRIMARY KEY (client_id, key, lane)
) STRICT, WITHOUT ROWID;
"""
# Why a key is paused.
FLOW_NOTES: Final = "ALTER TABLE flow_keys ADD COLUMN note TEXT NOT NULL DEFAULT '';"
FLOW_TABLES: Final = ("flow_keys", "flow_slots", "flow_waiting", "flow_lanes")

_KEY_COLUMNS: Final = """concurrency, rate_limit, rate_per_ms, given_at_ms, pinned_concurrency,
    pinned_rate_limit, pinned_rate_per_ms, is_paused, note, turn, next_us, used_us, seen_at_ms"""
_OF_KEY: Final = "WHERE client_id = ? AND key = ?"
_OF_STEP: Final = f"{_OF_KEY} AND step_id = ?"
_LOAD: Final = f"SELECT {_KEY_COLUMNS} FROM flow_keys {_OF_KEY}"
_SAVE: Final = f"""INSERT OR REPLACE INTO flow_keys (client_id, key, {_KEY_COLUMNS})
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
_SLOT_COLUMNS: Final = "step_id, version, until_ms, attempt_ms, for_run"
_SLOT: Final = f"SELECT {_SLOT_COLUMNS} FROM flow_slots {_OF_STEP}"
_SLOTS: Final = f"SELECT {_SLOT_COLUMNS} FROM flow_slots {_OF_KEY} ORDER BY step_id LIMIT ?"
_PUT_SLOT: Final = """INSERT OR REPLACE INTO flow_slots
    (client_id, key, step_id, version, until_ms, attempt_ms, for_run) VALUES (?, ?, ?, ?, ?, ?, ?)"""
_DROP_SLOT: Final = f"DELETE FROM flow_slots {_OF_STEP}"
_COUNT_SLOTS: Final = f"SELECT count(*) FROM flow_slots {_OF_KEY}"
_WAITING_COLUMNS: Final = "step_id, version, turn, since_ms, attempt_ms, for_run"
_WAITING: Final = f"SELECT {_WAITING_COLUMNS} FROM flow_waiting {_OF_STEP}"
_PUT_WAITING: Final = f"""INSERT OR REPLACE INTO flow_waiting
    (client_id, key, {_WAITING_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"""
_DROP_WAITING: Final = f"DELETE FROM flow_waiting {_OF_STEP}"
_IN_LINE: Final = f"""SELECT {_WAITING_COLUMNS} FROM flow_waiting INDEXED BY flow_line {_OF_KEY}
    ORDER BY turn, since_ms, step_id LIMIT ?"""
_LANE: Final = f"SELECT turn FROM flow_lanes {_OF_KEY} AND lane = ?"
_PUT_LANE: Final = "INSERT OR REPLACE INTO flow_lanes (client_id, key, lane, turn) VALUES (?, ?, ?, ?)"
_DROP_LANES: Final = f"DELETE FROM flow_lanes {_OF_KEY}"
_LEASED: Final = """SELECT client_id, key, step_id FROM flow_slots INDEXED BY flow_leases
    WHERE until_ms < ? ORDER BY until_ms LIMIT ?"""
_STATE: Final = f"""SELECT key, {_KEY_COLUMNS},
    (SELECT count(*) FROM flow_slots AS s WHERE s.client_id = k.client_id AND s.key = k.key),
    (SELECT count(*) FROM flow_waiting AS w WHERE w.client_id = k.client_id AND w.key = k.key),
    (SELECT min(since_ms) FROM flow_waiting AS w WHERE w.client_id = k.client_id AND w.key = k.key)
    FROM flow_keys AS k WHERE client_id = ? AND """
_ONE: Final = f"{_STATE} key = ?"
_PAGE: Final = f"{_STATE} key > ? ORDER BY key LIMIT ?"
_IDLE: Final = """SELECT client_id, key FROM flow_keys AS k INDEXED BY flow_seen
    WHERE seen_at_ms < ? AND NOT is_paused AND pinned_concurrency IS NULL AND pinned_rate_limit IS NULL
    AND NOT EXISTS (SELECT 1 FROM flow_slots AS s WHERE s.client_id = k.client_id AND s.key = k.key)
    AND NOT EXISTS (SELECT 1 FROM flow_waiting AS w WHERE w.client_id = k.client_id AND w.key = k.key)
    LIMIT ?"""
_DROP_KEY: Final = f"DELETE FROM flow_keys {_OF_KEY}"


class SqliteFlowRows:
    """Implements `FlowRows` within the transaction that is open."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._execute = connection.cursor().execute

    def load(self, at: FlowKey) -> KeyRow | None:
        """The row of a key."""
        row = self._execute(_LOAD, at).fetchone()
        return None if row is None else _row(row)

    def save(self, at: FlowKey, row: KeyRow) -> None:
        """Write the row of a key."""
        rate, pinned = row.rate, row.pinned_rate
        self._execute(
            _SAVE,
            (
                *at,
                row.concurrency,
                rate and rate.limit,
                rate and rate.per_ms,
                row.given_at_ms,
                row.pinned_concurrency,
                pinned and pinned.limit,
                pinned and pinned.per_ms,
                row.is_paused,
                row.note,
                row.turn,
                row.pace.next_us,
                array("q", row.pace.used_us).tobytes(),
                row.seen_at_ms,
            ),
        )

    def slot(self, at: FlowKey, step_id: str) -> Slot | None:
        """The slot of a step."""
        row: Any = self._execute(_SLOT, (*at, step_id)).fetchone()
        return None if row is None else _slot(row)

    def put_slot(self, at: FlowKey, slot: Slot) -> None:
        """Write a slot."""
        self._execute(
            _PUT_SLOT,
            (*at, slot.step_id, slot.version, slot.until_ms, slot.attempt_ms, slot.for_run),
        )

    def drop_slot(self, at: FlowKey, step_id: str) -> None:
        """Delete a slot."""
        self._execute(_DROP_SLOT, (*at, step_id))

    def count_slots(self, at: FlowKey) -> int:
        """How many slots are taken."""
        number: int = self._execute(_COUNT_SLOTS, at).get
        return number

    def waiting(self, at: FlowKey, step_id: str) -> Waiting | None:
        """The place of a step in line."""
        return _waiting(self._execute(_WAITING, (*at, step_id)).fetchone())

    def put_waiting(self, at: FlowKey, waiting: Waiting) -> None:
        """Write a place in line."""
        place = waiting
        self._execute(
            _PUT_WAITING,
            (
                *at,
                place.step_id,
                place.version,
                place.turn,
                place.since_ms,
                place.attempt_ms,
                place.for_run,
            ),
        )

    def drop_waiting(self, at: FlowKey, step_id: str) -> None:
        """Delete a place in line."""
        self._execute(_DROP_WAITING, (*at, step_id))

    def next_waiting(self, at: FlowKey) -> Waiting | None:
        """The step whose turn is next."""
        return _waiting(self._execute(_IN_LINE, (*at, 1)).fetchone())

    def lane(self, at: FlowKey, lane: str) -> int:
        """The last turn of a lane."""
        turn: int | None = self._execute(_LANE, (*at, lane)).get
        return turn or 0

    def put_lane(self, at: FlowKey, lane: str, turn: int) -> None:
        """Write the last turn of a lane."""
        self._execute(_PUT_LANE, (*at, lane, turn))

    def drop_lanes(self, at: FlowKey) -> None:
        """Forget the lanes: nobody is in line."""
        self._execute(_DROP_LANES, at)

    def drop_idle(self, before_ms: int, limit: int) -> int:
        """Delete keys that nothing needs."""
        idle = self._execute(_IDLE, (before_ms, limit)).fetchall()
        for at in idle:
            self._execute(_DROP_KEY, at)
        return len(idle)


class SqliteFlowStore:
    """Implements `ServerFlowStore` on the connections of the step store."""

    def __init__(self, connection: apsw.Connection, writer: Writer, lists: Reader, timers: Reader) -> None:
        self._rows = SqliteFlowRows(connection)
        self._table = FlowTable(self._rows)
        self._writer = writer
        self._lists = lists
        self._timers = timers
        # Whether there may be slots. Without flow control, no read looks for ended leases.
        self._is_used = bool(
            connection.execute("SELECT EXISTS (SELECT 1 FROM flow_slots)").fetchall()[0][0]
        )

    async def enter(self, asked: Entering, now_ms: int) -> Entered:
        """Take the slots that a due step needs, or its place in line."""
        self._is_used = True
        return await self._writer.submit(self._table.enter, asked, now_ms)

    async def leave(
        self,
        at: FlowKey,
        step_id: str,
        version: int,
        now_ms: int,
        *,
        turn: int | None = None,  # noqa: ARG002 - a place is found by its step
    ) -> Sequence[Handed]:
        """Release a step's slot; who was handed one."""
        return await self._writer.submit(self._table.leave, at, step_id, version, now_ms)

    async def keep(self, at: FlowKey, step_id: str, until_ms: int) -> None:
        """Extend the lease of a slot."""
        await self._writer.submit(self._table.keep, at, step_id, until_ms)

    async def pin(self, at: FlowKey, changes: Mapping[str, Any], now_ms: int) -> Sequence[Handed]:
        """Change members of the key's row; who was handed a slot."""
        self._is_used = True
        return await self._writer.submit(self._table.pin, at, dict(changes), now_ms)

    async def leased_until(self, before_ms: int, limit: int) -> Sequence[LeasedSlot]:
        """Slots whose lease ends before the moment, the oldest first."""
        if not self._is_used:
            return []
        ended = (before_ms, limit)
        rows: Any = await self._read(self._timers, lambda timers: timers.execute(_LEASED, ended).fetchall())
        return [LeasedSlot(FlowKey(client_id, key), step_id) for client_id, key, step_id in rows]

    async def state(self, at: FlowKey) -> KeyState | None:
        """A key."""
        rows = await self._read(self._lists, lambda lists: lists.execute(_ONE, at).fetchall())
        return _state(rows[0]) if rows else None

    async def states(self, client_id: str, *, after: str, limit: int) -> Sequence[KeyState]:
        """A page of a client's keys."""
        page = (client_id, after, limit)
        rows = await self._read(self._lists, lambda lists: lists.execute(_PAGE, page).fetchall())
        return [_state(row) for row in rows]

    async def members(self, at: FlowKey, limit: int) -> Members:
        """Steps that have a slot, and the first in line."""

        def read(lists: apsw.Connection) -> Members:
            slots: Any = lists.execute(_SLOTS, (*at, limit)).fetchall()
            line: Any = lists.execute(_IN_LINE, (*at, limit)).fetchall()
            return Members(tuple(map(_slot, slots)), tuple(map(_place, line)))

        return await self._read(self._lists, read)

    async def forget(self, before_ms: int, limit: int) -> int:
        """Delete keys that nothing needs."""
        return await self._writer.submit(self._rows.drop_idle, before_ms, limit)

    async def _read(self, reader: Reader, read: Callable[[apsw.Connection], T]) -> T:
        try:
            return await reader.do(read)
        except apsw.Error as error:
            raise self._writer.failed(error) from error


def _row(row: Sequence[Any]) -> KeyRow:
    concurrency, limit, per_ms, given, pinned, pinned_limit, pinned_per, paused, note, *rest = row
    turn, next_us, used, seen_at_ms = rest
    return KeyRow(
        concurrency=concurrency,
        rate=None if limit is None else Rate(limit, per_ms),
        given_at_ms=given,
        pinned_concurrency=pinned,
        pinned_rate=None if pinned_limit is None else Rate(pinned_limit, pinned_per),
        is_paused=bool(paused),
        note=note,
        turn=turn,
        pace=Pace(next_us, tuple(array("q", used))),
        seen_at_ms=seen_at_ms,
    )


def _slot(row: Sequence[Any]) -> Slot:
    step_id, version, until_ms, attempt_ms, for_run = row
    return Slot(step_id, version, until_ms, attempt_ms, bool(for_run))


def _waiting(row: Sequence[Any] | None) -> Waiting | None:
    return None if row is None else _place(row)


def _place(row: Sequence[Any]) -> Waiting:
    step_id, version, turn, since_ms, attempt_ms, for_run = row
    return Waiting(step_id, version, turn, since_ms, attempt_ms, bool(for_run))


def _state(row: Sequence[Any]) -> KeyState:
    key, *columns, running, queued, oldest_ms = row
    return KeyState(key, _row(columns), running, queued, oldest_ms)
