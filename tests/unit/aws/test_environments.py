"""Many environments of an invoker in virtual time: which of them a slow destination occupies.

Each environment processes one wake-up after the other, each to its end. The leases of permits are in the
table (moto); rows and wake-ups are in memory.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from atomic.adapters.aws import destinations as tuning
from atomic.adapters.aws.destinations import Bounds, SharedDestinations
from atomic.adapters.aws.leases import LeaseItems
from atomic.adapters.memory.store import MemoryStepStore
from atomic.adapters.memory.wakeups import MemoryNotifier, MemoryWakeupQueue
from atomic.application.admission import Admission
from atomic.application.bulk import do_bulk
from atomic.application.destinations import TRY_EVERY_MS, CountedRuns, Permit, destination_of
from atomic.application.engine import Engine, Settings
from atomic.application.ports import Destinations
from atomic.application.process_wakeup import process_wakeup
from atomic.application.start import start
from atomic.domain.retry import RetryPolicy
from atomic.domain.steps import StepSpec
from atomic.protocol import keys
from atomic.protocol.enums import Status
from atomic.runtime.inflight import Tasks
from atomic.testing import EndpointCall, EndpointReply, run
from atomic.testing.endpoints import FunctionInvoker
from atomic.testing.local import SeededEntropy, open_registry
from atomic.testing.virtual_time import LoopClock
from atomic.testing.watching import SilentTelemetry
from contract.aws import TABLE_NAME, Aws, LateCalls, Recorder, aws
from contract.builders import a_spec
from contract.destinations_contract import long_step

SILENT, GOOD = "https://silent.example/x", "https://good.example/x"
ENVIRONMENTS = 10
BOUNDS = Bounds.of(ENVIRONMENTS)


@dataclass
class Fleet:
    """An API function, and an invoker with that many environments, on one event loop."""

    account: Aws
    invoker: FunctionInvoker = field(default_factory=FunctionInvoker)
    held: Counter[str] = field(default_factory=Counter)
    most_held: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.store, self.subscription, self.tasks = MemoryStepStore(), MemoryNotifier(), Tasks()
        self.clock = LoopClock()
        self.queue = MemoryWakeupQueue(self.clock)
        self.api = self._engine(CountedRuns(), 0)
        self.leases = [self.account.destinations(n, ENVIRONMENTS) for n in range(ENVIRONMENTS)]
        self.workers = [
            asyncio.create_task(self._work(self._engine(leases, 1 + n)))
            for n, leases in enumerate(self.leases)
        ]

    def _engine(self, destinations: Destinations, seed: int) -> Engine:
        return Engine(
            store=self.store,
            queue=self.queue,
            invoker=self.invoker,
            own=do_bulk,
            notifier=self.subscription,
            clients=open_registry(),
            telemetry=SilentTelemetry(),
            clock=self.clock,
            entropy=SeededEntropy(seed),
            spawn=self.tasks.spawn,
            settings=Settings(inline_attempt_max_ms=20_000),
            admission=Admission(destinations=destinations),
        )

    async def _work(self, engine: Engine) -> None:
        while True:
            await process_wakeup(engine, await self.queue.receive())

    def serve(self, url: str, answer: Callable[[EndpointCall], Coroutine[Any, Any, EndpointReply]]) -> None:
        """Serve an endpoint, and count the environments that it occupies."""

        async def counted(call: EndpointCall) -> EndpointReply:
            self.held[url] += 1
            self.most_held[url] = max(self.most_held[url], self.held[url])
            try:
                return await answer(call)
            finally:
                self.held[url] -= 1

        self.invoker.handlers[url] = counted

    async def post(self, *specs: StepSpec) -> list[str]:
        """Start steps without waiting for them; return their ids."""
        return [(await start(self.api, spec, wait_ms=0)).step.id for spec in specs]

    async def times(self, ids: list[str]) -> list[float]:
        """The seconds that each of the steps took. All must have succeeded."""
        steps = [await self.store.get(each) for each in ids]
        assert {step and step.status for step in steps} == {Status.SUCCEEDED}
        return [((step.finished_at_ms or 0) - step.created_at_ms) / 1000 for step in steps if step]


async def never(call: EndpointCall) -> EndpointReply:
    await asyncio.sleep(10**6)
    raise AssertionError


async def at_once(call: EndpointCall) -> EndpointReply:
    await asyncio.sleep(0.05)
    return EndpointReply(json=1)


def on_fleet(story: Callable[[Fleet], Coroutine[Any, Any, None]]) -> None:
    """Run a test body."""

    async def main(account: Aws) -> None:
        fleet = Fleet(account)
        try:
            await story(fleet)
            await asyncio.sleep(0)
            for worker in fleet.workers:
                assert not worker.done(), worker.exception()
        finally:
            for task in fleet.workers:
                task.cancel()
            await asyncio.gather(*fleet.workers, return_exceptions=True)
            await fleet.tasks.cancel()

    with aws() as account:
        run(main(account))


def steps(number: int, url: str, *, first: int = 0, client: str = "acme", **more: Any) -> list[StepSpec]:
    """Start documents of steps, each the root of its own run."""
    policy = RetryPolicy(count=1000, back_off_ms=1000, strategy="fixed", jitter="none")
    made = []
    for n in range(first, first + number):
        spec = a_spec(key=f"{url} {n}", client_id=client, **({"attempt_timeout_ms": 20_000} | more))
        identity = keys.identity(client, spec.workflow_name, "", url, "", spec.idempotency_key)
        made.append(replace(spec, url=url, identity=identity, retry=policy))
    return made


def test_it_occupies_all_environments_for_one_attempt_and_then_its_share() -> None:
    async def story(fleet: Fleet) -> None:
        fleet.serve(SILENT, never)
        fleet.serve(GOOD, at_once)
        await fleet.post(*steps(100, SILENT))
        # The destination is not known as slow yet, so it may occupy all environments until the first
        # attempts end.
        await asyncio.sleep(21)
        fleet.most_held.clear()
        others: list[str] = []
        for round_ in range(30):
            others += await fleet.post(*steps(2, GOOD, first=2 * round_))
            await asyncio.sleep(2)
        assert fleet.most_held[SILENT] == BOUNDS.most
        assert max(await fleet.times(others)) < 1

    on_fleet(story)


def test_long_attempts_are_limited_to_their_share_from_the_first() -> None:
    async def story(fleet: Fleet) -> None:
        fleet.serve(SILENT, never)
        fleet.serve(GOOD, at_once)
        ids = await fleet.post(*steps(100, SILENT, attempt_timeout_ms=870_000))
        await asyncio.sleep(5)
        good = await fleet.post(*steps(5, GOOD))
        theirs = await fleet.post(*steps(5, GOOD, client="other"))
        await asyncio.sleep(60)
        assert fleet.most_held[SILENT] == BOUNDS.most
        assert max(await fleet.times(good + theirs)) < 1
        silent = [step for step in [await fleet.store.get(each) for each in ids] if step]
        late = [step for step in silent if step.status is Status.PENDING]
        assert len(late) == 100 - BOUNDS.most
        assert {(step.attempt_count, step.retries_used) for step in late} == {(0, 0)}

    on_fleet(story)


def test_a_fan_out_leaves_environments_to_others() -> None:
    """The steps of a run that has a permit may use a few more environments than others, but not all."""

    async def story(fleet: Fleet) -> None:
        fleet.serve(SILENT, never)
        fleet.serve(GOOD, at_once)
        [root] = steps(1, SILENT, attempt_timeout_ms=870_000)
        await fleet.post(root)
        for number in range(100):
            name = f"step {number}"
            identity = keys.identity("acme", root.workflow_name, "", SILENT, name, root.idempotency_key)
            await fleet.post(replace(root, step_name=name, identity=identity))
        await asyncio.sleep(5)
        others = await fleet.post(*steps(5, GOOD))
        await asyncio.sleep(60)
        assert fleet.most_held[SILENT] == BOUNDS.inside < ENVIRONMENTS
        assert max(await fleet.times(others)) < 1

    on_fleet(story)


def test_workflows_that_wait_for_steps_at_their_own_destination_get_through() -> None:
    """There are more runs than permits, and each step needs a second attempt, which an invoker makes."""

    async def story(fleet: Fleet) -> None:
        at, tried = "https://app.example/", set()

        async def mail(call: EndpointCall) -> EndpointReply:
            if call.json["idempotencyKey"] not in tried:
                tried.add(call.json["idempotencyKey"])
                return EndpointReply(status=503)
            return EndpointReply(json=1)

        async def workflow(call: EndpointCall) -> EndpointReply:
            key = call.json["idempotencyKey"]
            spec = a_spec(key=key, attempt_timeout_ms=20_000)
            identity = keys.identity("acme", spec.workflow_name, "", at + "mail", "", key)
            spec = replace(spec, url=at + "mail", identity=identity, retry=RetryPolicy(count=5))
            ended = await start(fleet.api, spec, wait_ms=25_000)
            return EndpointReply(status=200 if ended.step.status is Status.SUCCEEDED else 500)

        fleet.serve(at + "mail", mail)
        fleet.serve(at, workflow)
        ids = await fleet.post(*steps(3 * ENVIRONMENTS, at, attempt_timeout_ms=60_000))
        await asyncio.sleep(120)
        assert max(await fleet.times(ids)) < 20

    on_fleet(story)


def test_deferred_steps_run_when_the_destination_answers_again() -> None:
    async def story(fleet: Fleet) -> None:
        fleet.serve(SILENT, never)
        ids = await fleet.post(*steps(60, SILENT))
        await asyncio.sleep(30)
        fleet.serve(SILENT, at_once)
        await asyncio.sleep(60)
        await fleet.times(ids)

    on_fleet(story)


def test_a_destination_that_answers_in_time_costs_no_write() -> None:
    async def story(fleet: Fleet) -> None:
        async def nearly_slow(call: EndpointCall) -> EndpointReply:
            await asyncio.sleep(tuning.SLOW_AFTER_S - 0.5)
            return EndpointReply(json=1)

        fleet.serve(GOOD, nearly_slow)
        with Recorder(fleet.account.dynamodb) as recorder:
            ids = await fleet.post(*steps(200, GOOD))
            await asyncio.sleep(120)
            await fleet.times(ids)
        assert fleet.most_held[GOOD] == ENVIRONMENTS
        assert set(recorder.operations) == {"Query"}
        assert len(recorder.operations) <= len(ids)

    on_fleet(story)


def test_the_work_goes_on_when_the_table_cannot_be_read() -> None:
    async def story(fleet: Fleet) -> None:
        for leases in fleet.leases:
            calls_of(leases).cut = True
        fleet.serve(GOOD, at_once)
        fleet.serve(SILENT, never)
        ids = await fleet.post(*steps(20, GOOD), *steps(5, GOOD, first=20, attempt_timeout_ms=60_000))
        await fleet.post(*steps(3, SILENT))
        await asyncio.sleep(30)
        assert max(await fleet.times(ids)) < 5

    on_fleet(story)


def test_together_they_try_as_often_as_one_process() -> None:
    """However many steps are deferred, 200 per second try to get a permit, which is the cost of waiting."""

    async def main(account: Aws) -> None:
        fleet = [account.destinations(n, 50) for n in range(50)]
        seconds = Counter(
            leases.defer_until_ms(long_step(n), 0) // 1000 for leases in fleet for n in range(100)
        )
        assert min(seconds) == 1
        assert max(seconds.values()) == 1000 // TRY_EVERY_MS

    with aws() as account:
        run(main(account))


# --- leases ---


def calls_of(leases: SharedDestinations) -> LateCalls:
    calls = leases._calls
    assert isinstance(calls, LateCalls)
    return calls


async def release(permit: Permit | None) -> None:
    assert permit is not None
    async with permit:
        pass


def holders(account: Aws) -> set[str]:
    """The holders of leases at the destination."""
    destination = destination_of(long_step(0))
    assert destination is not None
    leases = LeaseItems(account.dynamodb, TABLE_NAME, invoker="short").read(destination)
    held = [each.holder for each in leases if each.until_ms >= LoopClock().now_ms()]
    assert len(held) == len(set(held))
    return set(held)


@pytest.mark.parametrize("attempt_ms", [20_000, 60_000])
def test_the_permits_of_killed_environments_are_free_after_their_lease(attempt_ms: int) -> None:
    async def main(account: Aws) -> None:
        fleet = [account.destinations(n, ENVIRONMENTS) for n in range(ENVIRONMENTS)]
        inside = [long_step(n, attempt_timeout_ms=attempt_ms) for n in range(BOUNDS.most)]
        for leases, spec in zip(fleet, inside, strict=False):
            assert await leases.enter(spec)
        await asyncio.sleep(60)
        late = long_step(BOUNDS.most)
        assert not await fleet[-1].enter(late)
        for leases in fleet[:-1]:
            # After a kill, the environment neither renews nor releases its lease.
            calls_of(leases).cut = True
        await asyncio.sleep(tuning.LEASE_MS / 1000 + 2)
        assert await fleet[-1].enter(late)

    with aws() as account:
        run(main(account))


def test_an_environment_frozen_longer_than_its_lease_takes_no_other_lease() -> None:
    async def main(account: Aws) -> None:
        fleet = [account.destinations(n, ENVIRONMENTS) for n in range(ENVIRONMENTS)]
        permits = [await fleet[n].enter(long_step(n)) for n in range(BOUNDS.most)]
        assert None not in permits
        frozen, late = fleet[0], long_step(BOUNDS.most)
        calls_of(frozen).thawed.clear()
        await asyncio.sleep(tuning.LEASE_MS / 1000 + 20)
        late_permit = await fleet[-1].enter(late)
        assert late_permit is not None
        calls_of(frozen).thawed.set()
        await asyncio.sleep(30)
        # Its attempt is still running there, so it is counted on top, and it releases only its own lease.
        others = {f"environment {n}" for n in range(1, BOUNDS.most)}
        assert holders(account) == {*others, "environment 0", f"environment {ENVIRONMENTS - 1}"}
        await release(permits[0])
        assert holders(account) == {*others, f"environment {ENVIRONMENTS - 1}"}
        await release(late_permit)
        assert holders(account) == others

    with aws() as account:
        run(main(account))


def test_a_disconnected_environment_releases_only_its_own_lease() -> None:
    async def main(account: Aws) -> None:
        fleet = [account.destinations(n, ENVIRONMENTS) for n in range(ENVIRONMENTS)]
        permits = [await fleet[n].enter(long_step(n)) for n in range(BOUNDS.most)]
        assert None not in permits
        calls_of(fleet[0]).cut = True
        await asyncio.sleep(tuning.LEASE_MS / 1000 + 20)
        # The only free lease is the one that the first environment still believes to hold.
        assert await fleet[-1].enter(long_step(BOUNDS.most))
        calls_of(fleet[0]).cut = False
        await release(permits[0])
        numbers = {*range(1, BOUNDS.most), ENVIRONMENTS - 1}
        assert holders(account) == {f"environment {n}" for n in numbers}

    with aws() as account:
        run(main(account))
