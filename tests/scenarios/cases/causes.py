"""Failed runs by their causes: counted, found, dismissed, and redriven."""

from typing import Any

from atomic.testing import ApiReply, EndpointCall, EndpointReply
from scenarios.cases.finding import found
from scenarios.cases.redriving import catching, document, passing_on
from scenarios.runtime import Handler, Runtime, always, answer_ok
from scenarios.starts import assert_problem

GONE = {"errorKind": "endpoint_answered", "responseStatus": 410}


def refusing(status: int = 410) -> Handler:
    """An endpoint that names another order each time."""
    seen: list[str] = []

    async def handler(call: EndpointCall) -> EndpointReply:
        seen.append(call.headers["idempotency-key"])
        detail = f"order 4{len(seen)} of '{seen[-1]}' is gone"
        return EndpointReply(status=status, json={"detail": detail})

    return handler


async def causes(runtime: Runtime, **wanted: str) -> list[dict[str, Any]]:
    query = "&".join(f"{name}={text}" for name, text in wanted.items())
    answer = (await runtime.get(f"/causes?{query}")).json
    assert (answer["more"], answer["isAll"]) == (False, True)
    listed: list[dict[str, Any]] = answer["causes"]
    return listed


async def undismiss(runtime: Runtime, run_id: str) -> ApiReply:
    return await runtime.request("DELETE", f"/{runtime.client}/runs/{run_id}/dismiss")


async def finished(runtime: Runtime, url: str, *keys: str, **members: Any) -> list[str]:
    """Runs of these keys, when they have ended: their ids."""
    ids = []
    for key in keys:
        root = (await runtime.finish(document(url, idempotencyKey=key, **members))).json
        ids.append(root["id"])
    return [root_id.removesuffix("-root") for root_id in ids]


async def scenario_failed_runs_are_counted_by_their_causes(runtime: Runtime) -> None:
    """Each run counts once, by its innermost failed step; a step whose handler went on does not count."""
    pay = runtime.endpoint("/pay", refusing())
    order = runtime.endpoint("/order", passing_on(runtime, pay))
    ordered = await finished(runtime, order, "o-1", "o-2", "o-3")
    await finished(runtime, runtime.endpoint("/lost", always(410)), "l-1", "l-2")
    await finished(runtime, runtime.endpoint("/busy", always(503)), "b-1", workflowName="busy")
    await finished(runtime, runtime.endpoint("/goes-on", catching(runtime, pay, "fine")), "fine")
    await finished(runtime, runtime.endpoint("/ok", answer_ok), "ok")

    most, lost, busy = await causes(runtime)

    assert {"workflowName": "saga", "count": 3, **GONE}.items() <= most.items()
    assert (most["stepName"].endswith("/pay"), lost["stepName"], busy["stepName"]) == (True, None, None)
    assert most["text"] == "the endpoint answered 410: order # of # is gone"
    # They may have been created at the same moment.
    assert {sample["idempotencyKey"] for sample in most["samples"]} == {"o-3", "o-2", "o-1"}
    assert (most["firstCreatedAt"], most["lastCreatedAt"]) == (
        most["samples"][2]["createdAt"],
        most["samples"][0]["createdAt"],
    )
    assert {"count": 2, "text": "the endpoint answered 410", **GONE}.items() <= lost.items()
    assert (busy["count"], busy["responseStatus"], busy["workflowName"]) == (1, 503, "busy")
    assert await causes(runtime, workflowName="busy") == [busy]
    assert await causes(runtime, workflowName="other") == []
    [handled] = await causes(runtime, state="handled")
    assert (handled["id"], handled["count"]) == (most["id"], 1)
    assert await causes(runtime, state="dismissed") == []

    assert await found(runtime, cause=most["id"]) == ["o-1", "o-2", "o-3"]
    assert await found(runtime, cause=most["id"], keyContains="2") == ["o-2"]
    assert await found(runtime, cause=lost["id"], status="failed") == ["l-1", "l-2"]
    assert await found(runtime, cause=busy["id"], errorKind="timed_out") == []
    assert await found(runtime, dismissed="false", workflowName="busy") == ["b-1"]
    # The steps themselves, the one that was handled as well.
    assert len(await found(runtime, "dead-letters", cause=most["id"])) == 4
    assert await found(runtime, "dead-letters", cause=busy["id"]) == ["b-1"]
    # Their handlers answered 500.
    assert await found(runtime, responseStatus="410", workflowName="saga", keyContains="o-") == [
        "o-1",
        "o-2",
        "o-3",
    ]
    assert await found(runtime, responseStatus="410", errorKind="timed_out") == []
    run = (await runtime.get(f"/runs/{ordered[0]}")).json
    assert run["run"]["cause"] == {"id": most["id"], "stepId": run["steps"][0]["id"]}
    assert "cause" not in run["steps"][0]
    assert (await runtime.get("/stats")).json["needsAction"] == 6


