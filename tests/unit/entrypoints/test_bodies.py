"""The bound on the memory of bodies that are on their way to the embedded server."""

import asyncio
from typing import Any

from atomic.entrypoints.embedded.http import SMALL_BYTES, read_body
from atomic.testing import run


class Sender:
    """Sends a body in three parts, the last two when it is told to; counts what was taken."""

    def __init__(self, part_bytes: int, end: str = "http.request") -> None:
        self.goes_on = asyncio.Event()
        self.taken = 0
        self.length = str(3 * part_bytes)
        self._part: dict[str, Any] = {"type": "http.request", "body": bytes(part_bytes)}
        self._end = end

    async def sent(self, turns: asyncio.Semaphore) -> bytes | None:
        return await read_body(self.length, self.receive, turns)

    async def receive(self) -> dict[str, Any]:
        if self.taken:
            await self.goes_on.wait()
        self.taken += 1
        if self.taken == 3:
            return {**self._part, "type": self._end, "more_body": False}
        return {**self._part, "more_body": True}


def test_large_bodies_wait_for_each_other_and_small_ones_for_none() -> None:
    async def main() -> None:
        turns = asyncio.Semaphore(1)
        # The caller of the first one disconnects in the end.
        first, second = Sender(SMALL_BYTES + 1, end="http.disconnect"), Sender(SMALL_BYTES + 1)
        async with asyncio.TaskGroup() as tasks:
            reading = [tasks.create_task(each.sent(turns)) for each in (first, second)]
            await asyncio.sleep(0)
            second.goes_on.set()
            small = Sender(7)
            small.goes_on.set()
            assert await small.sent(turns) == bytes(21)
            # Without the bound, this is time enough for the second one.
            for _ in range(9):
                await asyncio.sleep(0)
            assert (first.taken, second.taken) == (1, 1)
            first.goes_on.set()
        assert reading[0].result() is None
        assert reading[1].result() == bytes(3 * (SMALL_BYTES + 1))

    run(main())
