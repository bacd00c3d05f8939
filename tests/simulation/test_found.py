"""Faults that the simulation found in the engine, each as the smallest test that shows it."""

import asyncio
from collections.abc import Awaitable, Coroutine
from contextlib import suppress
from dataclasses import replace
from itertools import count
from typing import Any

import pytest

from atomic.adapters.memory.store import MemoryStepStore
from atomic.adapters.memory.wakeups import MemoryWakeupQueue
from atomic.application.attempts import end_attempt
from atomic.application.commit import commit
from atomic.application.engine import Engine
from atomic.application.ports import StoreUnavailable
from atomic.application.process_wakeup import process_wakeup
from atomic.application.rechecking import recheck
from atomic.application.redrive import redrive_step
from atomic.application.results import post_result
from atomic.application.start import start
from atomic.domain.events import Cancelled, ResultPosted, Woken
from atomic.domain.outcomes import EndpointResponse, NotMade, StepError, StoredBody
from atomic.domain.steps import Attempt, Step
from atomic.domain.transitions import LOOK_AGAIN_MS, begin
from atomic.protocol import headers, keys
from atomic.protocol.enums import OutcomeKind, Status
from atomic.protocol.error_kinds import ErrorKind
from atomic.testing import LocalAtomic, run
from atomic.testing.virtual_time import EPOCH_MS
from contract.queue_contract import wakeup
from simulation.network import _refusal
from simulation.scenario import Node, RunPlan

CHILD = Node(name="child")
PLAN = RunPlan(
    workflow="w", key="k", root=Node(name="root", stages=((CHILD,),)), manners=("raises",), wait_ms=1
)
SPEC, CHILD_SPEC = PLAN.spec(PLAN.root, None), PLAN.spec(CHILD, None).below_root()
ROOT_ID = keys.root_of(PLAN.run_id)


