"""`atomic serve`: wiring, start, graceful end."""

import asyncio
import gc
import logging
import resource
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import Final

import uvloop

from atomic.adapters.http.addresses import is_public, is_public_or_private
from atomic.adapters.http.invoker import HttpInvoker
from atomic.adapters.memory.notifier import MemoryNotifier
from atomic.adapters.memory.queue import MemoryWakeupQueue
from atomic.adapters.prometheus.telemetry import PrometheusTelemetry
from atomic.adapters.sqlite.client_store import SqliteClientRegistry
from atomic.adapters.sqlite.in_place import FilesInPlace
from atomic.adapters.sqlite.lock import DataDirLock
from atomic.adapters.sqlite.store import SqliteStepStore
from atomic.adapters.system import SteadyClock, SystemClock, SystemEntropy
from atomic.application.destinations import CountedRuns
from atomic.application.engine import Engine
from atomic.application.ports import ClientRegistry, StoreUnavailable
from atomic.application.sweep import recover
from atomic.entrypoints.embedded.asgi import AsgiApp
from atomic.entrypoints.embedded.client_admin import ManagedDirectory, pepper_of_keys
from atomic.entrypoints.embedded.dev_clients import DevRegistry, dev_signing_secret
from atomic.entrypoints.embedded.driver import HORIZON_MS, Driver, Pace
from atomic.entrypoints.embedded.http_server import BACKLOG, HttpServer
from atomic.entrypoints.embedded.origin_check import BrowserCheck
from atomic.entrypoints.embedded.settings import ServerSettings
from atomic.entrypoints.http_api.api import Api
from atomic.entrypoints.inflight import Tasks
from atomic.entrypoints.step_log import LoggedTelemetry
from atomic.protocol.signatures import decode_secret

_log = logging.getLogger("atomic.server")

# Attempts get this long to end by themselves; then callers are sent away, and their handlers may end too.
_GRACE_S: Final = 5.0
_GC_OBJECTS: Final = 50_000
# libuv takes one connection from a listening socket in each round of the loop, and a round under load lasts
# tens of milliseconds: whoever came hundredth would stand in line for seconds.
_ACCEPTED_AT_ONCE: Final = 8
# How long a server may go on whose files were taken away.
_LOOK_EVERY_S: Final = 1.0
# What it has open; a client's file is there without `--dev` only.
_FILES: Final = ("lock", "atomic.db", "atomic.db-wal", "clients.db", "clients.db-wal")
_EXIT_STORE_BROKEN: Final = 70  # EX_SOFTWARE of sysexits.h


class ServeRefusedError(Exception):
    """The server cannot start like this; the message says what to change."""


def serve(settings: ServerSettings) -> int:
    """Run the server until it is told to stop; the exit code."""
    if settings.dev and not _is_loopback(settings.host):
        raise ServeRefusedError(
            "--dev asks nobody for a key, so it listens on loopback only; leave out "
            f"--host {settings.host}, or leave out --dev and make keys with `atomic clients create`"
        )
    _raise_file_limit()
    with DataDirLock(settings.data_dir), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_serve(settings))


async def _serve(settings: ServerSettings) -> int:
    listeners = _listen(settings.host, settings.port)
    broken = asyncio.Event()
    async with _runtime(settings, broken) as runtime:
        recovered = await _recover(runtime.engine)
        # From here on callers are connected, and let in when the server runs: those who read that it
        # listens, and the handlers that are called now and post their steps.
        listeners[0].listen(BACKLOG)
        runtime.driver.start()
        server = HttpServer(runtime.app, runtime.drain)
        host, port = listeners[0].getsockname()[:2]
        url = f"http://{'[' + host + ']' if ':' in host else host}:{port}"
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
        # What is there now stays for good; the collector need not look at it again and again. Steps leave
        # few cycles behind, so it need not look after every 700 objects either.
        gc.collect()
        gc.freeze()
        gc.set_threshold(_GC_OBJECTS, 20, 20)
        stopper = asyncio.create_task(_stop_when(broken, runtime, server))
        await server.serve(sockets=listeners)
        stopper.cancel()
        await runtime.driver.stop()
    return _EXIT_STORE_BROKEN if broken.is_set() else 0


async def _recover(engine: Engine) -> int:
    try:
        return await recover(engine)
    except StoreUnavailable as error:
        raise ServeRefusedError(f"cannot take over the steps of the last server: {error}") from None


