"""uvicorn as `atomic serve` runs it: its settings, its signals, and its end."""

import asyncio
import inspect
import logging
import resource
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from types import CoroutineType, FrameType
from typing import Any, Final, cast

import uvicorn
from uvicorn.server import HANDLED_SIGNALS

from atomic.entrypoints.embedded.http import Application, BoundedHttp

# Connections that wait to be accepted.
BACKLOG: Final = 4096
# The time for open requests to be answered after the server stops taking new ones.
_GRACE_S: Final = 5
# Longer than the pools of clients keep a connection, so that the client closes it first.
_KEEP_ALIVE_S: Final = 75


class HttpServer(uvicorn.Server):
    """Serves until it is told to stop: the first signal drains it first, the second ends it at once.

    Create this object on the running event loop.
    """

    _drain: Callable[[], Awaitable[None]]

    def __init__(self, app: Application) -> None:
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
        self._loop = asyncio.get_running_loop()
        self._draining: asyncio.Task[None] | None = None

    async def serve_until_drained(
        self, drain: Callable[[], Awaitable[None]], listeners: list[socket.socket]
    ) -> None:
        """Serve at these sockets; `drain` waits for attempts under way."""
        self._drain = drain
        await self.serve(sockets=listeners)

    def stop(self) -> None:
        """End now."""
        self.should_exit = True

    async def drop_callers(self, unless: str) -> None:
        """End all requests without an answer and close their connections, as the end of the process would.

        Requests whose path begins with `unless` are left alone, and so are connections without a request.
        """
        for connection in list(self.server_state.connections):
            _drop(cast("BoundedHttp", connection), unless)
        dropped = [task for task in self.server_state.tasks if not _path(task).startswith(unless)]
        for task in dropped:
            task.cancel()
        # Uvicorn would log each of them as a fault of the application.
        log = logging.getLogger("uvicorn.error")
        log.addFilter(_is_no_cancel)
        await asyncio.gather(*dropped, return_exceptions=True)
        log.removeFilter(_is_no_cancel)

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


def _drop(connection: BoundedHttp, unless: str) -> None:
    cycle = connection.cycle
    is_answering = cycle is not None and not cycle.response_complete
    if is_answering and not cycle.scope["path"].startswith(unless):
        cycle.disconnected = True
        connection.pipeline.clear()
        connection.transport.abort()


def _path(task: asyncio.Task[Any]) -> str:
    """The path of the request that one of uvicorn's tasks answers; empty when it has ended."""
    answering = inspect.getcoroutinelocals(cast("CoroutineType[Any, Any, Any]", task.get_coro()))
    return str(answering["self"].scope["path"]) if answering else ""


def _is_no_cancel(record: logging.LogRecord) -> bool:
    return record.exc_info is None or record.exc_info[0] is not asyncio.CancelledError


def _callers_max() -> int | None:
    """Half of the file descriptors; the other half is for the calls of endpoints."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if soft == resource.RLIM_INFINITY else soft // 2
