"""What a store keeps of each key of flow control, and how it changes: slots, lines of waiting steps, paces.

A step that finds no free slot joins a line, and nothing looks at it until a slot is handed to it. A slot
that is released is handed to the next in line in the same transaction. Each slot has a lease, so none is
lost with a process. The store gives the rows (`FlowRows`); each method of `FlowTable` is one transaction.
All but `enter` are about one key: a store without transactions over several keys enters them one by one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple, Protocol

from atomic.domain.flow import UNUSED, FlowEntry, Pace, Rate, by_key, turn_after

# How long a slot is kept for a step that it was handed to, until the step takes it or is looked at.
HANDED_MS: Final = 30_000
# How many slots one change hands over; the next change goes on.
HANDED_MAX: Final = 500


class FlowKey(NamedTuple):
    """A key of a client."""

    client_id: str
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRow:
    """What is known of a key.

    `concurrency` and `rate` are those of the newest step that named the key, which was created at
    `given_at_ms`. What an operator has pinned counts more. `note`: why it is paused. `turn`: the last one
    that was served. `seen_at_ms`: when a step last named the key.
    """

    concurrency: int | None = None
    rate: Rate | None = None
    given_at_ms: int = 0
    pinned_concurrency: int | None = None
    pinned_rate: Rate | None = None
    is_paused: bool = False
    note: str = ""
    turn: int = 0
    pace: Pace = UNUSED
    seen_at_ms: int = 0

    @property
    def most(self) -> int | None:
        """How many slots there are; None for any number."""
        return self.concurrency if self.pinned_concurrency is None else self.pinned_concurrency

    @property
    def rate_in_force(self) -> Rate | None:
        """The rate that counts."""
        return self.rate if self.pinned_rate is None else self.pinned_rate


@dataclass(frozen=True, slots=True)
class Waiting:
    """A step in line. `version` is that of its row when it joined or last asked."""

    step_id: str
    version: int
    turn: int
    since_ms: int
    attempt_ms: int
    for_run: bool


@dataclass(frozen=True, slots=True)
class Slot:
    """A slot that a step has until its lease ends. `for_run`: the steps below it need none of their own."""

    step_id: str
    version: int
    until_ms: int
    attempt_ms: int
    for_run: bool


class Handed(NamedTuple):
    """A step that was handed a slot, and how long its attempt may take."""

    step_id: str
    attempt_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Entering:
    """A step that is due, and what it needs.

    `below`: its ancestors. `line` and `turn`: its place before this attempt. `has_time`: the time that a
    rate gave it has come.
    """

    client_id: str
    step_id: str
    version: int
    created_at_ms: int
    entries: tuple[FlowEntry, ...]
    below: tuple[str, ...]
    attempt_ms: int
    until_ms: int
    line: str = ""
    turn: int | None = None
    has_time: bool = False


@dataclass(frozen=True, slots=True)
class Entered:
    """Where the step is now: in line at `key`, or to be called at `at_ms` (0 for now)."""

    key: str = ""
    turn: int = 0
    at_ms: int = 0
    handed: tuple[Handed, ...] = ()


@dataclass(frozen=True, slots=True)
class KeyState:
    """A key, the numbers of taken slots and of steps in line, and since when the oldest of these waits."""

    key: str
    row: KeyRow
    running: int
    queued: int
    oldest_ms: int | None


@dataclass(frozen=True, slots=True)
class Members:
    """Some steps that have a slot of a key, and the first in its line, in the order of their turns."""

    slots: tuple[Slot, ...]
    waiting: tuple[Waiting, ...]


def those_asked(times: Mapping[FlowKey, int]) -> list[FlowKey]:
    """The keys of which a step takes a time, when these are those that their rates would give it.

    All of them if it may begin now. Otherwise only those that let it wait: a begin that does not take place
    would be lost for the others of a key.
    """
    return [at for at, at_ms in times.items() if at_ms] or list(times)


class FlowRows(Protocol):
    """The rows of a store, as one transaction sees them."""

    def load(self, at: FlowKey) -> KeyRow | None: ...

    def save(self, at: FlowKey, row: KeyRow) -> None: ...

    def slot(self, at: FlowKey, step_id: str) -> Slot | None: ...

    def put_slot(self, at: FlowKey, slot: Slot) -> None: ...

    def drop_slot(self, at: FlowKey, step_id: str) -> None: ...

    def count_slots(self, at: FlowKey) -> int: ...

    def waiting(self, at: FlowKey, step_id: str) -> Waiting | None: ...

    def put_waiting(self, at: FlowKey, waiting: Waiting) -> None: ...

    def drop_waiting(self, at: FlowKey, step_id: str) -> None: ...

    def next_waiting(self, at: FlowKey) -> Waiting | None: ...

    def lane(self, at: FlowKey, lane: str) -> int: ...

    def put_lane(self, at: FlowKey, lane: str, turn: int) -> None: ...

    def drop_lanes(self, at: FlowKey) -> None: ...


class FlowTable:
    """The changes of the rows.

    `counts_unlimited`: steps under a key without a limit have slots, too. Without it they have one only
    from the moment when it was handed to them until they take it. `handed_max`: how many slots one change
    hands over; the next change goes on.
    """

    def __init__(
        self, rows: FlowRows, *, counts_unlimited: bool = True, handed_max: int = HANDED_MAX
    ) -> None:
        self._rows = rows
        self._counts_unlimited = counts_unlimited
        self._handed_max = handed_max

    def enter(self, asked: Entering, now_ms: int) -> Entered:
        """Take the slots that the step needs, or its place in the first line where there is none.

        Times of rates are taken only with all slots in hand. Under a key with a limit, those inside wait
        for their times, the others in line; so the order of the line holds.
        """
        handed: list[Handed] = []
        for entry in by_key(asked.entries):
            taken = self.take(entry, asked, now_ms)
            handed += taken.handed
            if taken.key:
                return replace(taken, handed=tuple(handed))
        times = {
            at: at_ms
            for at in (FlowKey(asked.client_id, entry.key) for entry in asked.entries)
            if (at_ms := self.time_of(at, asked, now_ms)) is not None
        }
        at_ms = max((self.pace(at, asked, now_ms) for at in those_asked(times)), default=0)
        if at_ms:
            for entry in asked.entries:
                self.keep_until(FlowKey(asked.client_id, entry.key), asked.step_id, at_ms)
        return Entered(at_ms=at_ms, handed=tuple(handed))

    def take(self, entry: FlowEntry, asked: Entering, now_ms: int) -> Entered:
        """Take the slot of one entry, or its place in line."""
        at, handed = FlowKey(asked.client_id, entry.key), list[Handed]()
        turn = self._take(at, self._noted(at, entry, asked, now_ms), entry, asked, now_ms, handed)
        if turn is None:
            return Entered(handed=tuple(handed))
        return Entered(entry.key, turn, handed=tuple(handed))

    def leave(self, at: FlowKey, step_id: str, version: int, now_ms: int) -> list[Handed]:
        """Release the slot or the place in line of a step, unless the step has taken it anew since.

        `version` is that of the row which does not need it any more.
        """
        slot = self._rows.slot(at, step_id)
        if slot is not None:
            if slot.version < version:
                self._rows.drop_slot(at, step_id)
        # Who has a slot is not in line.
        elif (waiting := self._rows.waiting(at, step_id)) is not None and waiting.version < version:
            self._rows.drop_waiting(at, step_id)
        return self.hand_over(at, now_ms)

    def keep(self, at: FlowKey, step_id: str, until_ms: int) -> None:
        """Extend the lease of a slot that its step still needs."""
        slot = self._rows.slot(at, step_id)
        if slot is not None and slot.until_ms < until_ms:
            self._rows.put_slot(at, replace(slot, until_ms=until_ms))

    def pin(self, at: FlowKey, changes: Mapping[str, Any], now_ms: int) -> list[Handed]:
        """Change what an operator has pinned; hand over the slots that are free then."""
        before = self._rows.load(at) or KeyRow(seen_at_ms=now_ms)
        row = replace(before, **changes)
        if row.rate_in_force != before.rate_in_force:
            # Who comes from now on does not wait behind times of the rate before.
            next_us = min(row.pace.next_us, now_ms * 1000)
            row = replace(row, pace=replace(row.pace, next_us=next_us))
        self._rows.save(at, row)
        return self.hand_over(at, now_ms)

    def hand_over(self, at: FlowKey, now_ms: int) -> list[Handed]:
        """Hand the free slots to the next in line."""
        handed: list[Handed] = []
        row = self._rows.load(at)
        if row is None or row.is_paused:
            return handed
        free = self._handed_max if row.most is None else row.most - self._rows.count_slots(at)
        # Without a free slot it does not matter who is in line, and reading that may cost.
        if free <= 0 or (head := self._rows.next_waiting(at)) is None:
            return handed
        turn = row.turn
        while head is not None and len(handed) < min(free, self._handed_max):
            self._rows.drop_waiting(at, head.step_id)
            self._rows.put_slot(
                at,
                Slot(head.step_id, head.version, now_ms + HANDED_MS, head.attempt_ms, head.for_run),
            )
            turn = max(turn, head.turn)
            handed.append(Handed(head.step_id, head.attempt_ms))
            head = self._rows.next_waiting(at)
        if turn != row.turn:
            self._rows.save(at, replace(row, turn=turn))
        if head is None:
            self._rows.drop_lanes(at)
        return handed

    def _noted(self, at: FlowKey, entry: FlowEntry, asked: Entering, now_ms: int) -> KeyRow:
        """The row of the key, with the numbers of the newest step."""
        row = self._rows.load(at) or KeyRow()
        noted = replace(row, seen_at_ms=max(row.seen_at_ms, now_ms))
        if asked.created_at_ms >= row.given_at_ms:
            noted = replace(
                noted,
                concurrency=entry.concurrency,
                rate=entry.rate,
                given_at_ms=asked.created_at_ms,
            )
        if noted != row:
            self._rows.save(at, noted)
        return noted

    def _take(
        self,
        at: FlowKey,
        row: KeyRow,
        entry: FlowEntry,
        asked: Entering,
        now_ms: int,
        handed: list[Handed],
    ) -> int | None:
        """Take a slot; None when the step has one or needs none, otherwise its turn in line."""
        if any((above := self._rows.slot(at, step_id)) and above.for_run for step_id in asked.below):
            return None
        for_run = entry.scope == "run"
        mine = Slot(asked.step_id, asked.version, asked.until_ms, asked.attempt_ms, for_run)
        has_slot = self._rows.slot(at, asked.step_id) is not None
        if row.most is None and not self._counts_unlimited and (has_slot or not row.is_paused):
            self._rows.drop_slot(at, asked.step_id)
            self._rows.drop_waiting(at, asked.step_id)
            handed += self.hand_over(at, now_ms)
            return None
        if has_slot:
            self._rows.put_slot(at, mine)
            return None
        waiting = self._rows.waiting(at, asked.step_id)
        has_room = row.most is None or self._rows.count_slots(at) < row.most
        if waiting is None and has_room and not row.is_paused and self._rows.next_waiting(at) is None:
            self._rows.put_slot(at, mine)
            return None
        if waiting is None:
            waiting = self._joined(at, row, entry, asked, now_ms)
        elif waiting.version < asked.version:
            waiting = replace(waiting, version=asked.version)
        self._rows.put_waiting(at, waiting)
        # Slots are free here only if somebody did not hand them over.
        now_handed = self.hand_over(at, now_ms)
        handed += [other for other in now_handed if other.step_id != asked.step_id]
        if self._rows.slot(at, asked.step_id) is None:
            return waiting.turn
        self._rows.put_slot(at, mine)
        return None

    def _joined(self, at: FlowKey, row: KeyRow, entry: FlowEntry, asked: Entering, now_ms: int) -> Waiting:
        turn = turn_after(row.turn, self._rows.lane(at, entry.lane), entry)
        if asked.turn is not None and asked.line == entry.key and asked.turn < turn:
            # A retry has its place from before.
            turn = asked.turn
        else:
            self._rows.put_lane(at, entry.lane, turn)
        return Waiting(asked.step_id, asked.version, turn, now_ms, asked.attempt_ms, entry.scope == "run")

    def time_of(self, at: FlowKey, asked: Entering, now_ms: int) -> int | None:
        """When the rate of the key would let the attempt begin, 0 for now; None without a rate.

        Nothing is changed.
        """
        row = self._rows.load(at)
        if row is None or (rate := row.rate_in_force) is None:
            return None
        return row.pace.taken(rate, now_ms * 1000, has_time=asked.has_time)[1]

    def pace(self, at: FlowKey, asked: Entering, now_ms: int) -> int:
        """Use the rate of the key, if it has one: when the attempt may begin, 0 for now."""
        row = self._rows.load(at)
        if row is None or (rate := row.rate_in_force) is None:
            return 0
        pace, at_us = row.pace.taken(rate, now_ms * 1000, has_time=asked.has_time)
        if pace != row.pace:
            self._rows.save(at, replace(row, pace=pace))
        return -(-at_us // 1000)

    def keep_until(self, at: FlowKey, step_id: str, at_ms: int) -> None:
        """Keep the slot of a key that has few until the attempt begins; release it if it has any number."""
        slot, row = self._rows.slot(at, step_id), self._rows.load(at)
        if slot is None or row is None:
            return
        if row.most is None:
            self._rows.drop_slot(at, step_id)
        else:
            self._rows.put_slot(at, replace(slot, until_ms=at_ms + HANDED_MS))
