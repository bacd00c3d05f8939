"""Work that blocks the event loop for milliseconds: one piece at a time, clients in turn.

After each piece, the loop is free for other work for as long as the piece took. So all large bodies
together take at most half of the loop, and a client that sends many of them delays mainly itself.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final, TypeVar

Done = TypeVar("Done")

# A smaller body is read within a millisecond or so.
SMALL_BYTES: Final = 32 * 1024


class LargeBodies:
    """The large bodies of one event loop."""

    def __init__(self) -> None:
        self._loop_is_held = asyncio.Lock()
        self._free_at_s = 0.0
        self._clients: dict[str, _Line] = {}

    async def read(self, client_id: str, size: int, work: Callable[[], Done]) -> Done:
        """Do the work on `size` bytes: at once for a small body, otherwise when it is the client's turn."""
        if size <= SMALL_BYTES:
            return work()
        # Locks are fair: each client has at most one piece of work waiting for the lock of all clients.
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
