"""One call of an endpoint without a step, as `atomic doctor` makes it."""

from scenarios.runtime import Runtime, always, answer_ok
from scenarios.starts import NOBODY, assert_problem, document


async def scenario_a_probe_calls_once_and_keeps_nothing(runtime: Runtime) -> None:
    fails = runtime.endpoint("/fails", always(410, json={"detail": "gone for good"}))
    works = runtime.endpoint("/works", answer_ok)
    wanted = document(works, "p-2", payload={"a": 1.0})

    failed = await runtime.post("/probe", document(fails, "p-1"))
    worked = await runtime.post("/probe", {**wanted, "delay": 60_000})
    again = await runtime.post("/probe", wanted)

    assert [reply.status for reply in (failed, worked, again)] == [200] * 3
    assert (failed.json["responseStatus"], worked.json["responseStatus"]) == (410, 200)
    assert failed.json["error"].startswith("the endpoint answered 410")
    assert failed.json["error"].endswith("gone for good")
    assert worked.json["error"] is None
    assert worked.json["duration"] >= 0
    assert [len(runtime.calls(url)) for url in (fails, works)] == [1, 2]
    [call] = [seen.call for seen in runtime.calls(fails)]
    assert (call.json["attempt"], call.json["idempotencyKey"]) == (1, "p-1")
    assert call.headers["atomic-step-id"] == call.headers["webhook-id"]
    assert (await runtime.get("/runs")).json["runs"] == []
    assert (await runtime.get("/dead-letters")).json["deadLetters"] == []
    started = await runtime.start(wanted)
    assert (started.status, started.json["attempts"]) == (200, 1)


async def scenario_a_probe_of_what_does_not_answer_says_so(runtime: Runtime) -> None:
    reply = await runtime.post("/probe", document(NOBODY, "p-1"))

    assert (reply.status, reply.json["responseStatus"]) == (200, None)
    assert reply.json["error"]
    assert (await runtime.get("/runs")).json["runs"] == []


async def scenario_only_endpoints_can_be_probed(runtime: Runtime) -> None:
    event = {"workflowName": "w", "kind": "event", "stepName": "s", "idempotencyKey": "k"}

    reply = await runtime.post("/probe", event)

    assert_problem(reply, 400, "invalid-request")
    assert "kind" in reply.json["detail"]
