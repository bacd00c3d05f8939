"""The items of flow control: one for each key, and one for each step that waits in its line.

A key's item is all that decides: its row, its slots, the last turns of its lanes. Each change is one write
of the whole item, and a write is billed by its size. So slots, lanes and the times of a pace are packed:

| attribute | what |
|---|---|
| v | who wrote it last: random, so that a writer knows its own write, and no version comes twice |
| r | the row, as JSON |
| s | slots: 28 bytes for a root, 44 for another step |
| l | lanes: 6 bytes of the name's hash, and how far the lane's last turn is ahead |
| u | when the last attempts of a rate began, as differences in milliseconds: 1 to 3 bytes each |
| n | how many steps wait in line; 0 if certainly none |
| lp, at | `<client>#flow` and the key, for lists. They never change, so the index costs nothing more |
| p | why the key is paused |
| ttl | when the key is forgotten, if nothing needs it |

A waiting step has pk `line#<client>#<key>` and sk `<turn>#<step id>`: the first one is the next. `o` is who
wrote it, `v` the version of the step's row, `m` how long its attempt may take, `b` since when it waits, `f`
whether its slot is for the run.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Any, Final

from atomic.adapters.aws.rows import Item
from atomic.adapters.aws.table import FLOW, LINE
from atomic.domain.flow import Pace, Rate
from atomic.domain.flow_table import FlowKey, KeyRow, Slot, Waiting

_IDLE_S: Final = 24 * 3600
_TURN_DIGITS: Final = 20
# Of more lanes than this, those that are least ahead are not remembered: they gain the least by that.
LANES_MAX: Final = 40
_LANE_BYTES: Final = 6
_ID_BYTES: Final = 16
_OTHER, _ROOT, _STEP, _FOR_RUN = 0, 1, 2, 4
_RUN: Final = "run_"


@dataclass(frozen=True, slots=True)
class KeyItem:
    """A key as its item has it. `writer` is empty when there is no item."""

    writer: bytes = b""
    row: KeyRow | None = None
    slots: Mapping[str, Slot] = field(default_factory=dict)
    lanes: Mapping[bytes, int] = field(default_factory=dict)
    queued: int = 0


@dataclass(frozen=True, slots=True)
class InLine:
    """The item of a waiting step, and who wrote it."""

    waiting: Waiting
    writer: bytes

    @property
    def place(self) -> tuple[int, str]:
        """Where it is in line."""
        return self.waiting.turn, self.waiting.step_id


def key_key(at: FlowKey) -> Item:
    """The key of a key's item."""
    return {"pk": {"S": f"{FLOW}{at.client_id}#{at.key}"}, "sk": {"S": "flow"}}


def line_partition(at: FlowKey) -> str:
    """The partition of a line."""
    return f"{LINE}{at.client_id}#{at.key}"


def place_key(at: FlowKey, turn: int, step_id: str) -> Item:
    """The key of a waiting step's item."""
    return {"pk": {"S": line_partition(at)}, "sk": {"S": f"{turn:0{_TURN_DIGITS}d}#{step_id}"}}


def list_of(client_id: str) -> str:
    """The partition of the listing index with the keys of a client."""
    return f"{client_id}#flow"


def lane_id(lane: str) -> bytes:
    """A lane without its name, which may be long."""
    return blake2b(lane.encode(), digest_size=_LANE_BYTES).digest()


