"""Hooks: of which ends they are told, once each, and what a hook may be."""

import json
import re
from typing import Any

from atomic.protocol.enums import HOOK_EVENTS
from atomic.protocol.wire import from_rfc3339
from atomic.testing import ApiReply, EndpointCall, EndpointReply
from scenarios.cases.child_runs import run_id_of
from scenarios.cases.continuing import Rounds
from scenarios.cases.events import addressed
from scenarios.cases.start_times import ASYNC
from scenarios.cases.suspension import event_document
from scenarios.runtime import Runtime, always, answer_ok
from scenarios.starts import assert_problem, document

ONCE = {"retry": {"count": 0}}


async def put(runtime: Runtime, at: str, name: str = "pager", **members: Any) -> ApiReply:
    """Put a hook, by default for everything."""
    wanted = {"url": at, "on": HOOK_EVENTS, **members}
    return await runtime.request("PUT", f"/{runtime.client}/hooks/{name}", body=json.dumps(wanted).encode())


async def delete(runtime: Runtime, name: str = "pager") -> ApiReply:
    """Delete a hook."""
    return await runtime.request("DELETE", f"/{runtime.client}/hooks/{name}")


async def told(runtime: Runtime, url: str, count: int) -> list[dict[str, Any]]:
    """What the endpoint was told, once it was told so often."""

    async def enough() -> bool:
        return len(runtime.calls(url)) >= count

    await runtime.until(enough)
    return [seen.call.json["payload"] for seen in runtime.calls(url)]


async def scenario_each_end_of_a_run_is_told_once(runtime: Runtime) -> None:
    url = runtime.endpoint("/told", answer_ok)
    works, fails = runtime.endpoint("/works", answer_ok), runtime.endpoint("/fails", always(500))
    assert (await put(runtime, url)).status == 201

    done = await runtime.finish(document(works, key="done"))
    [first] = await told(runtime, url, 1)
    assert first["url"] is None or first["url"].endswith(f"/{runtime.client}/runs/{first['runId']}")
    assert {**first, "at": "", "url": None} == {
        "event": "run.succeeded",
        "hook": "pager",
        "at": "",
        "runId": done.json["runId"],
        "stepId": done.json["id"],
        "workflowName": document(works)["workflowName"],
        "stepName": None,
        "idempotencyKey": "done",
        "status": "succeeded",
        "generation": 1,
        "error": None,
        "url": None,
    }
    [call] = [seen.call for seen in runtime.calls(url)]
    assert call.json["workflowName"] == "hook/pager"
    key = re.escape(f"{done.json['id']}:1:run.succeeded@") + r"\d+:pager"
    assert re.fullmatch(key, call.headers["idempotency-key"])

    failed = await runtime.finish(document(fails, key="failed", **ONCE))
    second = (await told(runtime, url, 2))[1]
    assert (second["event"], second["runId"]) == ("run.failed", failed.json["runId"])
    assert second["error"] == {"kind": "endpoint_answered", "responseStatus": 500}

    late = await runtime.start(document(works, key="late", delay=3_600_000), **ASYNC)
    for action, event in (("pause", "run.paused"), ("cancel", "run.cancelled")):
        await runtime.post(f"/runs/{run_id_of(late.json['id'])}/{action}")
        await told(runtime, url, 3 + (action == "cancel"))
        assert runtime.calls(url)[-1].call.json["payload"]["event"] == event
    # A run is told of by its row, and a delivery is a run: an end of each is one.
    runs = (await runtime.get("/runs?workflowName=hook/pager")).json["runs"]
    assert len(runs) == len(runtime.calls(url)) == 4
    await delete(runtime)


async def scenario_a_step_that_fails_is_told_and_so_is_its_run(runtime: Runtime) -> None:
    url, fails = runtime.endpoint("/told", answer_ok), runtime.endpoint("/fails", always(500))
    await put(runtime, url, on=["step.failed", "run.failed"])

    async def workflow(call: EndpointCall) -> EndpointReply:
        await runtime.start({**document(fails, key="s", **ONCE), "parent": call.json["stepId"]})
        return EndpointReply(status=422, headers={"Atomic-No-Retry": "true"})

    await runtime.finish(document(runtime.endpoint("/root", workflow), key="r"))

    both = {each["event"]: each for each in await told(runtime, url, 2)}
    assert both.keys() == {"step.failed", "run.failed"}
    assert both["step.failed"]["runId"] == both["run.failed"]["runId"]
    assert both["step.failed"]["stepId"] != both["run.failed"]["stepId"]
    await delete(runtime)


