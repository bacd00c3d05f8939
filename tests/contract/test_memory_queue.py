"""The queue contract on timers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from atomic.adapters.memory.queue import MemoryHintQueue
from atomic.protocol import keys
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


def test_the_backlog_of_one_client_does_not_hold_up_the_others() -> None:
    clock = ManualClock()
    owners = {keys.run_id(owner, "w", str(n)): owner for owner in ("busy", "calm") for n in range(1000)}
    queue = MemoryHintQueue(clock, client_of=owners.get)

    async def body() -> None:
        for run_id, owner in owners.items():
            if owner == "busy":
                queue.send(keys.root_of(run_id), clock.ms - 1000)
        first = await queue.receive()
        calm = keys.root_of(keys.run_id("calm", "w", "7"))
        queue.send(calm, clock.ms)
        received = [await queue.receive() for _ in range(3)]
        assert owners[keys.run_of(first)] == "busy"
        assert calm in received
        assert len(queue) == 1000 - 3

    asyncio.run(body())


def test_a_hint_that_stands_in_line_and_comes_again_is_received_once() -> None:
    clock = ManualClock()
    queue = MemoryHintQueue(clock)
    one, other = (keys.root_of(keys.run_id("acme", "w", key)) for key in "ab")

    async def body() -> None:
        queue.send(one, clock.ms - 1)
        queue.send(other, clock.ms)
        assert await queue.receive() == one
        queue.send(other, clock.ms - 5)
        assert await queue.receive() == other
        assert len(queue) == 0
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(queue.receive(), 0.01)

    asyncio.run(body())


class TestMemoryHintQueue(QueueContract):
    @asynccontextmanager
    async def home(self) -> AsyncIterator[QueueHome]:
        yield MemoryQueueHome()
