"""Singletons and debounce under crashes: two processes on the same rows, until all has settled.

Each operation on the rows takes a while, may be frozen for seconds, may fail, and its process may die
before or after it. Callers ask again until they are answered. The laws:

- A run of a singleton is called only while no other one of its key that was called is live.
- A run that gave way was never called, or in a burst never heard of, and whom it names exists. Nobody gives
  way in a circle.
- Every run settles, and then the key is free.
- Of a burst, a run is not called after the start of a newer one was acknowledged before it began.
- A burst that nobody cancels is called.
- Two operators who restart a run at the same time start one run, which is called or cancelled.
"""

import asyncio
import random
from collections import defaultdict
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import partial
from typing import Any, Final

from atomic.adapters.memory.flow import MemoryFlowStore
from atomic.application.admission import Admission
from atomic.application.cancel import cancel_run
from atomic.application.engine import Engine
from atomic.application.flow import look_at_leases
from atomic.application.ports import EndpointRequest, StoreUnavailable
from atomic.application.redrive import redrive_step
from atomic.application.refusals import Busy, Refusal
from atomic.application.restarting import check_ended, restart
from atomic.application.sharing import place
from atomic.application.start import start
from atomic.domain.outcomes import EndpointResponse
from atomic.domain.pointers import Debounce, Singleton, line_of
from atomic.domain.restarts import restart_spec
from atomic.domain.retry import RetryPolicy
from atomic.domain.steps import Step, StepSpec
from atomic.domain.superseding import is_heard, successor
from atomic.protocol import keys
from atomic.protocol.enums import OnBusy, Status
from atomic.protocol.strict_json import fingerprint
from atomic.testing.virtual_time import run
from contract.builders import a_spec
from simulation.faulty_server import FaultyServer, FaultyWorld

STARTS: Final = 40
PROCESSES: Final = 2
DONE_S: Final = 900.0
_FREEZE: Final = 0.02
_FROZEN_S: Final = 4.0
_ON_BUSY: Final[tuple[OnBusy, ...]] = ("attach", "skip", "skip", "cancel", "queue")


class _Process(FaultyServer):
    """A server without sockets. Another one may be at the same rows."""

    def __init__(self, world: "SharingWorld", number: int) -> None:
        # In their order, which a set of tasks does not have alike in two plays.
        self.works: dict[asyncio.Future[Any], None] = {}
        super().__init__(world, number)
        self.driver.start()

    def _admission(self) -> Admission:
        return Admission(server_flow=self.reached(self.world.flow))

    def kill(self) -> None:
        super().kill()
        for work in list(self.works):
            work.cancel()

    async def post(self, request: EndpointRequest) -> EndpointResponse:
        """Make one attempt."""
        answer: EndpointResponse = await self.world.call(request)
        return answer


