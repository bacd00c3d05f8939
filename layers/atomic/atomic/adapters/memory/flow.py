"""Flow control in memory: keys, slots and lines as long as the object lives."""

from bisect import insort
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

from atomic.application.flow_store import LeasedSlot
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


def _order(waiting: Waiting) -> tuple[int, int, str]:
    return waiting.turn, waiting.since_ms, waiting.step_id


@dataclass(slots=True)
class _Key:
    row: KeyRow | None = None
    slots: dict[str, Slot] = field(default_factory=dict)
    waiting: dict[str, Waiting] = field(default_factory=dict)
    line: list[tuple[int, int, str]] = field(default_factory=list)
    lanes: dict[str, int] = field(default_factory=dict)


class MemoryFlowRows:
    """Implements `FlowRows`."""

    def __init__(self) -> None:
        self.keys: dict[FlowKey, _Key] = {}

    def of(self, at: FlowKey) -> _Key:
        """What is known of a key."""
        return self.keys.setdefault(at, _Key())

    def load(self, at: FlowKey) -> KeyRow | None:
        """The row of a key."""
        return self.of(at).row

    def save(self, at: FlowKey, row: KeyRow) -> None:
        """Write the row of a key."""
        self.of(at).row = row

    def slot(self, at: FlowKey, step_id: str) -> Slot | None:
        """The slot of a step."""
        return self.of(at).slots.get(step_id)

    def put_slot(self, at: FlowKey, slot: Slot) -> None:
        """Write a slot."""
        self.of(at).slots[slot.step_id] = slot

    def drop_slot(self, at: FlowKey, step_id: str) -> None:
        """Delete a slot."""
        self.of(at).slots.pop(step_id, None)

    def count_slots(self, at: FlowKey) -> int:
        """How many slots are taken."""
        return len(self.of(at).slots)

    def waiting(self, at: FlowKey, step_id: str) -> Waiting | None:
        """The place of a step in line."""
        return self.of(at).waiting.get(step_id)

    def put_waiting(self, at: FlowKey, waiting: Waiting) -> None:
        """Write a place in line."""
        key = self.of(at)
        before = key.waiting.get(waiting.step_id)
        key.waiting[waiting.step_id] = waiting
        if before is None:
            insort(key.line, _order(waiting))

    def drop_waiting(self, at: FlowKey, step_id: str) -> None:
        """Delete a place in line."""
        key = self.of(at)
        waiting = key.waiting.pop(step_id, None)
        if waiting is not None:
            key.line.remove(_order(waiting))

    def next_waiting(self, at: FlowKey) -> Waiting | None:
        """The step whose turn is next."""
        key = self.of(at)
        return key.waiting[key.line[0][2]] if key.line else None

    def lane(self, at: FlowKey, lane: str) -> int:
        """The last turn of a lane."""
        return self.of(at).lanes.get(lane, 0)

    def put_lane(self, at: FlowKey, lane: str, turn: int) -> None:
        """Write the last turn of a lane."""
        self.of(at).lanes[lane] = turn

    def drop_lanes(self, at: FlowKey) -> None:
        """Forget the lanes: nobody is in line."""
        self.of(at).lanes.clear()


class MemoryFlowStore:
    """Implements `ServerFlowStore`."""

    def __init__(self) -> None:
        self._rows = MemoryFlowRows()
        self._table = FlowTable(self._rows)

    async def enter(self, asked: Entering, now_ms: int) -> Entered:
        """Take the slots that a due step needs, or its place in line."""
        return self._table.enter(asked, now_ms)

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
        return self._table.leave(at, step_id, version, now_ms)

    async def keep(self, at: FlowKey, step_id: str, until_ms: int) -> None:
        """Extend the lease of a slot."""
        self._table.keep(at, step_id, until_ms)

    async def pin(self, at: FlowKey, changes: Mapping[str, Any], now_ms: int) -> Sequence[Handed]:
        """Change members of the key's row; who was handed a slot."""
        return self._table.pin(at, changes, now_ms)

    async def leased_until(self, before_ms: int, limit: int) -> Sequence[LeasedSlot]:
        """Slots whose lease ends before the moment, the oldest first."""
        ended = [
            (slot.until_ms, at, slot.step_id)
            for at, key in self._rows.keys.items()
            for slot in key.slots.values()
            if slot.until_ms < before_ms
        ]
        return [LeasedSlot(at, step_id) for _, at, step_id in sorted(ended)[:limit]]

    async def state(self, at: FlowKey) -> KeyState | None:
        """A key."""
        key = self._rows.keys.get(at)
        return None if key is None or key.row is None else _state(at, key, key.row)

    async def states(self, client_id: str, *, after: str, limit: int) -> Sequence[KeyState]:
        """A page of a client's keys."""
        found = [
            _state(at, key, key.row)
            for at, key in self._rows.keys.items()
            if at.client_id == client_id and at.key > after and key.row is not None
        ]
        return sorted(found, key=attrgetter("key"))[:limit]

    async def members(self, at: FlowKey, limit: int) -> Members:
        """Steps that have a slot, and the first in line."""
        key = self._rows.keys.get(at) or _Key()
        slots = sorted(key.slots.values(), key=attrgetter("step_id"))
        line = [key.waiting[step_id] for *_, step_id in key.line[:limit]]
        return Members(tuple(slots[:limit]), tuple(line))

    async def forget(self, before_ms: int, limit: int) -> int:
        """Delete keys that nothing needs."""
        idle = [
            at
            for at, key in self._rows.keys.items()
            if not (key.slots or key.waiting) and (key.row is None or _is_idle(key.row, before_ms))
        ][:limit]
        for at in idle:
            del self._rows.keys[at]
        return len(idle)

    async def clear(self) -> None:
        """Delete everything."""
        self._rows.keys.clear()


def _state(at: FlowKey, key: _Key, row: KeyRow) -> KeyState:
    oldest_ms = min((waiting.since_ms for waiting in key.waiting.values()), default=None)
    return KeyState(at.key, row, len(key.slots), len(key.waiting), oldest_ms)


def _is_idle(row: KeyRow, before_ms: int) -> bool:
    is_pinned = row.is_paused or row.pinned_concurrency is not None or row.pinned_rate is not None
    return not is_pinned and row.seen_at_ms < before_ms