async def scenario_a_redriven_run_has_another_end(runtime: Runtime) -> None:
    url, fails = runtime.endpoint("/told", answer_ok), runtime.endpoint("/fails", always(500))
    await put(runtime, url, on=["run.failed"])
    failed = await runtime.finish(document(fails, key="again", **ONCE))
    await told(runtime, url, 1)

    await runtime.post(f"/steps/{failed.json['id']}/redrive")

    assert [each["generation"] for each in await told(runtime, url, 2)] == [1, 2]
    await delete(runtime)


async def scenario_a_delivery_that_fails_is_a_dead_letter_and_no_hook_is_told_of_it(
    runtime: Runtime,
) -> None:
    refuses = runtime.endpoint("/refuses", always(422, Atomic_No_Retry="true"))
    await put(runtime, refuses)
    done = await runtime.finish(document(runtime.endpoint("/works", answer_ok), key="k"))

    async def dead() -> Any:
        return (await runtime.get("/dead-letters")).json["deadLetters"]

    [letter] = await runtime.until(dead)
    assert letter["workflowName"] == "hook/pager"
    assert letter["idempotencyKey"].startswith(done.json["id"])
    await delete(runtime)
    # What would be told of it would have been started by now: a later end of a run is told to another hook.
    url = runtime.endpoint("/told", answer_ok)
    await put(runtime, url, name="other")
    await runtime.finish(document(runtime.endpoint("/works", answer_ok), key="k-2"))
    [only] = await told(runtime, url, 1)
    assert only["idempotencyKey"] == "k-2"
    assert len(runtime.calls(refuses)) == 1
    await delete(runtime, "other")


async def scenario_a_hook_is_told_of_its_workflow_alone(runtime: Runtime) -> None:
    url, works = runtime.endpoint("/told", answer_ok), runtime.endpoint("/works", answer_ok)
    await put(runtime, url, workflowName="billing", on=["run.succeeded"])
    for name in ("shipping", "billing"):
        await runtime.finish({**document(works, key="k"), "workflowName": name})

    [only] = await told(runtime, url, 1)
    assert only["workflowName"] == "billing"
    await delete(runtime)


async def scenario_an_event_that_is_opened_is_told(runtime: Runtime) -> None:
    url = runtime.endpoint("/told", answer_ok)
    await put(runtime, url, on=["event.opened"])
    await runtime.post("/events", addressed("early", result=1))
    posted: list[ApiReply] = []

    async def opens(call: EndpointCall) -> EndpointReply:
        for name, members in (("early", {}), ("approval", {"deadline": 3_600_000}), ("approval", {})):
            event = event_document(name, parent=call.json["stepId"], **members)
            posted.append(await runtime.start(event, **ASYNC))
        return EndpointReply(json="done")

    root = await runtime.finish(document(runtime.endpoint("/opens", opens), key="k"))
    # It is opened after all that is not told.
    await runtime.start({**event_document("last"), "idempotencyKey": "z"}, **ASYNC)

    first, second = sorted(await told(runtime, url, 2), key=lambda each: str(each["idempotencyKey"]))
    assert [reply.status for reply in posted] == [200, 202, 202]
    assert (first["stepName"], first["status"], first["runId"]) == (
        "approval",
        "pending",
        root.json["runId"],
    )
    at_ms, deadline_ms = (from_rfc3339(first[name]) for name in ("at", "deadlineAt"))
    assert deadline_ms - at_ms == 3_600_000
    path = f"/{runtime.client}/steps/{posted[1].json['id']}/result"
    assert first["resultUrl"] is None or first["resultUrl"].endswith(path)
    assert (second["stepName"], second["deadlineAt"]) == ("last", None)
    assert len(runtime.calls(url)) == 2
    await delete(runtime)


async def scenario_a_start_has_hooks_of_its_own(runtime: Runtime) -> None:
    url, other = runtime.endpoint("/told", answer_ok), runtime.endpoint("/other", answer_ok)
    works = runtime.endpoint("/works", answer_ok)
    hooks = {"run.succeeded": url, "run.failed": other}

    done = await runtime.finish(document(works, key="own", hooks=hooks))
    # The first start decides, and a repeated one may leave them out.
    again = await runtime.start(document(works, key="own"))
    assert (again.status, again.json["id"]) == (200, done.json["id"])
    await runtime.finish(document(works, key="plain"))
    [first] = await told(runtime, url, 1)
    assert (first["hook"], first["event"], first["idempotencyKey"]) == ("@start", "run.succeeded", "own")
    shown = (await runtime.get(f"/runs/{done.json['runId']}")).json["root"]
    assert shown["hooks"] == hooks


