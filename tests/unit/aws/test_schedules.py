"""Schedules on the AWS adapters (moto): what a run costs, and who finds a schedule that nobody wakes."""

import asyncio
from collections.abc import Coroutine
from dataclasses import replace
from datetime import timedelta
from typing import Any

from atomic.adapters.aws.wakeups import parse_wakeup
from atomic.adapters.memory.wakeups import MemoryNotifier
from atomic.adapters.system import SystemClock
from atomic.application.bulk import do_bulk
from atomic.application.engine import Engine, Settings
from atomic.application.firing import process_schedule
from atomic.application.maintenance import Walk, sweep_schedules
from atomic.domain.cadence import Every
from atomic.domain.schedules import Plan, Schedule, at_moment
from atomic.testing.endpoints import FunctionInvoker
from atomic.testing.local import SeededEntropy, open_registry
from atomic.testing.watching import SilentTelemetry
from contract.aws import Aws, Recorder, aws
from contract.schedules_contract import a_gap, a_schedule

HOUR_MS = 3_600_000


class Runtime:
    """The invoker function's engine: it makes no first attempt itself."""

    def __init__(self, account: Aws) -> None:
        clock = SystemClock()
        self.store = account.store()
        self.engine = Engine(
            store=self.store,
            queue=account.queue(clock),
            invoker=FunctionInvoker(),
            own=do_bulk,
            notifier=MemoryNotifier(),
            clients=open_registry(),
            telemetry=SilentTelemetry(),
            clock=clock,
            entropy=SeededEntropy(0),
            spawn=self._never,
            settings=Settings(inline_attempt_max_ms=20_000),
        )

    def _never(self, work: Coroutine[Any, Any, None], *, step_id: str) -> None:
        work.close()
        raise AssertionError(f"{step_id} was begun here")

    async def due(self, **more: Any) -> Schedule:
        """A schedule whose slot of this hour is due."""
        slot_ms = self.engine.clock.now_ms() // HOUR_MS * HOUR_MS
        plan = Plan(cadence=Every(timedelta(hours=1), at_moment(0)), catch_up_window_ms=2 * HOUR_MS)
        schedule = a_schedule(plan=plan, next_slot_ms=slot_ms, due_at_ms=slot_ms, **more)
        await self.store.create_schedule(schedule)
        return schedule


def test_a_run_costs_a_read_and_a_write_of_the_row_and_a_wakeup() -> None:
    async def body() -> None:
        clients = ("dynamodb", "sqs", "scheduler")
        with aws() as account, Recorder(*(getattr(account, name) for name in clients)) as recorder:
            runtime = Runtime(account)
            schedule = await runtime.due(last_run=None)
            recorder.calls.clear()
            await process_schedule(runtime.engine, schedule.id, schedule.due_at_ms)
            # The row is read, the run is written and gets its wake-up, the row is moved. The next time is
            # up to an hour away: a message or an EventBridge schedule wakes it.
            operations = sorted(recorder.operations)
            wakeup = "CreateSchedule" if "CreateSchedule" in operations else "SendMessage"
            assert operations == sorted(["GetItem", "PutItem", "SendMessage", "PutItem", wakeup])
            recorder.calls.clear()
            await process_schedule(runtime.engine, schedule.id, schedule.due_at_ms)
            # A wake-up that came twice: one read.
            assert recorder.operations == ["GetItem"]

    asyncio.run(body())


def test_maintenance_wakes_a_schedule_that_nobody_wakes() -> None:
    async def body() -> None:
        with aws() as account:
            runtime = Runtime(account)
            schedule = await runtime.due()
            await runtime.store.create_schedule(replace(schedule, name="later", due_at_ms=2**42))
            now_ms = runtime.engine.clock.now_ms()
            walk = Walk(client_id="acme", began_ms=now_ms, last_began_ms=0, left={})
            await sweep_schedules(runtime.engine, runtime.store, walk)
            assert [parse_wakeup(body).step_id for body in account.received(account.queue_url)] == [
                schedule.id
            ]

    asyncio.run(body())


def test_maintenance_wakes_a_schedule_that_owes_something() -> None:
    async def body() -> None:
        with aws() as account, Recorder(account.dynamodb, account.sqs) as recorder:
            runtime = Runtime(account)
            owing = a_schedule(due_at_ms=None, paused=True, owes=(a_gap(),))
            await runtime.store.create_schedule(owing)
            assert [due.id for due in await runtime.store.due_schedules("acme", 90_000)] == [owing.id]
            recorder.calls.clear()
            await process_schedule(runtime.engine, owing.id)
            # The row is read, the delivery is written and gets its wake-up, the row says so.
            assert sorted(recorder.operations) == ["GetItem", "PutItem", "PutItem", "SendMessage"]
            assert await runtime.store.due_schedules("acme", 90_000) == []

    asyncio.run(body())


def test_a_deleted_schedule_leaves_an_item_that_expires() -> None:
    async def body() -> None:
        with aws() as account:
            runtime = Runtime(account)
            schedule = await runtime.due()
            assert await runtime.store.delete_schedule("acme", schedule.name)
            assert await runtime.store.due_schedules("acme", 2**42) == []
            again = replace(schedule, note="again")
            assert await runtime.store.create_schedule(again) is None
            assert await runtime.store.get_schedule("acme", schedule.name) == again

    asyncio.run(body())
