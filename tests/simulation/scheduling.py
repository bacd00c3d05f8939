"""A world of schedules: operators put, edit, pause, resume and delete them, while everything goes wrong."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Final

from atomic.application import schedules as use_cases
from atomic.application.engine import Engine
from atomic.application.ports import EndpointRequest
from atomic.application.refusals import NotFound
from atomic.domain import schedules as domain
from atomic.domain.cadence import Every
from atomic.domain.clients.client import OpenRegistry
from atomic.domain.hooks import Hook
from atomic.domain.outcomes import EndpointResponse
from atomic.domain.schedules import Plan, Schedule
from atomic.domain.steps import Step
from atomic.protocol import keys
from atomic.protocol.enums import CATCH_UPS, OVERLAPS
from atomic.testing.local import open_registry
from atomic.testing.virtual_time import EPOCH_MS
from simulation.application import Application
from simulation.faults import Faults
from simulation.observations import Truth
from simulation.scenario import CLIENT, Node, RunPlan, Scenario, scenario_of
from simulation.world import World, faults_of

# How long operators go on after the faults; a sweep on AWS and a look at its end lie within.
_GOES_ON_S: Final = 20.0
_DECIDED_WITHIN_S: Final = 900.0
_QUICK_S: Final = 30.0
_WORKFLOW: Final = "digest"
HOOK: Final = Hook(name="desk", url="https://app.test/desk", on=("schedule.missed",))
_TAKES_S: Final = (0.0, 0.0, 0.05, 0.8, 3.5)


@dataclass(frozen=True, slots=True)
class RowWrite:
    """A write of a schedule's row at the time it took effect; `after` is None when it was deleted."""

    at_s: float
    id: str
    before: Schedule | None
    after: Schedule | None


@dataclass(frozen=True, slots=True)
class Fired:
    """A run of a slot that was created, and the row of its schedule at that moment."""

    at_s: float
    root: Step
    row: Schedule | None

    @property
    def schedule_id(self) -> str:
        """The schedule of the run, by its key."""
        return keys.schedule_id(CLIENT, self.root.spec.idempotency_key.partition("@")[0])


class ScheduleTruth(Truth):
    """The rows of steps and schedules, and every write in order."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[RowWrite] = []
        self.fired: list[Fired] = []

    def schedule(self, schedule_id: str) -> Schedule | None:
        """The row as it stands."""
        return self._schedules.get(keys.schedule_of(schedule_id))

    async def create(self, step: Step) -> Step | None:
        is_new = step.id not in self.rows
        existing = await super().create(step)
        if is_new and step.is_root and step.spec.scheduled_at_ms is not None:
            fired = Fired(asyncio.get_running_loop().time(), step, None)
            self.fired.append(replace(fired, row=self.schedule(fired.schedule_id)))
        return existing

    async def create_schedule(self, schedule: Schedule) -> Schedule | None:
        existing = await super().create_schedule(schedule)
        if existing is None:
            self._write(schedule.id, None, schedule)
        return existing

    async def replace_schedule(self, schedule: Schedule, expected_version: int) -> Schedule | None:
        before = self.schedule(schedule.id)
        existing = await super().replace_schedule(schedule, expected_version)
        if existing is None:
            self._write(schedule.id, before, schedule)
        return existing

    async def delete_schedule(self, client_id: str, name: str) -> bool:
        before = self.schedule(keys.schedule_id(client_id, name))
        if before is not None:
            self._write(before.id, before, None)
        return await super().delete_schedule(client_id, name)

    def _write(self, schedule_id: str, before: Schedule | None, after: Schedule | None) -> None:
        self.writes.append(RowWrite(asyncio.get_running_loop().time(), schedule_id, before, after))


@dataclass(frozen=True, slots=True)
class Action:
    """What an operator does, and when."""

    at_s: float
    what: str
    wanted: Schedule


@dataclass(frozen=True, slots=True)
class Script:
    """The life of one schedule: it is put, and then this happens to it."""

    actions: tuple[Action, ...]

    @property
    def id(self) -> str:
        """The schedule's id."""
        return self.actions[0].wanted.id


