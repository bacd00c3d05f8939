"""Work that holds the event loop for milliseconds: one piece at a time, clients in turn.

Between two pieces the loop is everybody else's, for as long as the last one took. So whoever sends large
bodies only, over however many connections, has half of the loop at most, and waits for himself.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final, TypeVar

Done = TypeVar("Done")

# What is smaller is read within a millisecond or so.
SMALL_BYTES: Final = 32 * 1024


class LargeBodies:
    """Those of one event loop."""

    def __init__(self) -> None:
        self._loop_is_held = asyncio.Lock()
        self._free_at_s = 0.0
        self._clients: dict[str, _Line] = {}

    async def read(self, client_id: str, size: int, work: Callable[[], Done]) -> Done:
        """Do the work on so many bytes, when they are few at once, or else when it is the client's turn."""
        if size <= SMALL_BYTES:
            return work()
        # Locks are fair: each client has one in the line of clients.
        async with self._line_of(client_id), self._loop_is_held:
            loop = asyncio.get_running_loop()
            await asyncio.sleep(max(0.0, self._free_at_s - loop.time()))
            began_s = loop.time()
            try:
                return work()
            finally:
                ended_s = loop.time()
                self._free_at_s = ended_s + (ended_s - began_s)

    @asynccontextmanager
    async def _line_of(self, client_id: str) -> AsyncIterator[None]:
        line = self._clients.setdefault(client_id, _Line())
        line.length += 1
        try:
            async with line.lock:
                yield
        finally:
            line.length -= 1
            if not line.length:
                del self._clients[client_id]


class _Line:
    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.length = 0