class Wakeups:
    """A queue that only records what is sent."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, int]] = []
        self.letters: list[str] = []
        self.refuses_letters = False

    def send(self, step_id: str, at_ms: int, **_: Any) -> Awaitable[None]:
        self.sent.append((step_id, at_ms))
        return MemoryWakeupQueue._ACKNOWLEDGED

    def dead_letter(self, step_id: str, reason: str) -> Awaitable[None]:
        if self.refuses_letters:
            return _refusal()
        self.letters.append(step_id)
        return MemoryWakeupQueue._ACKNOWLEDGED


class Case:
    """An engine on rows as a crash may have left them."""

    def __init__(self, *rows: Step) -> None:
        self.store = MemoryStepStore()
        self.store._rows = {row.id: row for row in rows}
        self.wakeups = Wakeups()

    def engine(self) -> Engine:
        return replace(LocalAtomic(store=self.store).engine, queue=self.wakeups)

    def play(self, work: Coroutine[Any, Any, Any]) -> None:
        run(work)

    def row(self, step_id: str) -> Step:
        return self.store._rows[step_id]


def running(**changes: Any) -> Step:
    return replace(begin(CHILD_SPEC, CHILD_SPEC.identity, EPOCH_MS, "nonce"), **changes)


def waiting_root(**changes: Any) -> Step:
    ended = Attempt(number=1, generation=1, started_at_ms=EPOCH_MS, outcome=OutcomeKind.SUSPENDED)
    waiting = {
        "status": Status.WAITING,
        "waiting_for": (running().id,),
        "nonce": None,
        "attempt_log": (ended,),
    }
    return replace(begin(SPEC, keys.ROOT, EPOCH_MS, "nonce"), **{**waiting, **changes})


def waiting_child(**changes: Any) -> Step:
    waiting = {
        "status": Status.WAITING,
        "nonce": None,
        "waiting_for": ("x",),
        "due_at_ms": EPOCH_MS + 60_000,
    }
    return running(**{**waiting, **changes})


def test_attaching_during_the_first_attempt_sends_its_wakeup() -> None:
    row = running(due_at_ms=EPOCH_MS + 5_000)
    case = Case(waiting_root(), row)

    async def attach() -> None:
        await start(case.engine(), CHILD_SPEC, wait_ms=0)

    case.play(attach())

    # The attempts to create it have sent wake-ups as well, but for the times of rows that were never
    # written.
    assert case.wakeups.sent[-1] == (row.id, row.due_at_ms + 1)


def test_attaching_to_a_redriven_step_sends_its_wakeup() -> None:
    """The redrive's own wake-up overtook its write, and its process ended before it sent another one.

    The process that attaches has a clock that is behind, so the step is not overdue.
    """
    failed = Attempt(number=1, generation=1, started_at_ms=EPOCH_MS, outcome=OutcomeKind.PERMANENT)
    due_at_ms = EPOCH_MS + 3_000
    row = running(
        status=Status.PENDING, nonce=None, generation=2, attempt_log=(failed,), due_at_ms=due_at_ms
    )
    case = Case(waiting_root(), row)

    async def attach() -> None:
        await start(case.engine(), CHILD_SPEC, wait_ms=1_000)

    case.play(attach())
    assert (row.id, due_at_ms) in case.wakeups.sent


def test_a_recheck_sends_the_wakeup_of_an_overdue_step() -> None:
    case = Case(waiting_root(), running(due_at_ms=EPOCH_MS - 1))

    async def look_again() -> None:
        await recheck(case.engine(), case.row(ROOT_ID), again=True)

    case.play(look_again())

    assert case.wakeups.sent == [(running().id, EPOCH_MS - 1)]


async def _take(case: Case, wakeup_at_ms: int | None) -> None:
    await process_wakeup(case.engine(), running().id, wakeup_at_ms)


def _sent(case: Case, wakeup_at_ms: int | None) -> list[tuple[str, int]]:
    """What is sent when a wake-up for that time arrives now."""
    case.wakeups.sent.clear()
    case.play(_take(case, wakeup_at_ms))
    return case.wakeups.sent


def test_an_early_wakeup_is_spare_unless_it_is_for_the_moment_at_which_the_step_is_due() -> None:
    retried = running(status=Status.RETRYING, nonce=None, attempt_count=2, due_at_ms=EPOCH_MS + 60_000)
    for row in (retried, replace(retried, status=Status.PENDING), waiting_child(attempt_count=2)):
        case, due_at_ms = Case(row), row.due_at_ms
        assert due_at_ms is not None
        for other_ms in (EPOCH_MS, due_at_ms - 1, due_at_ms + 1, running().due_at_ms):
            assert _sent(case, other_ms) == []
        # A redelivered wake-up may be the only one, because its earlier receiver may have died.
        for its_own_ms in (due_at_ms, None):
            assert _sent(case, its_own_ms) == [(row.id, due_at_ms)]


class SetBack:
    """A clock that is set back by a millisecond after it was read once, or a few times."""

    def __init__(self, reads: int) -> None:
        self._left = reads

    def now_ms(self) -> int:
        self._left -= 1
        return EPOCH_MS + (0 if self._left >= 0 else -1)

    wall_ms = now_ms


@pytest.mark.parametrize(
    "row",
    [
        running(status=Status.PENDING, nonce=None, attempt_count=0, attempt_log=(), due_at_ms=EPOCH_MS),
        running(due_at_ms=EPOCH_MS),
        running(due_at_ms=EPOCH_MS, answer_by_ms=EPOCH_MS),
        waiting_child(due_at_ms=EPOCH_MS),
    ],
    ids=["pending", "lost", "unanswered", "waiting"],
)
def test_a_step_that_is_due_has_a_wakeup_after_its_clock_was_set_back(row: Step) -> None:
    for reads in range(1, 8):
        case = Case(begin(SPEC, keys.ROOT, EPOCH_MS, "nonce"), row, replace(running(), id="x"))

        async def take(case: Case = case, reads: int = reads) -> None:
            await process_wakeup(replace(case.engine(), clock=SetBack(reads)), row.id, row.due_at_ms)

        case.play(take())
        after = case.row(row.id)
        again_ms = max(0, *(at_ms for _, at_ms in case.wakeups.sent))
        assert after.is_settled or again_ms >= (after.due_at_ms or 0), reads


def test_a_step_that_was_deferred_too_late_has_a_wakeup() -> None:
    """Other writers hold the write up until the time to which the step is deferred is over."""
    row = running(status=Status.PENDING, nonce=None, attempt_count=0, attempt_log=(), due_at_ms=EPOCH_MS)
    case = Case(begin(SPEC, keys.ROOT, EPOCH_MS, "nonce"), row)
    write = case.store.replace

    async def comes_late(step: Step, expected_version: int) -> Step | None:
        case.store.replace = write  # type: ignore[method-assign]
        await asyncio.sleep(600)
        await write(replace(row, version=row.version + 1, waiters=(ROOT_ID,)), row.version)
        return await write(step, expected_version)

    async def take() -> None:
        engine = case.engine()
        case.store.replace = comes_late  # type: ignore[method-assign]
        engine.admission.permit = no_permit  # type: ignore[method-assign]
        await process_wakeup(engine, row.id, row.due_at_ms)

    async def no_permit(_spec: Any) -> None:
        return None

    case.play(take())
    # Not at once: nothing but the pause bounds how often a step is found that nothing changes.
    assert case.wakeups.sent[-1] == (row.id, EPOCH_MS + 600_000 + LOOK_AGAIN_MS)


def test_after_the_first_attempt_the_wakeup_of_its_lease_is_not_spare() -> None:
    """The process of the first attempt held no wake-up, and may have died before it sent one."""
    row = waiting_child(attempt_count=1)
    assert _sent(Case(row), running().due_at_ms) == [(row.id, row.due_at_ms)]
    assert _sent(Case(row), EPOCH_MS + 1) == []


def test_a_wakeup_of_a_settled_step_wakes_only_its_waiters() -> None:
    settled = running(status=Status.SUCCEEDED, due_at_ms=None, waiters=(ROOT_ID,))
    before, after = (replace(settled, finished_at_ms=EPOCH_MS + moment) for moment in (-1, 0))
    for row, waiting_for, status in (
        (before, (settled.id,), Status.PENDING),
        (before, ("another",), Status.WAITING),
        # It was told of several steps, and its row names only the first.
        (after, ("another",), Status.PENDING),
    ):
        case = Case(waiting_root(waiting_for=waiting_for), row)
        case.play(_take(case, None))
        assert case.row(ROOT_ID).status is status


def test_a_wakeup_of_a_settled_step_repeats_the_wakeup_of_its_waiters() -> None:
    settled = running(status=Status.SUCCEEDED, due_at_ms=None, waiters=(ROOT_ID,))
    overdue = waiting_root(status=Status.PENDING, waiting_for=(), due_at_ms=EPOCH_MS - 1)
    case = Case(overdue, settled)
    case.play(_take(case, None))
    assert case.wakeups.sent == [(ROOT_ID, EPOCH_MS - 1)]


async def _ask(case: Case) -> None:
    await start(case.engine(), CHILD_SPEC, wait_ms=10)


def test_telling_an_attempt_is_recorded_once() -> None:
    case = Case(begin(SPEC, keys.ROOT, EPOCH_MS, "nonce"), running())
    case.play(_ask(case))
    told = case.row(ROOT_ID)
    assert (told.told, case.row(running().id).waiters) == (running().id, (ROOT_ID,))
    case.play(_ask(case))
    assert case.row(ROOT_ID) is told


def test_a_step_that_settles_before_its_waiter_is_registered_is_not_told() -> None:
    case = Case(begin(SPEC, keys.ROOT, EPOCH_MS, "nonce"), running(awaited=True))
    settled = running(awaited=True, status=Status.SUCCEEDED, due_at_ms=None, version=2)
    write = case.store.replace

    async def settles_first(step: Step, expected_version: int) -> Step | None:
        case.store._rows[settled.id] = settled
        return await write(step, expected_version)

    case.store.replace = settles_first  # type: ignore[method-assign]
    case.play(_ask(case))
    assert case.row(ROOT_ID).told is None


def test_the_wakeup_of_the_lease_rechecks_after_a_crash_before_the_recheck() -> None:
    cut_off = Attempt(
        number=1, generation=1, started_at_ms=EPOCH_MS, error=StepError(ErrorKind.TIMED_OUT, "20000")
    )
    root = waiting_root(attempt_log=(cut_off,), waiting_for=(), due_at_ms=EPOCH_MS)
    case = Case(root, running(awaited=True))

    async def take() -> None:
        await process_wakeup(case.engine(), ROOT_ID)

    case.play(take())
    after = case.row(ROOT_ID)
    assert (after.status, after.waiting_for) == (Status.WAITING, (running().id,))
    assert case.row(running().id).waiters == (ROOT_ID,)
    # At the next call it knows nothing of the step.
    case.store._rows[ROOT_ID] = replace(after, due_at_ms=EPOCH_MS)
    case.play(take())
    assert case.row(ROOT_ID).status is Status.PENDING


def test_a_recheck_finds_a_step_that_settled_without_a_wakeup() -> None:
    """The process that settled it died before it woke the waiters, and the row names only another step."""
    told = Attempt(number=1, generation=1, started_at_ms=EPOCH_MS, outcome=OutcomeKind.RETRYABLE)
    other = replace(CHILD_SPEC, identity=CHILD_SPEC.identity[:8] + "0" * 24)
    named = begin(other, other.identity, EPOCH_MS, "nonce", awaited=True)
    settled = {"status": Status.SUCCEEDED, "due_at_ms": None, "awaited": True, "finished_at_ms": EPOCH_MS}
    for waiters, status in (((ROOT_ID,), Status.PENDING), ((), Status.WAITING)):
        root = waiting_root(attempt_log=(told,), waiting_for=(named.id,), due_at_ms=EPOCH_MS)
        case = Case(root, named, running(**settled, waiters=waiters))

        async def take(case: Case = case) -> None:
            await process_wakeup(case.engine(), ROOT_ID)

        case.play(take())
        assert case.row(ROOT_ID).status is status


def test_an_end_is_recorded_while_the_store_cannot_be_read() -> None:
    case = Case(waiting_root(), running(), LAST)

    async def unreadable(*_: Any, **__: Any) -> Any:
        raise StoreUnavailable("no reads today")

    for name in ("get", "outline", "children"):
        setattr(case.store, name, unreadable)
    case.play(_fail_last_attempt(case))
    assert case.row(LAST.id).status is Status.FAILED


def test_a_store_that_does_not_take_an_end_is_asked_again_while_the_lease_lasts() -> None:
    case = Case(waiting_root(), running())
    write, refused = case.store.replace, []

    async def sometimes(step: Step, expected_version: int) -> Step | None:
        if len(refused) < 5:
            refused.append(step)
            raise StoreUnavailable("not now")
        return await write(step, expected_version)

    case.store.replace = sometimes  # type: ignore[method-assign]

    async def succeed() -> None:
        await end_attempt(case.engine(), running(), EndpointResponse(status=200, body=b"1"))

    case.play(succeed())
    assert case.row(running().id).status is Status.SUCCEEDED


NOT_MADE = EndpointResponse(not_made=NotMade(StepError(ErrorKind.STORE_UNAVAILABLE)))


@pytest.mark.parametrize("answer", [NOT_MADE, EndpointResponse(status=500), EndpointResponse(status=200)])
def test_an_end_that_was_written_untold_is_told_though_its_row_has_changed_since(
    answer: EndpointResponse,
) -> None:
    """Its wake-ups are refused at first, and somebody registers on the row before the end is repeated."""
    row = running()
    case = Case(waiting_root(), row)
    write, refusals = case.store.replace, count()

    async def then_another_writes(step: Step, expected_version: int) -> Step | None:
        existing = await write(step, expected_version)
        if existing is None and step.version == row.version + 1:
            await write(replace(step, version=step.version + 1, waiters=(ROOT_ID,)), step.version)
            raise StoreUnavailable("no answer")
        return existing

    async def end() -> None:
        engine = case.engine()
        send = case.wakeups.send
        case.store.replace = then_another_writes  # type: ignore[method-assign]
        case.wakeups.send = lambda *a, **b: _refusal() if next(refusals) < 2 else send(*a, **b)  # type: ignore[method-assign]
        await end_attempt(engine, row, answer)

    case.play(end())
    after = case.row(row.id)
    assert row.id in {step_id for step_id, at_ms in case.wakeups.sent if at_ms >= (after.due_at_ms or 0)}


def test_an_interrupted_redrive_is_finished_by_the_next() -> None:
    case = Case(waiting_root(), running(generation=2))
    case.store._rows[ROOT_ID] = replace(waiting_root(), status=Status.FAILED, waiting_for=())

    async def again() -> None:
        await redrive_step(case.engine(), case.row(running().id))

    case.play(again())

    assert (case.row(ROOT_ID).generation, case.row(running().id).generation) == (2, 2)


def test_an_end_that_was_decided_before_an_attempt_and_seen_after_it_is_missed() -> None:
    tries = (Attempt(number=1, generation=1, started_at_ms=EPOCH_MS - 50),)
    tries += (Attempt(number=2, generation=1, started_at_ms=EPOCH_MS),)
    root = replace(begin(SPEC, keys.ROOT, EPOCH_MS, "n"), attempt_count=2, attempt_log=tries)
    strict = replace(root, spec=replace(SPEC, retry=replace(SPEC.retry, count=0)))
    child = running(status=Status.SUCCEEDED, due_at_ms=None, finished_at_ms=EPOCH_MS - 10)
    case = Case(strict, child)

    async def suspend() -> None:
        answer = EndpointResponse(status=202, headers={headers.WAITING_FOR: child.id})
        await end_attempt(case.engine(), strict, answer)

    case.play(suspend())

    assert case.row(ROOT_ID).status is Status.PENDING


@pytest.mark.parametrize("wake", ["any", "all", "settled"])
def test_an_end_that_results_did_not_show_yet_is_missed_by_many_attempts(wake: str) -> None:
    """On AWS, results may be older than several short attempts, each of which names what had ended."""
    child = running(status=Status.SUCCEEDED, due_at_ms=None, finished_at_ms=EPOCH_MS - 500)
    for age_ms, expected in ((40, Status.PENDING), (-1_000, Status.FAILED)):
        begun = [EPOCH_MS - age_ms - 10 * number for number in (3, 2, 1)]
        tries = tuple(Attempt(number=at + 1, generation=1, started_at_ms=ms) for at, ms in enumerate(begun))
        root = replace(begin(SPEC, keys.ROOT, EPOCH_MS, "n"), attempt_count=3, attempt_log=tries)
        strict = replace(root, spec=replace(SPEC, retry=replace(SPEC.retry, count=0)))
        case = Case(strict, child)

        async def suspend(case: Case = case, strict: Step = strict) -> None:
            named = {headers.WAITING_FOR: child.id, headers.WAKE: wake}
            await end_attempt(case.engine(), strict, EndpointResponse(status=202, headers=named))

        case.play(suspend())
        assert case.row(ROOT_ID).status is expected


LAST = replace(running(), spec=replace(CHILD_SPEC, retry=replace(CHILD_SPEC.retry, count=0)))


async def _fail_last_attempt(case: Case) -> None:
    """End the last attempt of `LAST` without success."""
    with suppress(StoreUnavailable):
        await end_attempt(case.engine(), LAST, EndpointResponse(status=500))


def test_a_step_fails_only_when_its_dead_letter_is_out() -> None:
    case = Case(waiting_root(), LAST)
    case.wakeups.refuses_letters = True
    case.play(_fail_last_attempt(case))
    assert case.row(LAST.id).status is Status.RUNNING
    assert {step_id for step_id, _ in case.wakeups.sent} == {LAST.id}
    case.wakeups.refuses_letters = False
    case.play(_fail_last_attempt(case))
    assert case.row(LAST.id).status is Status.FAILED
    assert case.wakeups.letters == [LAST.id]


def test_a_step_that_was_cancelled_meanwhile_leaves_no_dead_letter() -> None:
    cancelled = replace(LAST, status=Status.CANCELLED, due_at_ms=None, nonce=None, version=2)
    case = Case(waiting_root(), cancelled)
    case.play(_fail_last_attempt(case))
    assert case.row(cancelled.id).status is Status.CANCELLED
    assert case.wakeups.letters == []


def test_a_failure_to_wake_a_waiter_leaves_a_wakeup_for_the_settled_step() -> None:
    case = Case(waiting_root(), running(waiters=(ROOT_ID,)))
    read = case.store.get

    async def unreadable(step_id: str) -> Step | None:
        if step_id == ROOT_ID:
            raise StoreUnavailable("not now")
        return await read(step_id)

    case.store.get = unreadable  # type: ignore[method-assign]

    async def succeed() -> None:
        with suppress(StoreUnavailable):
            await commit(case.engine(), running(waiters=(ROOT_ID,)), Cancelled())

    case.play(succeed())
    assert case.row(running().id).is_settled
    assert case.wakeups.sent == [(running().id, EPOCH_MS + 1_000)]


def test_a_step_woken_at_the_time_of_its_recheck_gets_a_wakeup() -> None:
    """The wake-up for that time may be at a process that finds another state."""
    root = waiting_root(due_at_ms=EPOCH_MS)
    case = Case(root)

    async def wake() -> None:
        await commit(case.engine(), root, Woken())

    case.play(wake())
    assert (case.row(ROOT_ID).status, case.row(ROOT_ID).due_at_ms) == (Status.PENDING, EPOCH_MS)
    assert case.wakeups.sent == [(ROOT_ID, EPOCH_MS)]


MAIL = Node(name="mail", kind="event")
MAIL_SPEC = PLAN.spec(MAIL, None).below_root()


def test_an_event_with_a_waiter_gets_a_wakeup_before_it_is_completed() -> None:
    """An event is not checked itself, and a step that waits for it is rechecked once a day."""
    event = begin(MAIL_SPEC, MAIL_SPEC.identity, EPOCH_MS, None)
    result = ResultPosted(StoredBody(b"1", "json"))
    for waiters, sent in (((), []), ((ROOT_ID,), [(event.id, EPOCH_MS + 10_000)])):
        case = Case(waiting_root(waiting_for=(event.id,)), replace(event, waiters=waiters))
        case.store.replace = _unavailable  # type: ignore[method-assign]

        async def post(case: Case = case) -> None:
            with suppress(StoreUnavailable):
                await post_result(case.engine(), case.row(event.id), result)

        case.play(post())
        assert case.wakeups.sent[: len(sent)] == sent


def test_a_result_that_is_posted_again_wakes_again() -> None:
    settled = {"status": Status.SUCCEEDED, "due_at_ms": None, "response": StoredBody(b"1", "json")}
    event = replace(begin(MAIL_SPEC, MAIL_SPEC.identity, EPOCH_MS, None), waiters=(ROOT_ID,), **settled)
    case = Case(waiting_root(waiting_for=(event.id,)), event)

    async def post() -> None:
        await post_result(case.engine(), event, ResultPosted(StoredBody(b"1", "json")))

    case.play(post())
    assert case.row(ROOT_ID).status is Status.PENDING


async def _unavailable(step: Step, expected_version: int) -> Step | None:
    raise StoreUnavailable("not now")


class StrayingClock:
    """The loop's clock, which is set back for a while."""

    def __init__(self) -> None:
        self.offset_ms = -60_000

    def now_ms(self) -> int:
        return round(asyncio.get_running_loop().time() * 1000) + self.offset_ms

    def wall_ms(self) -> int:
        return self.now_ms()


def test_a_corrected_clock_wakes_the_driver() -> None:
    async def receive() -> float:
        clock = StrayingClock()
        queue = MemoryWakeupQueue(clock, horizon_ms=120_000)
        await wakeup(queue, "step", 0)
        queue._horizon_ms = 2_000
        asyncio.get_running_loop().call_later(1, setattr, clock, "offset_ms", 0)
        await queue.receive()
        return asyncio.get_running_loop().time()

    assert run(receive()) <= 2
