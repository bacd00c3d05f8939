"""Steps that are live after the end of their run, and the cache of runs."""

import asyncio
from collections.abc import Awaitable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from atomic.adapters.memory.store import MemoryStepStore
from atomic.application.cancel import cancel_run
from atomic.application.engine import FRESH_MS, Engine, RunCache, Settings
from atomic.application.ports import EndpointRequest, StoreUnavailable
from atomic.application.process_wakeup import process_wakeup
from atomic.application.redrive import redrive_step
from atomic.application.refusals import NotAnOpenEvent
from atomic.application.results import post_result
from atomic.application.start import start
from atomic.domain.clients.client import Client
from atomic.domain.events import Cancelled, Redriven, ResultPosted
from atomic.domain.outcomes import EndpointResponse, StepError, StoredBody
from atomic.domain.outlines import StepOutline
from atomic.domain.retry import RetryPolicy
from atomic.domain.steps import Step
from atomic.domain.transitions import begin, transition
from atomic.protocol import keys
from atomic.protocol.enums import SETTLED, Status
from atomic.protocol.error_kinds import ErrorKind
from atomic.testing import EndpointCall, EndpointReply, LocalAtomic, run
from atomic.testing.virtual_time import EPOCH_MS
from contract.builders import a_child, a_root, a_spec

RUN_ID = a_spec().run_id
ROOT_ID = keys.root_of(RUN_ID)
RESULT = StoredBody(b'"yes"', "json")


class CountingStore(MemoryStepStore):
    """A store with given rows that counts the reads of each; each operation takes 10 ms."""

    def __init__(self, *rows: Step) -> None:
        super().__init__()
        self._rows = {row.id: row for row in rows}
        self.reads: list[str] = []

    async def get(self, step_id: str) -> Step | None:
        self.reads.append(step_id)
        await asyncio.sleep(0.01)
        return await super().get(step_id)

    async def replace(self, step: Step, expected_version: int) -> Step | None:
        await asyncio.sleep(0.01)
        return await super().replace(step, expected_version)

    async def outline(self, run_id: str) -> Sequence[StepOutline]:
        await asyncio.sleep(0.01)
        return await super().outline(run_id)


class Calls:
    """An invoker that fails each call, and counts them."""

    def __init__(self) -> None:
        self.count = 0

    async def post(self, request: EndpointRequest) -> EndpointResponse:
        self.count += 1
        return EndpointResponse(status=500)


def root(status: Status) -> Step:
    row = a_root(at_ms=EPOCH_MS, status=status)
    return replace(row, expires_at_ms=EPOCH_MS + 777 if status in SETTLED else None)


def due_step(name: str, **spec: Any) -> Step:
    """A step of the run that is due."""
    row = a_child(name)
    asked = replace(row.spec, **spec)
    return replace(begin(asked, row.position, EPOCH_MS, None), due_at_ms=EPOCH_MS)


def event(**spec: Any) -> Step:
    return due_step("event", kind="event", url="", **spec)


def engine_on(store: MemoryStepStore, invoker: Any = None) -> Engine:
    return replace(LocalAtomic(store=store).engine, invoker=invoker or Calls())


# --- processing a step whose run has ended ---


def test_a_due_step_of_a_cancelled_run_ends_and_is_not_called() -> None:
    store, calls = CountingStore(root(Status.CANCELLED), due_step("one"), due_step("two")), Calls()

    async def take() -> None:
        engine = engine_on(store, calls)
        for step in list(store._rows.values())[1:]:
            await process_wakeup(engine, step.id)

    run(take())

    steps = [row for row in store._rows.values() if not row.is_root]
    assert [step.status for step in steps] == [Status.CANCELLED] * 2
    assert {step.expires_at_ms for step in steps} == {EPOCH_MS + 777}
    assert calls.count == 0
    # The root is read once per five seconds.
    assert store.reads.count(ROOT_ID) == 1


@pytest.mark.parametrize("status", [Status.SUCCEEDED, Status.FAILED])
def test_calls_of_a_run_that_ended_otherwise_go_on(status: Status) -> None:
    store, calls = CountingStore(root(status), due_step("one")), Calls()

    async def take() -> None:
        await process_wakeup(engine_on(store, calls), due_step("one").id)

    run(take())

    assert calls.count == 1
    assert store._rows[due_step("one").id].status is Status.RETRYING


