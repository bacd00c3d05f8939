"""The background loops: process wake-ups from the queue; sweep, check and purge the store."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from atomic.adapters.memory.wakeups import MemoryWakeupQueue
from atomic.application.engine import Engine
from atomic.application.ports import StoreUnavailable
from atomic.application.process_wakeup import process_wakeup
from atomic.application.server_store import ServerStore
from atomic.application.sweep import look_through, purge, sweep

_log = logging.getLogger("atomic.driver")

SWEEP_EVERY_MS = 1_000
# The queue keeps wake-ups this far ahead. Each sweep adds those that have come within this time.
HORIZON_MS = 2 * SWEEP_EVERY_MS
_SWEEP_LIMIT = 1_000
_BACKLOG_PAUSE_S = 0.05
_PURGE_EVERY_S = 60.0
# With a million live steps, this is a thousand a second, which takes 1 % of the time of a thread.
_LOOK_EVERY_S = 10.0
_PAGE_PAUSE_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How fast due steps begin: 500 a second when endpoints are slow.

    There are few slots, because steps that are posted meanwhile wait behind the ones that have begun.
    """

    slots: int = 50
    slot_held_s: float = 0.1


_USUAL: Final = Pace()


class Driver:
    """Processes due steps.

    At most `pace.slots` steps hold a slot. A step gives its slot back after a short time, though its
    attempt goes on. So a large backlog cannot flood endpoints and sockets, and a workflow that waits for
    its own steps cannot starve them.
    """

    def __init__(
        self, engine: Engine, queue: MemoryWakeupQueue, store: ServerStore, pace: Pace = _USUAL
    ) -> None:
        self.engine = engine
        self._queue = queue
        self._store = store
        # The first pass is at full speed: a cancel may have been interrupted, or the clock was set back.
        self._page_pause_s = 0.0
        self._slots = asyncio.Semaphore(pace.slots)
        self._slot_held_s = pace.slot_held_s
        self._loops: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin."""
        self.deliver()
        self._loops += [
            asyncio.create_task(self._again_and_again(self._sweep)),
            asyncio.create_task(self._again_and_again(self._look_through)),
            asyncio.create_task(self._again_and_again(self._purge)),
        ]

    def deliver(self) -> None:
        """Process what the queue has, and nothing else."""
        self._loops.append(asyncio.create_task(self._deliver()))

    async def stop(self) -> None:
        """Begin nothing new; steps that have begun go on."""
        for loop in self._loops:
            loop.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)

    async def _deliver(self) -> None:
        while True:
            # In this order, a step is at any moment either in the queue or in a task.
            await self._slots.acquire()
            step_id = await self._queue.receive()
            self.engine.spawn(self._drive(step_id), step_id=step_id)

    async def _drive(self, step_id: str) -> None:
        slot = _Slot(self._slots)
        timer = asyncio.get_running_loop().call_later(self._slot_held_s, slot.release)
        try:
            await process_wakeup(self.engine, step_id)
        finally:
            timer.cancel()
            slot.release()

    async def sweep(self) -> int:
        """Give the queue what is due within its horizon; the number of steps."""
        return await sweep(self.engine, self._store, ahead_ms=HORIZON_MS, limit=_SWEEP_LIMIT)

    async def keep_house(self) -> None:
        """Check all live steps and delete what has expired, once and at full speed."""
        async for _ in look_through(self.engine, self._store):
            pass
        await purge(self.engine, self._store)

    async def _sweep(self) -> float:
        found = await self.sweep()
        return _BACKLOG_PAUSE_S if found == _SWEEP_LIMIT else SWEEP_EVERY_MS / 1000

    async def _look_through(self) -> float:
        async for _ in look_through(self.engine, self._store):
            await asyncio.sleep(self._page_pause_s)
        self._page_pause_s = _PAGE_PAUSE_S
        return _LOOK_EVERY_S

    async def _purge(self) -> float:
        deleted = await purge(self.engine, self._store)
        if deleted:
            _log.info("purged", extra={"steps": deleted})
        return _PURGE_EVERY_S

    async def _again_and_again(self, work: Callable[[], Awaitable[float]]) -> None:
        """Repeat the work; it returns the pause before the next time, in seconds."""
        while True:
            try:
                pause_s = await work()
            except StoreUnavailable:
                _log.exception("the store is not available; trying again")
                pause_s = SWEEP_EVERY_MS / 1000
            await asyncio.sleep(pause_s)


class _Slot:
    def __init__(self, slots: asyncio.Semaphore) -> None:
        self._slots: asyncio.Semaphore | None = slots

    def release(self) -> None:
        if self._slots is not None:
            self._slots.release()
            self._slots = None
