"""Processes that run the engine: several on AWS, one embedded.

They may die at any await, and are replaced.
"""

import asyncio
import math
from collections import Counter, defaultdict
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar, cast

from atomic.adapters.aws.sqs import AGAIN_AFTER_S, DELAY_MAX_S, SCHEDULED_FROM_MS
from atomic.adapters.memory.wakeups import MemoryNotifier
from atomic.adapters.system import SteadyClock
from atomic.application.admission import Admission
from atomic.application.bulk import do_bulk
from atomic.application.engine import Engine, Settings
from atomic.application.maintenance import Walk, sweep_client, sweep_schedules
from atomic.application.ports import Clock, Notifier, StoreUnavailable, WakeupQueue
from atomic.application.process_wakeup import _is_spare, process_wakeup
from atomic.application.server_store import ServerStore
from atomic.application.sweep import recover
from atomic.protocol import keys
from atomic.runtime.driver import HORIZON_MS, Driver
from atomic.runtime.polling import PollingNotifier
from atomic.testing.local import SeededEntropy
from atomic.testing.virtual_time import EPOCH_MS
from atomic.testing.watching import SilentTelemetry
from simulation.network import (
    Crowds,
    EmbeddedWakeups,
    Moment,
    ProcessInvoker,
    ProcessRoots,
    ProcessStore,
    SqsWakeups,
    usual_latency_s,
)
from simulation.pausing import ended_rests
from simulation.workflow_pausing import clients_of

if TYPE_CHECKING:
    from simulation.world import World

T = TypeVar("T")

SWEEP_EVERY_S: Final = 300.0
VISIBILITY_S: Final = 5_400.0
BATCHING_WINDOW_S: Final = 20.0
# Handlers wait for 1 to 800 ms, so that some first attempts are made inline and others by an invoker.
_AWS: Final = Settings(inline_attempt_max_ms=20_000, inline_wait_min_ms=100)
_EMBEDDED: Final = Settings()


def _elapsed_ms() -> float:
    return asyncio.get_running_loop().time() * 1000


# The walk has no part with keys of flow control: `flow_world` is about these.
_NO_KEYS: Any = None


class ProcessDied(ConnectionError):
    """The connection is lost because the process at its other end died."""


class SkewedClock:
    """The clock of one process, which may be wrong."""

    def __init__(self, offset_ms: int) -> None:
        self.offset_ms = offset_ms
        self.set_back_ms = 0
        self._loop = asyncio.get_running_loop()

    def set_to(self, offset_ms: int) -> None:
        """Set the clock."""
        self.set_back_ms += max(0, self.offset_ms - offset_ms)
        self.offset_ms = offset_ms

    def now_ms(self) -> int:
        """Milliseconds since the epoch."""
        return EPOCH_MS + round(self._loop.time() * 1000) + self.offset_ms

    def wall_ms(self) -> int:
        """The same."""
        return self.now_ms()


