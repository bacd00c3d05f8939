"""When a run is forgotten whose workflow has a retention of its own, and which runs have it."""

import asyncio
import json
from typing import Any

from atomic.domain.retentions import DAY_MS, RETENTION_MS
from atomic.protocol import keys
from atomic.testing import EndpointCall, EndpointReply, LocalAtomic, run
from unit.asking import ask

DAY_S = 24 * 3600


def a_start(url: str, name: str, key: str, **members: Any) -> dict[str, Any]:
    return {"workflowName": name, "stepInvokeUrl": url, "idempotencyKey": key, **members}


async def done(_call: EndpointCall) -> EndpointReply:
    return EndpointReply(json="done")


async def retention_ms(atomic: LocalAtomic, name: str, key: str) -> int:
    root = await atomic.engine.store.get(keys.root_of(keys.run_id("me", name, key)))
    assert root is not None
    return root.spec.retention_ms


def test_the_key_begins_anew_with_all_its_steps_when_the_retention_is_over() -> None:
    """Also those that were posted when the retention was longer."""

    async def body() -> None:
        async with LocalAtomic() as atomic:
            calls: list[str] = []

            async def step(call: EndpointCall) -> EndpointReply:
                calls.append(call.json["idempotencyKey"])
                return EndpointReply(json=None)

            async def workflow(call: EndpointCall) -> EndpointReply:
                await ask(atomic, "DELETE", "/workflows/beat/retention")
                await ask(atomic, "POST", "", a_start(url_of_step, "beat", "s", parent=call.json["stepId"]))
                return EndpointReply(json=None)

            url_of_step = atomic.endpoint("/step", step)
            beat = a_start(atomic.endpoint("/beat", workflow), "beat", "k")
            await ask(atomic, "PUT", "/workflows/beat/retention", {"days": 1})
            for hours, times in ((0, 1), (23.9, 1), (0.2, 2)):
                await asyncio.sleep(hours * 3600)
                await ask(atomic, "POST", "", beat)
                assert len(calls) == times, hours

    run(body())


def test_a_child_run_and_a_run_of_a_schedule_have_that_of_their_own_workflow() -> None:
    async def body() -> None:
        async with LocalAtomic() as atomic:
            url = atomic.endpoint("/done", done)

            async def workflow(call: EndpointCall) -> EndpointReply:
                link = {"kind": "run", "run": {"workflowName": "child", "idempotencyKey": "c"}}
                await ask(
                    atomic, "POST", "", a_start(url, "above", "l", parent=call.json["stepId"], **link)
                )
                return EndpointReply(json=None)

            await ask(atomic, "PUT", "/workflows/child/retention", {"days": 2})
            start = {"workflowName": "child", "stepInvokeUrl": url}
            await ask(atomic, "PUT", "/schedules/s", {"start": start, "every": 3_600_000, "limit": 1})
            await ask(atomic, "POST", "", a_start(atomic.endpoint("/above", workflow), "above", "a"))
            assert await retention_ms(atomic, "above", "a") == RETENTION_MS
            assert await retention_ms(atomic, "child", "c") == 2 * DAY_MS

            await ask(atomic, "PUT", "/workflows/child/retention", {"days": 3})
            await asyncio.sleep(3_700)
            last = (await ask(atomic, "GET", "/schedules/s"))["last"]
            root = await atomic.engine.store.get(keys.root_of(last["runId"]))
            assert root is not None
            assert root.spec.retention_ms == 3 * DAY_MS

    run(body())


def test_a_restart_has_that_of_now() -> None:
    async def body() -> None:
        async with LocalAtomic() as atomic:
            url = atomic.endpoint("/done", done)
            ended = await ask(atomic, "POST", "", a_start(url, "w", "k"))
            await ask(atomic, "PUT", "/workflows/w/retention", {"days": 4})
            await ask(atomic, "POST", f"/runs/{ended['runId']}/restart")
            assert await retention_ms(atomic, "w", "k/2") == 4 * DAY_MS
            asked = {"do": "restart", "filter": {"workflowName": "w", "keyPrefix": "k/2"}}
            await ask(atomic, "POST", "/bulk", asked)
            await asyncio.sleep(5)
            assert await retention_ms(atomic, "w", "k/3") == 4 * DAY_MS

    run(body())


def test_runs_that_atomic_itself_starts_have_none() -> None:
    async def body() -> None:
        async with LocalAtomic() as atomic:
            for name in ("hook/pager", "bulk/redrive"):
                target = f"/me/workflows/{name}/retention"
                refused = await atomic.request("PUT", target, body=b'{"days": 1}')
                assert (refused.status, refused.json["detail"].partition(": ")[0]) == (400, "workflowName")
                # A handler of a delivery may post steps, but nobody starts such a run.
                start = a_start(atomic.endpoint("/done", done), name, "k")
                assert (await atomic.post("/me", start)).status == 400
            schedule = {"start": {"workflowName": "hook/x", "stepInvokeUrl": "http://a.example/"}}
            put = json.dumps({**schedule, "cron": "@daily"}).encode()
            refused = await atomic.request("PUT", "/me/schedules/s", body=put)
            assert refused.json["detail"].startswith("start.workflowName: bulk/ and hook/ begin the names")

    run(body())


def test_an_early_result_that_a_run_has_used_is_none_for_the_next_run_of_the_key() -> None:
    async def body() -> None:
        async with LocalAtomic() as atomic:
            results: list[Any] = []

            async def workflow(call: EndpointCall) -> EndpointReply:
                event = {"kind": "event", "stepName": "e", "parent": call.json["stepId"], "timeout": 1}
                asked = {"workflowName": "beat", "idempotencyKey": "k", **event}
                reply = await atomic.post("/me", asked)
                results.append(reply.json.get("response"))
                return EndpointReply(json=None)

            beat = a_start(atomic.endpoint("/beat", workflow), "beat", "k")
            # Posted while the retention of the workflow was that of the server.
            told = {"workflowName": "beat", "idempotencyKey": "k", "name": "e", "result": "first"}
            await ask(atomic, "POST", "/events", told)
            await ask(atomic, "PUT", "/workflows/beat/retention", {"days": 1})
            for _ in range(2):
                await atomic.post("/me", beat)
                await asyncio.sleep(DAY_S + 60)
            assert results == ["first", None]

    run(body())
