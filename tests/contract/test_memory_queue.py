"""The queue contract on timers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from atomic.adapters.memory.queue import MemoryHintQueue
from contract.queue_contract import ManualClock, QueueContract, QueueHome


class MemoryQueueHome:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.queue = MemoryHintQueue(self.clock)

    async def arrived(self) -> list[str]:
        ids = []
        while True:
            receiving = asyncio.create_task(self.queue.receive())
            await asyncio.sleep(0)
            if not receiving.done():
                receiving.cancel()
                return ids
            ids.append(receiving.result())


class TestMemoryHintQueue(QueueContract):
    @asynccontextmanager
    async def home(self) -> AsyncIterator[QueueHome]:
        yield MemoryQueueHome()
