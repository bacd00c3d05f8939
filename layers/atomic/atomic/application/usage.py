"""What a client uses of its limits."""

from dataclasses import dataclass

from atomic.application.engine import Engine
from atomic.domain.clients.client import Client


@dataclass(frozen=True, slots=True)
class Usage:
    """A limit, what is used of it, and when that was counted; None where it is counted now."""

    limit: float | None
    used: int | None = None
    counted_at_ms: int | None = None


async def live_steps(engine: Engine, client: Client) -> Usage:
    """Live steps. They are counted up to the limit; where counting costs, the last count is told."""
    most = client.quota.live_steps
    if most is None:
        return Usage(None)
    counted = await engine.store.counted_live(client.id)
    if counted is not None:
        return Usage(most, counted.number, counted.at_ms)
    return Usage(most, await engine.store.count_live_of(client.id, most))


async def stored_bytes(engine: Engine, client: Client) -> Usage:
    """Stored bytes, at most 5 s old."""
    most = client.quota.stored_bytes
    if most is None:
        return Usage(None)
    now_ms = engine.clock.now_ms()
    return Usage(most, await engine.admission.meter.total(engine.store, client.id, now_ms=now_ms))


def starts_per_second(client: Client) -> Usage:
    """Starts a second. What is left of the present second says little: it is full again in the next one."""
    return Usage(client.quota.starts_per_second)
