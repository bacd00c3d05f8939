"""When a schedule runs: its slots, which are instants in UTC.

A slot is the nominal time of a run, and part of the run's key. Hence it depends on the cadence alone, never
on when it is computed, nor on the run before.

With `dst="once"`, each wall-clock time that the expression matches has exactly one slot: the first instant
at which the zone's clock has come to it. What does not exist in spring runs at the first instant after the
gap, and what exists twice in autumn runs in the first pass. Times that fall on one instant are one slot. An
expression whose hour contains a `*` says a pace and not a time of day. As in Vixie's cron, it runs
whenever the clock shows a matching time: in both passes, and with nothing to make up after a gap. With
`dst="literal"` this holds for every expression.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from heapq import merge
from itertools import takewhile
from typing import Final, assert_never

from atomic.domain.cron import Fields, parse_cron, wall_before, walls_from
from atomic.domain.zones import FIRST, HORIZON, Stretch, offset_at, stretches, stretches_back, zone
from atomic.protocol.enums import Dst

PERIOD_MIN: Final = timedelta(seconds=1)
_MS: Final = timedelta(milliseconds=1)
_TICK: Final = timedelta.resolution


class CadenceRefused(ValueError):
    """A period or an instant that no schedule can have."""


@dataclass(frozen=True, slots=True)
class Cron:
    """A cron expression on the clock of a zone. Raises `CronRefused` and `UnknownZone`."""

    expression: str
    zone: str = "UTC"
    dst: Dst = "once"

    def __post_init__(self) -> None:
        parse_cron(self.expression)
        zone(self.zone)
        if self.dst not in ("once", "literal"):
            raise CadenceRefused(f"dst {self.dst!r} is neither 'once' nor 'literal'")


@dataclass(frozen=True, slots=True)
class Every:
    """Each `period`, such that one slot is at `anchor`. There are slots before the anchor as well."""

    period: timedelta
    anchor: datetime

    def __post_init__(self) -> None:
        if self.period < PERIOD_MIN:
            raise CadenceRefused("a period is at least 1 second")
        if self.period % _MS:
            raise CadenceRefused("a period is a whole number of milliseconds")
        object.__setattr__(self, "anchor", _instant(self.anchor))


@dataclass(frozen=True, slots=True)
class At:
    """These instants, kept in order and each once."""

    instants: tuple[datetime, ...]

    def __post_init__(self) -> None:
        if not self.instants:
            raise CadenceRefused("at names no instant: give one or more")
        object.__setattr__(self, "instants", tuple(sorted({_instant(each) for each in self.instants})))


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Several expressions: a slot that two of them have is one slot."""

    cadences: tuple[Cron, ...]

    def __post_init__(self) -> None:
        if not self.cadences:
            raise CadenceRefused("there is no cron expression: give one or more")


Cadence = Cron | Every | At | AnyOf


def slots_between(cadence: Cadence, after: datetime, until: datetime) -> Iterator[datetime]:
    """The slots after `after`, up to and with `until`, ascending; before the year 2200, unless named."""
    return takewhile(lambda slot: slot <= until, _slots(cadence, _from(after)))


def latest_slot(cadence: Cadence, after: datetime, until: datetime) -> datetime | None:
    """The last slot of `slots_between`, found from its end."""
    low, high = _from(after), min(_naive(until), HORIZON - _TICK)
    slot = _latest(cadence, high) if low < high else None
    return slot if slot is not None and slot > low.replace(tzinfo=UTC) else None


def wall_of(cadence: Cadence, slot: datetime) -> datetime | None:
    """What the clock shows at this slot, as if it were in UTC; None where the slots follow no clock.

    All expressions of a schedule have the same clock.
    """
    match cadence:
        case Cron(_, name) | AnyOf((Cron(_, name), *_)):
            return slot + offset_at(zone(name), slot.replace(tzinfo=None))
        case _:
            return None


