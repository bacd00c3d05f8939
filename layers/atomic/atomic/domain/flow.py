"""Flow control: how many attempts, or runs, may be under way under a key, and how fast attempts begin.

A step names up to four keys, each with a limit, a rate, or both. What is known of a key is kept by the
store (`domain.flow_table` says how). This module has what a step asks for, and the arithmetic.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from atomic.protocol.enums import FlowScope

# How the keys of the lines of singletons begin. No key of a user has this sign.
SINGLETON_LINE: Final = "singleton="
# One turn of a line in which priority is 0. Each priority has four times the turns of the one below it.
_TURN: Final = 1 << 20
_TURNS_LOG2: Final = 2
# A rate is paced a little slower than it allows, since an attempt may begin some milliseconds after its
# time. Otherwise one that is late, and a later one that is not, would come too close.
_LATE_US: Final = 15_000
_LATE_SHARE: Final = 1_000
_APART_US: Final = 5_000
# An attempt that is so little too early waits for that time, and keeps its place.
_SHORT_US: Final = 100_000
# Clocks of processes differ by less.
_CLOCKS_APART_US: Final = 60_000_000


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `limit` attempts begin within any `per_ms`."""

    limit: int
    per_ms: int

    @property
    def interval_us(self) -> int:
        """The time between two attempts when there are always some that wait."""
        per_us = self.per_ms * 1000
        return -(-(per_us + _LATE_US + per_us // _LATE_SHARE) // self.limit)


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowEntry:
    """What a step asks for under one key.

    `scope`: whether a slot lasts for an attempt, or from the first attempt of the step until its outcome.
    `priority` and `fair` decide whose turn is next: values of `fair` take turns.
    """

    key: str
    concurrency: int | None = None
    rate: Rate | None = None
    scope: FlowScope = "attempt"
    priority: int = 0
    fair: str = ""

    @property
    def lane(self) -> str:
        """The name of the line of steps among which the order is that of their arrival."""
        return f"{self.priority} {self.fair}"

    @property
    def turn_size(self) -> int:
        """By how much the virtual time of the lane moves with each turn."""
        shift = _TURNS_LOG2 * abs(self.priority)
        return _TURN >> shift if self.priority > 0 else _TURN << shift


def entry_records(entries: Iterable[FlowEntry]) -> list[dict[str, Any]]:
    """The entries as JSON values, for rows."""
    return [_entry_record(entry) for entry in entries]


def _entry_record(entry: FlowEntry) -> dict[str, Any]:
    record: dict[str, Any] = {"key": entry.key, "scope": entry.scope}
    if entry.concurrency is not None:
        record["concurrency"] = entry.concurrency
    if entry.rate is not None:
        record["rate"] = [entry.rate.limit, entry.rate.per_ms]
    if entry.priority:
        record["priority"] = entry.priority
    if entry.fair:
        record["fair"] = entry.fair
    return record


def load_entries(records: Iterable[Mapping[str, Any]]) -> tuple[FlowEntry, ...]:
    """The entries of a row."""
    return tuple(
        FlowEntry(
            key=record["key"],
            concurrency=record.get("concurrency"),
            rate=Rate(*record["rate"]) if "rate" in record else None,
            scope=record["scope"],
            priority=record.get("priority", 0),
            fair=record.get("fair", ""),
        )
        for record in records
    )


@dataclass(frozen=True, slots=True)
class Pace:
    """How far a rate is used up. Times are microseconds since the epoch.

    `next_us`: the first time that is not taken yet. `used_us`: when the last attempts began, the newest
    last, as many as the rate allows in its time.
    """

    next_us: int = 0
    used_us: tuple[int, ...] = ()

    def taken(self, rate: Rate, now_us: int, *, has_time: bool) -> "tuple[Pace, int]":
        """Begin an attempt now if that is allowed, otherwise take the next time for it.

        `has_time`: the time of this attempt has come. Returns the pace, and when the attempt may begin; 0
        for now. Whatever times were taken, no more attempts begin than the rate allows: processes may have
        been stopped, and then all that were to begin meanwhile would begin at once.
        """
        if self.used_us and self.used_us[-1] > now_us + _CLOCKS_APART_US:
            # The clock was set back, so these times are of no use.
            return UNUSED.taken(rate, now_us, has_time=has_time)
        used = self.used_us[-rate.limit :]
        free_us = used[0] + rate.per_ms * 1000 + _APART_US if len(used) == rate.limit else 0
        if free_us <= now_us and (has_time or self.next_us <= now_us):
            next_us = self.next_us if has_time else now_us + rate.interval_us
            return Pace(next_us, (*used, now_us)[-rate.limit :]), 0
        if has_time and free_us - now_us <= _SHORT_US:
            return self, free_us
        at_us = max(self.next_us, free_us, now_us)
        return Pace(at_us + rate.interval_us, used), at_us


UNUSED: Final = Pace()


def turn_after(now: int, lane: int, entry: FlowEntry) -> int:
    """The turn of a step that joins a lane, whose last turn is `lane`; `now` is the last turn served.

    This is start-time fair queueing (Goyal, Vin, Cheng 1996). A lane that was empty begins with the turn
    that is served now. So it does not catch up on what it did not use, and each lane gets its turn,
    however many steps of higher priority come.
    """
    return max(now, lane) + entry.turn_size


def by_key(entries: Sequence[FlowEntry]) -> list[FlowEntry]:
    """The entries in the order in which slots are taken.

    It is the same for all steps, so that none wait for each other in a circle. The line of a singleton is
    the first, so its runs keep their order whatever other keys they wait for.
    """
    return sorted(entries, key=lambda entry: (not entry.key.startswith(SINGLETON_LINE), entry.key))