async def scenario_a_handler_names_the_step_that_it_failed_for(runtime: Runtime) -> None:
    """It posts two steps that fail, and passes on the problem of the first one, as the SDKs do."""
    first, second = runtime.endpoint("/first", always(410)), runtime.endpoint("/second", always(503))

    async def handler(call: EndpointCall) -> EndpointReply:
        parent = call.json["stepId"]
        problems = [
            (await runtime.start(document(url, parent=parent, stepName=name))).json
            for url, name in ((first, "first"), (second, "second"))
        ]
        return EndpointReply(status=500, json=problems[0])

    await finished(runtime, runtime.endpoint("/both", handler), "k")

    [cause] = await causes(runtime)
    assert (cause["stepName"], cause["responseStatus"]) == ("first", 410)


async def scenario_a_dismissed_run_needs_no_action_until_it_is_redriven(runtime: Runtime) -> None:
    url = runtime.endpoint("/gone", always(410))
    one, two = await finished(runtime, url, "k-1", "k-2")
    [cause] = await causes(runtime)

    dismissed = await runtime.post(f"/runs/{one}/dismiss", {"note": "known"})

    assert (dismissed.status, dismissed.json["status"]) == (200, "failed")
    assert dismissed.json["dismissed"]["note"] == "known"
    # A second one changes its note at most.
    again = await runtime.post(f"/runs/{one}/dismiss")
    assert again.json["dismissed"] == dismissed.json["dismissed"]
    [left] = await causes(runtime)
    assert (left["id"], left["count"]) == (cause["id"], 1)
    [settled] = await causes(runtime, state="dismissed")
    assert (settled["id"], settled["count"], settled["samples"][0]["runId"]) == (cause["id"], 1, one)
    assert await found(runtime, dismissed="true") == ["k-1"]
    assert await found(runtime, dismissed="false", cause=cause["id"]) == ["k-2"]
    assert (await runtime.get("/stats")).json["needsAction"] == 1

    back = await undismiss(runtime, one)
    assert (back.status, "dismissed" in back.json) == (200, False)
    assert (await undismiss(runtime, one)).status == 200
    assert (await causes(runtime))[0]["count"] == 2

    await runtime.post(f"/runs/{two}/dismiss")
    runtime.endpoint("/gone", answer_ok)
    for run_id in (one, two):
        await runtime.post(f"/steps/{run_id}-root/redrive")
        root = await runtime.step_in(f"{run_id}-root", "succeeded")
        assert {"cause", "dismissed"}.isdisjoint(root)
    assert await causes(runtime) == await causes(runtime, state="dismissed") == []


async def scenario_only_failed_runs_are_dismissed_and_bad_filters_are_told(runtime: Runtime) -> None:
    [run_id] = await finished(runtime, runtime.endpoint("/ok", answer_ok), "ok")
    refused = await runtime.post(f"/runs/{run_id}/dismiss", {"note": "why"})
    assert_problem(refused, 409, "not-failed")
    assert (refused.json["runId"], refused.json["stepStatus"]) == (run_id, "succeeded")
    assert (await undismiss(runtime, run_id)).status == 200
    assert_problem(await runtime.post("/runs/run_0/dismiss"), 404, "not-found")
    for path, field in (
        ("/causes?state=closed", "state"),
        ("/causes?limit=0", "limit"),
        ("/causes?status=failed", "status"),
        ("/runs?cause=no-funds", "cause"),
        ("/runs?dismissed=maybe", "dismissed"),
        ("/runs?dismissed=true&status=succeeded", "status"),
        ("/runs?dismissed=true&waitsFor=event", "waitsFor"),
        ("/dead-letters?cause=0", "cause"),
        ("/dead-letters?dismissed=true", "dismissed"),
    ):
        reply = await runtime.get(path)
        assert_problem(reply, 400, "invalid-request")
        assert reply.json["errors"][0]["field"] == field
    for body, field in (({"note": 7}, "note"), ({"note": "x" * 501}, "note"), ({"why": ""}, "why")):
        reply = await runtime.post(f"/runs/{run_id}/dismiss", body)
        assert_problem(reply, 400, "invalid-request")
        assert reply.json["errors"][0]["field"] == field