def test_a_due_timer_ends_without_a_read_of_its_root() -> None:
    timer = due_step("nap", kind="timer", url="")
    store = CountingStore(root(Status.SUCCEEDED), timer)

    async def take() -> None:
        await process_wakeup(engine_on(store), timer.id)

    run(take())

    assert store._rows[timer.id].is_settled
    assert ROOT_ID not in store.reads


@pytest.mark.parametrize(
    ("status", "error"), [(Status.SUCCEEDED, "its run has ended"), (Status.CANCELLED, "cancelled")]
)
def test_an_event_of_a_run_that_ended_takes_no_result_and_leaves_no_dead_letter(
    status: Status, error: str
) -> None:
    for acts in ("posted", "due"):
        store = CountingStore(root(status), event(deadline_ms=1))

        async def act(store: CountingStore = store, acts: str = acts) -> None:
            engine = engine_on(store)
            if acts == "due":
                await process_wakeup(engine, event().id)
                return
            with pytest.raises(NotAnOpenEvent) as refused:
                await post_result(engine, event(), ResultPosted(RESULT))
            assert (refused.value.kind, refused.value.status) == ("event", Status.CANCELLED)

        run(act())
        after = store._rows[event().id]
        assert (after.status, str(after.error), after.response) == (Status.CANCELLED, error, None)


@pytest.mark.parametrize("acts", ["posted", "due"])
def test_an_event_whose_run_is_gone_is_gone_with_it_and_one_that_comes_before_it_is_not(acts: str) -> None:
    early = event(deadline_ms=1)
    late = replace(early, created_at_ms=EPOCH_MS - early.spec.retention_ms)
    for row, ended in ((early, {"posted": Status.SUCCEEDED, "due": Status.FAILED}), (late, None)):
        store = CountingStore(row)

        async def act(store: CountingStore = store, row: Step = row) -> None:
            engine = engine_on(store)
            if acts == "due":
                await asyncio.sleep(1)
                await process_wakeup(engine, row.id)
                return
            with suppress(NotAnOpenEvent):
                await post_result(engine, row, ResultPosted(RESULT))

        run(act())

        after = store._rows[row.id]
        assert after.status is (ended[acts] if ended else Status.CANCELLED)
        if not ended:
            assert str(after.error) == "its run is gone"
            assert (after.expires_at_ms or 0) <= (after.finished_at_ms or 0)


# --- events of failed runs ---


def test_an_event_of_a_failed_run_rests_and_keeps_its_result_for_the_redrive() -> None:
    store = CountingStore(root(Status.FAILED), event(deadline_ms=1))

    async def act() -> None:
        engine = engine_on(store)
        await process_wakeup(engine, event().id)
        resting = store._rows[event().id]
        assert (resting.status, resting.due_at_ms) == (Status.PENDING, None)
        await process_wakeup(engine, event().id)
        assert store._rows[event().id] == resting
        await post_result(engine, resting, ResultPosted(RESULT))

    run(act())

    assert store._rows[event().id].response == RESULT


def test_a_redrive_lets_the_deadline_of_a_resting_event_count_again() -> None:
    store = CountingStore(root(Status.FAILED), event(deadline_ms=5_000), due_step("call"))

    async def act() -> None:
        engine = engine_on(store)
        await asyncio.sleep(10)
        await process_wakeup(engine, event().id)
        await redrive_step(engine, root(Status.FAILED))
        again = store._rows[event().id]
        now_ms = engine.clock.now_ms()
        assert again.due_at_ms == again.deadline_at_ms
        assert again.due_at_ms is not None
        assert now_ms < again.due_at_ms <= now_ms + 5_000

    run(act())


class RedrivenMeanwhile(CountingStore):
    """A store in which the root is redriven just before the write that lets the event rest."""

    async def replace(self, step: Step, expected_version: int) -> Step | None:
        if step.spec.kind == "event" and step.due_at_ms is None:
            self._rows[ROOT_ID] = transition(self._rows[ROOT_ID], Redriven(1), EPOCH_MS)
        return await super().replace(step, expected_version)


def test_an_event_does_not_rest_under_a_root_that_was_redriven_meanwhile() -> None:
    store = RedrivenMeanwhile(root(Status.FAILED), event(deadline_ms=5_000))

    async def act() -> None:
        await process_wakeup(engine_on(store), event().id)

    run(act())

    assert store._rows[event().id].due_at_ms is not None


