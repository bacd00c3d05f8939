"""Open connections, and which of them are idle."""

import asyncio
import time
from itertools import takewhile
from typing import Final, NamedTuple

from atomic.adapters.http.connection import Connection

# Servers close idle connections after 5 s (uvicorn, Node) and a call sent into the closing one fails, so
# ours are closed before that.
IDLE_S: Final = 4.0
_SWEEP_MIN_S: Final = 0.05


class Origin(NamedTuple):
    """Where a connection leads; `host` is a name or an IP literal without brackets."""

    scheme: str
    host: str
    port: int


class Pool:
    """Hands out the idle connection that was used last, and closes those that are unused for 4 s.

    There is no limit: a workflow holds its connection while it waits for its steps, and a bounded pool
    would starve them.
    """

    def __init__(self) -> None:
        self._open: dict[Connection, Origin] = {}
        # By origin, in the order in which they became idle, each with that moment.
        self._idle: dict[Origin, dict[Connection, float]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._is_closed = False

    def adopt(self, connection: Connection, origin: Origin) -> None:
        """Add a connection that was just opened; it is in use."""
        if not connection.lost.done():
            self._open[connection] = origin

    def take(self, origin: Origin) -> Connection | None:
        """An idle connection, which is in use from now on; None when there is none."""
        idle = self._idle.get(origin)
        while idle:
            connection, since_s = idle.popitem()
            if connection.is_reusable and _is_fresh(since_s, time.time()):
                return connection
            connection.abort()
        return None

    def release(self, connection: Connection) -> None:
        """End its use: it becomes idle if it can serve again, and is closed if not."""
        origin = self._open.get(connection)
        if origin is None or self._is_closed or not connection.is_reusable:
            connection.abort()
            return
        self._idle.setdefault(origin, {})[connection] = time.time()
        if self._timer is None:
            self._sweep_in(IDLE_S)

    def forget(self, connection: Connection) -> None:
        """Remove a connection that has ended, idle or not."""
        origin = self._open.pop(connection, None)
        if origin is not None and origin in self._idle:
            self._idle[origin].pop(connection, None)

    async def close(self) -> None:
        """Close every connection, in use or not, and wait until they are gone."""
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        gone = [connection.lost for connection in self._open]
        for connection in self._open:
            connection.abort()
        if gone:
            await asyncio.wait(gone)

    def _sweep_in(self, delay_s: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(delay_s, self._sweep)

    def _sweep(self) -> None:
        now_s = time.time()
        for origin, idle in list(self._idle.items()):
            stale = list(takewhile(lambda item: not _is_fresh(item[1], now_s), idle.items()))
            for connection, _ in stale:
                del idle[connection]
                connection.abort()
            if not idle:
                del self._idle[origin]
        oldest_s = min((next(iter(idle.values())) for idle in self._idle.values()), default=None)
        self._timer = None
        if oldest_s is not None:
            self._sweep_in(max(_SWEEP_MIN_S, oldest_s + IDLE_S - now_s))


def _is_fresh(since_s: float, now_s: float) -> bool:
    # Wall clock: the loop's clock may stop while a Lambda environment is frozen. A negative time means that
    # the wall clock was set back.
    return 0 <= now_s - since_s < IDLE_S