def encode_key(at: FlowKey, key: KeyItem) -> Item:
    """The item of a key, whose row is known."""
    row = key.row
    assert row is not None
    item: Item = {
        **key_key(at),
        "v": {"B": key.writer},
        "r": {"S": json.dumps(_record(row), separators=(",", ":"))},
        "lp": {"S": list_of(at.client_id)},
        "at": {"S": at.key},
    }
    packed = {"s": _packed_slots(key.slots), "l": _packed_lanes(row, key.lanes), "u": _packed_times(row)}
    item |= {name: {"B": value} for name, value in packed.items() if value}
    if row.note:
        item["p"] = {"S": row.note}
    if key.queued:
        item["n"] = {"N": str(key.queued)}
    if not (key.slots or key.queued or is_pinned(row)):
        item["ttl"] = {"N": str(row.seen_at_ms // 1000 + _IDLE_S)}
    return item


def decode_key(item: Item | None) -> KeyItem:
    """The key of an item."""
    if item is None:
        return KeyItem()
    note = item["p"]["S"] if "p" in item else ""
    row = replace(_row(json.loads(item["r"]["S"]), _times(_bytes(item, "u"))), note=note)
    return KeyItem(
        writer=item["v"]["B"],
        row=row,
        slots={slot.step_id: slot for slot in _slots(_bytes(item, "s"))},
        lanes=dict(_lanes(row, _bytes(item, "l"))),
        queued=int(item["n"]["N"]) if "n" in item else 0,
    )


def pruned(row: KeyRow, lanes: Mapping[bytes, int]) -> dict[bytes, int]:
    """The lanes that say something: a step that joins another one has the turn after the one served."""
    ahead = sorted((turn, lane) for lane, turn in lanes.items() if turn > row.turn)
    return {lane: turn for turn, lane in ahead[-LANES_MAX:]}


def encode_place(at: FlowKey, there: InLine) -> Item:
    """The item of a waiting step."""
    waiting = there.waiting
    item: Item = {
        **place_key(at, waiting.turn, waiting.step_id),
        "o": {"B": there.writer},
        "v": {"N": str(waiting.version)},
        "m": {"N": str(waiting.attempt_ms)},
        "b": {"N": str(waiting.since_ms)},
    }
    return item | ({"f": {"BOOL": True}} if waiting.for_run else {})


def decode_place(item: Item) -> InLine:
    """The waiting step of an item."""
    turn, _, step_id = item["sk"]["S"].partition("#")
    numbers = {name: int(item[name]["N"]) for name in ("v", "b", "m")}
    waiting = Waiting(step_id, numbers["v"], int(turn), numbers["b"], numbers["m"], "f" in item)
    return InLine(waiting, item["o"]["B"])


def is_pinned(row: KeyRow) -> bool:
    """Whether an operator wants something of the key."""
    return row.is_paused or row.pinned_concurrency is not None or row.pinned_rate is not None


# --- the row ---


def _record(row: KeyRow) -> list[Any]:
    return [
        row.concurrency,
        _rate_record(row.rate),
        row.given_at_ms,
        row.pinned_concurrency,
        _rate_record(row.pinned_rate),
        int(row.is_paused),
        row.turn,
        row.pace.next_us,
        row.seen_at_ms,
    ]


def _row(record: list[Any], used_us: tuple[int, ...]) -> KeyRow:
    concurrency, rate, given_at_ms, pinned, pinned_rate, is_paused, turn, next_us, seen_at_ms = record
    return KeyRow(
        concurrency=concurrency,
        rate=None if rate is None else Rate(*rate),
        given_at_ms=given_at_ms,
        pinned_concurrency=pinned,
        pinned_rate=None if pinned_rate is None else Rate(*pinned_rate),
        is_paused=bool(is_paused),
        turn=turn,
        pace=Pace(next_us, used_us),
        seen_at_ms=seen_at_ms,
    )


def _rate_record(rate: Rate | None) -> list[int] | None:
    return None if rate is None else [rate.limit, rate.per_ms]


# --- packed numbers: seven bits a byte, the highest bit of all but the last is set ---


def _number(value: int) -> bytes:
    packed = bytearray()
    while value > 0x7F:
        packed.append(value & 0x7F | 0x80)
        value >>= 7
    packed.append(value)
    return bytes(packed)


class _Reader:
    def __init__(self, packed: bytes) -> None:
        self._packed = packed
        self._at = 0

    @property
    def has_more(self) -> bool:
        return self._at < len(self._packed)

    def take(self, size: int) -> bytes:
        taken = self._packed[self._at : self._at + size]
        self._at += size
        return taken

    def number(self) -> int:
        value = shift = 0
        while True:
            byte = self._packed[self._at]
            self._at += 1
            value |= (byte & 0x7F) << shift
            if byte <= 0x7F:
                return value
            shift += 7


def _packed_times(row: KeyRow) -> bytes:
    """Clocks of processes differ, so a difference may be negative: its sign is the lowest bit."""
    packed, before = bytearray(), 0
    for time_us in row.pace.used_us:
        # Attempts begin at whole milliseconds.
        gap, before = time_us // 1000 - before, time_us // 1000
        packed += _number(gap << 1 if gap >= 0 else -gap << 1 | 1)
    return bytes(packed)


def _times(packed: bytes) -> tuple[int, ...]:
    reader, times, before = _Reader(packed), list[int](), 0
    while reader.has_more:
        gap = reader.number()
        before += -(gap >> 1) if gap & 1 else gap >> 1
        times.append(before * 1000)
    return tuple(times)


def _packed_lanes(row: KeyRow, lanes: Mapping[bytes, int]) -> bytes:
    return b"".join(lane + _number(turn - row.turn) for lane, turn in lanes.items())


def _lanes(row: KeyRow, packed: bytes) -> Iterator[tuple[bytes, int]]:
    reader = _Reader(packed)
    while reader.has_more:
        lane = reader.take(_LANE_BYTES)
        yield lane, row.turn + reader.number()


def _packed_slots(slots: Mapping[str, Slot]) -> bytes:
    return b"".join(map(_packed_slot, slots.values()))


def _packed_slot(slot: Slot) -> bytes:
    run, _, position = slot.step_id.removeprefix(_RUN).partition("-")
    for_run = _FOR_RUN if slot.for_run else 0
    try:
        kind = _ROOT if position == "root" else _STEP
        name = bytes.fromhex(run) + (b"" if kind == _ROOT else bytes.fromhex(position))
    except ValueError:
        kind, name = _OTHER, b""
    if _name(kind, _Reader(name)) != slot.step_id:
        kind, name = _OTHER, slot.step_id.encode()
        name = _number(len(name)) + name
    numbers = map(_number, (slot.version, slot.until_ms, slot.attempt_ms))
    return bytes([kind | for_run]) + name + b"".join(numbers)


def _slots(packed: bytes) -> Iterator[Slot]:
    reader = _Reader(packed)
    while reader.has_more:
        [kind] = reader.take(1)
        step_id = _name(kind & ~_FOR_RUN, reader)
        version, until_ms, attempt_ms = reader.number(), reader.number(), reader.number()
        yield Slot(step_id, version, until_ms, attempt_ms, bool(kind & _FOR_RUN))


def _name(kind: int, reader: _Reader) -> str:
    if kind == _OTHER:
        return reader.take(reader.number()).decode() if reader.has_more else ""
    run = reader.take(_ID_BYTES).hex()
    return f"{_RUN}{run}-{'root' if kind == _ROOT else reader.take(_ID_BYTES).hex()}"


def _bytes(item: Item, name: str) -> bytes:
    return item[name]["B"] if name in item else b""
