"""The queue contract on the in-memory queue, which uses timers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from atomic.adapters.memory.wakeups import MemoryWakeupQueue
from atomic.protocol import keys
from contract.queue_contract import ManualClock, QueueContract, QueueRuntime, wakeup


class MemoryQueueRuntime:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.queue = MemoryWakeupQueue(self.clock)

    async def arrived(self) -> list[str]:
        ids = []
        while True:
            receiving = asyncio.create_task(self.queue.receive())
            await asyncio.sleep(0)
            if not receiving.done():
                receiving.cancel()
                return ids
            ids.append(receiving.result())


def test_the_backlog_of_one_client_does_not_delay_the_others() -> None:
    clock = ManualClock()
    busy = [keys.root_of(keys.run_id("busy", "w", str(n))) for n in range(1000)]
    calm = keys.root_of(keys.run_id("calm", "w", "7"))
    queue = MemoryWakeupQueue(clock)

    async def body() -> None:
        for step_id in busy:
            wakeup(queue, step_id, clock.ms - 1000, client_id="busy")
        first = await queue.receive()
        wakeup(queue, calm, clock.ms, client_id="calm")
        received = [await queue.receive() for _ in range(3)]
        assert first in busy
        assert calm in received
        assert len(queue) == 1000 - 3

    asyncio.run(body())


def test_a_queued_wakeup_that_is_sent_again_is_received_once() -> None:
    clock = ManualClock()
    queue = MemoryWakeupQueue(clock)
    one, other = (keys.root_of(keys.run_id("acme", "w", key)) for key in "ab")

    async def body() -> None:
        wakeup(queue, one, clock.ms - 1)
        wakeup(queue, other, clock.ms)
        assert await queue.receive() == one
        wakeup(queue, other, clock.ms - 5)
        assert await queue.receive() == other
        assert len(queue) == 0
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(queue.receive(), 0.01)

    asyncio.run(body())


class TestMemoryWakeupQueue(QueueContract):
    @asynccontextmanager
    async def runtime(self) -> AsyncIterator[QueueRuntime]:
        yield MemoryQueueRuntime()
