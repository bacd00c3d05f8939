"""Limits how many environments of an invoker one destination may occupy.

An environment is occupied until the slowest attempt of its batch ends, so a destination that never answers
uses up environments. They are counted in the table, but only where it matters: a destination whose
attempts end within 5 s costs no write. One that took longer is *slow* for 15 minutes. For a slow one, and
for attempts that may last more than 30 s, an environment needs a lease before it begins.
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
from atomic.application.destinations import TRY_EVERY_MS, Destination, Pacer, Permit, destination_of
from atomic.application.ports import Clock, StoreUnavailable
from atomic.domain.steps import StepSpec

SLOW_AFTER_S: Final = 5.0
SLOW_FOR_MS: Final = 900_000
RENEW_EVERY_S: Final = 10.0
# A lease outlasts two failed renewals.
LEASE_MS: Final = 35_000
_LOOK_EVERY_S: Final = 2.0
_LOOKS_MAX: Final = 1_000
_TRIES: Final = 3


@dataclass(frozen=True, slots=True)
class Bounds:
    """How many of all environments of an invoker one destination may occupy.

    `most` for any step; `inside` for steps of runs that have attempts there already, so that a workflow
    does not wait for a lease that it holds itself, and one with a thousand steps leaves some to others.
    """

    all: int
    most: int
    inside: int

    @classmethod
    def of(cls, environments: int) -> "Bounds":
        """Eight tenths, and nine for runs that are inside. At least one is left to others."""
        return cls(
            all=environments,
            most=max(1, min(environments * 8 // 10, environments - 2)),
            inside=environments - max(1, environments // 10),
        )


@dataclass(slots=True)
class _Occupancy:
    """This environment at one destination: its attempts by run, and those that still need admission."""

    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    attempts: Counter[str] = field(default_factory=Counter)
    asking: int = 0
    lease: Lease | None = None
    renewal_task: asyncio.Task[None] | None = None


class SharedDestinations:
    """Implements `ports.Destinations` for one environment of an invoker; `holder` is its unique name.

    If the table cannot be read, every attempt is admitted.
    """

    def __init__(
        self, calls: AwsCalls, items: LeaseItems, *, bounds: Bounds, holder: str, clock: Clock
    ) -> None:
        self._calls = calls
        self._items = items
        self._bounds = bounds
        self._holder = holder
        self._clock = clock
        # Environments begin at different numbers, to avoid conflicts.
        self._first = crc32(holder.encode())
        # Together, all environments read as often as one process would.
        self._pacer = Pacer(TRY_EVERY_MS * bounds.all)
        self._occupancies: dict[Destination, _Occupancy] = {}
        self._seen: OrderedDict[Destination, tuple[float, Sequence[Lease] | None]] = OrderedDict()

    async def enter(self, spec: StepSpec) -> Permit | None:
        """Take a lease for an attempt, if it needs one; None if none is free."""
        destination = destination_of(spec)
        if destination is None:
            return Permit()
        occupancy = self._occupancies.setdefault(destination, _Occupancy())
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
        """Release the lease when the last attempt to the destination has ended here."""
        occupancy = self._occupancies[destination]
        # Hold the lock, so that a concurrent renewal cannot be cancelled in the middle of a write.
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

    def defer_until_ms(self, spec: StepSpec, now_ms: int) -> int:
        """When a step that got no permit may try again."""
        return self._pacer.defer_until_ms(destination_of(spec), now_ms)

    async def _has_lease(self, destination: Destination, occupancy: _Occupancy, spec: StepSpec) -> bool:
        may_last = spec.attempt_timeout_ms > SHORT_ATTEMPT_MAX_MS
        if occupancy.lease is not None or (occupancy.attempts and not may_last):
            # This environment is occupied there anyway.
            return True
        try:
            seen = await self._read_leases(destination)
            now_ms = self._clock.now_ms()
            if not may_last and all(lease.slow_until_ms <= now_ms for lease in seen):
                return True
            free = self._free(seen, now_ms, spec.run_id)
            if free and free[0] >= self._bounds.most:
                # The lease may have been seen during the step's own last attempt, which has ended.
                free = self._free(await self._read_leases(destination, afresh=True), now_ms, spec.run_id)
            return await self._take(
                destination, occupancy, self._wanted(occupancy, now_ms, spec.run_id), free
            )
        except StoreUnavailable:
            return True

    async def _keep(self, destination: Destination, occupancy: _Occupancy) -> None:
        """Record that the destination is slow, and renew the lease as long as it is."""
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
        # It began when the destination was not slow, and is occupied now, so it takes any lease.
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
        """The leases that an attempt of this run may take."""
        is_inside = any(run_id in lease.runs for lease in seen if lease.until_ms >= now_ms)
        return self._free_of(self._bounds.inside if is_inside else self._bounds.most, seen, now_ms)

    def _free_of(self, number: int, seen: Sequence[Lease], now_ms: int) -> Sequence[int]:
        """The free leases among the first `number`; only those for any step, if one of them is free."""
        held = {each.number for each in seen if each.until_ms >= now_ms and each.holder != self._holder}
        free = [lease for lease in range(number) if lease not in held]
        return [lease for lease in free if lease < self._bounds.most] or free

    def _wanted(self, occupancy: _Occupancy, now_ms: int, *more_runs: str) -> Lease:
        runs = frozenset((*occupancy.attempts, *more_runs))
        return Lease(number=0, holder=self._holder, until_ms=now_ms + LEASE_MS, runs=runs)

    async def _read_leases(self, destination: Destination, *, afresh: bool = False) -> Sequence[Lease]:
        """The leases, at most 2 s old. Raises StoreUnavailable."""
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
            raise StoreUnavailable("the leases could not be read")
        return seen

    def _forget(self, destination: Destination, occupancy: _Occupancy) -> None:
        if not occupancy.attempts and not occupancy.asking:
            self._occupancies.pop(destination, None)


def _now_s() -> float:
    return asyncio.get_running_loop().time()
