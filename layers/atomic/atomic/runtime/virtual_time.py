"""Virtual time of a development server: the engine's clock stands still until it is told to move.

It moves from one due time to the next, and only when nothing is under way (`runtime.activity`).
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from typing import Final

from atomic.adapters.system import SystemClock, SystemEntropy
from atomic.application.ports import Clock, DueStep, StoreUnavailable, Telemetry
from atomic.application.server_store import ServerStore
from atomic.domain.rechecks import acts_at_ms
from atomic.domain.steps import Step
from atomic.protocol import keys
from atomic.runtime.activity import Activity, Changes
from atomic.runtime.driver import Driver

_log = logging.getLogger("atomic.time")

# How long an `advance` or `until` may take in real time.
LIMIT_S: Final = 60.0
# As often as the driver of a server in real time.
_KEEP_HOUSE_EVERY_MS: Final = 10_000
# 9000-01-01: what the wire can write, with room for every retention.
LATEST_MS: Final = 221_845_392_000_000
FOREVER_MS: Final = 2**53
_ALL: Final = 10**9
_BURST_S: Final = 0.001
_KNOWN_MAX: Final = 100_000
# How long to wait after the store failed, or could not be swept of what is overdue.
AGAIN_AFTER_S: Final = 0.2


class VirtualClock(SystemClock):
    """The engine's clock, which only `move_to` moves. What others compare with their clocks is real."""

    def __init__(self, start_ms: int | None = None) -> None:
        """Without a start, it begins at the time of the wall clock."""
        self._start_ms = self.wall_ms() if start_ms is None else start_ms
        self._now_ms = self._start_ms

    def now_ms(self) -> int:
        """Milliseconds since the epoch, in virtual time."""
        return self._now_ms

    def move_to(self, at_ms: int) -> None:
        """Go on to a time; it never goes back."""
        self._now_ms = max(self._now_ms, at_ms)

    def reset(self) -> None:
        """Begin anew."""
        self._now_ms = self._start_ms


class FullDelays(SystemEntropy):
    """Randomness, except that no delay is shortened, so that tests know the times of retries."""

    def fraction(self) -> float:
        """The whole."""
        return 1.0


class RealDurations:
    """Telemetry to which steps last as long as they do in real time."""

    def __init__(self, metrics: Telemetry, clock: Clock) -> None:
        self._metrics = metrics
        self._clock = clock
        self._began_ms: dict[str, int] = {}
        self.attempt_ended = metrics.attempt_ended
        self.owner_lost = metrics.owner_lost
        self.lagged = metrics.lagged
        self.deferred = metrics.deferred

    def started(self, step: Step) -> None:
        """A step was created."""
        self._began_ms[step.id] = self._clock.wall_ms()
        self._metrics.started(step)

    def reopened(self, step: Step) -> None:
        """A settled step is live again."""
        self._began_ms[step.id] = self._clock.wall_ms()
        self._metrics.reopened(step)

    def settled(self, step: Step) -> None:
        """A step has its outcome."""
        now_ms = self._clock.wall_ms()
        lasted_ms = now_ms - self._began_ms.pop(step.id, now_ms)
        self._metrics.settled(replace(step, finished_at_ms=step.created_at_ms + lasted_ms))


class NotReached(Exception):
    """Time was moved as far as possible, and what was waited for is not there. The message says why."""


class EndedMeanwhile(Exception):
    """The server was reset or stopped meanwhile."""


@dataclass(frozen=True, slots=True)
class Driven:
    """The parts of an engine that virtual time drives."""

    activity: Activity
    driver: Driver
    store: ServerStore


