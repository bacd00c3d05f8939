"""What hooks are told of slots that a schedule has missed: each gap once, also after a crash."""

import asyncio
from datetime import timedelta
from typing import Any

from atomic.application.firing import process_schedule
from atomic.application.schedules import delete_schedule
from atomic.domain.cadence import Every
from atomic.domain.clients.client import Client
from atomic.domain.hooks import Hook, Told
from atomic.domain.schedule_records import schedule_record
from atomic.domain.schedules import Plan, Schedule, at_moment
from atomic.protocol.wire import from_rfc3339
from atomic.testing import EndpointCall, EndpointReply, LocalAtomic, run
from atomic.testing.local import open_registry
from contract.schedules_contract import a_gap, a_schedule

MINUTE_MS, DAYS = 60_000, 3


class Desk:
    """A server that was off for days, a schedule of each minute, and a hook."""

    def __init__(self, atomic: LocalAtomic, clients: Any, workflow_name: str | None = None) -> None:
        self.atomic, self.told = atomic, list[dict[str, Any]]()
        url = atomic.endpoint("/hook", self._hook)
        hook = Hook(name="pager", url=url, on=("schedule.missed",), workflow_name=workflow_name)
        clients.put_hook("me", hook)

    async def _hook(self, call: EndpointCall) -> EndpointReply:
        self.told.append(call.json["payload"])
        return EndpointReply(json="told")

    async def put(self, **more: Any) -> Schedule:
        first_ms = self.atomic.engine.clock.now_ms() // MINUTE_MS * MINUTE_MS - DAYS * 86_400_000
        plan = Plan(cadence=Every(timedelta(minutes=1), at_moment(0)), catch_up="none", overlap="allow")
        members = {"plan": plan, "next_slot_ms": first_ms, "due_at_ms": first_ms, **more}
        schedule = a_schedule(client_id="me", **members)
        assert await self.atomic.engine.store.create_schedule(schedule) is None
        return schedule

    async def row(self, schedule: Schedule) -> Schedule:
        found = await self.atomic.engine.store.get_schedule("me", schedule.name)
        assert found is not None
        return found


def test_an_outage_of_days_is_told_once_with_its_count() -> None:
    async def body() -> None:
        clients = open_registry()
        async with LocalAtomic(clients=clients) as atomic:
            desk = Desk(atomic, clients)
            schedule = await desk.put()
            wakeups = (process_schedule(atomic.engine, schedule.id) for _ in range(2))
            await asyncio.gather(*wakeups)
            await asyncio.sleep(5)
            row, [message] = await desk.row(schedule), desk.told
            assert (row.owes, row.missed) == ((), message["missed"])
            assert message["missed"] >= DAYS * 24 * 60 - 1
            assert (
                message["event"],
                message["hook"],
                message["scheduleName"],
                message["workflowName"],
            ) == (
                "schedule.missed",
                "pager",
                "digest",
                "createUser",
            )
            first_ms, last_ms = from_rfc3339(message["from"]), from_rfc3339(message["to"])
            assert first_ms == schedule.next_slot_ms
            assert (last_ms - first_ms) // MINUTE_MS + 1 == message["missed"]

    run(body())


def test_another_workflow_is_not_told_and_owes_nothing() -> None:
    async def body() -> None:
        clients = open_registry()
        async with LocalAtomic(clients=clients) as atomic:
            desk = Desk(atomic, clients, workflow_name="billing")
            schedule = await desk.put()
            await process_schedule(atomic.engine, schedule.id)
            await asyncio.sleep(5)
            row = await desk.row(schedule)
            assert (desk.told, row.owes, row.missed > 0) == ([], (), True)
            assert "owes" not in schedule_record(row)[0]

    run(body())


def test_what_a_crash_left_owing_is_told_also_of_a_paused_or_deleted_schedule() -> None:
    async def body() -> None:
        clients = open_registry()
        async with LocalAtomic(clients=clients) as atomic:
            desk = Desk(atomic, clients)
            [hook] = clients.hooks("me")
            owing = a_gap(told=(Told(hook.name, hook.url),))
            paused = await desk.put(name="paused", paused=True, due_at_ms=None, owes=(owing,))
            await process_schedule(atomic.engine, paused.id)
            await asyncio.sleep(5)
            assert [message["scheduleName"] for message in desk.told] == ["paused"]
            assert (await desk.row(paused)).owes == ()
            await desk.put(name="deleted", owes=(owing,), due_at_ms=None, next_slot_ms=None)
            await delete_schedule(atomic.engine, Client(id="me"), "deleted")
            await asyncio.sleep(5)
            assert [message["scheduleName"] for message in desk.told] == ["paused", "deleted"]

    run(body())