class ScheduleWorld(World):
    """A world without other runs than those of its schedules."""

    truth: ScheduleTruth

    def __init__(self, scenario: Scenario, faults: Faults) -> None:
        super().__init__(scenario, faults)
        self.truth = ScheduleTruth()
        self.scripts = tuple(_scripts(random.Random(f"schedules {scenario.seed}"), faults.ends_s))
        self.application = Operators(self)

    def registry(self) -> OpenRegistry:
        registry = open_registry()
        registry.put_hook(CLIENT, HOOK)
        return registry

    def may_lose(self, step_id: str) -> bool:
        return keys.is_schedule_id(step_id) or super().may_lose(step_id)


class Operators(Application):
    """Put and change schedules, and serve the endpoint of their runs."""

    def __init__(self, world: ScheduleWorld) -> None:
        super().__init__(world)
        self.world = world
        self._chance = random.Random(f"digests {world.scenario.seed}")
        # In some worlds runs often fail, so that schedules pause themselves.
        self._fails = self._chance.choice((0.0, 0.1, 0.6))

    def call(self, request: EndpointRequest) -> Awaitable[EndpointResponse]:
        """Run one attempt."""
        step_id, attempt = request.headers["Atomic-Step-Id"], int(request.headers["Atomic-Attempt"])
        self._observed.calls[step_id, attempt] += 1
        return self._digest(step_id, attempt)

    async def _digest(self, step_id: str, attempt: int) -> EndpointResponse:
        await asyncio.sleep(self._chance.choice(_TAKES_S) * self._chance.random())
        if self._chance.random() < self._fails:
            return self._refused(step_id, for_good=True)
        return self._succeeded(step_id, attempt)

    def works(self) -> Iterator[Coroutine[Any, Any, None]]:
        """Each schedule has an operator of its own."""
        for script in self.world.scripts:
            yield self._operate(script)

    async def _operate(self, script: Script) -> None:
        for action in script.actions:
            await asyncio.sleep(max(0.0, action.at_s - self._loop.time()))
            await self.persist(_ACTIONS[action.what], action.wanted)
        await asyncio.sleep(max(0.0, self.world.faults.ends_s + _GOES_ON_S - self._loop.time()))
        await self._until_decided(script)
        self._note_wakeups(script.id)
        await self.persist(_delete, script.actions[0].wanted)

    async def _until_decided(self, script: Script) -> None:
        """Wait until all slots up to now are decided, and none is queued behind a run that has ended."""
        now_ms = EPOCH_MS + round(1000 * self._loop.time())
        until_s = self._loop.time() + _DECIDED_WITHIN_S
        while self._loop.time() < until_s:
            row = self.world.truth.schedule(script.id)
            if row is None or (row.queued_ms is None and (row.due_at_ms is None or row.due_at_ms > now_ms)):
                # The wake-ups that were sent again because of faults have become few by now.
                await asyncio.sleep(_QUICK_S)
                return
            await asyncio.sleep(1.0)
        self._observed.wrong.append(f"{script.id} has not decided its slots until {now_ms}")

    def _note_wakeups(self, schedule_id: str) -> None:
        """Without faults a schedule has one wake-up; the sweep, or an operator, may have added one."""
        # Older ones were sent by a wrong clock, or their receiver died: they come once, and end.
        since_s = self._loop.time() - _QUICK_S
        under_way = [each for each in self.world.sqs.under_way(schedule_id) if each.put_s >= since_s]
        if len(under_way) > _WAKEUPS_MAX:
            self._observed.wrong.append(f"{schedule_id} has these wake-ups under way: {under_way}")


_WAKEUPS_MAX: Final = 2


async def _put(engine: Engine, wanted: Schedule) -> bool:
    await use_cases.put_schedule(engine, replace(wanted, created_at_ms=engine.clock.now_ms()))
    return True


async def _pause(engine: Engine, wanted: Schedule) -> bool:
    return await _change(engine, wanted, lambda row, now_ms: domain.paused(row, "", now_ms))