class VirtualTime:
    """Moves a clock. It outlives the engine, as the clock of a machine outlives its processes."""

    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        self.changes = Changes()
        self._auto = False
        self._driven: Driven | None = None
        self._turns = asyncio.Lock()
        self._resets = 0
        self._is_closed = False
        self._kept_house_ms = 0
        self._tasks: list[asyncio.Task[None]] = []
        # By the id of a step that is due: when it is due, and when something happens to it.
        self._known: dict[str, tuple[int, int | None]] = {}

    @property
    def auto(self) -> bool:
        """Whether time moves by itself."""
        return self._auto

    @auto.setter
    def auto(self, auto: bool) -> None:
        self._auto = auto
        self.changes.note()

    def drive(self, driven: Driven) -> None:
        """Begin to drive an engine that has recovered; the only one, since the last was left."""
        self._driven = driven
        self._known = {}
        # At once: a cancel may have been interrupted, or rows were written at a later time than this.
        self._kept_house_ms = 0
        driven.driver.deliver()
        self._tasks = [asyncio.create_task(self._release()), asyncio.create_task(self._move_by_itself())]
        self.changes.note()

    async def leave(self) -> None:
        """Leave the engine. What waits for time to move waits for the next engine."""
        self._driven = None
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def close(self) -> None:
        """End what moves the time, now and later: the server ends."""
        self._is_closed = True
        self.changes.note()

    def reset(self) -> None:
        """Begin anew at the start. What moves the time just now ends."""
        self._auto = False
        self.clock.reset()
        self._resets += 1
        self.changes.note()

    async def next_due_ms(self) -> int | None:
        """When the engine is next due. May raise StoreUnavailable."""
        return None if self._driven is None else await self._next_ms(self._driven.store)

    async def _next_ms(self, store: ServerStore) -> int | None:
        """When something is next due; a time that is over if there is anything overdue.

        Time does not stop for steps that are only rechecked. Those that were passed are overdue then.
        """
        now_ms = self.clock.now_ms()
        for limit in (1, _ALL):
            due = await store.due(FOREVER_MS, limit)
            if due and due[0].due_at_ms <= now_ms:
                return due[0].due_at_ms
            times = [await self._acts_at_ms(store, step) for step in due]
            if not due or times[0] == due[0].due_at_ms:
                return times[0] if due else None
        return min((at_ms for at_ms in times if at_ms is not None), default=None)

    async def _acts_at_ms(self, store: ServerStore, due: DueStep) -> int | None:
        if keys.is_schedule_id(due.id):
            return due.due_at_ms
        known = self._known.get(due.id)
        if known is None or known[0] != due.due_at_ms:
            if len(self._known) >= _KNOWN_MAX:
                self._known.clear()
            row = await store.get(due.id)
            known = self._known[due.id] = (due.due_at_ms, None if row is None else acts_at_ms(row))
        return known[1]

    def in_flight(self) -> int:
        """How much is under way."""
        return 0 if self._driven is None else self._driven.activity.in_flight

    def waiting(self) -> int:
        """How many requests only wait."""
        return 0 if self._driven is None else self._driven.activity.callers

    async def advance(self, target: Callable[[int], int]) -> None:
        """Move to the time that `target` makes of the present, and do all that is due until then.

        Raises NotReached and EndedMeanwhile, and what `target` raises.
        """
        async with self._turn() as resets:
            to_ms = target(self.clock.now_ms())
            while (next_ms := await self._rest(resets)) is not None and next_ms <= to_ms:
                self._move(next_ms)
            self._move(to_ms)
            self._kept_house_ms = 0
            await self._rest(resets)

    async def until(self, is_there: Callable[[], Awaitable[bool]], max_ms: int | None) -> None:
        """Move from due to due until the condition is true when nothing is under way.

        Raises NotReached, EndedMeanwhile, and what the condition raises.
        """
        async with self._turn() as resets:
            end_ms = FOREVER_MS if max_ms is None else self.clock.now_ms() + max_ms
            while True:
                next_ms = await self._rest(resets)
                if await is_there():
                    return
                if next_ms is None:
                    raise NotReached("nothing is due any more, so it needs something from outside")
                if self.clock.now_ms() >= end_ms:
                    raise NotReached(f"`max` is over ({max_ms} ms of virtual time)")
                self._move(min(next_ms, end_ms))

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[int]:
        """One after the other, each within its limit of real time."""
        resets = self._resets
        try:
            async with asyncio.timeout(LIMIT_S), self._turns:
                yield resets
        except TimeoutError:
            raise NotReached(f"it took longer than {LIMIT_S:g} s of real time; {self._why()}") from None

    def _why(self) -> str:
        if self._driven is None or not self._driven.activity.in_flight:
            return "there is always something due"
        activity = self._driven.activity
        names = [*(f"attempt of {step_id}" for step_id in activity.steps), *activity.requests]
        more = f" and {len(names) - 5} more" if len(names) > 5 else ""
        return f"in flight: {', '.join(names[:5])}{more}"

    async def _rest(self, resets: int) -> int | None:
        """Wait until nothing is under way and nothing is due now; when the engine is next due."""
        while True:
            if self._is_closed or resets != self._resets:
                raise EndedMeanwhile
            seen = self.changes.count
            if self._driven is None or self.in_flight():
                await self.changes.after(seen)
                continue
            now_ms = self.clock.now_ms()
            if now_ms - self._kept_house_ms >= _KEEP_HOUSE_EVERY_MS:
                self._kept_house_ms = now_ms
                await self._driven.driver.keep_house()
                continue
            next_ms = await self._next_ms(self._driven.store)
            if self.changes.count != seen or self._driven is None or self.in_flight():
                continue
            if next_ms is None or next_ms > now_ms:
                return next_ms
            # Rows beyond the horizon of the queue, or whose wake-up was lost.
            await self._driven.driver.sweep()
            if self.changes.count == seen and not self.in_flight():
                await asyncio.sleep(AGAIN_AFTER_S)

    def _move(self, at_ms: int) -> None:
        self.clock.move_to(at_ms)
        if self._driven is not None:
            self._driven.activity.queue.clock_moved()
        self.changes.note()

    async def _move_by_itself(self) -> None:
        while True:
            seen = self.changes.count
            if not self._auto or self._is_closed:
                await self.changes.after(seen)
                continue
            try:
                next_ms = await self._rest(self._resets)
            except EndedMeanwhile:
                continue
            except StoreUnavailable:
                _log.exception("the store is not available; trying again")
                await asyncio.sleep(AGAIN_AFTER_S)
                continue
            seen = self.changes.count
            async with self._turns:
                if next_ms is not None and self._auto and seen == self.changes.count:
                    self._move(next_ms)
            if next_ms is None:
                await self.changes.after(seen)

    async def _release(self) -> None:
        while True:
            seen = self.changes.count
            if self._driven is not None:
                with suppress(StoreUnavailable):
                    await self._driven.activity.release_handlers(self._driven.store)
            await self.changes.after(seen)
            # Changes come in bursts.
            await asyncio.sleep(_BURST_S)
