"""The engine: the ports and the numbers that every use case takes as its first argument."""

from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, Protocol

from atomic.application.ports import (
    ClientRegistry,
    Clock,
    EndpointInvoker,
    Entropy,
    HintQueue,
    Notifier,
    StepStore,
    Telemetry,
)
from atomic.application.run_memory import RunMemory


class Spawn(Protocol):
    """Runs an attempt beside the caller, who may go away before it ends."""

    def __call__(self, work: Coroutine[Any, Any, None], *, run_id: str) -> None:
        """Start the work now; the run id tells which run is busy while it lasts."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Numbers that a home may choose."""

    hang_default_ms: int = 25_000
    hang_max_ms: int = 300_000
    attempt_timeout_default_ms: int = 20_000
    attempt_timeout_max_ms: int = 900_000
    retention_ms: int = 30 * 24 * 3600 * 1000


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