class Process:
    """One engine with its own memory, clock and connections to the store, the queue and the endpoints."""

    def __init__(self, world: "World", number: int, offset_ms: int) -> None:
        self.world = world
        self.on_aws = world.scenario.on_aws
        self.dead = False
        self.died_s: float | None = None
        self.ready = self.on_aws
        self.cut_off: frozenset[str] = frozenset()
        self.wall = SkewedClock(offset_ms)
        self.clock: Clock = self.wall if self.on_aws else SteadyClock(self.wall.now_ms, _elapsed_ms)
        # In the order in which they began. That of a set would depend on addresses in memory, and so would
        # everything that happens after a crash.
        self._tasks: dict[asyncio.Task[Any], None] = {}
        self._busy: Counter[str] = Counter()
        self._loop = asyncio.get_running_loop()
        self._chance = world.chance
        self.engine = self._wire(number)

    def _wire(self, number: int) -> Engine:
        queue: WakeupQueue
        notifier: Notifier
        # It passes the calls on that the use cases make.
        self._store = cast("ServerStore", ProcessStore(self))
        if self.on_aws:
            queue, notifier = SqsWakeups(self), PollingNotifier(lambda run_id: run_id in self._busy)
        else:
            queue, notifier = EmbeddedWakeups(self, self.clock, HORIZON_MS), MemoryNotifier()
        return Engine(
            store=self._store,
            queue=queue,
            invoker=ProcessInvoker(self),
            own=do_bulk,
            notifier=notifier,
            clients=clients_of(self.world),
            telemetry=SilentTelemetry(),
            clock=self.clock,
            entropy=SeededEntropy(self.world.scenario.seed * 100 + number),
            spawn=self._spawn,
            settings=_AWS if self.on_aws else _EMBEDDED,
            admission=Admission(
                destinations=Crowds(self, number) if self.world.scenario.crowded else None,
                adaptive=self.world.server.adaptive(),
            ),
        )

    def start(self) -> None:
        """Start the process."""
        self.run(self._keep_house_on_aws() if self.on_aws else self._begin_embedded())

    def run(self, work: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
        """Run a task of the process, which ends when the process dies."""
        task = self._loop.create_task(work)
        self._tasks[task] = None
        task.add_done_callback(self._ended)
        return task

    async def serve(self, work: Coroutine[Any, Any, T], *, patience_s: float | None = None) -> T:
        """Answer a request. Raises ProcessDied, and TimeoutError for a caller whose patience is over."""
        task = self.run(work)
        await asyncio.wait((task,), timeout=patience_s)
        if not task.done():
            raise TimeoutError
        if task.cancelled():
            raise ProcessDied
        return task.result()

    def crash(self) -> None:
        """Die at once: running tasks stop where they are, without cleanup."""
        self.dead = True
        self.died_s = self._loop.time()
        if self.engine.admission.adaptive is not None:
            self.engine.admission.adaptive.stop()
        for task in list(self._tasks):
            task.cancel()

    def die(self) -> NoReturn:
        """Die at this point."""
        self.world.crashed(self)
        raise asyncio.CancelledError

    def die_soon(self, delay_s: float) -> None:
        """Die a moment later, whatever is running then."""
        self._loop.call_later(delay_s, self.world.crashed, self)

    def next_moment(self) -> Moment:
        """At which moment of the operation that begins now the process dies, if it does."""
        if self.dead:
            raise asyncio.CancelledError
        return self.world.next_moment()

    def strike(self, name: str) -> bool:
        """Whether this fault happens now."""
        return self.world.faults.strike(name, self._loop.time())

    def note_trouble(self, step_id: str) -> None:
        """A write of the step, or a message before it, had a fault."""
        self.world.observed.troubled_s[step_id].append(self._loop.time())

    def some_s(self, most_s: float) -> float:
        """A duration."""
        return self._chance.random() * most_s

    def latency_s(self) -> float:
        """How long half a round trip takes."""
        return usual_latency_s(self._chance.random())

    def _spawn(self, work: Coroutine[Any, Any, None], *, step_id: str) -> None:
        run_id = keys.run_of(step_id)
        self._busy[run_id] += 1
        self.run(work).add_done_callback(lambda _: self._at_rest(run_id))

    def _at_rest(self, run_id: str) -> None:
        self._busy[run_id] -= 1
        if not self._busy[run_id]:
            del self._busy[run_id]

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.pop(task, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.world.note_error(error)

    async def _begin_embedded(self) -> None:
        while True:
            with suppress(StoreUnavailable):
                await recover(self.engine, self._store)
                break
            await asyncio.sleep(1)
        assert isinstance(self.engine.queue, EmbeddedWakeups)
        self.ready = True
        driver = Driver(self.engine, self.engine.queue, self._store)
        driver.start()
        self._tasks.update(dict.fromkeys(driver._loops))

    async def _keep_house_on_aws(self) -> None:
        await asyncio.sleep(self.some_s(SWEEP_EVERY_S) if self.world.faults.happened else SWEEP_EVERY_S)
        last_ms = 0
        while True:
            now_ms = self.clock.now_ms()
            walk = Walk(client_id="all", began_ms=now_ms, last_began_ms=last_ms, left={"roots": ""})
            with suppress(StoreUnavailable):
                await sweep_client(self.engine, ProcessRoots(self), _NO_KEYS, walk, lambda: True)
                await sweep_schedules(self.engine, ProcessStore(self), walk)
                last_ms = now_ms
            await asyncio.sleep(SWEEP_EVERY_S)


@dataclass(slots=True, eq=False)
class Message:
    """A message in a queue: its step, its time, and how often it was received."""

    step_id: str
    at_ms: int
    put_s: float
    is_watchdog: bool
    receives: int = 0

    @property
    def was_overdue(self) -> bool:
        """Whether its time was over when it was sent."""
        return self.at_ms < EPOCH_MS + round(1000 * self.put_s)


class Sqs:
    """The queue of an AWS runtime, which survives every process."""

    def __init__(self, world: "World") -> None:
        self.wrong: list[str] = []
        self._world = world
        self._loop = asyncio.get_running_loop()
        self._some = world.chance.random
        self._under_way: defaultdict[str, list[Message]] = defaultdict(list)
        self._in_hand: Counter[str] = Counter()
        self._lost: set[str] = set()
        self._doubled: Counter[str] = Counter()

    def put(self, step_id: str, at_ms: int, wait_s: float, *, is_watchdog: bool) -> None:
        """Accept a message. A watchdog is delivered with others, after a while."""
        wait_s = min(wait_s, DELAY_MAX_S) if wait_s < SCHEDULED_FROM_MS / 1000 else wait_s
        strike, now_s = self._world.faults.strike, self._loop.time()
        row = self._world.truth.rows.get(step_id)
        # Two processes send the same in the same millisecond, and one of them is about to lose the race. Or
        # several posts tell of a step at once, and each of them makes sure that it has a wake-up.
        apart_s = math.inf if row is not None and row.has_no_wakeup else 0.002
        if any(m.at_ms == at_ms and now_s - m.put_s < apart_s for m in self._under_way[step_id]):
            self._doubled[step_id] += 1
        if strike("wake-up lost", now_s) and self._world.may_lose(step_id):
            self._lost.add(step_id)
            return
        if strike("wake-up twice", now_s):
            self._doubled[step_id] += 1
            self._later(wait_s + 20 * self._some(), Message(step_id, at_ms, now_s, is_watchdog))
        if strike("wake-up late", now_s):
            wait_s += 60 * self._some()
        elif strike("wake-up early", now_s):
            wait_s *= self._some()
        wait_s += BATCHING_WINDOW_S if is_watchdog else 0
        self._later(wait_s, Message(step_id, at_ms, now_s, is_watchdog))

    def under_way(self, step_id: str) -> Sequence[Message]:
        """The messages that are not delivered yet."""
        return self._under_way[step_id]

    def check(self, step_id: str) -> None:
        """A live step that somebody was told of has a wake-up: in the queue, or with a receiver.

        Steps are excepted whose wake-up the queue lost against its promise, and roots whose wake-up came
        early by a wrong clock: both are swept.
        """
        step = self._world.truth.rows.get(step_id)
        if not self._world.scenario.on_aws or step is None or step.due_at_ms is None:
            return
        if step_id in self._lost or (step.is_root and self._world.faults.happened["skew"]):
            return
        is_told = (step_id, step.generation) in self._world.observed.told_live
        if is_told and not (self._under_way[step_id] or self._in_hand[step_id]):
            self.wrong.append(f"{step_id} is {step.status} and has no wake-up at {self._loop.time():.3f}")

    def _later(self, wait_s: float, message: Message) -> None:
        self._under_way[message.step_id].append(message)
        self._loop.call_later(wait_s, self._deliver, message)

    def _deliver(self, message: Message) -> None:
        receivers = [p for p in self._world.processes if not p.dead and "queue" not in p.cut_off]
        if not receivers:
            self._loop.call_later(1.0, self._deliver, message)
            return
        self._count(message.step_id)
        self._under_way[message.step_id].remove(message)
        self._in_hand[message.step_id] += 1
        message.receives += 1
        process = receivers[int(self._some() * len(receivers))]
        process._spawn(self._take(process, message), step_id=message.step_id)

    async def _take(self, process: Process, message: Message) -> None:
        done = False
        try:
            is_first = message.receives == 1
            await process_wakeup(
                process.engine,
                message.step_id,
                message.at_ms if is_first else None,
                only_looks=message.is_watchdog,
            )
            done = True
        finally:
            if not done:
                # The message is not deleted. A live receiver makes it visible again soon; otherwise it
                # stays hidden for long.
                again_s = min(AGAIN_AFTER_S * 2 ** (message.receives - 1), DELAY_MAX_S)
                self._doubled[message.step_id] += 1
                self._later(VISIBILITY_S if process.dead else again_s, message)
            self._in_hand[message.step_id] -= 1
            self.check(message.step_id)

    def _count(self, step_id: str) -> None:
        """A step has at most two wake-ups that are not spare, apart from those that the queue duplicated.

        An unconfirmed one may be sent twice. Each process that finds a step overdue sends one that is due
        at once; the queue may be late with it, too. Each request to make it due or to redrive it sends one,
        and so does the end of each rest.
        """
        step = self._world.truth.rows.get(step_id)
        if step is None or step.due_at_ms is None or step.attempt_count == 0:
            return
        now_ms = EPOCH_MS + round(1000 * self._loop.time())
        if step.due_at_ms <= now_ms or self._world.faults.happened["skew"]:
            return
        messages = [m for m in self._under_way[step_id] if not m.was_overdue]
        own = [m for m in messages if not _is_spare(step, m.at_ms)]
        observed = self._world.observed
        sent_again = self._doubled[step_id] + len(observed.troubled_s[step_id])
        sent_again += len(observed.made_due[step_id]) + observed.redrives[keys.run_of(step_id)]
        if step.spec.retry.then_pauses:
            # Its end pauses the run, and is repeated when the root's row cannot be written.
            sent_again += len(observed.troubled_s[keys.root_of(step.spec.run_id)])
        if len(own) > 2 + sent_again + ended_rests(self._world.truth.history, step_id):
            self.wrong.append(f"{step_id}: {len(own)} wake-ups are under way, {sent_again} sent again")
