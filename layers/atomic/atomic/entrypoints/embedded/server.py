"""`atomic serve`: its start, its sockets and its graceful end."""

import asyncio
import gc
import logging
import resource
import socket
from contextlib import AsyncExitStack
from typing import Final

import uvloop

from atomic.entrypoints.embedded.backends import open_backend
from atomic.entrypoints.embedded.development import Development
from atomic.entrypoints.embedded.http_server import BACKLOG, HttpServer
from atomic.entrypoints.embedded.settings import ServerSettings
from atomic.entrypoints.embedded.supervisor import READY, tell_supervisor
from atomic.entrypoints.embedded.traced import TracedApp
from atomic.entrypoints.embedded.wiring import (
    Server,
    ServeRefusedError,
    is_loopback,
    is_one_address,
    wired,
)

_log = logging.getLogger("atomic.server")

_GC_OBJECTS: Final = 50_000
# libuv accepts one connection per listening socket in each round of the loop, and a round under load lasts
# tens of milliseconds. The hundredth connection would wait for seconds.
_ACCEPTED_AT_ONCE: Final = 8
_EXIT_STORE_BROKEN: Final = 70  # EX_SOFTWARE of sysexits.h


def serve(settings: ServerSettings) -> int:
    """Run the server until it is told to stop; the exit code."""
    if settings.dev and not (is_loopback(settings.host) or settings.dev_network):
        raise ServeRefusedError(
            "--dev needs no API key, so it listens on loopback only; leave out "
            f"--host {settings.host}, or leave out --dev and make keys with `atomic clients create`. In a "
            "container, name its network (--dev-network 172.28.0.0/24)"
        )
    _raise_file_limit()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_serve(settings))


async def _serve(settings: ServerSettings) -> int:
    broken = asyncio.Event()
    async with AsyncExitStack() as opened:
        backend = await opened.enter_async_context(
            open_backend(settings, on_fatal=lambda message: _break(broken, message))
        )
        listeners = _listen(settings.host, settings.port)
        host, port = listeners[0].getsockname()[:2]
        url = f"http://{'[' + host + ']' if ':' in host else host}:{port}"
        listens_at = url if is_one_address(host) else ""
        server = await opened.enter_async_context(wired(settings, backend, listens_at=listens_at))
        recovered = await server.recover()
        # From here on, callers can connect, and are accepted once the server runs: callers that read the
        # line about listening, and handlers that are called now and post steps.
        listeners[0].listen(BACKLOG)
        server.start()
        http = HttpServer(server.app if server.tracing is None else TracedApp(server.app, server.tracing))
        running = Development(server, http) if settings.dev else server
        _log.info(
            "listening",
            extra={
                "url": url,
                "dashboard": f"{url}/dashboard#/dev" if settings.dev else f"{url}/dashboard",
                "dev": settings.dev,
                "dataDir": str(settings.data_dir),
                "recovered": recovered,
            },
        )
        tell_supervisor(READY)
        # The objects that exist now stay, so the collector need not scan them again. Steps make few cycles,
        # so it need not run after every 700 objects either.
        gc.collect()
        gc.freeze()
        gc.set_threshold(_GC_OBJECTS, 20, 20)
        stopper = asyncio.create_task(_stop_when(broken, running, http))
        await http.serve_until_drained(running.drain, listeners)
        stopper.cancel()
        # What is left is cut off here, and the next start repeats it. Were the connections closed first, it
        # would look like a failure of the endpoint, and use a retry.
        await running.kill()
    return _EXIT_STORE_BROKEN if broken.is_set() else 0


def _break(broken: asyncio.Event, message: str) -> None:
    # The message is our own, about a file.
    _log.critical("the store is broken, the server ends: %s", message)
    broken.set()


async def _stop_when(broken: asyncio.Event, server: Server | Development, http: HttpServer) -> None:
    await broken.wait()
    # After a failed fsync, the content of the disk is unknown until the next start. Waiting callers are
    # answered now.
    server.send_away()
    http.stop()


def _listen(host: str, port: int) -> list[socket.socket]:
    """One socket, duplicated once for each connection that one round of the loop should accept."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # Small answers are sent at once (no Nagle delay). Accepted connections inherit this option.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise ServeRefusedError(
            f"cannot listen on {host}:{port} ({error.strerror}); choose another --host or --port"
        ) from None
    return [listener, *(listener.dup() for _ in range(_ACCEPTED_AT_ONCE - 1))]


def _raise_file_limit() -> None:
    """Raise the limit of file descriptors: each waiting caller needs one, and the limit is often 1024."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
