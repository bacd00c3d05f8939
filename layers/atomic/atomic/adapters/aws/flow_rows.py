"""The rows of one key, as one try to change it sees them: what was read, and what is to be written.

`FlowTable` asks for the line only when there is a slot to be handed over, and for a step's own place only
when the step may have one. So neither is read in advance: `Unread` says what has to be, and the change
begins anew with it, on the same key item.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from atomic.adapters.aws.flow_items import InLine, KeyItem, lane_id, pruned
from atomic.domain.flow_table import FlowKey, KeyRow, Slot, Waiting


class Unread(Exception):
    """Something has to be read before the change can be made."""

    def __init__(self, what: Literal["line", "place"]) -> None:
        super().__init__(what)
        self.what = what


@dataclass(frozen=True, slots=True)
class Line:
    """The beginning of a line, and whether it is all of it."""

    first: Sequence[InLine]
    is_all: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What was read. `line` and `place` are None as long as they were not.

    `turn` is that of the step `own`, if it may be in line. What `writer` wrote in this line, it wrote in a
    try that has failed.
    """

    key: KeyItem
    writer: bytes
    own: str = ""
    turn: int | None = None
    line: Line | None = None
    place: Sequence[InLine] | None = None


@dataclass(slots=True)
class KeyRows:
    """Implements `FlowRows` for one key. All that it is asked for is of this key."""

    known: Known
    row: KeyRow | None = field(init=False)
    slots: dict[str, Slot] = field(init=False)
    lanes: dict[bytes, int] = field(init=False)
    joined: dict[str, Waiting] = field(default_factory=dict, init=False)
    gone: dict[str, InLine] = field(default_factory=dict, init=False)
    is_empty: bool = field(default=False, init=False)
    stays: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        key = self.known.key
        self.row, self.slots, self.lanes = key.row, dict(key.slots), dict(key.lanes)

    def load(self, _at: FlowKey) -> KeyRow | None:
        """The row."""
        return self.row

    def save(self, _at: FlowKey, row: KeyRow) -> None:
        """Write the row."""
        self.row = row

    def slot(self, _at: FlowKey, step_id: str) -> Slot | None:
        """The slot of a step."""
        return self.slots.get(step_id)

    def put_slot(self, _at: FlowKey, slot: Slot) -> None:
        """Write a slot."""
        self.slots[slot.step_id] = slot

    def drop_slot(self, _at: FlowKey, step_id: str) -> None:
        """Delete a slot."""
        self.slots.pop(step_id, None)

    def count_slots(self, _at: FlowKey) -> int:
        """How many slots are taken."""
        return len(self.slots)

    def waiting(self, _at: FlowKey, step_id: str) -> Waiting | None:
        """The place of a step in line."""
        if step_id in self.joined:
            return self.joined[step_id]
        found = self._stored(step_id)
        return None if found is None else found.waiting

    def put_waiting(self, at: FlowKey, waiting: Waiting) -> None:
        """Write a place in line.

        One that is there may be of a try whose key was not written. So the key is written in any case, and
        the place is counted as a new one if the key says that nobody is in line.
        """
        self.stays = True
        if waiting != self.waiting(at, waiting.step_id) or not self.known.key.queued:
            self.joined[waiting.step_id] = waiting
            self.is_empty = False

    def drop_waiting(self, _at: FlowKey, step_id: str) -> None:
        """Delete a place in line."""
        self.joined.pop(step_id, None)
        if (stored := self._stored(step_id)) is not None:
            self.gone[step_id] = stored

    def next_waiting(self, _at: FlowKey) -> Waiting | None:
        """The step whose turn is next."""
        heads = [(waiting.turn, waiting.step_id, waiting) for waiting in self.joined.values()]
        if self.known.key.queued:
            if self.known.line is None:
                raise Unread("line")
            in_line = self._left(self.known.line)
            if not in_line and not self.known.line.is_all:
                raise Unread("line")
            heads += [
                (*there.place, there.waiting)
                for there in in_line
                if there.waiting.step_id not in self.joined
            ]
        self.is_empty = not heads
        return min(heads)[2] if heads else None

    def lane(self, _at: FlowKey, lane: str) -> int:
        """The last turn of a lane."""
        return self.lanes.get(lane_id(lane), 0)

    def put_lane(self, _at: FlowKey, lane: str, turn: int) -> None:
        """Write the last turn of a lane."""
        self.lanes[lane_id(lane)] = turn

    def drop_lanes(self, _at: FlowKey) -> None:
        """Forget the lanes: nobody is in line."""
        self.lanes.clear()

    def changed(self, writer: bytes) -> KeyItem | None:
        """The key as it is to be written; None if there is nothing to write.

        Who joins the line always writes the key, too. So a process that releases a slot at the same time
        has to try again, and then sees the one who joined.
        """
        before, row = self.known.key, self.row
        if row is None:
            return None
        lanes = pruned(row, self.lanes)
        is_same = row == before.row and self.slots == before.slots and lanes == before.lanes
        if is_same and not self.stays:
            return None
        return KeyItem(writer, row, self.slots, lanes, self._queued())

    def _queued(self) -> int:
        """How many wait. It says 0 only if the whole line was read: a zero spares others to look."""
        if self.is_empty:
            return 0
        new = sum(self._stored(step_id) is None for step_id in self.joined)
        queued = self.known.key.queued + new - len(self.gone)
        return max(1, queued) if self.known.key.queued or self.joined else 0

    def _stored(self, step_id: str) -> InLine | None:
        """The place of a step as it is in the table, unless it is to be deleted."""
        if step_id in self.gone:
            return None
        if step_id == self.known.own and self.known.turn is not None:
            if self.known.place is None:
                raise Unread("place")
            for there in self.known.place:
                if there.writer != self.known.writer:
                    return there
        if self.known.line is None:
            return None
        in_line = self._left(self.known.line)
        return next((there for there in in_line if there.waiting.step_id == step_id), None)

    def _left(self, line: Line) -> list[InLine]:
        """Those in line that wait.

        Of a step that has a slot, a place may be left over: its slot was handed over by a process that
        ended before it deleted the place. Such places are deleted.
        """
        left = []
        for there in line.first:
            step_id = there.waiting.step_id
            if there.writer == self.known.writer or step_id in self.gone:
                continue
            if step_id in self.slots:
                self.gone[step_id] = there
            else:
                left.append(there)
        return left
