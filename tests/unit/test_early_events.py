"""How long a result is kept that came before its handler asked for the event."""

import asyncio
from typing import Any

from atomic.testing import ApiReply, EndpointCall, EndpointReply, LocalAtomic, run

DAY_S = 24 * 3600
OF_THE_RUN = {"workflowName": "w", "idempotencyKey": "k"}


async def told(atomic: LocalAtomic, result: Any) -> ApiReply:
    """Post the result of the event."""
    return await atomic.post("/me/events", {**OF_THE_RUN, "name": "e", "result": result})


async def asked(atomic: LocalAtomic, parent: str) -> ApiReply:
    """Ask for the event as the handler of a step does, and wait for a moment."""
    event = {**OF_THE_RUN, "kind": "event", "stepName": "e", "parent": parent, "timeout": 1}
    return await atomic.post("/me", event)


def test_a_result_that_nobody_asks_for_is_forgotten_after_a_week() -> None:
    async def body() -> list[tuple[int, Any]]:
        async with LocalAtomic() as atomic:
            replies = [await told(atomic, 1)]
            for days in (6.9, 0.2):
                await asyncio.sleep(days * DAY_S)
                replies.append(await told(atomic, 2))
            return [(reply.status, reply.json["was"]) for reply in replies]

    assert run(body()) == [(200, "early"), (409, "done"), (200, "early")]


def test_a_run_keeps_it_from_its_start_to_its_redrive() -> None:
    is_up = False

    async def handler(call: EndpointCall) -> EndpointReply:
        reply = await asked(atomic_of[0], call.json["stepId"])
        assert reply.status == 200
        return EndpointReply(status=200 if is_up else 410, json=reply.json["response"])

    atomic_of: list[LocalAtomic] = []

    async def body() -> list[Any]:
        nonlocal is_up
        async with LocalAtomic() as atomic:
            atomic_of.append(atomic)
            await told(atomic, "paid")
            await asyncio.sleep(6 * DAY_S)
            url = atomic.endpoint("/w", handler)
            failed = await atomic.post("/me", {**OF_THE_RUN, "stepInvokeUrl": url})
            await asyncio.sleep(20 * DAY_S)
            is_up = True
            await atomic.request("POST", f"/me/steps/{failed.json['id']}/redrive")
            again = await atomic.post("/me", {**OF_THE_RUN, "stepInvokeUrl": url})
            return [failed.status, again.status, again.json["response"]]

    assert run(body()) == [424, 200, "paid"]


def test_a_run_that_is_forgotten_leaves_its_key_to_the_next() -> None:
    async def handler(call: EndpointCall) -> EndpointReply:
        return EndpointReply(json="done")

    async def body() -> list[tuple[int, Any]]:
        async with LocalAtomic() as atomic:
            url = atomic.endpoint("/w", handler)
            replies = [await told(atomic, 1)]
            await atomic.post("/me", {**OF_THE_RUN, "stepInvokeUrl": url})
            for days in (8, 29):
                await asyncio.sleep(days * DAY_S)
                replies.append(await told(atomic, 2))
            return [(reply.status, reply.json.get("was")) for reply in replies]

    # As long as its run is remembered, the event is the same one.
    assert run(body()) == [(200, "early"), (409, "done"), (200, "early")]