def test_attaching_finishes_a_redrive_that_crashed_before_it_woke_an_event() -> None:
    resting = replace(event(deadline_ms=5_000), due_at_ms=None)
    store = CountingStore(a_root(at_ms=EPOCH_MS), resting)

    async def act() -> None:
        await start(engine_on(store), resting.spec, wait_ms=0)

    run(act())

    assert store._rows[event().id].due_at_ms == resting.deadline_at_ms


# --- cancel ---


def test_a_cancel_settles_many_steps_at_a_time() -> None:
    steps = [replace(due_step(f"s{n}"), status=Status.RETRYING) for n in range(1_000)]
    store = CountingStore(a_root(at_ms=EPOCH_MS), *steps)

    async def cancel() -> float:
        await cancel_run(engine_on(store), RUN_ID)
        return asyncio.get_running_loop().time()

    # Ten batches of reads and writes, and not a thousand single ones.
    assert run(cancel()) < 0.5
    assert {row.status for row in store._rows.values()} == {Status.CANCELLED}


def test_a_cancel_that_is_repeated_since_its_answer_was_lost_counts_at_once() -> None:
    store, calls = CountingStore(root(Status.CANCELLED), due_step("one")), Calls()

    async def cancel() -> None:
        engine = engine_on(store, calls)
        engine.runs.remember(a_root(at_ms=EPOCH_MS), engine.clock.now_ms())
        store._rows[ROOT_ID] = replace(root(Status.CANCELLED), version=2)
        await cancel_run(engine, RUN_ID)
        assert engine.runs.is_cancelled(RUN_ID)

    run(cancel())

    assert store._rows[due_step("one").id].status is Status.CANCELLED


def test_a_cancel_counts_though_the_store_took_it_and_did_not_say_so() -> None:
    calls = Calls()

    class Unsure(CountingStore):
        async def replace(self, step: Step, expected_version: int) -> Step | None:
            await super().replace(step, expected_version)
            if step.is_root:
                raise StoreUnavailable
            return None

    store = Unsure(a_root(at_ms=EPOCH_MS), due_step("one"))

    async def cancel() -> None:
        engine = engine_on(store, calls)
        engine.runs.remember(a_root(at_ms=EPOCH_MS), engine.clock.now_ms())
        with pytest.raises(StoreUnavailable):
            await cancel_run(engine, RUN_ID)
        await process_wakeup(engine, due_step("one").id)

    run(cancel())

    assert store._rows[ROOT_ID].status is Status.CANCELLED
    assert store._rows[due_step("one").id].status is Status.CANCELLED
    assert calls.count == 0


def test_a_redriven_step_of_a_run_that_is_cancelled_meanwhile_is_not_called() -> None:
    dead = a_child("step", status=Status.FAILED)
    calls = Calls()

    class CancelledMeanwhile(CountingStore):
        async def replace(self, step: Step, expected_version: int) -> Step | None:
            existing = await super().replace(step, expected_version)
            if step.generation == 2:
                self._rows[ROOT_ID] = transition(self._rows[ROOT_ID], Cancelled(), EPOCH_MS)
                await process_wakeup(engine, step.id)
            return existing

    store = CancelledMeanwhile(a_root(at_ms=EPOCH_MS), dead)
    engine = engine_on(store, calls)
    run(_redrive(engine, dead))

    assert store._rows[dead.id].status is Status.CANCELLED
    assert calls.count == 0


async def _redrive(engine: Engine, step: Step) -> None:
    await redrive_step(engine, step)


class CancelsInBetween:
    """A registry that is read between a claim and its call, and that cancels the run at that moment."""

    def __init__(self) -> None:
        self.engine: Engine | None = None

    async def get(self, client_id: str) -> Client | None:
        engine, self.engine = self.engine, None
        # The cancel reads the client too, for its hooks.
        if engine is not None:
            await cancel_run(engine, RUN_ID)
        return Client(id=client_id)

    async def authenticate(self, api_key: str | None, client_id: str) -> Client | None:
        raise NotImplementedError


def test_a_run_that_is_cancelled_after_a_claim_calls_no_endpoint() -> None:
    for row in (replace(a_root(at_ms=EPOCH_MS), due_at_ms=EPOCH_MS), due_step("one")):
        store, calls, clients = CountingStore(a_root(at_ms=EPOCH_MS), row), Calls(), CancelsInBetween()
        engine = replace(engine_on(store, calls), clients=clients)
        clients.engine = engine

        async def take(engine: Engine = engine, step_id: str = row.id) -> None:
            await process_wakeup(engine, step_id)

        run(take())

        assert calls.count == 0
        assert {row.status for row in store._rows.values()} == {Status.CANCELLED}


