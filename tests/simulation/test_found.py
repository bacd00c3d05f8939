"""What the seeds found in the engine, each as the smallest case that shows it."""

import asyncio
from collections.abc import Awaitable, Coroutine
from contextlib import suppress
from dataclasses import replace
from typing import Any

from atomic.adapters.memory.queue import MemoryHintQueue
from atomic.adapters.memory.store import MemoryStepStore
from atomic.application.attempts import end_attempt
from atomic.application.drive import drive
from atomic.application.engine import Engine
from atomic.application.ports import StoreUnavailable
from atomic.application.redrive import redrive_step
from atomic.application.start import start
from atomic.application.waiting import watch
from atomic.domain.outcomes import Answer
from atomic.domain.steps import Attempt, Status, Step
from atomic.domain.transitions import begin
from atomic.protocol import headers, keys
from atomic.testing import LocalAtomic, run
from atomic.testing.virtual_time import EPOCH_MS
from contract.queue_contract import hint
from simulation.network import _refusal
from simulation.scenario import Node, RunPlan

CHILD = Node(name="child")
PLAN = RunPlan(
    workflow="w", key="k", root=Node(name="root", stages=((CHILD,),)), manners=("throws",), hang_ms=1
)
SPEC, CHILD_SPEC = PLAN.spec(PLAN.root, None), PLAN.spec(CHILD, None).below_root()
ROOT_ID = keys.root_of(PLAN.run_id)


