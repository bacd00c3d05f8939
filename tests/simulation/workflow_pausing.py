"""Operators who pause whole workflows and let them go on, and the law of it."""

import asyncio
import random
from collections.abc import Coroutine, Iterator
from typing import TYPE_CHECKING, Any, Final

from atomic.domain.clients.client import Client, OpenRegistry
from atomic.domain.workflow_pauses import WorkflowPause
from atomic.testing.virtual_time import EPOCH_MS
from simulation.overload import is_put_off
from simulation.scenario import CLIENT, RunPlan

if TYPE_CHECKING:
    from simulation.world import World

# How old a client is that a process on AWS has cached.
_KNOWN_S: Final = 2.0
# An attempt that was let in before may still write its claim, connect, and call.
_UNDER_WAY_S: Final = 5.0


class CachedClients(OpenRegistry):
    """The clients as one process knows them: on AWS as they were some seconds ago."""

    def __init__(self, stored: OpenRegistry, known_s: float) -> None:
        self._stored, self._known_s = stored, known_s
        self.callback_keys = stored.callback_keys
        self._loop = asyncio.get_running_loop()
        self._cached: dict[str, tuple[float, Client | None]] = {}

    async def get(self, client_id: str) -> Client | None:
        """The client."""
        read_s, client = self._cached.get(client_id, (None, None))
        if read_s is None or self._loop.time() - read_s >= self._known_s:
            client = await self._stored.get(client_id)
            self._cached[client_id] = self._loop.time(), client
        return client


def clients_of(world: "World") -> OpenRegistry:
    """The clients of a process."""
    if not world.scenario.pauses_workflows:
        return world.clients
    return CachedClients(world.clients, _KNOWN_S if world.scenario.on_aws else 0.0)


class WorkflowPausers:
    """They pause the workflow of a run now and then, and let it go on in the end."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._loop = asyncio.get_running_loop()
        self._paused_at_s: dict[str, float] = {}

    def works(self, plan: RunPlan) -> Iterator[Coroutine[Any, Any, None]]:
        """What they do to the workflow of a run. Several runs may have the same one."""
        if self._world.scenario.pauses_workflows:
            seed = f"workflow {self._world.scenario.seed} {plan.key}"
            yield self._play(plan.workflow, random.Random(seed))

    def note(self, workflow_name: str) -> None:
        """An endpoint of the workflow is called."""
        paused_s = self._paused_at_s.get(workflow_name)
        late_s = 0.0 if paused_s is None else self._loop.time() - paused_s
        known_s = _KNOWN_S if self._world.scenario.on_aws else 0.0
        if late_s > known_s + _UNDER_WAY_S and not self._world.faults.rough:
            self._world.observed.wrong.append(f"{workflow_name} was called {late_s:.3f} s after its pause")

    async def _play(self, name: str, chance: random.Random) -> None:
        for _ in range(chance.choice((1, 2))):
            await asyncio.sleep(4 * chance.random())
            now_s = self._loop.time()
            now_ms = EPOCH_MS + round(now_s * 1000)
            until_ms = now_ms + 30_000 if chance.random() < 0.2 else None
            pause = WorkflowPause(workflow_name=name, since_ms=now_ms, until_ms=until_ms)
            self._world.clients.pause_workflow(CLIENT, pause)
            self._world.observed.pauses["workflows"] += 1
            if until_ms is None:
                self._paused_at_s.setdefault(name, now_s)
            await asyncio.sleep(chance.choice((0.2, 2.0, 8.0, 60.0)))
            self._paused_at_s.pop(name, None)
            self._world.clients.resume_workflow(CLIENT, name)


def count(world: "World") -> None:
    """Count how often due steps were kept."""
    if world.scenario.pauses_workflows:
        world.observed.pauses["kept"] += sum(map(is_put_off, world.truth.history))
