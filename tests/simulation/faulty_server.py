"""A server without sockets on rows in memory, where each operation on the rows may go wrong."""

import asyncio
import random
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, Literal

from atomic.adapters.memory.store import MemoryStepStore
from atomic.adapters.memory.wakeups import MemoryNotifier, MemoryWakeupQueue
from atomic.application.admission import Admission
from atomic.application.bulk import do_bulk
from atomic.application.engine import Engine
from atomic.application.ports import EndpointRequest, StoreUnavailable
from atomic.domain.outcomes import EndpointResponse
from atomic.runtime.driver import HORIZON_MS, Driver
from atomic.runtime.inflight import Tasks
from atomic.testing.local import SeededEntropy, open_registry
from atomic.testing.virtual_time import LoopClock
from atomic.testing.watching import SilentTelemetry

Moment = Literal["before", "after"]


class FaultyWorld(ABC):
    """What the servers of one seed share: the rows, the dice, and until when something may go wrong."""

    faults_end_s: ClassVar[float]
    # The chances that an operation is the last of its server, and that it fails.
    crash: ClassVar[float]
    fail: ClassVar[float]

    def __init__(self, seed: int, chance: random.Random) -> None:
        self.seed, self.chance = seed, chance
        self.rows = MemoryStepStore()
        self.broken: list[str] = []
        self.crashes = 0

    def strikes(self, chance: float) -> bool:
        """Whether a fault with this chance happens now."""
        return self._now_s() < self.faults_end_s and self.chance.random() < chance

    def a_while_s(self) -> float:
        """How long one way to the rows takes."""
        return self.chance.random() * 0.02

    def crashed(self, server: "FaultyServer") -> None:
        """The server dies, and another one begins after a while."""
        if server.is_dead:
            return
        self.crashes += 1
        server.kill()
        self._left(server)
        asyncio.get_running_loop().call_later(0.2 + self.chance.random(), self._restart)

    @abstractmethod
    def _left(self, server: "FaultyServer") -> None:
        """Nothing of the server goes on."""

    @abstractmethod
    def _restart(self) -> None:
        """Another server begins."""

    def _now_s(self) -> float:
        return asyncio.get_running_loop().time()


class FaultyRows:
    """Rows as one server reaches them."""

    def __init__(self, server: "FaultyServer", rows: Any) -> None:
        self._server, self._rows = server, rows

    def __getattr__(self, name: str) -> Any:
        operation: Callable[..., Any] = getattr(self._rows, name)
        server, world = self._server, self._server.world

        async def reached(*given: Any, **named: Any) -> Any:
            moment = server.next_moment()
            await asyncio.sleep(world.a_while_s())
            if moment == "before":
                server.die()
            if world.strikes(world.fail):
                raise StoreUnavailable("not now")
            result = await operation(*given, **named)
            await asyncio.sleep(world.a_while_s())
            if moment == "after":
                server.die()
            return result

        return reached


class FaultyServer(ABC):
    """Subclasses start its driver, and answer its calls. Implements `EndpointInvoker`."""

    world: Any

    def __init__(self, world: FaultyWorld, number: int) -> None:
        self.world = world
        self.is_dead = False
        self.tasks = Tasks()
        self.rows = self.reached(world.rows)
        queue = MemoryWakeupQueue(LoopClock(), horizon_ms=HORIZON_MS)
        self.engine = Engine(
            store=self.rows,
            queue=queue,
            invoker=self,
            own=do_bulk,
            notifier=MemoryNotifier(),
            clients=open_registry(),
            telemetry=SilentTelemetry(),
            clock=LoopClock(),
            entropy=SeededEntropy(world.seed * 1000 + number),
            spawn=self.tasks.spawn,
            admission=self._admission(),
        )
        self.driver = Driver(self.engine, queue, self.rows)

    def reached(self, rows: Any) -> Any:
        """The rows, as this server reaches them."""
        return FaultyRows(self, rows)

    @abstractmethod
    def _admission(self) -> Admission:
        """What lets its attempts begin."""

    @abstractmethod
    async def post(self, request: EndpointRequest) -> EndpointResponse:
        """Make one attempt."""

    def next_moment(self) -> Moment | None:
        """When the server dies in the operation that begins."""
        if self.is_dead:
            raise asyncio.CancelledError
        return (
            self.world.chance.choice(("before", "after")) if self.world.strikes(self.world.crash) else None
        )

    def die(self) -> None:
        """End the server in the middle of an operation."""
        self.world.crashed(self)
        raise asyncio.CancelledError

    def kill(self) -> None:
        """Cancel what goes on."""
        self.is_dead = True
        for task in (*self.driver._loops, *self.tasks._running):
            task.cancel()
