"""uvicorn as `atomic serve` runs it: its settings, its signals, and its end."""

import asyncio
import resource
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

import uvicorn
from uvicorn.server import HANDLED_SIGNALS

from atomic.entrypoints.embedded.http import AsgiApp, BoundedHttp

# Connections that wait to be accepted.
BACKLOG: Final = 4096
# The time for open requests to be answered after the server stops taking new ones.
_GRACE_S: Final = 5
# Longer than the pools of clients keep a connection, so that the client closes it first.
_KEEP_ALIVE_S: Final = 75


class HttpServer(uvicorn.Server):
    """Serves until it is told to stop: the first signal drains it first, the second ends it at once.

    `drain` waits for attempts under way. Create this object on the running event loop.
    """

    def __init__(self, app: AsgiApp, drain: Callable[[], Awaitable[None]]) -> None:
        config = uvicorn.Config(
            app,
            loop="none",
            http=BoundedHttp,
            ws="none",
            lifespan="off",
            interface="asgi3",
            access_log=False,
            log_config=None,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            timeout_keep_alive=_KEEP_ALIVE_S,
            timeout_graceful_shutdown=_GRACE_S,
            backlog=BACKLOG,
            limit_concurrency=_callers_max(),
        )
        super().__init__(config)
        self._drain = drain
        self._loop = asyncio.get_running_loop()
        self._draining: asyncio.Task[None] | None = None

    def stop(self) -> None:
        """End now."""
        self.should_exit = True

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Uvicorn: handle signals while it serves.

        Uvicorn's own version raises them again afterwards. The process would then end by the signal, with
        the store open and without the exit code that says why it ended.
        """
        before = {number: signal.signal(number, self.handle_exit) for number in HANDLED_SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Uvicorn: a signal came."""
        del sig, frame
        self._loop.call_soon_threadsafe(self._heard)

    def _heard(self) -> None:
        if self._draining is None:
            self._draining = self._loop.create_task(self._drain_and_stop())
        else:
            self.stop()

    async def _drain_and_stop(self) -> None:
        await self._drain()
        self.stop()


def _callers_max() -> int | None:
    """Half of the file descriptors; the other half is for the calls of endpoints."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if soft == resource.RLIM_INFINITY else soft // 2
