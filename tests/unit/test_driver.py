"""The embedded driver in virtual time: no client's work waits for another's, or without reason."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from atomic.adapters.memory.store import MemoryStepStore
from atomic.adapters.memory.wakeups import MemoryWakeupQueue
from atomic.application.engine import Engine
from atomic.application.ports import EndpointRequest, StoreUnavailable
from atomic.application.sweep import look_through, recover
from atomic.domain.outcomes import EndpointResponse
from atomic.domain.steps import Step
from atomic.domain.transitions import begin
from atomic.protocol import keys
from atomic.protocol.enums import Status
from atomic.runtime.driver import HORIZON_MS, Driver
from atomic.runtime.inflight import Tasks
from atomic.testing import LocalAtomic, run
from atomic.testing.virtual_time import EPOCH_MS
from contract.builders import a_child, a_root, a_spec

BACKLOG = 4_000
TIMERS = 40


class SlowEndpoint:
    """An endpoint that is slow and then fails; only one client calls it."""

    async def post(self, request: EndpointRequest) -> EndpointResponse:
        await asyncio.sleep(1.5)
        return EndpointResponse(status=500)


@asynccontextmanager
async def driven(*rows: Step, invoker: Any = None) -> AsyncIterator[Engine]:
    """An engine with a driver that starts on these rows, as after a restart."""
    store, tasks = MemoryStepStore(), Tasks()
    store._rows = {row.id: row for row in rows}
    engine = LocalAtomic(store=store).engine
    queue = MemoryWakeupQueue(engine.clock, horizon_ms=HORIZON_MS)
    engine = replace(engine, queue=queue, invoker=invoker or SlowEndpoint(), spawn=tasks.spawn)
    await recover(engine, store)
    driver = Driver(engine, queue, store)
    driver.start()
    try:
        yield engine
    finally:
        await driver.stop()
        await tasks.cancel()


def retrying(number: int) -> Step:
    """A step of the busy client that has long been overdue."""
    spec = a_spec(client_id="busy", key=f"b{number}")
    return replace(begin(spec, keys.ROOT, EPOCH_MS - 60_000, None), due_at_ms=EPOCH_MS - 50_000 + number)


def timer(number: int) -> Step:
    """A timer of another client."""
    spec = replace(a_spec(client_id="calm", key=f"t{number}"), kind="timer", url="")
    return begin(replace(spec, delay_ms=3_000 + 50 * number), keys.ROOT, EPOCH_MS, None)


def test_the_backlog_of_one_client_does_not_delay_the_timers_of_another() -> None:
    late_ms: list[int] = []

    async def body() -> None:
        timers = [timer(number) for number in range(TIMERS)]
        async with driven(*(retrying(n) for n in range(BACKLOG)), *timers) as engine:
            await asyncio.sleep(6)
            for row in timers:
                after = await engine.store.get(row.id)
                assert after is not None
                assert after.finished_at_ms is not None, "it stands behind the backlog"
                late_ms.append(after.finished_at_ms - (row.due_at_ms or 0))
            # The others share the remaining capacity.
            waiting = await engine.store.count("busy", 0)
            assert waiting.live[Status.PENDING] < BACKLOG * 0.5

    run(body())

    assert max(late_ms) <= 500


def test_what_a_run_left_behind_ends_soon_after_it() -> None:
    spec = a_spec()
    event = replace(a_child("event", spec), due_at_ms=None)
    event = replace(event, spec=replace(event.spec, kind="event", url=""))
    nap = replace(a_child("nap", spec), due_at_ms=EPOCH_MS + 10**9)
    nap = replace(nap, spec=replace(nap.spec, kind="timer", url=""))
    retry = replace(a_child("call", spec), status=Status.RETRYING, due_at_ms=EPOCH_MS + 10**9)
    for status, ended in (
        (Status.CANCELLED, {"event", "nap", "call"}),
        (Status.SUCCEEDED, {"event", "nap"}),
        (Status.FAILED, set()),
    ):

        async def body(status: Status = status, ended: set[str] = ended) -> None:
            root = a_root(spec, at_ms=EPOCH_MS)
            async with driven(root, event, nap, retry) as engine:
                await asyncio.sleep(60)
                assert isinstance(engine.store, MemoryStepStore)
                engine.store._rows[root.id] = replace(
                    a_root(spec, at_ms=EPOCH_MS, status=status), version=2
                )
                await asyncio.sleep(11)
                found = [await engine.store.get(step.id) for step in (event, nap, retry)]
                assert {s.spec.step_name for s in found if s and s.is_settled} == ended
                counts = await engine.store.count(spec.client_id, 0)
                assert sum(counts.live.values()) == 3 - len(ended)

        run(body())


def test_a_retry_that_a_clock_an_hour_ahead_has_dated_comes_at_its_own_time() -> None:
    hour_ms = 3_600_000
    ahead_ms = EPOCH_MS + hour_ms
    nap = a_child("nap", at_ms=ahead_ms)
    spec = replace(nap.spec, kind="timer", url="", delay_ms=3_000)
    nap = begin(spec, nap.position, ahead_ms, None)
    assert nap.due_at_ms == ahead_ms + 3_000

    async def body() -> None:
        async with driven(a_root(at_ms=EPOCH_MS), nap) as engine:
            await asyncio.sleep(4)
            after = await engine.store.get(nap.id)
            assert after is not None
            assert after.status is Status.SUCCEEDED

    run(body())


def test_what_is_found_page_by_page() -> None:
    specs = [a_spec(key=f"k{number:04}") for number in range(1_200)]
    rows = [a_root(spec, at_ms=EPOCH_MS, status=Status.CANCELLED) for spec in specs]
    left = [replace(a_child("call", spec), due_at_ms=EPOCH_MS + 10**9) for spec in specs]

    async def body() -> int:
        store = MemoryStepStore()
        store._rows = {row.id: row for row in (*rows, *left)}
        pages = 0
        async for _ in look_through(LocalAtomic(store=store).engine, store):
            pages += 1
        assert {row.status for row in store._rows.values()} == {Status.CANCELLED}
        return pages

    # Three pages of pending steps, and one for each other status.
    assert run(body()) == 6


def test_a_row_that_cannot_be_read_does_not_keep_the_others_from_being_looked_at() -> None:
    spec = a_spec()
    left = [replace(a_child(f"call{n}", spec), due_at_ms=EPOCH_MS + 10**9) for n in range(3)]
    broken = min(step.id for step in left)

    class Damaged(MemoryStepStore):
        async def get(self, step_id: str) -> Step | None:
            if step_id == broken:
                raise StoreUnavailable("the row is damaged")
            return await super().get(step_id)

    async def body() -> None:
        store = Damaged()
        store._rows = {row.id: row for row in (a_root(spec, status=Status.CANCELLED), *left)}
        async for _ in look_through(LocalAtomic(store=store).engine, store):
            pass
        assert [step_id for step_id, row in store._rows.items() if not row.is_settled] == [broken]

    run(body())
