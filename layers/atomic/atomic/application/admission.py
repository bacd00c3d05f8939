"""What a client may use: how fast it starts steps, how many live ones it may have, how much it may store.

Live steps are counted by this process, and with the store every few seconds. Posting a step again is no
start: it is never refused and costs nothing.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Literal

from atomic.application.engine import Engine
from atomic.application.ports import Client, StartRates
from atomic.application.rates import CountedStarts, RateLimit
from atomic.domain.steps import StepSpec
from atomic.protocol import keys

# How old the number of live steps may be, and how old when a client seems to have too many.
_COUNT_S: Final = 5.0
_COUNT_FULL_S: Final = 0.25
_FULL_WAIT_MS: Final = 1000
# What is stored becomes less when a day of it is forgotten.
_DAY_MS: Final = 24 * 3600 * 1000


@dataclass(frozen=True, slots=True)
class Refused:
    """Which limit is reached, and when it is worth asking again."""

    limit: Literal["starts", "live", "stored"]
    wait_ms: int


@dataclass(frozen=True, slots=True)
class Reservation:
    """What a start took of its client's limits; `release` it, once, when nothing was started."""

    release: Callable[[], Awaitable[None]]


async def _nothing() -> None:
    """There is nothing to give back."""


_NOTHING: Final = Reservation(_nothing)


@dataclass(slots=True)
class _Live:
    """The live steps that were counted, and those that were begun since."""

    counted: int = 0
    counted_at_ms: int | None = None
    begun: int = 0


class Admission:
    """Who starts a step takes a place, and gives it back when nothing was started."""

    def __init__(self, rates: StartRates | None = None) -> None:
        self._rates = rates or CountedStarts()
        self._left: dict[str, int] = {}
        self._live: dict[str, _Live] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    async def take(self, engine: Engine, client: Client, spec: StepSpec) -> Reservation | Refused:
        """Take a place for a step that may be new; a step that is there needs none."""
        if client.starts_per_s is None and client.live_steps is None and client.stored_bytes is None:
            return _NOTHING
        # One after the other: who comes while a store counts must not be let in by the number before.
        async with self._locks.setdefault(client.id, asyncio.Lock()):
            refused = (
                await self._stores_too_much(engine, client, spec)
                or await self._full(engine, client)
                or await self._too_fast(client, engine.clock.now_ms())
            )
            if refused is None:
                return self._reservation(engine, client, spec)
        # Only who is refused pays for a look whether the step is there.
        return _NOTHING if await _exists(engine, spec) else refused

    def _reservation(self, engine: Engine, client: Client, spec: StepSpec) -> Reservation:
        live = self._live.get(client.id) if client.live_steps is not None else None
        if live is not None:
            live.begun += 1
        if client.stored_bytes is not None:
            engine.stored.add(client.id, len(spec.payload), engine.clock.now_ms())

        async def release() -> None:
            if live is not None:
                live.begun = max(0, live.begun - 1)
            if client.stored_bytes is not None:
                engine.stored.add(client.id, -len(spec.payload), engine.clock.now_ms())
            if client.starts_per_s is not None:
                self._left[client.id] += 1
                await self._rates.release(client.id, client.starts_per_s)

        return Reservation(release)

    async def charge(self, engine: Engine, client: Client) -> Refused | None:
        """Take one of the client's starts for what is no step."""
        return await self._too_fast(client, engine.clock.now_ms())

    def left(self, client: Client) -> int:
        """How many steps may be started at once, as far as is known; of a client that has a rate."""
        return self._left.get(client.id, RateLimit.of(client.starts_per_s or 1).burst)

    async def _too_fast(self, client: Client, now_ms: int) -> Refused | None:
        if client.starts_per_s is None:
            return None
        start = await self._rates.take(client.id, client.starts_per_s, now_ms)
        self._left[client.id] = start.left
        return Refused("starts", start.wait_ms) if start.wait_ms else None

    async def _stores_too_much(self, engine: Engine, client: Client, spec: StepSpec) -> Refused | None:
        if client.stored_bytes is None:
            return None
        now_ms = engine.clock.now_ms()
        total = await engine.stored.total(
            engine.store, client.id, now_ms=now_ms, retention_ms=spec.retention_ms
        )
        is_too_much = total + len(spec.payload) > client.stored_bytes
        return Refused("stored", _DAY_MS - now_ms % _DAY_MS) if is_too_much else None

    async def _full(self, engine: Engine, client: Client) -> Refused | None:
        most = client.live_steps
        if most is None:
            return None
        live, now_ms = self._live.setdefault(client.id, _Live()), engine.clock.now_ms()
        fresh_s = _COUNT_FULL_S if live.counted + live.begun >= most else _COUNT_S
        if live.counted_at_ms is None or now_ms - live.counted_at_ms >= fresh_s * 1000:
            counts = await engine.store.count(client.id, now_ms)
            live.counted, live.counted_at_ms, live.begun = sum(counts.live.values()), now_ms, 0
        return Refused("live", _FULL_WAIT_MS) if live.counted + live.begun >= most else None


async def _exists(engine: Engine, spec: StepSpec) -> bool:
    if spec.parent is None:
        root = await engine.store.get(keys.root_of(spec.run_id))
        if root is not None and root.spec.identity == spec.identity:
            return True
        spec = spec.below_root()
    return await engine.store.get(keys.step_id(spec.run_id, spec.identity)) is not None
