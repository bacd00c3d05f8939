"""The engine: what every use case takes as its first argument.

It holds the ports and the numbers of a runtime. It also holds what this process knows: the runs that it has
read, and the client whose large body is read next.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol, TypeVar

from atomic.application.admission import Admission
from atomic.application.ports import (
    ClientRegistry,
    Clock,
    EndpointInvoker,
    Entropy,
    Notifier,
    StepStore,
    Telemetry,
    WakeupQueue,
)
from atomic.domain.clients.client import Client
from atomic.domain.outcomes import EndpointResponse
from atomic.domain.pauses import Pause
from atomic.domain.retentions import RETENTION_MS
from atomic.domain.steps import Step, StepSpec
from atomic.domain.workflow_pauses import WorkflowPause, pause_of
from atomic.protocol import defaults, keys
from atomic.protocol.enums import Status

Done = TypeVar("Done")
Value = TypeVar("Value")

# A smaller body is read within a millisecond or so.
SMALL_BYTES: Final = 32 * 1024
_RUNS_MAX: Final = 10_000
# Another process may end the run meanwhile, so its root is read every few seconds, at almost no cost. This
# is far shorter than any retention, so that a run is never cached longer than its root is kept.
FRESH_MS: Final = 5_000


class LargeBodies:
    """Work that blocks the event loop for milliseconds: one piece at a time, clients in turn.

    After each piece, the loop is free for other work for as long as the piece took. So all large bodies
    together take at most half of the loop, and a client that sends many of them delays mainly itself.
    """

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


@dataclass(frozen=True, slots=True)
class CachedRun:
    """A run, from its root as it was read at `seen_at_ms` or later."""

    client_id: str
    workflow_name: str
    root_identity: str
    root_url: str
    status: Status
    expires_at_ms: int | None
    retention_ms: int
    version: int
    depth: int
    seen_at_ms: int
    pause: Pause | None = None
    is_of_hook: bool = False

    @property
    def is_cancelled(self) -> bool:
        """Whether the run was cancelled, so that none of its endpoints may be called."""
        return self.status is Status.CANCELLED

    def with_retention(self, spec: StepSpec) -> StepSpec:
        """The spec of a step of this run with the retention that the run began with.

        A step that outlived its root would be found by the next run of the same key.
        """
        if spec.retention_ms == self.retention_ms:
            return spec
        return replace(spec, retention_ms=self.retention_ms)


class RunCache:
    """The runs that this process has read last, so that a run's steps need not read its root each time.

    A miss costs one read and nothing else: every decision that matters is made by a conditional write.
    """

    def __init__(self) -> None:
        self._runs: OrderedDict[str, CachedRun] = OrderedDict()
        # Kept apart, so that reads of other runs do not push out a cancelled run with live attempts.
        self._cancelled: OrderedDict[str, None] = OrderedDict()
        # Cancelled single steps, with their creation times, since an identity may begin anew.
        self._cancelled_steps: OrderedDict[str, int] = OrderedDict()
        # Of the runs that are cached, those that are paused. A plain dict: nearly every look finds nothing.
        self.paused: dict[str, Pause] = {}

    def pause_of(self, run_id: str, now_ms: int) -> Pause | None:
        """The pause of the run, as it is cached, unless it is over."""
        pause = self.paused.get(run_id)
        return None if pause is None or pause.is_over(now_ms) else pause

    def has_seen_cancelled(self, step_id: str) -> bool:
        """Whether this process has seen that the step was cancelled without its run."""
        return step_id in self._cancelled_steps

    def remember_cancelled_step(self, step: Step) -> None:
        """From now on nothing is called for the step, and posts of its handler are refused."""
        _put(self._cancelled_steps, step.id, step.created_at_ms)

    def is_known_called_off(self, step: Step) -> bool:
        """Whether this process knows that nothing may be called for the step any more."""
        is_cancelled = self._cancelled_steps.get(step.id) == step.created_at_ms
        return is_cancelled or self.is_cancelled(step.spec.run_id)

    def is_cancelled(self, run_id: str) -> bool:
        """Whether this process knows that the run was cancelled."""
        return run_id in self._cancelled

    def get(self, run_id: str, now_ms: int) -> CachedRun | None:
        """The run, if it was read lately."""
        cached = self._runs.get(run_id)
        # After the clock was set back, the time that has passed is unknown.
        return cached if cached and 0 <= now_ms - cached.seen_at_ms < FRESH_MS else None

    async def find(self, store: StepStore, run_id: str, now_ms: int) -> CachedRun | None:
        """The run, from the cache or by reading its root; None when there is no such run."""
        return self.get(run_id, now_ms) or await self.look(store, run_id, now_ms)

    async def look(self, store: StepStore, run_id: str, now_ms: int) -> CachedRun | None:
        """The run, by reading its root; None when there is no such run."""
        root = await store.get(keys.root_of(run_id))
        return None if root is None else self.remember(root, now_ms)

    def remember(self, root: Step, at_ms: int) -> CachedRun:
        """Cache the run by its root, whose read began at `at_ms`; the run as it is cached now.

        A read that began earlier may be answered later. It does not replace a newer root.
        """
        run_id = root.spec.run_id
        before = self._runs.get(run_id)
        if before is not None and before.version > root.version and at_ms < before.seen_at_ms + FRESH_MS:
            return before
        cached = CachedRun(
            client_id=root.spec.client_id,
            workflow_name=root.spec.workflow_name,
            root_identity=root.spec.identity,
            root_url=root.spec.url,
            status=root.status,
            expires_at_ms=root.expires_at_ms,
            retention_ms=root.spec.retention_ms,
            version=root.version,
            depth=root.spec.depth,
            seen_at_ms=at_ms,
            pause=root.pause,
            is_of_hook=bool(root.spec.hook),
        )
        if (dropped := _put(self._runs, run_id, cached)) is not None:
            self.paused.pop(dropped, None)
        if cached.pause is not None and not cached.is_cancelled:
            self.paused[run_id] = cached.pause
        elif self.paused:
            self.paused.pop(run_id, None)
        if cached.is_cancelled:
            _put(self._cancelled, run_id, None)
        else:
            self._cancelled.pop(run_id, None)
        return cached

    def forget(self, run_id: str) -> None:
        """Drop the run, so that its root is read before it is used again."""
        self._runs.pop(run_id, None)
        self.paused.pop(run_id, None)


def _put(newest: OrderedDict[str, Value], run_id: str, value: Value) -> str | None:
    """Put the value in as the newest one; the key that was dropped for it."""
    newest[run_id] = value
    newest.move_to_end(run_id)
    return newest.popitem(last=False)[0] if len(newest) > _RUNS_MAX else None


class Spawn(Protocol):
    """Runs an attempt in the background; its caller may disconnect before it ends."""

    def __call__(self, work: Coroutine[Any, Any, None], *, step_id: str) -> None:
        """Start the work now; until it ends, the step's run counts as busy."""
        ...


