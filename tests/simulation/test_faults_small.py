"""500 small fault schedules: lost answers of the store, lost, doubled and early hints, restarts.

Every acknowledged start ends in one outcome, and that outcome never changes.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import pytest

from atomic.adapters.memory.queue import MemoryHintQueue
from atomic.adapters.memory.store import MemoryStepStore
from atomic.application.ports import StoreUnavailable
from atomic.application.sweep import recover, sweep
from atomic.domain.steps import Status, Step, StepOutline
from atomic.testing import EndpointCall, EndpointReply, LocalAtomic, Reply, run

SEEDS: Final = 500
SLICE: Final = 250
RUNS: Final = 2
STEPS: Final = ("a", "b")
FAULTS_END_S: Final = 30.0
# A step that lost its wake-up and every hint about it is looked at again after an hour at the latest.
ALL_DONE_S: Final = FAULTS_END_S + 3_700.0
Outcome = tuple[Status, bytes | None]


@pytest.mark.parametrize("first", range(0, SEEDS, SLICE))
def test_an_acknowledged_start_ends_in_one_outcome(first: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "atomic")
    for seed in range(first, first + SLICE):
        world = World(seed)
        run(world.play())
        assert not list(world.broken()), f"seed {seed}: {list(world.broken())}"


@pytest.mark.parametrize("rate", ["fails_before", "fails_after", "hint_lost", "hint_early", "hint_twice"])
def test_each_fault_happens(rate: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "atomic")
    happened = 0
    for seed in range(20):
        world = World(seed)
        run(world.play())
        happened += world.faults.happened.get(rate, 0)
    assert happened > 20


class Faults:
    """Decides what goes wrong; each seed has its own rates, and after a while nothing does."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        names = ("fails_before", "fails_after", "hint_lost", "hint_early", "hint_twice")
        self._rates = {name: self._chance.choice((0.0, 0.05, 0.2)) for name in names}
        self.happened: dict[str, int] = {}

    def strike(self, name: str) -> bool:
        """Whether this fault happens now."""
        over = asyncio.get_running_loop().time() > FAULTS_END_S
        if over or self._chance.random() >= self._rates[name]:
            return False
        self.happened[name] = self.happened.get(name, 0) + 1
        return True

    def some_s(self, most_s: float) -> float:
        """A duration."""
        return self._chance.random() * most_s


class FaultyStore(MemoryStepStore):
    """Fails before or after it takes effect; notes the outcome of each step, and whether one changed."""

    def __init__(self, faults: Faults) -> None:
        super().__init__()
        self._faults = faults
        self.outcomes: dict[str, Outcome] = {}
        self.changed: list[str] = []

    async def create(self, step: Step) -> Step | None:
        await self._before()
        return self._after(await super().create(step), step)

    async def replace(self, step: Step, expected_version: int) -> Step | None:
        await self._before()
        return self._after(await super().replace(step, expected_version), step)

    async def get(self, step_id: str) -> Step | None:
        await self._before()
        return await super().get(step_id)

    async def outline(self, run_id: str) -> Sequence[StepOutline]:
        await self._before()
        return await super().outline(run_id)

    def ids(self) -> list[str]:
        """Every step there is."""
        return list(self._rows)

    async def _before(self) -> None:
        await asyncio.sleep(self._faults.some_s(0.01))
        if self._faults.strike("fails_before"):
            raise StoreUnavailable("nothing was done")

    def _after(self, there: Step | None, step: Step) -> Step | None:
        if there is None:
            self._note(step)
        if self._faults.strike("fails_after"):
            raise StoreUnavailable("the answer was lost")
        return there

    def _note(self, step: Step) -> None:
        outcome = (step.status, step.response.text if step.response else None)
        first = self.outcomes.get(step.id)
        if first is not None and first != outcome:
            self.changed.append(f"{step.id}: {first} became {outcome}")
        if step.is_settled:
            self.outcomes[step.id] = outcome


