"""The world of one seed: processes, queue, rows and application, from the first post until all is idle."""

import asyncio
import random
from dataclasses import replace
from typing import Final

from atomic.application.ports import StoreUnavailable
from atomic.application.refusals import Refusal
from atomic.domain.clients.client import OpenRegistry
from atomic.protocol import keys
from simulation.application import Application
from simulation.faults import Faults
from simulation.hooking import registry_of, unswept
from simulation.network import Moment
from simulation.observations import Observations, Truth
from simulation.overload import SmallServer
from simulation.process import VISIBILITY_S, Process, ProcessDied, Sqs
from simulation.scenario import Scenario

ALL_DONE_S: Final = 900.0
LINGER_S: Final = 25.0
_MOMENTS: Final[tuple[Moment, ...]] = ("before", "applied", "after")


class World:
    """Create it inside the loop, call `play` once, then check the laws."""

    def __init__(
        self, scenario: Scenario, faults: Faults, *, crashes: dict[int, Moment] | None = None
    ) -> None:
        self.scenario = scenario
        self.faults = faults
        self.chance = random.Random(-scenario.seed - 1)
        # Dice of their own, so that what handlers remember changes no other seed.
        self.memory_chance = random.Random(f"memory {scenario.seed}")
        self.truth = Truth()
        self.clients = self.registry()
        self.observed = Observations()
        self.processes: list[Process] = []
        self.sqs = Sqs(self)
        self.server = SmallServer(self)
        self.application = Application(self)
        # Roots that the sweep finds in their first attempt.
        self.listed: set[str] = set()
        self.quiet_s: float | None = None
        self.unfinished = 0
        self.points = 0
        self._unswept = unswept(scenario)
        self._crashes = crashes
        self._started = 0
        self._loop = asyncio.get_running_loop()

    async def play(self) -> None:
        """Start the runs, wait until the faults end, wait until everything settles."""
        for _ in range(self.scenario.processes):
            self._begin_process()
        self._plan_what_goes_wrong()
        works = [self._loop.create_task(work) for work in self.application.works()]
        await self._until_quiet(works, self.faults.ends_s + ALL_DONE_S)
        if not self._is_quiet(works) and all(self.is_orphan(s) for s in self.live()):
            await self._until_quiet(works, self.faults.ends_s + VISIBILITY_S + ALL_DONE_S)
        if self._is_quiet(works):
            self.quiet_s = self._loop.time()
            # Wake-ups and answers that arrive later must not change anything.
            await asyncio.sleep(LINGER_S)
        self.unfinished = sum(not work.done() for work in works)
        for work in works:
            if work.done() and (error := work.exception()) is not None:
                raise error

    @property
    def skewed(self) -> bool:
        """Whether a clock was wrong at any time."""
        return self.faults.happened["skew"] > 0

    @property
    def set_back_s(self) -> float:
        """By how much the clock of one process was set back, at most."""
        return max((process.wall.set_back_ms for process in self.processes), default=0) / 1000

    def lag_s(self) -> float:
        """How old a row may be that is read as it was a moment ago."""
        return max(0.0, self.memory_chance.random() - 0.5)

    def live(self) -> list[str]:
        """The steps that have not settled, or owe something to hooks."""
        return [step.id for step in self.truth.rows.values() if not step.is_settled or step.owes]

    def any_process(self) -> Process:
        """The process for the next request. Raises ProcessDied if none is running."""
        there = [process for process in self.processes if process.ready]
        if not there:
            raise ProcessDied
        return there[int(self.chance.random() * len(there))]

    def crashed(self, process: Process) -> None:
        """The process dies, and another one is started after a while."""
        if process.dead:
            return
        process.crash()
        self.processes.remove(process)
        self._loop.call_later(0.2 + 2 * self.chance.random(), self._begin_process)

    def next_moment(self) -> Moment:
        """The moment of the next operation at which its process dies, if it does."""
        if self._crashes is not None:
            self.points += 1
            if self.points in self._crashes:
                self.faults.note("crash")
            return self._crashes.get(self.points, "")
        if self.faults.strike("crash", self._loop.time()):
            return _MOMENTS[int(self.chance.random() * 3)]
        return ""

    def registry(self) -> OpenRegistry:
        """The clients that all processes read."""
        return registry_of(self.scenario)

    def may_lose(self, step_id: str) -> bool:
        """Whether a step's wake-up may be lost: a waiter sends it again; for other steps, SQS keeps it.

        A settled row that owes something to hooks is swept, except for that of an event.
        """
        if step_id in self._unswept:
            return False
        rows = self.truth.rows
        root, step = rows.get(keys.root_of(keys.run_of(step_id))), rows.get(step_id)
        owes = step is not None and step.is_settled and bool(step.owes)
        return owes or (root is not None and not root.is_settled)

    def note_error(self, error: BaseException) -> None:
        """Record the error that ended a task of a process."""
        if not isinstance(error, StoreUnavailable | Refusal):
            self.observed.wrong.append(f"a task failed: {error!r}")

    def _begin_process(self) -> None:
        skew_ms = self.scenario.skew_ms if self._loop.time() < self.faults.ends_s else 0
        offset_ms = round((2 * self.chance.random() - 1) * skew_ms)
        if offset_ms:
            self.faults.note("skew")
        process = Process(self, self._started, offset_ms)
        self._started += 1
        self.processes.append(process)
        process.start()

    def _plan_what_goes_wrong(self) -> None:
        for cut in self.scenario.cuts:
            if cut.at_s + cut.lasts_s < self.faults.ends_s:
                self._loop.call_later(cut.at_s, self._cut, cut.process, frozenset({cut.link}))
                self._loop.call_later(cut.at_s + cut.lasts_s, self._cut, cut.process, frozenset())
        if self.scenario.set_back_s is not None:
            self._loop.call_later(min(self.scenario.set_back_s, self.faults.ends_s), self._set_back)
        self._loop.call_later(self.faults.ends_s, self._set_right)

    def _cut(self, number: int, links: frozenset[str]) -> None:
        if number < len(self.processes):
            self.processes[number].cut_off = links
            self.faults.note("cut off")

    def _set_back(self) -> None:
        for process in self.processes:
            process.wall.set_to(process.wall.offset_ms - round(self.chance.random() * 120_000))
            self.faults.note("skew")

    def _set_right(self) -> None:
        for process in self.processes:
            process.wall.set_to(0)
            process.cut_off = frozenset()

    async def _until_quiet(self, works: list[asyncio.Task[None]], until_s: float) -> None:
        pause_s = 0.25
        while not self._is_quiet(works) and self._loop.time() < until_s:
            await asyncio.sleep(pause_s)
            pause_s = min(1.3 * pause_s, 5.0)

    def _is_quiet(self, works: list[asyncio.Task[None]]) -> bool:
        return all(work.done() for work in works) and not self.live()

    def is_orphan(self, step_id: str) -> bool:
        """Whether its run, or the one that started this, has ended, on a runtime that lists only roots."""
        root = self.truth.rows.get(keys.root_of(keys.run_of(step_id)))
        if not self.scenario.on_aws or root is None:
            return False
        started_by = root.spec.started_by
        return root.is_settled or (started_by is not None and self.is_orphan(started_by))


def faults_of(scenario: Scenario) -> Faults:
    """The random faults of a scenario."""
    return Faults(random.Random(f"faults {scenario.seed}"), calm=scenario.calm)


def without_faults(scenario: Scenario) -> Scenario:
    """The same runs on the same runtime, without planned faults."""
    return replace(scenario, skew_ms=0, set_back_s=None, cuts=())
