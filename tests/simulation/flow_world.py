"""Flow control under crashes: one process after another on the same rows, until all has settled.

Each operation on the rows takes a while, may fail, and its process may die before or after it. The laws:
never more attempts open than a key has slots, every step settles, nothing is left in slots and lines, and a
run that is inside does not wait for itself.

`on_table`: the keys are in a table as on AWS. Three environments change them at the same time, and what
takes a while, fails or ends the process is each request of an operation.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final

from atomic.adapters.aws.flow import DynamoFlowStore
from atomic.adapters.memory.flow import MemoryFlowStore
from atomic.application.admission import Admission
from atomic.application.cancel import cancel_run
from atomic.application.engine import Engine
from atomic.application.flow import look_at_keys
from atomic.application.ports import EndpointRequest, StoreUnavailable
from atomic.application.refusals import Refusal
from atomic.application.start import start
from atomic.application.sweep import recover
from atomic.domain.flow import FlowEntry, Rate
from atomic.domain.flow_table import FlowKey
from atomic.domain.outcomes import EndpointResponse
from atomic.domain.retry import RetryPolicy
from atomic.domain.steps import StepSpec
from atomic.protocol import keys
from atomic.testing.virtual_time import run
from contract.builders import a_spec
from simulation.faulty_server import FaultyServer, FaultyWorld
from simulation.flow_table_fake import FlowTableFake

STARTS: Final = 25
DONE_S: Final = 900.0
# How many of the requests that fail were applied.
_APPLIED: Final = 0.5
_AT_ONCE: Final = 3
MAINTAINED_EVERY_S: Final = 30.0
LIMITS: Final = {"one": 1, "two": 2}


class _Requests:
    """The requests of an environment to the table. One that fails may have been applied."""

    def __init__(self, process: "_Process") -> None:
        self._process = process

    def start(self, call: Callable[..., Any], /, *given: Any, **named: Any) -> "asyncio.Future[Any]":
        return asyncio.ensure_future(self._make(call, *given, **named))

    async def _make(self, call: Callable[..., Any], /, *given: Any, **named: Any) -> Any:
        moment, world = self._process.next_moment(), self._process.world
        await asyncio.sleep(world.chance.random() * 0.01)
        if moment == "before":
            self._process.die()
        if self._process.is_dead:
            raise asyncio.CancelledError
        if world.strikes(world.fail):
            if world.chance.random() < _APPLIED:
                call(*given, **named)
            raise StoreUnavailable("not now")
        result = call(*given, **named)
        await asyncio.sleep(world.chance.random() * 0.01)
        if moment == "after":
            self._process.die()
        return result


class _Environments:
    """A store of flow control in several environments: each operation is made by one of them."""

    def __init__(self, process: "_Process") -> None:
        self._chance = process.world.chance
        requests: Any = _Requests(process)
        table: Any = process.world.table
        made = {"fraction": self._chance.random}
        self._stores = [DynamoFlowStore(requests, table, "table", **made) for _ in range(_AT_ONCE)]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._chance.choice(self._stores), name)


class _Process(FaultyServer):
    """A server without sockets; or, with the keys in a table, what functions do there."""

    def __init__(self, world: "FlowWorld", number: int) -> None:
        super().__init__(world, number)
        self.is_ready = False
        self._begin = asyncio.create_task(self._start())

    def _admission(self) -> Admission:
        if self.world.table is None:
            return Admission(server_flow=self.reached(self.world.flow))
        self._keys: Any = _Environments(self)
        self.tasks.spawn(self._maintain(), step_id="maintenance")
        return Admission(flow=self._keys)

    async def _maintain(self) -> None:
        """Look at the ended leases, as maintenance on AWS does."""
        while True:
            await asyncio.sleep(MAINTAINED_EVERY_S)
            after: str | None = ""
            with suppress(StoreUnavailable):
                while after is not None:
                    after = await look_at_keys(self.engine, self._keys, "acme", after)

    async def _start(self) -> None:
        while True:
            with suppress(StoreUnavailable):
                await recover(self.engine, self.rows)
                break
            await asyncio.sleep(1)
        self.driver.start()
        self.is_ready = True

    def kill(self) -> None:
        self._begin.cancel()
        super().kill()

    async def post(self, request: EndpointRequest) -> EndpointResponse:
        """Make one attempt."""
        answer: EndpointResponse = await self.world.call(self, request)
        return answer


class FlowWorld(FaultyWorld):
    """Create it inside the loop, call `play` once, then read `broken`."""

    faults_end_s = 60.0
    crash = 0.004
    fail = 0.01

    def __init__(self, seed: int, *, on_table: bool = False) -> None:
        super().__init__(seed, random.Random(f"flow {seed}"))
        self.table = FlowTableFake() if on_table else None
        self.flow: Any = MemoryFlowStore()
        if on_table:
            self.flow = DynamoFlowStore(AtOnce(), self.table, "table")  # type: ignore[arg-type]
        self.calls = 0
        self._open: Counter[str] = Counter()
        self._specs: dict[str, StepSpec] = {}
        self._process = _Process(self, 0)

    def _left(self, server: FaultyServer) -> None:
        # Its connections are closed, so nothing of it is open any more.
        self._open.clear()

    def _restart(self) -> None:
        self._process = _Process(self, self.crashes)

    async def play(self) -> None:
        """Start runs, cancel some of them, wait until all has settled, and check what is left."""
        works = [asyncio.create_task(self._one(number)) for number in range(STARTS)]
        await asyncio.gather(*works)
        while self._live() and self._now_s() < DONE_S:  # noqa: ASYNC110 - time is virtual
            await asyncio.sleep(1)
        # The lease of a slot that a dead process held is over by then.
        await asyncio.sleep(120)
        for step_id in self._live():
            self.broken.append(f"{step_id} is still live: {self.rows._rows[step_id].status}")
        for key in (*LIMITS, "paced"):
            state = await self.flow.state(FlowKey("acme", key))
            if state is not None and (state.running or state.queued):
                self.broken.append(f"{key}: {state.running} slots and {state.queued} in line are left")
        self._process.kill()

    async def _one(self, number: int) -> None:
        await asyncio.sleep(self.chance.random() * 20)
        key, kind = f"{number}", self.chance.choice(("leaf", "leaf", "leaf", "workflow", "paced"))
        spec = self._workflow(key) if kind == "workflow" else self._leaf(key, kind)
        await self._until_done(lambda engine: start(engine, spec, wait_ms=0))
        if self.chance.random() < 0.2:
            await asyncio.sleep(self.chance.random() * 10)
            await self._until_done(lambda engine: cancel_run(engine, spec.run_id))

    async def _until_done(self, work: Callable[[Engine], Coroutine[Any, Any, Any]]) -> Any:
        """Ask again until a process has answered."""
        while True:
            process = self._process
            if process.is_ready and not process.is_dead:
                done = asyncio.ensure_future(work(process.engine))
                with suppress(StoreUnavailable, Refusal, asyncio.CancelledError):
                    return await done
            await asyncio.sleep(0.3)

    def _spec(self, key: str, path: str, *flow: FlowEntry, **members: Any) -> StepSpec:
        members.setdefault("retry", RetryPolicy(count=3, back_off_ms=500))
        spec = a_spec(key=key, flow=flow, attempt_timeout_ms=15_000, **members)
        return replace(spec, url=f"https://app.test/{path}")

    def _leaf(self, key: str, kind: str) -> StepSpec:
        if kind == "paced":
            return self._spec(key, "leaf", FlowEntry(key="paced", concurrency=2, rate=Rate(5, 1000)))
        names = self.chance.sample(sorted(LIMITS), self.chance.choice((1, 1, 2)))
        entries = (self._entry(name, priority=self.chance.randint(-2, 2)) for name in names)
        return self._spec(key, "leaf", *entries)

    def _workflow(self, key: str) -> StepSpec:
        return self._spec(key, "workflow", self._entry("one", scope="run"))

    def _entry(self, name: str, **members: Any) -> FlowEntry:
        fair = self.chance.choice("ab")
        return FlowEntry(key=name, concurrency=LIMITS[name], fair=fair, **members)

    async def call(self, process: _Process, request: EndpointRequest) -> EndpointResponse:
        """Answer an attempt; count how many are open under each key that it holds by itself."""
        step_id = request.headers["Atomic-Step-Id"]
        step = self.rows._rows[step_id]
        self.calls += 1
        held = [entry.key for entry in step.spec.flow if step.is_root]
        for name in held:
            self._open[name] += 1
            if self._open[name] > LIMITS.get(name, 2):
                self.broken.append(f"{self._open[name]} attempts are open under {name}: {step_id}")
        try:
            await asyncio.sleep(self.chance.random() * 2)
            if request.url.endswith("workflow"):
                return await self._handle(process, step_id)
            failed = self.chance.random() < 0.2
            return EndpointResponse(status=500 if failed else 200, body=b"1")
        finally:
            if not process.is_dead:
                for name in held:
                    self._open[name] -= 1

    async def _handle(self, process: _Process, step_id: str) -> EndpointResponse:
        """Run a handler, which posts a step under its own key and waits for it."""
        parent = {"run_id": keys.run_of(step_id), "parent": step_id, "step_name": "below"}
        entry = FlowEntry(key="one", concurrency=LIMITS["one"])
        spec = self._spec("below", "leaf", entry, retry=RetryPolicy(count=20, back_off_ms=100))
        spec = replace(spec, **parent)
        identity = keys.identity("acme", "createUser", step_id, spec.url, "below", "below")
        spec = replace(spec, identity=identity)
        try:
            child = (await start(process.engine, spec, wait_ms=0)).step
        except (StoreUnavailable, Refusal):
            return EndpointResponse(status=503)
        if child.is_settled:
            return EndpointResponse(status=200, body=b"1")
        return EndpointResponse(status=202, headers={"atomic-waiting-for": child.id})

    def _live(self) -> list[str]:
        return [step.id for step in self.rows._rows.values() if not step.is_settled]


class AtOnce:
    """Requests that take no time and do not fail."""

    def start(self, call: Callable[..., Any], /, *given: Any, **named: Any) -> "asyncio.Future[Any]":
        """Make the request."""
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        answer.set_result(call(*given, **named))
        return answer


def play(seed: int, *, on_table: bool = False) -> FlowWorld:
    """The world of a seed, when it has come to rest."""

    async def main() -> FlowWorld:
        world = FlowWorld(seed, on_table=on_table)
        await world.play()
        return world

    return run(main())