async def scenario_a_hook_and_that_of_a_start_are_both_told(runtime: Runtime) -> None:
    other, fails = runtime.endpoint("/other", answer_ok), runtime.endpoint("/fails", always(500))
    await put(runtime, other, on=["run.failed"])
    await runtime.finish(document(fails, key="both", hooks={"run.failed": other}, **ONCE))
    both = await told(runtime, other, 2)
    assert sorted(each["hook"] for each in both) == ["@start", "pager"]
    await delete(runtime)


async def scenario_a_run_that_goes_on_keeps_its_hooks(runtime: Runtime) -> None:
    url = runtime.endpoint("/told", answer_ok)
    rounds = Rounds(runtime)
    await runtime.finish(document(rounds.url, payload=1, hooks={"run.succeeded": url}))
    await rounds.last.entered.wait()
    rounds.last.open()

    [only] = await told(runtime, url, 1)
    assert only["stepId"] == rounds.roots[-1]


async def scenario_hooks_that_a_start_cannot_have_are_told_field_and_cure(runtime: Runtime) -> None:
    url = runtime.endpoint("/told", answer_ok)
    refused = [
        await runtime.start(document(url, key="bad", hooks=hooks))
        for hooks in ({"step.failed": url}, {"run.failed": "told"}, {"run.failed": None}, [url])
    ]
    bus = await runtime.start(document("eventbridge:ops", key="bus"))
    assert_problem(bus, 400, "invalid-request")
    assert "stepInvokeUrl: only hooks may name an event bus" in bus.json["detail"]

    async def workflow(call: EndpointCall) -> EndpointReply:
        step = document(url, parent=call.json["stepId"], hooks={"run.failed": url})
        refused.append(await runtime.start(step))
        link = {"kind": "run", "run": {"workflowName": "w", "idempotencyKey": "k"}}
        refused.append(await runtime.start({**step, **link}))
        return EndpointReply(json="done")

    await runtime.finish(document(runtime.endpoint("/root", workflow), key="r"))
    fields = ["hooks.step.failed", "hooks.run.failed", "hooks.run.failed", "hooks", "hooks", "hooks"]
    assert len(refused) == len(fields)
    for reply, field in zip(refused, fields, strict=True):
        assert_problem(reply, 400, "invalid-request")
        assert reply.json["errors"][0]["field"] == field
    assert runtime.calls(url) == []


async def scenario_hooks_are_put_read_listed_and_deleted(runtime: Runtime) -> None:
    url = runtime.endpoint("/told", answer_ok)
    shown = {"name": "mail", "url": url, "on": ["run.failed", "step.failed"], "workflowName": None}
    new = await put(runtime, url, "mail", on=["step.failed", "run.failed", "run.failed"])
    assert (new.status, new.json) == (201, shown)
    same = await put(runtime, url, "mail", on=["run.paused"], workflowName="billing")
    assert (same.status, same.json["on"], same.json["workflowName"]) == (200, ["run.paused"], "billing")
    await put(runtime, url, "alarm")

    listed = (await runtime.get("/hooks")).json["hooks"]

    assert [hook["name"] for hook in listed] == ["alarm", "mail"]
    assert (await runtime.get("/hooks/mail")).json == listed[1] == same.json
    assert (await delete(runtime, "mail")).json == {"deleted": "mail"}
    for reply in (await delete(runtime, "mail"), await runtime.get("/hooks/mail")):
        assert_problem(reply, 404, "not-found")
    await delete(runtime, "alarm")


async def scenario_what_no_hook_can_be_is_told_field_and_cure(runtime: Runtime) -> None:
    url = runtime.endpoint("/told", answer_ok)
    for members, field in (
        ({"on": []}, "on"),
        ({"on": ["run.ended"]}, "on.0"),
        ({"url": "told"}, "url"),
        ({"url": "eventbridge:"}, "url"),
        # No server of these scenarios has a bus.
        ({"url": "eventbridge:ops"}, "url"),
        ({"workflowName": ""}, "workflowName"),
        ({"events": ["run.failed"]}, "events"),
    ):
        refused = await put(runtime, url, **members)
        assert_problem(refused, 400, "invalid-request")
        assert [each["field"] for each in refused.json["errors"]] == [field]
    for name in ("-", "%20", "n" * 65):
        assert_problem(await put(runtime, url, name), 400, "invalid-request")
    assert (await runtime.get("/hooks")).json == {"hooks": []}

    names = [f"h{number}" for number in range(10)]
    for name in names:
        assert (await put(runtime, url, name)).status == 201
    assert_problem(await put(runtime, url, "one-more"), 409, "too-many-hooks")
    assert (await put(runtime, url, "h3")).status == 200
    for name in names:
        await delete(runtime, name)
