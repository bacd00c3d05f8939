"""How many environments of an invoker one destination may hold up.

An environment is taken until the slowest attempt of its batch ends, so environments are what a destination
that never answers uses up. They are counted in the table, and only where it matters: a destination whose
attempts end within 5 s costs no write, one that took longer is *slow* for 15 minutes, and there, as for
attempts that may last more than 30 s, an environment needs a place before it begins.
"""

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final
from zlib import crc32

from atomic.adapters.aws.calls import AwsCalls
from atomic.adapters.aws.leases import Lease, LeaseItems
from atomic.adapters.aws.sqs import SHORT_ATTEMPT_MAX_MS
from atomic.application.destinations import TURN_EVERY_MS, Destination, Turns, destination_of
from atomic.application.permits import Permit
from atomic.application.ports import Clock, StoreUnavailable
from atomic.domain.steps import StepSpec

SLOW_AFTER_S: Final = 5.0
SLOW_FOR_MS: Final = 900_000
RENEW_EVERY_S: Final = 10.0
# Two renewals may fail.
LEASE_MS: Final = 35_000
_LOOK_EVERY_S: Final = 2.0
_LOOKS_MAX: Final = 1_000
_TRIES: Final = 3


@dataclass(frozen=True, slots=True)
class Bounds:
    """How many of all environments of an invoker one destination may hold up.

    `most` for whoever comes; `inside` for steps of runs that are inside already, so that a workflow need
    not wait for the place that it holds itself, and one with a thousand steps leaves something to others.
    """

    all: int
    most: int
    inside: int

    @classmethod
    def of(cls, environments: int) -> "Bounds":
        """Eight tenths, and nine for runs that are inside; one stays for others in any case."""
        return cls(
            all=environments,
            most=max(1, min(environments * 8 // 10, environments - 2)),
            inside=environments - max(1, environments // 10),
        )


@dataclass(slots=True)
class _Occupancy:
    """This environment at one destination: its attempts by run, and those who still ask to be let in."""

    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    attempts: Counter[str] = field(default_factory=Counter)
    asking: int = 0
    lease: Lease | None = None
    renewal_task: asyncio.Task[None] | None = None


class SharedDestinations:
    """Implements `ports.Destinations` for one environment of an invoker; `holder` is a name of its own.

    When the table cannot be asked, whoever asks is let in.
    """

    def __init__(
        self, calls: AwsCalls, items: LeaseItems, *, bounds: Bounds, holder: str, clock: Clock
    ) -> None:
        self._calls = calls
        self._items = items
        self._bounds = bounds
        self._holder = holder
        self._clock = clock
        # Not all begin at the same number.
        self._first = crc32(holder.encode())
        # Together they look as often as one process would.
        self._turns = Turns(TURN_EVERY_MS * bounds.all)
        self._stays: dict[Destination, _Occupancy] = {}
        self._seen: OrderedDict[Destination, tuple[float, Sequence[Lease] | None]] = OrderedDict()

    async def enter(self, spec: StepSpec) -> Permit | None:
        """Take a place for an attempt, if it needs one; None when there is none."""
        destination = destination_of(spec)
        if destination is None:
            return Permit()
        occupancy = self._stays.setdefault(destination, _Occupancy())
        occupancy.asking += 1
        try:
            async with occupancy.turn:
                if not await self._has_lease(destination, occupancy, spec):
                    return None
                occupancy.attempts[spec.run_id] += 1
                if occupancy.renewal_task is None:
                    occupancy.renewal_task = asyncio.create_task(self._keep(destination, occupancy))
                return Permit(partial(self._leave, destination, spec.run_id))
        finally:
            occupancy.asking -= 1
            self._forget(destination, occupancy)

    async def _leave(self, destination: Destination, run_id: str) -> None:
        """The lease is given back when no attempt to the destination is under way here any more."""
        occupancy = self._stays[destination]
        # Nobody is to be broken off while he writes.
        async with occupancy.turn:
            occupancy.attempts[run_id] -= 1
            if not occupancy.attempts[run_id]:
                del occupancy.attempts[run_id]
            if not occupancy.attempts:
                if occupancy.renewal_task is not None:
                    occupancy.renewal_task.cancel()
                    occupancy.renewal_task = None
                if occupancy.lease is not None:
                    with suppress(StoreUnavailable):
                        await self._calls.start(self._items.free, destination, occupancy.lease)
                    occupancy.lease = None
        self._forget(destination, occupancy)

    def turn_ms(self, spec: StepSpec, now_ms: int) -> int:
        """The moment at which a step that got no place may try again."""
        return self._turns.turn_ms(destination_of(spec), now_ms)

    async def _has_lease(self, destination: Destination, occupancy: _Occupancy, spec: StepSpec) -> bool:
        may_last = spec.attempt_timeout_ms > SHORT_ATTEMPT_MAX_MS
        if occupancy.lease is not None or (occupancy.attempts and not may_last):
            # This environment is held up there anyway.
            return True
        try:
            seen = await self._read_leases(destination)
            now_ms = self._clock.now_ms()
            if not may_last and all(lease.slow_until_ms <= now_ms for lease in seen):
                return True
            free = self._free(seen, now_ms, spec.run_id)
            if free and free[0] >= self._bounds.most:
                # What was seen of its run may be the step's own last attempt, which has left since.
                free = self._free(await self._read_leases(destination, afresh=True), now_ms, spec.run_id)
            return await self._take(
                destination, occupancy, self._wanted(occupancy, now_ms, spec.run_id), free
            )
        except StoreUnavailable:
            return True

    async def _keep(self, destination: Destination, occupancy: _Occupancy) -> None:
        """Show that the destination is slow here, and keep the place for as long as it is."""
        await asyncio.sleep(SLOW_AFTER_S)
        while True:
            async with occupancy.turn:
                with suppress(StoreUnavailable):
                    await self._renew(destination, occupancy)
            await asyncio.sleep(RENEW_EVERY_S)

    async def _renew(self, destination: Destination, occupancy: _Occupancy) -> None:
        now_ms = self._clock.now_ms()
        wanted = replace(self._wanted(occupancy, now_ms), slow_until_ms=now_ms + SLOW_FOR_MS)
        if occupancy.lease is not None:
            kept = replace(wanted, number=occupancy.lease.number)
            if await self._calls.start(self._items.take, destination, kept, now_ms=now_ms):
                return
            # This environment was frozen for longer than its lease.
            occupancy.lease = None
        # It came when the destination was not slow, so it takes any place: it is held up there.
        seen = await self._read_leases(destination)
        await self._take(destination, occupancy, wanted, self._free_of(self._bounds.all, seen, now_ms))

    async def _take(
        self, destination: Destination, occupancy: _Occupancy, wanted: Lease, free: Sequence[int]
    ) -> bool:
        now_ms = self._clock.now_ms()
        first = self._first % len(free) if free else 0
        for number in (*free[first:], *free[:first])[:_TRIES]:
            lease = replace(wanted, number=number)
            if await self._calls.start(self._items.take, destination, lease, now_ms=now_ms):
                occupancy.lease = lease
                return True
            self._seen.pop(destination, None)
        return False

    def _free(self, seen: Sequence[Lease], now_ms: int, run_id: str) -> Sequence[int]:
        """The places that an attempt of this run may take."""
        is_inside = any(run_id in lease.runs for lease in seen if lease.until_ms >= now_ms)
        return self._free_of(self._bounds.inside if is_inside else self._bounds.most, seen, now_ms)

    def _free_of(self, number: int, seen: Sequence[Lease], now_ms: int) -> Sequence[int]:
        """Those of the first so many places that nobody else holds; of those for all, if there are any."""
        held = {each.number for each in seen if each.until_ms >= now_ms and each.holder != self._holder}
        free = [lease for lease in range(number) if lease not in held]
        return [lease for lease in free if lease < self._bounds.most] or free

    def _wanted(self, occupancy: _Occupancy, now_ms: int, *more_runs: str) -> Lease:
        runs = frozenset((*occupancy.attempts, *more_runs))
        return Lease(number=0, holder=self._holder, until_ms=now_ms + LEASE_MS, runs=runs)

    async def _read_leases(self, destination: Destination, *, afresh: bool = False) -> Sequence[Lease]:
        """The places as they were at most 2 s ago, or are now. Raises StoreUnavailable."""
        asked_s, seen = self._seen.get(destination, (-_LOOK_EVERY_S, None))
        if afresh or _now_s() - asked_s >= _LOOK_EVERY_S:
            seen = None
            try:
                seen = await self._calls.start(self._items.read, destination)
            finally:
                self._seen[destination] = (_now_s(), seen)
                self._seen.move_to_end(destination)
                if len(self._seen) > _LOOKS_MAX:
                    self._seen.popitem(last=False)
        if seen is None:
            raise StoreUnavailable("the places were not told")
        return seen

    def _forget(self, destination: Destination, occupancy: _Occupancy) -> None:
        if not occupancy.attempts and not occupancy.asking:
            self._stays.pop(destination, None)


def _now_s() -> float:
    return asyncio.get_running_loop().time()