class World:
    """Clients, endpoints, a store that outlives the process, and a process that is restarted."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self.faults = Faults(seed)
        self.store = FaultyStore(self.faults)
        self._process: LocalAtomic | None = None
        self._requests: set[asyncio.Task[Reply]] = set()
        self._acknowledged: set[str] = set()
        self._told: list[tuple[str, Outcome]] = []
        self._unfinished = 0

    async def play(self) -> None:
        """Start the runs, restart the process now and then, let the faults end, let all end."""
        clients = [asyncio.create_task(self._client(f"k{number}")) for number in range(RUNS)]
        for _ in range(random.Random(self._seed).choice((1, 2, 4))):
            async with self._atomic():
                await asyncio.sleep(self.faults.some_s(FAULTS_END_S / 3))
        async with self._atomic():
            now_s = asyncio.get_running_loop().time()
            _, unfinished = await asyncio.wait(clients, timeout=ALL_DONE_S - now_s)
        self._unfinished = len(unfinished)
        for client in clients:
            client.cancel()
        await asyncio.gather(*clients, return_exceptions=True)

    def broken(self) -> Iterator[str]:
        """The law."""
        yield from self.store.changed
        if self._unfinished:
            yield f"{self._unfinished} runs did not end: {self.faults.happened}"
        for step_id in self._acknowledged - self.store.outcomes.keys():
            yield f"{step_id} was acknowledged and has no outcome"
        for step_id, told in self._told:
            if self.store.outcomes.get(step_id) != told:
                yield f"{step_id}: told {told}, recorded {self.store.outcomes.get(step_id)}"
        for step_id, (status, _) in self.store.outcomes.items():
            if status is not Status.SUCCEEDED:
                yield f"{step_id} is {status}"

    @asynccontextmanager
    async def _atomic(self) -> Any:
        async with LocalAtomic(seed=self._seed, store=self.store) as atomic:
            _hints_go_wrong(atomic._queue, self.faults)
            for name in STEPS:
                atomic.endpoint(f"/{name}", self._step)
            atomic.endpoint("/root", self._root)
            housekeeping = asyncio.create_task(self._keep_house(atomic))
            self._process = atomic
            try:
                yield
            finally:
                self._process = None
                for task in (housekeeping, *self._requests):
                    task.cancel()
                await asyncio.gather(housekeeping, *self._requests, return_exceptions=True)

    async def _keep_house(self, atomic: LocalAtomic) -> None:
        """Recover first, as after a start, and then sweep; now and then recover in the middle of work."""
        recovering = True
        while True:
            with suppress(StoreUnavailable):
                if recovering:
                    await recover(atomic.engine)
                await sweep(atomic.engine, ahead_ms=2_000, limit=100)
            await asyncio.sleep(1)
            recovering = asyncio.get_running_loop().time() < FAULTS_END_S and self.faults.some_s(1) < 0.1

    async def _client(self, key: str) -> None:
        while True:
            with suppress(ConnectionError):
                reply = await self._post("/root", key, 20_000)
                if reply.status in {200, 202, 424, 504}:
                    self._acknowledged.add(reply.json["id"])
                if reply.status in {200, 424}:
                    return
            await asyncio.sleep(0.2)

    async def _root(self, call: EndpointCall) -> EndpointReply:
        key = call.json["idempotencyKey"]
        replies = [await self._post(f"/{name}", key, round(1 + self.faults.some_s(400))) for name in STEPS]
        if {reply.status for reply in replies} != {200}:
            raise RuntimeError("not yet")
        return EndpointReply(json=[reply.json["response"] for reply in replies])

    async def _step(self, call: EndpointCall) -> EndpointReply:
        await asyncio.sleep(self.faults.some_s(0.3))
        # Another answer each time: only the first that is recorded may ever be told.
        status = 200 if self.faults.some_s(1) < 0.7 else 500
        return EndpointReply(status=status, json=self.faults.some_s(1))

    async def _post(self, path: str, key: str, timeout_ms: int) -> Reply:
        if self._process is None:
            raise ConnectionError("nobody listens")
        document = {
            "workflowName": "w",
            "stepInvokeUrl": f"https://app.test{path}",
            "idempotencyKey": key,
            "timeout": timeout_ms,
            "attemptTimeout": 2_000,
            "retry": {"count": 1000, "backOff": 100, "strategy": "fixed"},
        }
        request = asyncio.create_task(self._process.post("/me", document))
        self._requests.add(request)
        request.add_done_callback(self._requests.discard)
        try:
            reply = await request
        except asyncio.CancelledError:
            if request.cancelled() and self._process is None:
                raise ConnectionError("the process ended") from None
            raise
        if reply.status == 200:
            told = (Status.SUCCEEDED, _text(reply.json["response"]))
            self._told.append((reply.json["id"], told))
        return reply


def _text(value: Any) -> bytes:
    return EndpointReply(json=value).content()[1]


def _hints_go_wrong(queue: MemoryHintQueue, faults: Faults) -> None:
    send = queue.send

    def faulty(step_id: str, at_ms: int) -> Awaitable[None]:
        if faults.strike("hint_lost"):
            return queue._ACKNOWLEDGED
        if faults.strike("hint_early"):
            return send(step_id, at_ms - round(faults.some_s(60_000)))
        if faults.strike("hint_twice"):
            loop = asyncio.get_running_loop()
            loop.call_later(faults.some_s(20), lambda: send(step_id, at_ms))
        return send(step_id, at_ms)

    queue.send = faulty  # type: ignore[method-assign]