class OwnEndpoint(Protocol):
    """The endpoint of steps that Atomic itself does."""

    def __call__(self, engine: "Engine", step: Step, /) -> Awaitable[EndpointResponse]:
        """Make an attempt of the step, and answer as an endpoint does."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Numbers that a runtime may choose.

    `inline_attempt_max_ms` is for runtimes whose process may be frozen after its answer, and which
    therefore answer only when the attempt has ended. The receiver of the wake-up makes a first attempt
    that may last longer. It also makes the first attempt when the caller waits for less than
    `inline_wait_min_ms`: the caller would be held for the whole attempt, and the attempt may need the
    process that the caller occupies.
    `public_url` is where endpoints reach this API, without a slash at the end; empty when not known.
    `steps_url` is where handlers post their steps, if it is not there.
    `lambda_targets`: steps may call Lambda functions. `event_bus`: the event bus of EventBridge that hooks
    may name; empty for none. `concurrency_max`: how many slots a key of flow
    control may have, if the store keeps fewer than a start may ask for. `audit_ms`: how long a row of the
    audit log is kept, whatever becomes of runs.
    """

    wait_max_ms: int = 300_000
    attempt_timeout_default_ms: int = defaults.ATTEMPT_TIMEOUT_MS
    attempt_timeout_max_ms: int = 900_000
    retention_ms: int = RETENTION_MS
    audit_ms: int = 400 * 24 * 3600 * 1000
    inline_attempt_max_ms: int | None = None
    inline_wait_min_ms: int = 1_000
    public_url: str = ""
    steps_url: str = ""
    lambda_targets: bool = False
    event_bus: str = ""
    concurrency_max: int | None = None

    @property
    def callers_occupy_processes(self) -> bool:
        """Whether a process answers one caller at a time, and does nothing else while that caller waits."""
        return self.inline_attempt_max_ms is not None

    def is_inline(self, attempt_timeout_ms: int, wait_ms: int | None) -> bool:
        """Whether the process that creates a step makes its first attempt; wait None is the default."""
        if self.inline_attempt_max_ms is None:
            return True
        waits = wait_ms is None or wait_ms >= self.inline_wait_min_ms
        return waits and attempt_timeout_ms <= self.inline_attempt_max_ms

    def wait_ms(self, asked_ms: int | None, *, is_root: bool) -> int:
        """How long a post waits: as asked, or a default for its kind; at most what the runtime allows."""
        default_ms = defaults.ROOT_WAIT_MS if is_root else defaults.STEP_WAIT_MS
        return min(default_ms if asked_ms is None else asked_ms, self.wait_max_ms)


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """One engine, wired for one runtime. `own` answers the attempts of steps that Atomic itself does."""

    store: StepStore
    queue: WakeupQueue
    invoker: EndpointInvoker
    own: OwnEndpoint
    notifier: Notifier
    clients: ClientRegistry
    telemetry: Telemetry
    clock: Clock
    entropy: Entropy
    spawn: Spawn
    settings: Settings = field(default_factory=Settings)
    runs: RunCache = field(default_factory=RunCache)
    admission: Admission = field(default_factory=Admission)
    large_bodies: LargeBodies = field(default_factory=LargeBodies)

    def kept_ms(self, client: Client, workflow_name: str) -> int:
        """For how long a run of this workflow that begins now is kept after its end."""
        return client.retentions.ms_of(workflow_name, self.settings.retention_ms)

    def send_wakeup(self, step: Step, at_ms: int) -> Awaitable[None]:
        """Begin to send a wake-up for the step; the awaitable is done when it is acknowledged."""
        spec, is_under_way = step.spec, step.status is Status.RUNNING and step.answer_by_ms is None
        return self.queue.send(
            step.id,
            at_ms,
            client_id=spec.client_id,
            attempt_ms=spec.attempt_timeout_ms,
            is_watchdog=is_under_way and step.due_at_ms is not None and at_ms >= step.due_at_ms,
        )

    def wake_schedule(self, schedule_id: str, at_ms: int) -> Awaitable[None]:
        """Begin to send a wake-up for a schedule; the awaitable is done when it is acknowledged."""
        client_id, _ = keys.schedule_of(schedule_id)
        return self.queue.send(schedule_id, at_ms, client_id=client_id, attempt_ms=0)


async def is_called_off(engine: Engine, run_id: str) -> bool:
    """Whether the run was cancelled. A cancel by this process is known at once, others within 5 s.

    On AWS a clock that is set back by some time may add that time.
    """
    cached = await engine.runs.find(engine.store, run_id, engine.clock.now_ms())
    return cached is not None and cached.is_cancelled


async def is_step_called_off(engine: Engine, step: Step) -> bool:
    """Whether the step or its run was cancelled, so that nothing may be called for the step."""
    return await is_called_off(engine, step.spec.run_id) or engine.runs.is_known_called_off(step)


async def workflow_pause(engine: Engine, spec: StepSpec) -> WorkflowPause | None:
    """The pause of the workflow of a step that calls an endpoint, as the client is cached.

    Raises StoreUnavailable. The attempt needs the client, too, so this read costs nothing.
    """
    client = await engine.clients.get(spec.client_id) if spec.kind == "http" else None
    if client is None or not client.workflow_pauses:
        return None
    return pause_of(client.workflow_pauses, spec.workflow_name, engine.clock.now_ms())