def spread_of(name: str, spread: timedelta) -> timedelta:
    """How long after each of its slots a schedule starts: from 0 to below `spread`, always the same.

    `name` is the client's id and the schedule's name together. Whole milliseconds.
    """
    number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
    return number * (spread // _MS) // 2**64 * _MS


def _slots(cadence: Cadence, after: datetime) -> Iterator[datetime]:
    match cadence:
        case Cron():
            return (slot.replace(tzinfo=UTC) for slot in _cron_slots(cadence, after))
        case Every():
            return _every_slots(cadence, after.replace(tzinfo=UTC))
        case At():
            low = after.replace(tzinfo=UTC)
            return (slot for slot in cadence.instants if slot > low)
        case AnyOf():
            return _distinct(merge(*(_slots(each, after) for each in cadence.cadences)))
        case _:
            assert_never(cadence)


def _latest(cadence: Cadence, until: datetime) -> datetime | None:
    match cadence:
        case Cron():
            slot = _cron_latest(cadence, until)
            return None if slot is None else slot.replace(tzinfo=UTC)
        case Every():
            high = until.replace(tzinfo=UTC)
            return high - (high - cadence.anchor) % cadence.period
        case At():
            high = until.replace(tzinfo=UTC)
            return max((slot for slot in cadence.instants if slot <= high), default=None)
        case AnyOf():
            found = [_latest(each, until) for each in cadence.cadences]
            return max((slot for slot in found if slot is not None), default=None)
        case _:
            assert_never(cadence)


def _every_slots(cadence: Every, after: datetime) -> Iterator[datetime]:
    end = HORIZON.replace(tzinfo=UTC)
    after = min(after, end)
    slot = after - (after - cadence.anchor) % cadence.period + cadence.period
    while slot < end:
        yield slot
        slot += cadence.period


def _cron_slots(cadence: Cron, after: datetime) -> Iterator[datetime]:
    fields = parse_cron(cadence.expression)
    last = after
    for stretch in stretches(zone(cadence.zone), after):
        for slot in _slots_of(fields, stretch, _is_once(cadence, fields), last):
            yield slot
            last = slot


def _slots_of(fields: Fields, stretch: Stretch, once: bool, after: datetime) -> Iterator[datetime]:
    """The slots of the stretch that are later than `after`, in UTC."""
    if once and after < stretch.start and _was_left_out(fields, stretch):
        after = stretch.start
        yield after
    for wall in walls_from(fields, max(_begin(stretch, once), after + stretch.offset + _TICK)):
        if wall >= stretch.end + stretch.offset:
            return
        yield wall - stretch.offset


def _begin(stretch: Stretch, once: bool) -> datetime:
    """The first wall-clock time that has a slot in the stretch: `once`, what was before has none."""
    begin = stretch.start + stretch.offset
    return max(begin, stretch.reached) if once else begin


def _was_left_out(fields: Fields, stretch: Stretch) -> bool:
    """Whether a matching time is among those that the clock left out when the stretch began."""
    begin = stretch.start + stretch.offset
    if begin <= stretch.reached:
        return False
    wall = wall_before(fields, begin)
    return wall is not None and wall >= stretch.reached


def _cron_latest(cadence: Cron, until: datetime) -> datetime | None:
    fields = parse_cron(cadence.expression)
    once = _is_once(cadence, fields)
    for stretch in stretches_back(zone(cadence.zone), until):
        wall = wall_before(fields, min(stretch.end, until + _TICK) + stretch.offset)
        if wall is not None and wall >= _begin(stretch, once):
            return wall - stretch.offset
        if once and _was_left_out(fields, stretch):
            return stretch.start
    return None


def _is_once(cadence: Cron, fields: Fields) -> bool:
    return cadence.dst == "once" and not fields.has_free_hour


def _distinct(slots: Iterator[datetime]) -> Iterator[datetime]:
    last = None
    for slot in slots:
        if slot != last:
            yield slot
        last = slot


def _instant(instant: datetime) -> datetime:
    if instant.tzinfo is None:
        raise CadenceRefused(f"{instant.isoformat()} has no time zone: give an instant, such as one in UTC")
    if instant.microsecond % 1000:
        raise CadenceRefused(f"{instant.isoformat()} is no whole number of milliseconds")
    return instant.astimezone(UTC)


def _naive(instant: datetime) -> datetime:
    return instant.astimezone(UTC).replace(tzinfo=None)


def _from(after: datetime) -> datetime:
    """No slot is before 1900, where the time zones' data begins."""
    return max(_naive(after), FIRST - _TICK)