def test_an_attempt_that_did_not_connect_before_the_cancel_leaves_no_dead_letter() -> None:
    asked = due_step("one", retry=RetryPolicy(count=0))
    store = CountingStore(a_root(at_ms=EPOCH_MS), asked)

    class Dials:
        """An invoker that dials for a while; by then the call is cancelled."""

        engine: Engine

        async def post(self, request: EndpointRequest) -> EndpointResponse:
            assert request.is_wanted()
            self.engine.runs.remember(transition(store._rows[ROOT_ID], Cancelled(), EPOCH_MS), EPOCH_MS)
            assert not request.is_wanted()
            return EndpointResponse(error=StepError(ErrorKind.CANCELLED_BEFORE_CALL))

    dials = Dials()
    dials.engine = engine_on(store, dials)

    async def take() -> None:
        await process_wakeup(dials.engine, asked.id)

    run(take())

    assert store._rows[asked.id].status is Status.CANCELLED


# --- the cache of runs ---


def look(memory: RunCache, store: MemoryStepStore, now_ms: int) -> Awaitable[Any]:
    return memory.find(store, RUN_ID, now_ms)


def test_a_run_is_read_once_in_five_seconds_even_if_the_clock_is_set_back() -> None:
    store, memory = CountingStore(a_root()), RunCache()

    async def body() -> None:
        moments = [0, 0, 1, FRESH_MS - 1, FRESH_MS, FRESH_MS + 1, 3, FRESH_MS + 2]
        reads = []
        for at_ms in moments:
            known = await look(memory, store, EPOCH_MS + at_ms)
            assert known.status is Status.PENDING
            reads.append(len(store.reads))
        assert reads == [1, 1, 1, 1, 2, 2, 3, 3]

    run(body())


def test_a_read_that_overlaps_a_cancel_does_not_undo_it() -> None:
    live, memory = a_root(), RunCache()
    cancelled = transition(live, Cancelled(), EPOCH_MS)
    memory.remember(cancelled, EPOCH_MS)

    known = memory.remember(live, EPOCH_MS - 10_000)

    assert known.is_cancelled
    assert memory.is_cancelled(RUN_ID)
    # A new run of the same key, long afterwards, is not cancelled.
    assert not memory.remember(replace(live, version=1), EPOCH_MS + FRESH_MS).is_cancelled
    assert not memory.is_cancelled(RUN_ID)


def test_a_cancel_is_remembered_however_many_runs_come_after_it() -> None:
    memory = RunCache()
    memory.remember(transition(a_root(), Cancelled(), EPOCH_MS), EPOCH_MS)
    for number in range(10_001):
        memory.remember(a_root(a_spec(key=str(number))), EPOCH_MS)

    assert memory.get(RUN_ID, EPOCH_MS) is None
    assert memory.is_cancelled(RUN_ID)


# --- the next run of the same key ---


def test_a_run_that_begins_anew_under_its_key_takes_no_step_of_the_last_one() -> None:
    calls: list[str] = []

    async def body() -> None:
        async with LocalAtomic(settings=Settings(retention_ms=60_000)) as atomic:

            async def root(call: EndpointCall) -> EndpointReply:
                calls.append("root")
                reply = await atomic.post("/me", document(step_url, parent=call.json["stepId"]))
                return EndpointReply(json=reply.json["response"])

            async def step(_: EndpointCall) -> EndpointReply:
                calls.append("step")
                return EndpointReply(json=len(calls))

            def document(url: str, **more: str) -> dict[str, Any]:
                return {"workflowName": "w", "stepInvokeUrl": url, "idempotencyKey": "k", **more}

            root_url, step_url = atomic.endpoint("/root", root), atomic.endpoint("/step", step)
            first = await atomic.post("/me", document(root_url))
            await asyncio.sleep(59)
            again = await atomic.post("/me", document(root_url))
            assert again.json == first.json
            assert calls == ["root", "step"]
            # The rows of the last run are still there.
            await asyncio.sleep(2)
            anew = await atomic.post("/me", document(root_url))
            assert (anew.json["response"], calls) == (4, ["root", "step"] * 2)

    run(body())
