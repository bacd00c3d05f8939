"""A handler that is told of a graceful cancel ends, and leaves steps that go on undoing."""

from atomic.testing import EndpointCall, EndpointReply
from scenarios.cases.answering import answer
from scenarios.cases.graceful_cancels import GRACEFUL, Trip
from scenarios.runtime import Runtime
from scenarios.starts import document


async def scenario_what_undoes_itself_is_waited_for(runtime: Runtime) -> None:
    """A handler has started a run and a nested workflow, and waits for neither when it is told."""
    trips = {name: Trip(runtime) for name in ("nested", "run")}
    urls = {name: runtime.endpoint(f"/{name}", trip.handle) for name, trip in trips.items()}
    told: list[int] = []

    async def handler(call: EndpointCall) -> EndpointReply:
        if "cancelled" in call.json:
            told.append(call.json["attempt"])
            return EndpointReply(status=409, headers={"Atomic-Cancelled": "true"})
        below = {"workflowName": "w", "parent": call.json["stepId"]}
        run = {"kind": "run", "run": {"workflowName": "trip", "idempotencyKey": "child"}}
        nested = document(urls["nested"], key="nested")
        link = {**run, "idempotencyKey": "link", "stepInvokeUrl": urls["run"]}
        event = {"kind": "event", "stepName": "go", "idempotencyKey": "go"}
        for posted in (nested, link, event):
            reply = await runtime.start({**posted, **below}, Prefer="respond-async")
        return EndpointReply(status=202, headers={"Atomic-Waiting-For": reply.json["id"]})

    started = document(runtime.endpoint("/handler", handler), key="leaves")
    root_id = (await runtime.start(started, Prefer="respond-async")).json["id"]
    root = await runtime.step_in(root_id, "waiting")
    for step in (await runtime.get(f"/runs/{root['runId']}")).json["steps"]:
        if step["parent"] == root_id and step["kind"] != "event":
            waits = f"{step['childRunId']}-root" if step["kind"] == "run" else step["id"]
            await runtime.step_in(waits, "waiting")

    await runtime.post(f"/runs/{root['runId']}/cancel", GRACEFUL)

    await runtime.step_in(root_id, "cancelled")
    for trip in trips.values():
        assert trip.calls[-1] == ("true", True)
    ended = (await runtime.get("/runs?status=cancelled")).json["runs"]
    assert {run["workflowName"] for run in ended} == {"w", "trip"}
    nested = (await runtime.get(f"/runs/{root['runId']}")).json["steps"]
    undone = [step for step in nested if (step["stepInvokeUrl"] or "").endswith("/undo")]
    assert [step["status"] for step in undone] == ["succeeded"]
    [child] = [run for run in ended if run["workflowName"] == "trip"]
    child = (await runtime.get(f"/steps/{child['id']}")).json
    assert child["response"] == {"undone": True}
    assert told[0] < told[-1]


async def scenario_undos_that_the_handler_does_not_wait_for_may_end(runtime: Runtime) -> None:
    """A handler makes two undos side by side, and raises as soon as one of them has failed."""
    calls: list[EndpointCall] = []
    told: list[int] = []

    async def undo(call: EndpointCall) -> EndpointReply:
        calls.append(call)
        return EndpointReply(status=202, headers={"Atomic-Answer-Within": "3600000"})

    async def undo_is_called() -> bool:
        return bool(calls)

    undone = document(runtime.endpoint("/undo", undo), key="undo")

    async def handler(call: EndpointCall) -> EndpointReply:
        below = {"parent": call.json["stepId"]}
        if "cancelled" in call.json:
            told.append(call.json["attempt"])
            await runtime.start({**undone, **below}, Prefer="respond-async")
            return EndpointReply(status=409, headers={"Atomic-Cancelled": "true"})
        event = {"kind": "event", "stepName": "go", "workflowName": "w", "idempotencyKey": "go", **below}
        reply = await runtime.start(event, Prefer="respond-async")
        return EndpointReply(status=202, headers={"Atomic-Waiting-For": reply.json["id"]})

    started = document(runtime.endpoint("/handler", handler), key="undoes-beside")
    root_id = (await runtime.start(started, Prefer="respond-async")).json["id"]
    root = await runtime.step_in(root_id, "waiting")
    await runtime.post(f"/runs/{root['runId']}/cancel", {**GRACEFUL, "within": 3_600_000})
    await runtime.until(undo_is_called)
    [call] = calls
    assert (await runtime.step_in(root_id, "waiting", "cancelled"))["status"] == "waiting"

    await answer(runtime, call, {"body": "undone"})

    await runtime.step_in(root_id, "cancelled")
    assert (await runtime.get(f"/steps/{call.json['stepId']}")).json["status"] == "succeeded"
    assert told == [2, 3]
