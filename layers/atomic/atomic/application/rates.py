"""Limits how fast clients start steps.

A bucket that refills is stored as one number: the time at which it will be full. Each start moves this
time on by one interval (the generic cell rate algorithm of ITU-T I.371). So a table can hold it for many
processes, and a start takes one conditional write.
"""

from dataclasses import dataclass
from typing import Final

from atomic.application.ports import RateDecision
from atomic.protocol.constants import DURATION_MAX_MS

_BURST_MAX: Final = 1_000_000
# Upper bound for the wait that a refused start is told.
_WAIT_MAX_MS: Final = 24 * 3600 * 1000
# Clocks of processes differ by less.
_CLOCKS_APART_US: Final = 60_000_000


@dataclass(frozen=True, slots=True)
class RateLimit:
    """`burst` starts at once, and then one per interval. Times are microseconds since the epoch."""

    burst: int
    interval_us: int

    @classmethod
    def of(cls, per_s: float) -> "RateLimit":
        """The limit for a rate per second. Its burst is the starts of one second, and at least one."""
        interval_us = int(min(1_000_000 / per_s, DURATION_MAX_MS * 1000))
        return cls(burst=max(1, int(min(per_s, _BURST_MAX))), interval_us=max(1, interval_us))

    @property
    def tolerance_us(self) -> int:
        """How far in the future the time may be when one more start is allowed."""
        return (self.burst - 1) * self.interval_us

    def stale_us(self, now_us: int) -> int:
        """The latest time that this rate can have written. A later one is of a lower rate, and is void."""
        return now_us + self.tolerance_us + self.interval_us + _CLOCKS_APART_US

    def started(self, full_at_us: int, now_us: int) -> RateDecision:
        """The decision for an allowed start, after which the bucket will be full at `full_at_us`."""
        ahead_us = max(0, full_at_us - now_us)
        return RateDecision(wait_ms=0, left=max(0, (self.tolerance_us - ahead_us) // self.interval_us + 1))

    def refused(self, full_at_us: int, now_us: int) -> RateDecision:
        """The decision for a refused start, when the bucket will be full at `full_at_us`."""
        wait_ms = -(-(full_at_us - now_us - self.tolerance_us) // 1000)
        return RateDecision(wait_ms=max(1, min(wait_ms, _WAIT_MAX_MS)), left=0)


class CountedStarts:
    """Implements `StartRates` for a runtime of one process."""

    def __init__(self) -> None:
        self._full_at_us: dict[str, int] = {}

    async def take(self, client_id: str, per_s: float, now_ms: int) -> RateDecision:
        """Take one start, if one is left."""
        rate, now_us = RateLimit.of(per_s), now_ms * 1000
        full_at_us = max(self._full_at_us.get(client_id, 0), now_us)
        if full_at_us > rate.stale_us(now_us):
            full_at_us = now_us
        if full_at_us > now_us + rate.tolerance_us:
            return rate.refused(full_at_us, now_us)
        self._full_at_us[client_id] = full_at_us + rate.interval_us
        return rate.started(full_at_us + rate.interval_us, now_us)

    async def release(self, client_id: str, per_s: float) -> None:
        """Give back one that was taken."""
        self._full_at_us[client_id] -= RateLimit.of(per_s).interval_us
