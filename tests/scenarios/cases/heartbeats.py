"""Heartbeats of events: an event expires when nobody who is at work on it is heard for a while."""

import asyncio
from typing import Any

from scenarios.cases.events import REFUSED, Order, addressed, post
from scenarios.cases.suspension import event_document
from scenarios.runtime import Runtime
from scenarios.starts import assert_problem


async def beat(runtime: Runtime, step_id: str) -> None:
    """Post a heartbeat by the id of the event."""
    assert (await runtime.post(f"/steps/{step_id}/heartbeat")).status == 200


async def scenario_an_event_without_a_heartbeat_expires(runtime: Runtime) -> None:
    missed = await runtime.finish(event_document("payment", heartbeat=100, deadline=60_000))

    assert_problem(missed, 424, "event-expired")
    assert missed.json["detail"] == "No heartbeat of the event came within 100 ms."
    assert missed.json["lastErrorKind"] == "heartbeat_missed"
    assert (await runtime.get("/dead-letters")).json["deadLetters"] == []
    late = await runtime.post(f"/steps/{missed.json['id']}/heartbeat")
    assert_problem(late, 409, REFUSED)
    assert late.json["stepStatus"] == "failed"


async def scenario_heartbeats_keep_an_event_open(runtime: Runtime) -> None:
    every_ms = runtime.ms(200)
    order = Order(runtime, heartbeat=every_ms)
    started = await runtime.start(order.document(), Prefer="respond-async")
    waiting = await runtime.step_in(started.json["id"], "waiting")
    [event_id] = waiting["waitingFor"]

    for number in range(6):
        await asyncio.sleep(every_ms / 2000)
        if number % 2:
            await beat(runtime, event_id)
        else:
            told = await post(runtime, heartbeat=True)
            assert (told.status, told.json["id"], told.json["was"]) == (200, event_id, "open")
    shown = (await runtime.get(f"/steps/{event_id}")).json
    assert (shown["status"], shown["heartbeat"]) == ("pending", every_ms)
    assert shown["heartbeatBy"] > shown["createdAt"]
    assert (await post(runtime, result="paid")).json["was"] == "open"

    ended = await runtime.step_in(started.json["id"], "succeeded")
    assert (ended["response"], ended["attempts"]) == ("paid", 2)


async def scenario_heartbeats_do_not_postpone_the_deadline(runtime: Runtime) -> None:
    opened = await runtime.start(
        event_document("payment", heartbeat=runtime.ms(400), deadline=runtime.ms(600)),
        Prefer="respond-async",
    )
    for _ in range(3):
        await asyncio.sleep(runtime.ms(100) / 1000)
        await beat(runtime, opened.json["id"])

    expired = await runtime.step_in(opened.json["id"], "failed")

    assert expired["errorKind"] == "event_expired"


async def scenario_an_open_event_takes_the_heartbeat_of_a_wait(runtime: Runtime) -> None:
    opened = await runtime.start(event_document("payment"), Prefer="respond-async")
    # Nothing expires yet, so a heartbeat changes nothing.
    await beat(runtime, opened.json["id"])
    assert (await runtime.get(f"/steps/{opened.json['id']}")).json["heartbeatBy"] is None

    missed = await runtime.finish(event_document("payment", heartbeat=runtime.ms(100)))

    assert (missed.status, missed.json["lastErrorKind"]) == (424, "heartbeat_missed")


async def scenario_only_an_open_event_takes_a_heartbeat(runtime: Runtime) -> None:
    unknown = await post(runtime, heartbeat=True)
    assert_problem(unknown, 409, REFUSED)
    await post(runtime, result="paid")
    assert_problem(await post(runtime, heartbeat=True), 409, REFUSED)
    order = Order(runtime)
    ended = await runtime.finish(order.document())
    assert_problem(await runtime.post(f"/steps/{ended.json['id']}/heartbeat"), 409, REFUSED)
    nobody = f"/steps/run_{'f' * 32}-root/heartbeat"
    assert_problem(await runtime.post(nobody), 404, "not-found")


async def scenario_the_heartbeat_of_a_run_that_ended_is_refused(runtime: Runtime) -> None:
    order = Order(runtime, heartbeat=60_000)
    started = await runtime.start(order.document(), Prefer="respond-async")
    waiting = await runtime.step_in(started.json["id"], "waiting")
    await runtime.post(f"/runs/{started.json['runId']}/cancel")

    refused = await runtime.post(f"/steps/{waiting['waitingFor'][0]}/heartbeat")

    assert_problem(refused, 409, REFUSED)
    assert refused.json["stepStatus"] == "cancelled"


async def scenario_an_event_without_a_heartbeat_is_open_again_after_a_redrive(runtime: Runtime) -> None:
    order = Order(runtime, heartbeat=runtime.ms(150))
    failed = await runtime.finish(order.document())
    assert (failed.status, order.told[-1].json["lastErrorKind"]) == (424, "heartbeat_missed")

    await runtime.post(f"/steps/{failed.json['id']}/redrive")
    told = await post(runtime, result="paid")

    ended = await runtime.step_in(failed.json["id"], "succeeded")
    assert (told.json["was"], ended["response"]) == ("open", "paid")


async def scenario_a_heartbeat_that_is_wrong_is_explained(runtime: Runtime) -> None:
    wrong: list[tuple[str, dict[str, Any], str]] = [
        ("", event_document("payment", heartbeat=0), "heartbeat"),
        ("", event_document("payment", heartbeat="1 s"), "heartbeat"),
        (
            "",
            event_document("payment", kind="timer", parent=f"run_{'f' * 32}-root", heartbeat=1),
            "heartbeat",
        ),
        ("/events", addressed(heartbeat=True, result=1), "heartbeat"),
        ("/events", addressed(heartbeat=True, reject={"detail": "no"}), "heartbeat"),
        ("/events", addressed(heartbeat=7), "heartbeat"),
    ]
    for path, body, field in wrong:
        reply = await runtime.post(path, body)
        assert_problem(reply, 400, "invalid-request")
        assert [error["field"] for error in reply.json["errors"]] == [field], body
