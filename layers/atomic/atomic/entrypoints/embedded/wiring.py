"""Puts the parts of a server together over its backend."""

import asyncio
import hmac
import logging
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from secrets import randbelow, token_bytes
from typing import TYPE_CHECKING, Final

from atomic.adapters.functions.invoker import ANSWER_MAX_BYTES
from atomic.adapters.http.addresses import is_public_or_private, public_or_in
from atomic.adapters.http.invoker import HttpInvoker
from atomic.adapters.memory.wakeups import MemoryWakeupQueue
from atomic.adapters.prometheus.machine import Machine
from atomic.adapters.prometheus.telemetry import PrometheusTelemetry
from atomic.adapters.secret_files import DEV_SIGNING_SECRET, kept_secret
from atomic.adapters.settings_file import keep_settings_file, load_settings_file
from atomic.adapters.system import LoggedTelemetry, SystemClock, SystemEntropy, log_turn
from atomic.application.adaptive import Adaptive
from atomic.application.admission import Admission
from atomic.application.backend import Backend
from atomic.application.bulk import do_bulk
from atomic.application.call_rate import CallRate
from atomic.application.engine import Engine
from atomic.application.ports import ClientRegistry, EndpointInvoker, StoreUnavailable, Telemetry
from atomic.domain.clients.client import OpenRegistry
from atomic.entrypoints.embedded.browsers import BrowserCheck
from atomic.entrypoints.embedded.client_admin import ManagedClients, peppers_of_keys
from atomic.entrypoints.embedded.http import AsgiApp
from atomic.entrypoints.embedded.paused import kept_call_rate
from atomic.entrypoints.embedded.settings import ServerSettings
from atomic.entrypoints.embedded.supervisor import STOPPING, tell_supervisor
from atomic.entrypoints.http_api.api import Api, ManageClients
from atomic.protocol.enums import FEATURES
from atomic.protocol.signatures import decode_secret, encode_secret
from atomic.protocol.urls import parse_url
from atomic.protocol.wire import from_rfc3339
from atomic.runtime.activity import Activity
from atomic.runtime.driver import HORIZON_MS, Driver, Pace
from atomic.runtime.faults import SEED_MAX, Faults
from atomic.runtime.faulty_ports import with_faults
from atomic.runtime.inflight import Tasks
from atomic.runtime.processes import Processes, one_of_several, only_process
from atomic.runtime.virtual_time import Driven, FullDelays, RealDurations, VirtualClock, VirtualTime

if TYPE_CHECKING:
    # OpenTelemetry is an extra.
    from atomic.adapters.otel.opening import ServerTracing

_log = logging.getLogger("atomic.server")

# How long attempts may end by themselves. Then waiting callers are answered, so that handlers can end, too.
_GRACE_S: Final = 5.0
# Of a server in development.
SETTINGS_FILE: Final = "client-settings.json"


def _dev_registry(data_dir: Path, origins: tuple[str, ...]) -> OpenRegistry:
    # All clients share one signing secret. Tokens of attempts and callbacks stay valid after a
    # restart, because an answer or a result may be posted later.
    secret = decode_secret(dev_signing_secret(data_dir))
    return OpenRegistry(
        attempt_key=hmac.digest(secret, b"attempts", "sha256"),
        callback_key=hmac.digest(secret, b"callbacks", "sha256"),
        signing_secrets=(secret,),
        origins=origins,
        own=load_settings_file(data_dir / SETTINGS_FILE),
        keep=partial(keep_settings_file, data_dir / SETTINGS_FILE),
    )


def dev_signing_secret(data_dir: Path) -> str:
    """The signing secret of a data directory as text; it is made at first use."""
    made = kept_secret(
        data_dir / DEV_SIGNING_SECRET, lambda: f"{encode_secret(token_bytes(24))}\n".encode()
    )
    text = made.decode().strip()
    decode_secret(text)
    return text


