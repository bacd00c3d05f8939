"""The engine: the ports and the numbers that every use case takes as its first argument."""

from collections.abc import Awaitable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Protocol

from atomic.application.admission import Admission
from atomic.application.large_bodies import LargeBodies
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
from atomic.application.run_cache import RunCache
from atomic.domain.steps import Step
from atomic.protocol import defaults


class Spawn(Protocol):
    """Runs an attempt in the background; its caller may disconnect before it ends."""

    def __call__(self, work: Coroutine[Any, Any, None], *, step_id: str) -> None:
        """Start the work now; until it ends, the step's run counts as busy."""
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
    """

    wait_max_ms: int = 300_000
    attempt_timeout_default_ms: int = defaults.ATTEMPT_TIMEOUT_MS
    attempt_timeout_max_ms: int = 900_000
    retention_ms: int = 30 * 24 * 3600 * 1000
    inline_attempt_max_ms: int | None = None
    inline_wait_min_ms: int = 1_000
    public_url: str = ""

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
    """One engine, wired for one runtime."""

    store: StepStore
    queue: WakeupQueue
    invoker: EndpointInvoker
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

    def send_wakeup(self, step: Step, at_ms: int) -> Awaitable[None]:
        """Begin to send a wake-up for the step; the awaitable is done when it is acknowledged."""
        spec = step.spec
        return self.queue.send(step.id, at_ms, client_id=spec.client_id, attempt_ms=spec.attempt_timeout_ms)
