"""All limits of a client: its quota for new steps, its permits for a destination, its flow control.

A new step takes a `Reservation` of its client's quota: starts, live steps, stored bytes. Posting a step
again is not a start: it is never refused and costs nothing. An attempt takes a `Permit` of its destination.
A step that names keys of flow control takes slots under them (`application.flow`).
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol, Self

from atomic.application.adaptive import Adaptive, UnderWay
from atomic.application.call_limit import CallLimit
from atomic.application.destinations import CountedRuns, Permit
from atomic.application.flow_store import FlowStore, ServerFlowStore
from atomic.application.ports import Destinations, StartRates, StepStore, StoreUnavailable
from atomic.application.rates import CountedStarts, RateLimit
from atomic.domain.clients.client import Client
from atomic.domain.clients.quota import NO_QUOTA
from atomic.domain.retentions import DAY_MS, RETENTION_MS
from atomic.domain.steps import Step, StepSpec
from atomic.protocol import keys

# How old the sum may be, and how long this process keeps its own bytes before it writes them.
_KNOWN_MS: Final = 5_000
# How old the count of live steps may be, and how old it may be when a client seems to have too many.
_COUNT_MS: Final = 5_000
_COUNT_FULL_MS: Final = 250
# Where counting costs: a process counts so many steps a second at most. It uses an earlier count as long as
# the limit would hold if so many processes had let in as much as this one.
_COUNTED_PER_S: Final = 500
_PROCESSES: Final = 1_000
_FULL_WAIT_MS: Final = 1000


@dataclass(slots=True)
class _Sum:
    """The stored sum as last read, and the bytes that this process has added since."""

    total: int = 0
    added: int = 0
    added_at_ms: int = 0
    asked_at_ms: int | None = None


class StorageMeter:
    """The stored bytes (payloads and answers) of the clients that have a limit on them.

    To sum over all steps would be a long read on every runtime. So the store keeps one sum per client and
    day, and a day counts until the steps that settled on it are forgotten. Each process keeps its own last
    seconds in memory; a process that is killed loses them.
    """

    def __init__(self, retention_ms: int = RETENTION_MS) -> None:
        """`retention_ms` is that of the server. A step that is kept for less is counted for as long."""
        self._retention_ms = retention_ms
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

    async def total(self, store: StepStore, client_id: str, *, now_ms: int) -> int:
        """How many bytes are stored; at most 5 s old. Raises StoreUnavailable."""
        usage = self._sums.setdefault(client_id, _Sum())
        if usage.asked_at_ms is None or now_ms - usage.asked_at_ms >= _KNOWN_MS:
            usage.asked_at_ms = now_ms
            added, usage.added = usage.added, 0
            # The sum includes the bytes that are being written now.
            usage.total += added
            day = (usage.added_at_ms if added else now_ms) // DAY_MS
            since_day = (now_ms - self._retention_ms) // DAY_MS
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
                await self.total(store, spec.client_id, now_ms=now_ms)


@dataclass(frozen=True, slots=True)
class Refused:
    """Which limit is reached, and when to post again. `detail` tells the client what to do."""

    of: Literal["rate", "steps", "storage"]
    wait_ms: int
    detail: str


class Reservation:
    """What a new step takes of its client's quota, as an asynchronous context manager.

    It is released at the end of the block, unless the step was started (`keep`) or may have been started:
    the store has failed, or the block was cancelled.
    """

    def __init__(self, taken: AsyncExitStack | None = None) -> None:
        """Closing `taken` releases the reservation."""
        self._taken = taken

    def keep(self) -> None:
        """A step was started."""
        self._taken = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, _: object, error: BaseException | None, __: object) -> None:
        is_known = error is None or (
            isinstance(error, Exception) and not isinstance(error, StoreUnavailable)
        )
        if self._taken is not None and is_known:
            await self._taken.aclose()


_NOTHING: Final = Reservation()


@dataclass(frozen=True, slots=True)
class _NewStep:
    """A step that may be new, and its client."""

    store: StepStore
    client: Client
    spec: StepSpec
    now_ms: int


class _Limit(Protocol):
    """One limit of the quota."""

    async def take(self, new: _NewStep, taken: AsyncExitStack) -> Refused | None:
        """Take what the step needs, if its client has this limit. `taken` is told how to release it."""
        ...


class _StoredBytes:
    def __init__(self, meter: StorageMeter) -> None:
        self._meter = meter

    async def take(self, new: _NewStep, taken: AsyncExitStack) -> Refused | None:
        most, size = new.client.quota.stored_bytes, len(new.spec.payload)
        if most is None:
            return None
        client_id, now_ms = new.client.id, new.now_ms
        total = await self._meter.total(new.store, client_id, now_ms=now_ms)
        if total + size > most:
            detail = (
                f"This client may store {most} bytes of payloads and answers. Steps are forgotten some "
                "time after their end. Ask the operator for a higher limit, or store data elsewhere and "
                "send references."
            )
            return Refused("storage", DAY_MS - now_ms % DAY_MS, detail)
        self._meter.add(client_id, size, now_ms)
        taken.callback(self._meter.add, client_id, -size, now_ms)
        return None


@dataclass(slots=True)
class _Live:
    """The number of live steps when they were counted, and when this process started others since."""

    counted: int = 0
    counted_at_ms: int | None = None
    counted_here_at_ms: int | None = None
    looked_at_ms: int | None = None
    growth_per_ms: float = 0.0
    begun_ms: deque[int] = field(default_factory=deque)

    def number(self, now_ms: int) -> int:
        """The number now, if others start as many as between the last two counts."""
        grown = self.growth_per_ms * (now_ms - (self.counted_at_ms or 0))
        return self.counted + max(len(self.begun_ms), int(grown))

    def know(self, number: int, at_ms: int, *, of_all: bool) -> None:
        """Use a later count. `of_all`: other processes start steps, too."""
        if of_all and self.counted_at_ms is not None:
            self.growth_per_ms = max(0, number - self.counted) / max(1, at_ms - self.counted_at_ms)
        self.counted, self.counted_at_ms = number, at_ms
        while self.begun_ms and self.begun_ms[0] <= at_ms:
            self.begun_ms.popleft()

    def give_back(self) -> None:
        if self.begun_ms:
            self.begun_ms.pop()


class _LiveSteps:
    """This process counts the steps that it starts, and looks at the store's count every few seconds."""

    def __init__(self) -> None:
        self._live: dict[str, _Live] = {}

    async def take(self, new: _NewStep, taken: AsyncExitStack) -> Refused | None:
        most, now_ms = new.client.quota.live_steps, new.now_ms
        if most is None or new.spec.kind == "value":
            return None
        live = self._live.setdefault(new.client.id, _Live())
        fresh_ms = _COUNT_FULL_MS if live.number(now_ms) >= most else _COUNT_MS
        if live.looked_at_ms is None or now_ms - live.looked_at_ms >= fresh_ms:
            await _look(new, live, most)
            live.looked_at_ms = now_ms
        if live.number(now_ms) >= most:
            detail = f"This client may have {most} live steps; wait until some have ended."
            return Refused("steps", _FULL_WAIT_MS, detail)
        live.begun_ms.append(now_ms)
        taken.callback(live.give_back)
        return None


