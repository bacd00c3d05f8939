"""What happens in the run of a delivery is told to no hook, also below its root."""

import asyncio
import json
from dataclasses import replace
from typing import Any

from atomic.application.erasing import erase_run
from atomic.application.leftovers import end_if_left_over
from atomic.domain.clients.client import Client
from atomic.domain.hooks import Hook
from atomic.protocol.enums import HOOK_EVENTS, HookEvent, Status
from atomic.testing import EndpointCall, EndpointReply, LocalAtomic, run
from atomic.testing.local import open_registry
from contract.builders import a_child, a_root, a_spec, an_owed, settled


def start(url: str, key: str, **members: Any) -> dict[str, Any]:
    return {
        "workflowName": "w",
        "stepInvokeUrl": url,
        "idempotencyKey": key,
        "retry": {"count": 0},
        **members,
    }


def test_a_step_that_fails_below_a_delivery_is_not_told() -> None:
    told: list[dict[str, Any]] = []

    async def body() -> None:
        clients = open_registry()
        async with LocalAtomic(clients=clients) as atomic:

            async def works(_call: EndpointCall) -> EndpointReply:
                return EndpointReply(json="done")

            async def fails(_call: EndpointCall) -> EndpointReply:
                return EndpointReply(status=500)

            async def hook(call: EndpointCall) -> EndpointReply:
                told.append(call.json["payload"])
                below = start(atomic.endpoint("/fails", fails), "below", parent=call.json["stepId"])
                reply = await atomic.post("/me", below)
                assert reply.status == 424, reply.body
                return EndpointReply(json="told")

            clients.put_hook("me", Hook(name="all", url=atomic.endpoint("/hook", hook), on=HOOK_EVENTS))
            for key in ("k-1", "k-2"):
                reply = await atomic.post("/me", start(atomic.endpoint("/works", works), key))
                assert (reply.status, json.loads(reply.body)["status"]) == (200, "succeeded")
            # In virtual time: until nothing is left to be done.
            await asyncio.sleep(60)
            assert len((await atomic.get("/me/runs?status=succeeded")).json["runs"]) == 4
            assert len((await atomic.get("/me/dead-letters")).json["deadLetters"]) == 2

    run(body())
    assert [(each["event"], each["idempotencyKey"]) for each in told] == [
        ("run.succeeded", "k-1"),
        ("run.succeeded", "k-2"),
    ]


def test_what_an_erased_run_owes_is_told_first() -> None:
    async def body() -> None:
        async with LocalAtomic() as atomic:
            store, now_ms = atomic.engine.store, atomic.engine.clock.now_ms()
            root = replace(settled(a_root(a_spec(client_id="me"), at_ms=now_ms), now_ms), owes=(an_owed(),))
            left = replace(a_child("left", root.spec, at_ms=now_ms), status=Status.FAILED)
            await store.create(root)
            await store.create(replace(left, due_at_ms=None, owes=(an_owed("step.failed"),)))
            await erase_run(atomic.engine, Client(id="me"), root.spec.run_id)
            assert await store.get(root.id) is None
            for hook in ("mail", "pager"):
                told = (await atomic.get(f"/me/runs?workflowName=hook/{hook}")).json["runs"]
                assert {run["idempotencyKey"].split(":")[2].partition("@")[0] for run in told} == {
                    "run.succeeded",
                    "step.failed",
                }

    run(body())


def test_an_event_of_a_delivery_is_not_told_and_one_that_is_erased_is_told_first() -> None:
    told: list[str] = []

    async def body() -> None:
        clients = open_registry()
        async with LocalAtomic(clients=clients) as atomic:

            def event(call: EndpointCall, name: str) -> dict[str, Any]:
                run = {"workflowName": "w", "idempotencyKey": "k", "parent": call.json["stepId"]}
                return {**run, "kind": "event", "stepName": name, "timeout": 1}

            async def opens(call: EndpointCall) -> EndpointReply:
                await atomic.post("/me", event(call, "approval"))
                # The run ends while its event may still owe the delivery.
                return EndpointReply(json="done")

            async def hook(call: EndpointCall) -> EndpointReply:
                await atomic.post("/me", event(call, "below"))
                told.append(call.json["payload"]["stepName"])
                return EndpointReply(json="told")

            on: tuple[HookEvent, ...] = ("event.opened",)
            clients.put_hook("me", Hook(name="all", url=atomic.endpoint("/hook", hook), on=on))
            run_id = (await atomic.post("/me", start(atomic.endpoint("/opens", opens), "k"))).json["runId"]
            await asyncio.sleep(60)
            [opened] = [row for row in await atomic.engine.store.outline(run_id) if row.kind == "event"]
            row = await atomic.engine.store.get(opened.id)
            assert row is not None
            assert row.owes == ()
            assert told == ["approval"]
            # A process that ended before it started the deliveries leaves this.
            owing = replace(row, owes=(an_owed("event.opened"),), version=row.version + 1)
            assert await atomic.engine.store.replace(owing, row.version) is None
            await end_if_left_over(atomic.engine, owing)
            await erase_run(atomic.engine, Client(id="me"), run_id)
            assert len((await atomic.get("/me/runs?workflowName=hook/pager")).json["runs"]) == 1

    run(body())


def test_a_run_that_begins_anew_after_an_erase_is_told_again() -> None:
    told: list[str] = []

    async def body() -> None:
        clients = open_registry()
        async with LocalAtomic(clients=clients) as atomic:

            async def works(_call: EndpointCall) -> EndpointReply:
                return EndpointReply(json="done")

            async def hook(call: EndpointCall) -> EndpointReply:
                told.append(call.json["payload"]["runId"])
                return EndpointReply(json="told")

            clients.put_hook("me", Hook(name="all", url=atomic.endpoint("/hook", hook), on=HOOK_EVENTS))
            for _ in range(2):
                run_id = (await atomic.post("/me", start(atomic.endpoint("/works", works), "k"))).json[
                    "runId"
                ]
                await asyncio.sleep(60)
                await erase_run(atomic.engine, Client(id="me"), run_id)

    run(body())
    assert len(told) == 2
    assert len(set(told)) == 1