class SharingWorld(FaultyWorld):
    """Create it inside the loop, call `play` once, then read `broken`."""

    faults_end_s = 40.0
    crash = 0.006
    fail = 0.01

    def __init__(self, seed: int) -> None:
        super().__init__(seed, random.Random(f"sharing {seed}"))
        self.flow = MemoryFlowStore()
        self.left_out = self.attached = 0
        # The generations of roots that were called.
        self.called: dict[str, set[int]] = defaultdict(set)
        self.cancelled: set[str] = set()
        self.restarted: set[str] = set()
        # Runs of bursts that must not be called any more, and since the start of which newer one.
        self._outdated: dict[str, str] = {}
        self._acknowledged: dict[str, list[str]] = defaultdict(list)
        self._processes = [_Process(self, number) for number in range(PROCESSES)]

    @property
    def gave_way(self) -> int:
        """How many runs gave way."""
        return sum(successor(root) is not None for root in self._roots())

    def a_while_s(self) -> float:
        """How long one way to the rows takes."""
        longest_s = _FROZEN_S if self.strikes(_FREEZE) else 0.02
        return self.chance.random() * longest_s

    def _left(self, server: FaultyServer) -> None:
        self._processes = [process for process in self._processes if process is not server]

    def _restart(self) -> None:
        self._processes.append(_Process(self, PROCESSES + self.crashes))

    async def play(self) -> None:
        """Start runs, cancel and redrive some, wait until all has settled, and check what is left."""
        await asyncio.gather(*(self._one(number) for number in range(STARTS)))
        while self._live() and self._now_s() < DONE_S:
            await asyncio.sleep(5)
            # What the sweep of a server does.
            await self._until_done(look_at_leases)
        self.broken += [f"{root.id} is still {root.status}" for root in self._live()]
        for root in self._roots():
            self._check(root)
        for key in "ab":
            spec = a_spec(key=f"last {key}", singleton=Singleton(key, "skip"))
            if await self._until_done(lambda engine, spec=spec: self._start(engine, spec)) is None:
                self.broken.append(f"the key {key} is not free after all has settled")
        await asyncio.sleep(60)
        for process in self._processes:
            process.kill()

    async def _one(self, number: int) -> None:
        await asyncio.sleep(self.chance.random() * 30)
        spec = self._spec(number)
        asked_of = [*self._acknowledged[_key_of(spec)]]
        root = await self._until_done(lambda engine: self._start(engine, spec))
        if root is None:
            self.left_out += 1
        elif root.spec.run_id != spec.run_id:
            self.attached += 1
        elif spec.debounce is not None:
            self._acknowledge(spec, asked_of)
        if self.chance.random() < 0.1:
            await asyncio.sleep(self.chance.random() * 5)
            self.cancelled.add(keys.root_of(spec.run_id))
            await self._until_done(lambda engine: cancel_run(engine, spec.run_id))
        elif self.chance.random() < 0.3:
            await asyncio.sleep(self.chance.random() * 10)
            await self._until_done(lambda engine: self._redrive(engine, spec))
        if root is not None and self.chance.random() < 0.2:
            await self._restart_by_two(root)

    def _spec(self, number: int) -> StepSpec:
        members: dict[str, Any] = {"retry": RetryPolicy(count=1, back_off_ms=300)}
        if self.chance.random() < 0.4:
            most = self.chance.choice((None, 3_000))
            members["debounce"] = Debounce(self.chance.choice("ab"), 2_000, most)
        else:
            asked = Singleton(self.chance.choice("ab"), self.chance.choice(_ON_BUSY))
            members["singleton"] = asked
            if asked.on_busy == "queue":
                members["flow"] = (line_of(asked),)
        return a_spec(key=f"{number}", attempt_timeout_ms=5_000, **members)

    async def _start(self, engine: Engine, spec: StepSpec) -> Step | None:
        """The root of the answer; None if the start was left out."""
        try:
            found = await place(engine, spec)
        except Busy:
            return None
        if isinstance(found, Step):
            return found
        return (await start(engine, found.spec, wait_ms=0, first=found.first)).step

    async def _redrive(self, engine: Engine, spec: StepSpec) -> None:
        root = await engine.store.get(keys.root_of(spec.run_id))
        if root is not None and root.status is Status.FAILED:
            with suppress(Busy):
                await redrive_step(engine, root)

    async def _restart_by_two(self, root: Step) -> None:
        """Two operators start the run of this root again, as soon as it has ended and its key is free."""
        spec = restart_spec(
            root,
            f"{root.spec.idempotency_key}/2",
            b"1",
            fingerprint(b"1"),
            trace=(None, False),
            retention_ms=10**9,
        )

        async def act(engine: Engine) -> Step:
            ended = await engine.store.get(root.id)
            assert ended is not None
            await check_ended(engine, ended)
            return (await restart(engine, ended, spec)).step

        made = await asyncio.gather(*(self._until_done(act) for _ in range(2)))
        self.restarted |= {each.id for each in made}
        if made[0].id != made[1].id or made[0].spec.restart_of != root.spec.run_id:
            self.broken.append(f"{root.id} was started again as {[each.id for each in made]}")

    async def _until_done(self, work: Callable[[Engine], Coroutine[Any, Any, Any]]) -> Any:
        """Ask again until a process has answered."""
        while True:
            if self._processes:
                process = self.chance.choice(self._processes)
                done = asyncio.ensure_future(work(process.engine))
                process.works[done] = None
                done.add_done_callback(partial(process.works.pop, done))
                with suppress(StoreUnavailable, Refusal, asyncio.CancelledError):
                    return await done
            await asyncio.sleep(0.3)

    def _acknowledge(self, spec: StepSpec, asked_of: list[str]) -> None:
        """From now on, earlier runs of the burst that have not begun are not called any more."""
        newest = keys.root_of(spec.run_id)
        for root_id in asked_of:
            if self.rows._rows[root_id].attempt_count == 0:
                self._outdated.setdefault(root_id, newest)
        self._acknowledged[_key_of(spec)].append(newest)

    async def call(self, request: EndpointRequest) -> EndpointResponse:
        """Answer an attempt, and see whether the law allows it."""
        root = self.rows._rows[request.headers["Atomic-Step-Id"]]
        self.called[root.id].add(root.generation)
        if root.id in self._outdated:
            self.broken.append(f"{root.id} is called after the start of {self._outdated[root.id]}")
        single = root.spec.singleton
        # A process that is frozen learns late of a cancel, and then its call comes late.
        for other in self._live() if single is not None and not root.is_settled else ():
            is_same = other.spec.singleton is not None and other.spec.singleton.key == single.key
            if is_same and other.id != root.id and other.generation in self.called[other.id]:
                self.broken.append(f"{root.id} is called while {other.id} has the key")
        await asyncio.sleep(self.chance.random() * 3)
        return EndpointResponse(status=400 if self.chance.random() < 0.2 else 200, body=b"1")

    def _check(self, root: Step) -> None:
        newer_id, passed = successor(root), {root.id}
        is_known = root.spec.singleton is not None or is_heard(root)
        if newer_id is not None and is_known and root.generation in self.called[root.id]:
            self.broken.append(f"{root.id} was called and gave way")
        while newer_id is not None:
            newer = self.rows._rows.get(newer_id)
            if newer is None or newer_id in passed:
                self.broken.append(f"{root.id} gave way to nobody: {newer_id}")
                return
            passed.add(newer_id)
            newer_id = successor(newer)
            if newer_id is None and not (self.called[newer.id] or newer.status is Status.CANCELLED):
                self.broken.append(f"{root.id} gave way to {newer.id}, which was never called")
        is_cancelled = root.id in self.cancelled or root.spec.singleton is not None
        if root.status is Status.CANCELLED and successor(root) is None and not is_cancelled:
            self.broken.append(f"{root.id} was cancelled by nobody")
        if root.id in self.restarted and not (self.called[root.id] or root.status is Status.CANCELLED):
            self.broken.append(f"{root.id} is a restart, and was never called")

    def _roots(self) -> list[Step]:
        return list(self.rows._rows.values())

    def _live(self) -> list[Step]:
        return [root for root in self._roots() if not root.is_settled]


def _key_of(spec: StepSpec) -> str:
    return spec.debounce.key if spec.debounce is not None else ""


def play(seed: int) -> SharingWorld:
    """The world of a seed, when it has come to rest."""

    async def main() -> SharingWorld:
        world = SharingWorld(seed)
        await world.play()
        return world

    return run(main())