async def _resume(engine: Engine, wanted: Schedule) -> bool:
    return await _change(
        engine, wanted, lambda row, now_ms: domain.resumed(row, now_ms) if row.paused else row
    )


async def _change(engine: Engine, wanted: Schedule, change: Callable[[Schedule, int], Schedule]) -> bool:
    client = await engine.clients.get(CLIENT)
    assert client is not None
    with suppress(NotFound):
        await use_cases.change_schedule(engine, client, wanted.name, change)
    return True


async def _delete(engine: Engine, wanted: Schedule) -> bool:
    client = await engine.clients.get(CLIENT)
    assert client is not None
    with suppress(NotFound):
        await use_cases.delete_schedule(engine, client, wanted.name)
    return True


async def _renew(engine: Engine, wanted: Schedule) -> bool:
    return await _delete(engine, wanted) and await _put(engine, wanted)


_ACTIONS: Final[dict[str, Callable[[Engine, Schedule], Coroutine[Any, Any, bool]]]] = {
    "put": _put,
    "renew": _renew,
    "pause": _pause,
    "resume": _resume,
    "delete": _delete,
}


def schedule_world(seed: int) -> ScheduleWorld:
    """The world of a seed; to be made within the loop."""
    scenario = replace(scenario_of(seed), runs=())
    return ScheduleWorld(scenario, faults_of(scenario))


def _scripts(chance: random.Random, ends_s: float) -> Iterator[Script]:
    for number in range(chance.choice((1, 1, 2))):
        first = _wanted(chance, f"s{number}")
        # Times at which something happens, also shortly before and after a slot.
        moments = sorted(
            chance.choice((0.0, round(at_s), at_s)) for at_s in (chance.random() * ends_s for _ in range(4))
        )
        actions = [Action(chance.random(), "put", first)]
        latest = first
        for at_s in moments[: chance.choice((0, 1, 2, 4))]:
            what = chance.choice(("put", "put", "renew", "pause", "resume", "delete"))
            if what in {"put", "renew"}:
                latest = _edited(chance, latest)
            actions.append(Action(at_s + 1, what, latest))
        yield Script(tuple(actions))


def _wanted(chance: random.Random, name: str) -> Schedule:
    plan = RunPlan(
        workflow=_WORKFLOW, key=name, root=Node(name=name, timeout_ms=5_000), manners=(), wait_ms=0
    )
    spec = plan.spec(plan.root, None)
    return Schedule(
        client_id=CLIENT,
        name=name,
        plan=_plan(chance),
        start=replace(spec, retry=replace(spec.retry, count=chance.choice((0, 1, 3)))),
        created_at_ms=EPOCH_MS,
        updated_at_ms=EPOCH_MS,
    )


def _plan(chance: random.Random) -> Plan:
    return Plan(
        cadence=_cadence(chance),
        overlap=chance.choice(OVERLAPS),
        catch_up=chance.choice(CATCH_UPS),
        catch_up_window_ms=chance.choice((0, 20_000, 90_000, 86_400_000)),
        spread_ms=chance.choice((0, 0, 700, 10_000)),
        until_ms=chance.choice((None, None, EPOCH_MS + round(30_000 * chance.random()))),
        limit=chance.choice((None, None, 1, 5)),
        pause_after_failures=chance.choice((None, 1, 3)),
    )


def _cadence(chance: random.Random) -> Every:
    period_ms = chance.choice((1_000, 1_000, 2_000, 2_500, 7_000))
    return Every(timedelta(milliseconds=period_ms), domain.at_moment(chance.choice((0, 0, 500))))


def _edited(chance: random.Random, before: Schedule) -> Schedule:
    """The schedule with other options, and now and then with other times."""
    plan = replace(_plan(chance), cadence=before.plan.cadence)
    if chance.random() < 0.5:
        plan = replace(plan, cadence=_cadence(chance))
    return replace(before, plan=plan, paused=chance.random() < 0.2)