async def _look(new: _NewStep, live: _Live, most: int) -> None:
    earlier = await new.store.counted_live(new.client.id)
    if earlier is not None:
        if live.counted_at_ms is None or earlier.at_ms > live.counted_at_ms:
            live.know(earlier.number, earlier.at_ms, of_all=True)
        pause_ms = max(_COUNT_MS, live.counted * 1000 // _COUNTED_PER_S)
        # A client that only seems to be full is counted: an assumption must not refuse for minutes.
        may_be = max(live.number(new.now_ms), live.counted + _PROCESSES * len(live.begun_ms))
        here_ms = live.counted_here_at_ms
        if may_be < most or (here_ms is not None and new.now_ms - here_ms < pause_ms):
            return
    number = await new.store.count_live_of(new.client.id, most)
    live.know(number, new.now_ms, of_all=earlier is not None)
    live.counted_here_at_ms = new.now_ms


class _StartRate:
    def __init__(self, rates: StartRates) -> None:
        self._rates = rates
        self._left: dict[str, int] = {}

    async def take(self, new: _NewStep, taken: AsyncExitStack) -> Refused | None:
        refused = await self.charge(new.client, new.now_ms)
        if refused is None and new.client.quota.starts_per_second is not None:
            taken.push_async_callback(self._give_back, new.client.id, new.client.quota.starts_per_second)
        return refused

    async def charge(self, client: Client, now_ms: int) -> Refused | None:
        """Take one start, which is not released."""
        per_s = client.quota.starts_per_second
        if per_s is None:
            return None
        decision = await self._rates.take(client.id, per_s, now_ms)
        self._left[client.id] = decision.left
        if not decision.wait_ms:
            return None
        detail = f"This client may start {per_s:g} steps a second; wait and post again."
        return Refused("rate", decision.wait_ms, detail)

    async def _give_back(self, client_id: str, per_s: float) -> None:
        self._left[client_id] += 1
        await self._rates.release(client_id, per_s)

    def left(self, client: Client) -> int:
        return self._left.get(client.id, RateLimit.of(client.quota.starts_per_second or 1).burst)


class Admission:
    """Checks and counts what the clients of a runtime use, as far as this process knows it."""

    def __init__(
        self,
        *,
        destinations: Destinations | None = None,
        rates: StartRates | None = None,
        adaptive: Adaptive | None = None,
        flow: FlowStore | None = None,
        server_flow: ServerFlowStore | None = None,
        call_limit: CallLimit | None = None,
        retention_ms: int = RETENTION_MS,
    ) -> None:
        """`adaptive`: what slows down by itself where an origin is overloaded; None for a fixed limit.

        `flow`: the store of flow control; a permanent server gives it as `server_flow`. `call_limit`: of a
        server or stack that is paused, or goes on after a pause. `retention_ms`: of the server.
        """
        self._destinations = destinations or CountedRuns()
        self.adaptive = adaptive
        self.call_limit = call_limit
        # None where the runtime has no flow control: it refuses steps that ask for it.
        self.flow: FlowStore | None = server_flow or flow
        self.server_flow = server_flow
        # Attempts and effects tell it how much was stored.
        self.meter = StorageMeter(retention_ms)
        self._rate = _StartRate(rates or CountedStarts())
        self._limits: Sequence[_Limit] = (_StoredBytes(self.meter), _LiveSteps(), self._rate)
        self._locks: dict[str, asyncio.Lock] = {}

    async def reserve(
        self, store: StepStore, client: Client, spec: StepSpec, now_ms: int
    ) -> Reservation | Refused:
        """Reserve what the step needs of its client's quota; a step that exists needs nothing."""
        if client.quota == NO_QUOTA:
            return _NOTHING
        new, refused = _NewStep(store, client, spec, now_ms), None
        # One post at a time: while the store counts, no other post may use the old count.
        async with self._locks.setdefault(client.id, asyncio.Lock()), AsyncExitStack() as taken:
            for limit in self._limits:
                refused = await limit.take(new, taken)
                if refused is not None:
                    break
            else:
                return Reservation(taken.pop_all())
        assert refused is not None
        # Only a refused post costs this read. A post of a step that exists is not refused.
        return _NOTHING if await _exists(store, spec) else refused

    async def charge(self, client: Client, now_ms: int) -> Refused | None:
        """Take one of the client's starts for a call that creates no step."""
        return await self._rate.charge(client, now_ms)

    def starts_left(self, client: Client) -> int:
        """How many steps a client with a rate may start now, as far as this process knows."""
        return self._rate.left(client)

    async def permit(
        self, spec: StepSpec, under_way: UnderWay | None = None, *, is_probe: bool = False
    ) -> Permit | None:
        """A permit for an attempt at its destination; None when there is none now.

        `under_way`: the step has waited for its turn at the origin, and was let in. `is_probe`: an operator
        asks for the call, also of a paused server.
        """
        limit = None if is_probe or spec.kind != "http" else self.call_limit
        if limit is not None and not limit.take(spec):
            return None
        if under_way is None and self.adaptive is not None and spec.url:
            under_way = self.adaptive.enter(spec)
            if under_way is None:
                return None
        permit = await self._destinations.enter(spec)
        if permit is not None:
            permit.observer = under_way
        elif under_way is not None:
            under_way.leave()
        return permit

    def posted(self, spec: StepSpec) -> None:
        """A handler posts what calls no endpoint, and may wait for it."""
        if self.adaptive is not None:
            self.adaptive.posted(spec)

    def defer_until_ms(self, spec: StepSpec, now_ms: int) -> int:
        """The time at which a step that got no permit may try again: one after the other."""
        until_ms = None if self.call_limit is None else self.call_limit.defer_until_ms(spec, now_ms)
        return self._destinations.defer_until_ms(spec, now_ms) if until_ms is None else until_ms

    def calls_per_s(self) -> int | None:
        """How many calls a second may begin; None without a limit, or where nobody counts them."""
        return None if self.call_limit is None else self.call_limit.per_s()


async def _exists(store: StepStore, spec: StepSpec) -> bool:
    if spec.parent is None:
        root = await store.get(keys.root_of(spec.run_id))
        if root is not None and root.spec.identity == spec.identity:
            return True
        spec = spec.below_root()
    return await store.get(keys.step_id(spec.run_id, spec.identity)) is not None
