"""The engine: the ports and the numbers that every use case takes as its first argument."""

from collections.abc import Awaitable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Protocol

from atomic.application.destinations import CountedRuns
from atomic.application.ports import (
    ClientRegistry,
    Clock,
    Destinations,
    EndpointInvoker,
    Entropy,
    HintQueue,
    Notifier,
    StepStore,
    Telemetry,
)
from atomic.application.run_memory import RunMemory
from atomic.application.stored import StoredBytes
from atomic.domain.steps import Step


class Spawn(Protocol):
    """Runs an attempt beside the caller, who may go away before it ends."""

    def __call__(self, work: Coroutine[Any, Any, None], *, step_id: str) -> None:
        """Start the work now; the step's run is busy while it lasts."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Numbers that a home may choose.

    `inline_attempt_max_ms` is for homes whose process may be frozen when it has answered: a first attempt
    that may last longer, or that nobody hangs for, is left to whoever takes its hint.
    """

    hang_default_ms: int = 25_000
    hang_max_ms: int = 300_000
    attempt_timeout_default_ms: int = 20_000
    attempt_timeout_max_ms: int = 900_000
    retention_ms: int = 30 * 24 * 3600 * 1000
    inline_attempt_max_ms: int | None = None

    def is_inline(self, attempt_timeout_ms: int, hang_ms: int) -> bool:
        """Whether the process that creates a step makes its first attempt, too."""
        limit_ms = self.inline_attempt_max_ms
        return limit_ms is None or (hang_ms > 0 and attempt_timeout_ms <= limit_ms)


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """One engine, wired for one home."""

    store: StepStore
    queue: HintQueue
    invoker: EndpointInvoker
    notifier: Notifier
    clients: ClientRegistry
    telemetry: Telemetry
    clock: Clock
    entropy: Entropy
    spawn: Spawn
    settings: Settings = field(default_factory=Settings)
    runs: RunMemory = field(default_factory=RunMemory)
    destinations: Destinations = field(default_factory=CountedRuns)
    stored: StoredBytes = field(default_factory=StoredBytes)

    def hint(self, step: Step, at_ms: int) -> Awaitable[None]:
        """Begin sending a hint for the step; done when it is acknowledged."""
        spec = step.spec
        return self.queue.send(step.id, at_ms, client_id=spec.client_id, attempt_ms=spec.attempt_timeout_ms)