class _Runtime:
    """The parts of a running server."""

    def __init__(
        self,
        settings: ServerSettings,
        store: SqliteStepStore,
        registry: ClientRegistry,
        invoker: HttpInvoker,
        browsers: BrowserCheck,
        manage: ManagedDirectory | None,
    ) -> None:
        clock = SteadyClock()
        self.tasks = Tasks()
        self.notifier = MemoryNotifier()
        self.metrics = PrometheusTelemetry()
        queue = MemoryWakeupQueue(clock, horizon_ms=HORIZON_MS)
        self.engine = Engine(
            store=store,
            queue=queue,
            invoker=invoker,
            notifier=self.notifier,
            clients=registry,
            telemetry=LoggedTelemetry(self.metrics),
            clock=clock,
            entropy=SystemEntropy(),
            spawn=self.tasks.spawn,
            settings=settings.engine(),
            destinations=CountedRuns(settings.destination_runs),
        )
        pace = Pace(slots=settings.slots, slot_held_s=settings.slot_held_ms / 1000)
        self.driver = Driver(self.engine, queue, store, pace)
        self._drain_s = settings.drain_s
        self._draining = False
        api = Api(engine=self.engine, admits=self._admits, manage=manage)
        self.app = AsgiApp(api, self.metrics, browsers)

    def _admits(self, run_id: str) -> bool:
        """While draining, only the steps of handlers that still run are taken."""
        return not self._draining or self.tasks.is_busy(run_id)

    async def drain(self) -> None:
        """Begin nothing new and let attempts end; callers who still wait by then are sent away."""
        _log.info("draining")
        self._draining = True
        await self.driver.stop()
        grace_s = min(_GRACE_S, self._drain_s)
        quiet = await self.tasks.quiet(grace_s)
        self.notifier.close()
        if not quiet:
            quiet = await self.tasks.quiet(self._drain_s - grace_s)
        _log.info("stopping", extra={"attemptsLeft": not quiet})


@asynccontextmanager
async def _runtime(settings: ServerSettings, broken: asyncio.Event) -> AsyncIterator[_Runtime]:
    """The parts, wired; `broken` is set when the store can no longer be trusted."""
    reaches_private = settings.dev or settings.allow_private
    invoker = HttpInvoker(allows=is_public_or_private if reaches_private else is_public)
    async with AsyncExitStack() as opened:
        registry = _registry(settings)
        opened.callback(registry.close)
        manage = None if settings.dev else ManagedDirectory(settings.data_dir)
        if manage is not None:
            opened.callback(manage.close)
        store = await SqliteStepStore.open(
            settings.data_dir / "atomic.db", on_fatal=lambda message: _break(broken, message)
        )
        opened.push_async_callback(store.close)
        opened.push_async_callback(invoker.close)
        runtime = _Runtime(settings, store, registry, invoker, _browser_check(settings), manage)
        runtime.metrics.found_live(await store.count_live())
        watcher = asyncio.create_task(_watch_files(settings.data_dir, store))
        opened.callback(watcher.cancel)
        yield runtime


def _registry(settings: ServerSettings) -> SqliteClientRegistry | DevRegistry:
    try:
        if settings.dev:
            return DevRegistry(decode_secret(dev_signing_secret(settings.data_dir)))
        pepper = pepper_of_keys(settings.data_dir)
    except ValueError as damaged:
        raise ServeRefusedError(str(damaged)) from None
    return SqliteClientRegistry(
        settings.data_dir / "clients.db", pepper=pepper, now_ms=SystemClock().now_ms
    )


def _browser_check(settings: ServerSettings) -> BrowserCheck:
    # Who listens on a network may stand behind any name, and there it is keys that keep strangers out.
    if not settings.allow_host and not _is_loopback(settings.host):
        return BrowserCheck()
    return BrowserCheck((*settings.allow_host, settings.host))


def _break(broken: asyncio.Event, message: str) -> None:
    # The message is our own, about a file.
    _log.critical("the store is broken, the server ends: %s", message)
    broken.set()


async def _stop_when(broken: asyncio.Event, runtime: _Runtime, server: HttpServer) -> None:
    await broken.wait()
    # After a failed fsync nobody knows what is on the disk: only a fresh start tells. Who waits need not
    # wait for that.
    runtime.notifier.close()
    server.stop()


async def _watch_files(data_dir: Path, store: SqliteStepStore) -> None:
    files = FilesInPlace(data_dir / name for name in _FILES)
    while True:
        await asyncio.sleep(_LOOK_EVERY_S)
        if path := files.displaced():
            store.give_up(f"{path} was moved, removed or replaced while the server ran")
            return


def _listen(host: str, port: int) -> list[socket.socket]:
    """The one socket, as often as connections are to be accepted in one round of the loop."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # Answers are small and must not wait for more; accepted connections inherit this.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise ServeRefusedError(
            f"cannot listen on {host}:{port} ({error.strerror}); choose another --host or --port"
        ) from None
    return [listener, *(listener.dup() for _ in range(_ACCEPTED_AT_ONCE - 1))]


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _raise_file_limit() -> None:
    """A waiting caller costs a file descriptor, and the soft limit is often 1024."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