class ServeRefusedError(Exception):
    """The server cannot start like this; the message says what to change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Clients:
    """The clients of a server; `manage` is None where no clients are stored, and `open` where some are."""

    registry: ClientRegistry
    manage: ManageClients | None = None
    open: OpenRegistry | None = None


class Server:
    """A server without its sockets: the engine, its driver and the ASGI application."""

    def __init__(
        self,
        settings: ServerSettings,
        backend: Backend,
        invoker: EndpointInvoker,
        clients: _Clients,
        listens_at: str,
        time: VirtualTime | None = None,
        faults: Faults | None = None,
        tracing: "ServerTracing | None" = None,
    ) -> None:
        self.again = partial(Server, settings, backend, invoker, clients, listens_at, time, faults, tracing)
        self.time = time
        self.faults = faults
        self._activity = None if time is None else Activity(time.clock, time.changes)
        self.tasks = Tasks() if self._activity is None else self._activity.tasks
        adaptive = _adaptive(settings)
        self._processes = _processes(settings, backend, self.tasks)
        call_rate = kept_call_rate(settings, self._processes.clock if time is None else time.clock)
        self.tracing = tracing
        self.metrics = _metrics(settings, adaptive, call_rate, tracing)
        queue = MemoryWakeupQueue(self._processes.clock, horizon_ms=HORIZON_MS)
        telemetry: Telemetry = self.metrics
        entropy = SystemEntropy()
        if time is not None and self._activity is not None:
            self._processes = replace(self._processes, clock=time.clock, notifier=self._activity.notifier)
            queue = self._activity.queue
            telemetry, entropy = RealDurations(self.metrics, time.clock), FullDelays()
        if tracing is not None:
            telemetry = tracing.telling(telemetry)
        of_engine = settings.engine(listens_at)
        self.engine = Engine(
            store=backend.steps,
            queue=queue,
            invoker=invoker,
            own=do_bulk,
            notifier=self._processes.notifier,
            clients=clients.registry,
            telemetry=LoggedTelemetry(telemetry),
            clock=self._processes.clock,
            entropy=entropy,
            spawn=self.tasks.spawn,
            settings=of_engine,
            admission=Admission(
                destinations=self._processes.destinations,
                rates=self._processes.starts,
                adaptive=adaptive,
                server_flow=backend.flow,
                call_limit=call_rate,
                retention_ms=of_engine.retention_ms,
            ),
        )
        pace = Pace(slots=settings.slots, slot_held_s=settings.slot_held_ms / 1000)
        self.driver = Driver(self.engine, queue, backend.steps, pace)
        self.store = backend.steps
        self._open, self._drain_s = clients.open, settings.drain_s
        self.api = self._open_api(clients, settings.links)
        if faults is not None and not faults.is_idle:
            self.misbehave(faults)
        self.app = AsgiApp(self.api, self.metrics, _browser_check(settings), settings.dev_network)

    def _open_api(self, clients: _Clients, links: Mapping[str, str]) -> Api:
        return Api(
            engine=self.engine,
            admits=self.tasks.admits,
            manage=clients.manage,
            own_settings=clients.open,
            links=links,
            endpoints=self.metrics.endpoints,
            features=FEATURES if self.time is None else (*FEATURES, "virtual-time"),
        )

    def misbehave(self, faults: Faults) -> None:
        """From now on, these faults may happen. Before, nothing is between the engine and its ports."""
        self.engine = self.driver.engine = with_faults(self.engine, faults)
        self.api = replace(self.api, engine=self.engine)

    async def clear(self) -> None:
        """Delete everything that is stored."""
        await self.store.clear()
        if self._open is not None:
            self._open.forget_settings()

    async def recover(self) -> int:
        """Take over the steps that earlier processes left; their number. Raises ServeRefusedError."""
        try:
            return await self._processes.recover(self.engine, self.store)
        except StoreUnavailable as error:
            raise ServeRefusedError(f"cannot take over the steps of the last server: {error}") from None

    def start(self) -> None:
        """Begin to process what is due."""
        if self.time is None or self._activity is None:
            self.driver.start()
        else:
            self.time.drive(Driven(self._activity, self.driver, self.store))

    async def stop(self) -> None:
        """Begin nothing new; attempts go on."""
        if self.time is not None:
            await self.time.leave()
        await self._begin_nothing()

    async def _begin_nothing(self) -> None:
        if self.engine.admission.adaptive is not None:
            self.engine.admission.adaptive.stop()
        await self.driver.stop()

    async def kill(self) -> None:
        """End all work, with the effect that the end of the process would have."""
        await self.stop()
        await self.tasks.cancel()

    def activity_of(self, name: str) -> AbstractContextManager[None]:
        """Count a request that may change something while it is answered."""
        return nullcontext() if self._activity is None else self._activity.request(name)

    async def drain(self) -> None:
        """Begin nothing new and let attempts end; then answer the callers that still wait."""
        _log.info("draining")
        tell_supervisor(STOPPING)
        self.tasks.refuse_new_runs()
        if self.time is not None:
            self.time.close()
        await self._begin_nothing()
        grace_s = min(_GRACE_S, self._drain_s)
        quiet = await self.tasks.quiet(grace_s)
        self.send_away()
        if not quiet:
            quiet = await self.tasks.quiet(self._drain_s - grace_s)
        _log.info("stopping", extra={"attemptsLeft": not quiet})

    def send_away(self) -> None:
        """End all waits, so that waiting callers are answered now."""
        self.engine.notifier.close()


@asynccontextmanager
async def wired(
    settings: ServerSettings, backend: Backend, *, listens_at: str = ""
) -> AsyncIterator[Server]:
    """A server over an open backend; `listens_at` is its URL, if it has just one address.

    Raises ServeRefusedError.
    """
    reaches_private = settings.dev or settings.allow_private
    allows = is_public_or_private if reaches_private else public_or_in(settings.allow_network)
    invoker = HttpInvoker(allows=allows)
    async with AsyncExitStack() as opened:
        opened.push_async_callback(invoker.close)
        clients = _clients(settings, backend, opened)
        reached = _with_functions(invoker, opened) if settings.lambda_targets else invoker
        time, faults = _virtual_time(settings), _faults(settings)
        tracing = _tracing(opened) if settings.otel else None
        if tracing is not None:
            reached = tracing.invoking(reached)
        server = Server(settings, backend, reached, clients, listens_at, time, faults, tracing)
        server.metrics.found_live(await backend.steps.count_live())
        yield server


def _processes(settings: ServerSettings, backend: Backend, tasks: Tasks) -> Processes:
    if backend.shared is None:
        return only_process(destination_runs=settings.destination_runs)
    return one_of_several(tasks, backend.shared)


def _adaptive(settings: ServerSettings) -> Adaptive | None:
    # In virtual time, the order of attempts must not depend on how long they take.
    is_adaptive = settings.destination_limit == "adaptive" and not settings.virtual_time
    return Adaptive(settings.destination_runs, log_turn) if is_adaptive else None


def _virtual_time(settings: ServerSettings) -> VirtualTime | None:
    start = settings.virtual_time
    if not start:
        return None
    return VirtualTime(VirtualClock(None if start == "now" else from_rfc3339(start)))


def _faults(settings: ServerSettings) -> Faults | None:
    if not settings.dev:
        return None
    seed = randbelow(SEED_MAX + 1) if settings.faults_seed is None else settings.faults_seed
    return Faults(settings.faults, seed)


def _tracing(opened: AsyncExitStack) -> "ServerTracing | None":
    """What makes the spans; None where the environment forbids it. Raises ServeRefusedError."""
    # OpenTelemetry is an extra, and takes time and memory to import.
    try:
        from atomic.adapters.otel.opening import RefusedError, open_tracing
    except ModuleNotFoundError:
        raise ServeRefusedError(
            "--otel needs OpenTelemetry: pip install 'atomic-workflows[otel]'"
        ) from None
    try:
        tracing = open_tracing(os.environ)
    except RefusedError as refused:
        raise ServeRefusedError(f"--otel: {refused}") from None
    if tracing is None:
        _log.info("OTEL_SDK_DISABLED or OTEL_TRACES_EXPORTER forbids it: no spans are made")
    else:
        opened.push_async_callback(asyncio.to_thread, tracing.close)
    return tracing


def _with_functions(invoker: HttpInvoker, opened: AsyncExitStack) -> EndpointInvoker:
    """The invoker, which also reaches Lambda functions. Raises ServeRefusedError."""
    # Few servers need it, and botocore is an extra.
    try:
        from atomic.adapters.functions.signing import lambda_invoker
    except ModuleNotFoundError:
        raise ServeRefusedError(
            "--lambda-targets needs botocore: pip install 'atomic-workflows[aws]'"
        ) from None
    api = HttpInvoker(allows=is_public_or_private, body_max_bytes=ANSWER_MAX_BYTES)
    opened.push_async_callback(api.close)
    try:
        return lambda_invoker(invoker, api, os.environ)
    except ValueError as missing:
        raise ServeRefusedError(f"--lambda-targets: {missing}") from None


def _metrics(
    settings: ServerSettings,
    adaptive: Adaptive | None,
    call_rate: CallRate | None,
    tracing: "ServerTracing | None",
) -> PrometheusTelemetry:
    spans = None if tracing is None else tracing.counts
    return PrometheusTelemetry(adaptive, call_rate, spans, Machine(settings.data_dir))


def _clients(settings: ServerSettings, backend: Backend, opened: AsyncExitStack) -> _Clients:
    directory = settings.data_dir
    try:
        if settings.dev:
            every = _dev_registry(directory, settings.allow_origin)
            return _Clients(registry=every, open=every)
        if settings.allow_origin:
            raise ServeRefusedError(
                "--allow-origin needs --dev: without it, each client lists its own (atomic clients origins)"
            )
        peppers = peppers_of_keys(directory, backend.client_store)
    except ValueError as damaged:
        raise ServeRefusedError(str(damaged)) from None
    registry = opened.enter_context(backend.registry(peppers=peppers, now_ms=SystemClock().now_ms))
    manage = ManagedClients(directory, backend.client_store)
    opened.callback(manage.close)
    return _Clients(registry=registry, manage=manage)


def _browser_check(settings: ServerSettings) -> BrowserCheck:
    # A server on a network may have any name. There, API keys keep strangers out.
    if not settings.allow_host and not is_loopback(settings.host) and not settings.dev:
        return BrowserCheck()
    # Proxies pass on the name by which callers know the server.
    public = (parse_url(settings.public_url).host,) if settings.public_url else ()
    return BrowserCheck((*settings.allow_host, settings.host, *public))


def is_one_address(host: str) -> bool:
    """Whether a server that listens there is reached at just this address."""
    return not ip_address(host).is_unspecified


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches the address."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