class Hints:
    """A queue that only notes what is sent."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, int]] = []
        self.letters: list[str] = []
        self.refuses_letters = False

    def send(self, step_id: str, at_ms: int, *, client_id: str, attempt_ms: int | None) -> Awaitable[None]:
        self.sent.append((step_id, at_ms))
        return MemoryHintQueue._ACKNOWLEDGED

    def dead_letter(self, step_id: str, reason: str) -> Awaitable[None]:
        if self.refuses_letters:
            return _refusal()
        self.letters.append(step_id)
        return MemoryHintQueue._ACKNOWLEDGED


class Case:
    """An engine over rows as a crash may have left them."""

    def __init__(self, *rows: Step) -> None:
        self.store = MemoryStepStore()
        self.store._rows = {row.id: row for row in rows}
        self.hints = Hints()

    def engine(self) -> Engine:
        return replace(LocalAtomic(store=self.store).engine, queue=self.hints)

    def play(self, work: Coroutine[Any, Any, Any]) -> None:
        run(work)

    def row(self, step_id: str) -> Step:
        return self.store._rows[step_id]


def running(**changes: Any) -> Step:
    return replace(begin(CHILD_SPEC, CHILD_SPEC.identity, EPOCH_MS, "nonce"), **changes)


def waiting_root(**changes: Any) -> Step:
    root = begin(SPEC, keys.ROOT, EPOCH_MS, "nonce")
    return replace(root, status=Status.WAITING, waiting_for=(running().id,), nonce=None, **changes)


def test_whoever_attaches_during_the_first_attempt_sends_its_hint() -> None:
    row = running(due_at_ms=EPOCH_MS + 5_000)
    case = Case(waiting_root(), row)

    async def attach() -> None:
        await start(case.engine(), CHILD_SPEC, hang_ms=0)

    case.play(attach())

    # The tries to create it have sent hints as well, but for moments of rows that never were.
    assert case.hints.sent[-1] == (row.id, row.due_at_ms)


def test_who_waits_for_an_overdue_step_sends_its_hint() -> None:
    case = Case(waiting_root(), running(due_at_ms=EPOCH_MS - 1))

    async def look() -> None:
        await watch(case.engine(), case.row(ROOT_ID))

    case.play(look())

    assert case.hints.sent == [(running().id, EPOCH_MS - 1)]


def test_an_early_hint_of_an_older_state_is_spare_while_an_attempt_runs() -> None:
    case, due_at_ms = Case(running()), running().due_at_ms

    async def take(hinted_at_ms: int | None) -> None:
        await drive(case.engine(), running().id, hinted_at_ms)

    case.play(take(EPOCH_MS))
    assert case.hints.sent == []
    # It may have been sent because nobody knew whether the hint for the end of the lease had gone out.
    case.play(take(EPOCH_MS + 1_000))
    assert case.hints.sent.pop() == (running().id, due_at_ms)
    case.play(take(due_at_ms))
    case.play(take(None))
    assert case.hints.sent == [(running().id, due_at_ms)] * 2


def test_a_hint_of_a_settled_step_wakes_only_who_waits_for_it() -> None:
    settled = running(status=Status.SUCCEEDED, due_at_ms=None, waiters=(ROOT_ID,))
    for waiting_for, status in (((settled.id,), Status.PENDING), (("another",), Status.WAITING)):
        case = Case(replace(waiting_root(), waiting_for=waiting_for), settled)

        async def take(case: Case = case) -> None:
            await drive(case.engine(), settled.id)

        case.play(take())
        assert case.row(ROOT_ID).status is status


def test_a_redrive_that_broke_off_is_finished_by_the_next() -> None:
    case = Case(waiting_root(), running(generation=2))
    case.store._rows[ROOT_ID] = replace(waiting_root(), status=Status.FAILED, waiting_for=())

    async def again() -> None:
        await redrive_step(case.engine(), case.row(running().id))

    case.play(again())

    assert (case.row(ROOT_ID).generation, case.row(running().id).generation) == (2, 2)


def test_an_end_that_was_decided_before_an_attempt_and_seen_after_it_is_missed() -> None:
    tries = (Attempt(number=1, generation=1, started_at_ms=EPOCH_MS - 50),)
    tries += (Attempt(number=2, generation=1, started_at_ms=EPOCH_MS),)
    root = replace(begin(SPEC, keys.ROOT, EPOCH_MS, "n"), attempt=2, attempts=tries)
    strict = replace(root, spec=replace(SPEC, retry=replace(SPEC.retry, count=0)))
    child = running(status=Status.SUCCEEDED, due_at_ms=None, finished_at_ms=EPOCH_MS - 10)
    case = Case(strict, child)

    async def suspend() -> None:
        answer = Answer(status=202, headers={headers.WAITING_FOR: child.id})
        await end_attempt(case.engine(), strict, answer)

    case.play(suspend())

    assert case.row(ROOT_ID).status is Status.PENDING


LAST = replace(running(), spec=replace(CHILD_SPEC, retry=replace(CHILD_SPEC.retry, count=0)))


async def _give_up(case: Case) -> None:
    """The attempt of `LAST` ends without success."""
    with suppress(StoreUnavailable):
        await end_attempt(case.engine(), LAST, Answer(status=500))


def test_a_step_gives_up_only_when_its_dead_letter_is_out() -> None:
    case = Case(waiting_root(), LAST)
    case.hints.refuses_letters = True
    case.play(_give_up(case))
    assert case.row(LAST.id).status is Status.RUNNING
    assert [step_id for step_id, _ in case.hints.sent] == [LAST.id]
    case.hints.refuses_letters = False
    case.play(_give_up(case))
    assert case.row(LAST.id).status is Status.FAILED
    assert case.hints.letters == [LAST.id]


def test_a_step_that_was_cancelled_meanwhile_leaves_no_dead_letter() -> None:
    cancelled = replace(LAST, status=Status.CANCELLED, due_at_ms=None, nonce=None, version=2)
    case = Case(waiting_root(), cancelled)
    case.play(_give_up(case))
    assert case.row(cancelled.id).status is Status.CANCELLED
    assert case.hints.letters == []


class StrayingClock:
    """The loop's clock, set back for a while."""

    def __init__(self) -> None:
        self.offset_ms = -60_000

    def now_ms(self) -> int:
        return round(asyncio.get_running_loop().time() * 1000) + self.offset_ms

    def wall_ms(self) -> int:
        return self.now_ms()


def test_a_clock_that_is_set_right_wakes_the_driver() -> None:
    async def receive() -> float:
        clock = StrayingClock()
        queue = MemoryHintQueue(clock, horizon_ms=120_000)
        await hint(queue, "step", 0)
        queue._horizon_ms = 2_000
        asyncio.get_running_loop().call_later(1, setattr, clock, "offset_ms", 0)
        await queue.receive()
        return asyncio.get_running_loop().time()

    assert run(receive()) <= 2
