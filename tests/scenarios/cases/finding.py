"""Runs and dead letters are found by a part of their key, by errors, and by what they wait for."""

from functools import partial
from typing import Any
from urllib.parse import quote

from atomic.testing import EndpointCall, EndpointReply
from scenarios.cases.reading import pages_of
from scenarios.runtime import Runtime, always, answer_ok
from scenarios.starts import Gate, assert_problem, document, retries

ASYNC = {"Prefer": "respond-async"}


async def found(runtime: Runtime, what: str = "runs", **wanted: Any) -> list[str]:
    """The sorted keys of what fits, on all pages."""
    query = "&".join(f"{name}={quote(str(value), safe='')}" for name, value in wanted.items())
    member = "runs" if what == "runs" else "deadLetters"
    pages = await pages_of(runtime, f"/{runtime.client}/{what}?{query}", member)
    return sorted(each["idempotencyKey"] for page in pages for each in page)


async def scenario_runs_are_found_by_a_part_of_their_key(runtime: Runtime) -> None:
    ok, lost = runtime.endpoint("/ok", answer_ok), runtime.endpoint("/lost", always(410))
    for key in ("order-17-a", "order-18-a", "x%17_", "17"):
        await runtime.start(document(lost if key == "17" else ok, key=key))

    assert await found(runtime, keyContains="17") == ["17", "order-17-a", "x%17_"]
    assert await found(runtime, keyContains="17", keyPrefix="order") == ["order-17-a"]
    assert await found(runtime, keyContains="17", status="failed") == ["17"]
    assert await found(runtime, keyContains="%1") == ["x%17_"]
    assert await found(runtime, keyContains="ORDER") == []
    assert await found(runtime, "dead-letters", keyContains="7") == ["17"]


async def scenario_runs_and_dead_letters_are_found_by_their_errors(runtime: Runtime) -> None:
    for status in (410, 404, 503):
        url = runtime.endpoint(f"/{status}", always(status))
        await runtime.finish(document(url, key=f"k-{status}", retry=retries(0)))
    await runtime.finish(document(runtime.endpoint("/ok", answer_ok), key="fine"))

    assert await found(runtime, responseStatus=410) == ["k-410"]
    assert await found(runtime, responseStatus=200) == ["fine"]
    assert await found(runtime, errorKind="endpoint_answered") == ["k-404", "k-410", "k-503"]
    assert await found(runtime, errorKind="endpoint_answered", responseStatus=404, status="failed") == [
        "k-404"
    ]
    assert await found(runtime, errorKind="timed_out") == []
    assert await found(runtime, "dead-letters", responseStatus=503) == ["k-503"]
    assert await found(runtime, "dead-letters", errorKind="endpoint_answered", keyContains="41") == [
        "k-410"
    ]
    assert await found(runtime, "dead-letters", errorKind="timed_out") == []


async def scenario_live_runs_are_found_by_what_they_wait_for(runtime: Runtime) -> None:
    gate = Gate()
    busy = runtime.endpoint("/busy", always(503))

    async def workflow(call: EndpointCall) -> EndpointReply:
        post = {"workflowName": "w", "idempotencyKey": "s", "parent": call.json["stepId"], "stepName": "s"}
        slow = {"count": 9, "backOff": 3_600_000, "maxBackOff": 3_600_000, "jitter": "none"}
        more = {
            "timer": {"kind": "timer", "delay": 3_600_000},
            "event": {"kind": "event"},
            "retry": {"stepInvokeUrl": busy, "retry": slow},
        }[call.payload]
        reply = await runtime.start({**post, **more}, **ASYNC)
        assert reply.status == 202
        return EndpointReply(status=202, headers={"Atomic-Waiting-For": reply.json["id"]})

    # Virtual time stands still while an attempt is under way, so nothing falls due.
    await runtime.start(document(runtime.endpoint("/gate", gate), key="works"), **ASYNC)
    await gate.entered.wait()
    url = runtime.endpoint("/waits", workflow)
    ids = {}
    for wait in ("timer", "event", "retry"):
        started = await runtime.start(document(url, key=wait, payload=wait), **ASYNC)
        ids[wait] = started.json["id"]
        await runtime.step_in(started.json["id"], "waiting")
    await runtime.start(document(url, key="resume", payload="timer", paused=True), **ASYNC)
    await runtime.finish(document(runtime.endpoint("/ok", answer_ok), key="done"))

    async def has(wait: str) -> bool:
        return await found(runtime, waitsFor=wait) == [wait]

    for wait in ("timer", "event", "retry", "resume"):
        await runtime.until(partial(has, wait))
    said = {
        run["idempotencyKey"]: run["progress"]["waitsFor"]
        for run in (await runtime.get("/runs?progress=true")).json["runs"]
    }
    assert said.pop("works") == said.pop("done") == []
    assert said == {wait: [wait] for wait in ("timer", "event", "retry", "resume")}
    assert await found(runtime, waitsFor="slot") == await found(runtime, waitsFor="run") == []
    assert await found(runtime, waitsFor="timer", status="waiting", keyContains="time") == ["timer"]
    assert await found(runtime, waitsFor="timer", status="retrying") == []
    for step_id in ids.values():
        await runtime.post(f"/runs/{step_id.rpartition('-')[0]}/cancel")
    assert await found(runtime, waitsFor="event") == []
    gate.open()


async def scenario_bad_filters_are_told_field_and_cure(runtime: Runtime) -> None:
    for query, field in (
        ("waitsFor=event&status=failed", "waitsFor"),
        ("waitsFor=sleep", "waitsFor"),
        ("errorKind=TIMED_OUT", "errorKind"),
        ("responseStatus=99", "responseStatus"),
        ("responseStatus=5xx", "responseStatus"),
    ):
        reply = await runtime.get(f"/runs?{query}")
        assert_problem(reply, 400, "invalid-request")
        assert reply.json["errors"][0]["field"] == field
    assert_problem(await runtime.get("/dead-letters?waitsFor=event"), 400, "invalid-request")
