"""Counts the stored bytes (payloads and answers) of the clients that have a limit on them.

To sum over all steps would be a long read on every runtime. So the store keeps one sum per client and day,
and a day counts until the steps that settled on it are forgotten. Each process keeps its own last seconds
in memory; a process that is killed loses them.
"""

import contextlib
from dataclasses import dataclass
from typing import Final

from atomic.application.ports import StepStore, StoreUnavailable
from atomic.domain.clients.client import Client
from atomic.domain.steps import Step, StepSpec

# How old the sum may be, and how long this process keeps its own bytes before it writes them.
_KNOWN_MS: Final = 5_000
_DAY_MS: Final = 24 * 3600 * 1000


@dataclass(slots=True)
class _Sum:
    """The stored sum as last read, and the bytes that this process has added since."""

    total: int = 0
    added: int = 0
    added_at_ms: int = 0
    asked_at_ms: int | None = None


class StorageMeter:
    """The stored bytes of the clients that have a limit. Other clients are not counted."""

    def __init__(self) -> None:
        self._sums: dict[str, _Sum] = {}

    def watch(self, client: Client) -> None:
        """From now on, count what the client stores if it has a limit; otherwise stop counting."""
        if client.quota.stored_bytes is not None:
            self._sums.setdefault(client.id, _Sum())
        else:
            self._sums.pop(client.id, None)

    def add(self, client_id: str, size: int, now_ms: int) -> None:
        """Count `size` more stored bytes (or fewer, when negative)."""
        usage = self._sums.get(client_id)
        if usage is not None:
            usage.added += size
            usage.added_at_ms = now_ms

    def settled(self, step: Step) -> None:
        """Count the answer of a step that settled."""
        if self._sums and step.response is not None and step.finished_at_ms is not None:
            self.add(step.spec.client_id, len(step.response.text), step.finished_at_ms)

    async def total(self, store: StepStore, client_id: str, *, now_ms: int, retention_ms: int) -> int:
        """How many bytes are stored; at most 5 s old. Raises StoreUnavailable."""
        usage = self._sums.setdefault(client_id, _Sum())
        if usage.asked_at_ms is None or now_ms - usage.asked_at_ms >= _KNOWN_MS:
            usage.asked_at_ms = now_ms
            added, usage.added = usage.added, 0
            # The sum includes the bytes that are being written now.
            usage.total += added
            day = (usage.added_at_ms if added else now_ms) // _DAY_MS
            since_day = (now_ms - retention_ms) // _DAY_MS
            try:
                usage.total = await store.add_stored_bytes(client_id, added, day=day, since_day=since_day)
            except StoreUnavailable:
                usage.total -= added
                usage.added += added
                usage.asked_at_ms = None
                raise
        return usage.total + usage.added

    async def flush(self, store: StepStore, spec: StepSpec, now_ms: int) -> None:
        """Write the bytes that the step's client has stored, if it is time; keep them when this fails."""
        if spec.client_id in self._sums:
            with contextlib.suppress(StoreUnavailable):
                await self.total(store, spec.client_id, now_ms=now_ms, retention_ms=spec.retention_ms)
