"""Runs that are paused and go on later."""

from typing import Any

from atomic.testing import ApiReply, EndpointCall, EndpointReply
from scenarios.cases.child_runs import Starter, run_id_of
from scenarios.cases.start_times import ASYNC, time_of
from scenarios.runtime import Runtime, always, answer_ok, failing_first
from scenarios.starts import Gate, assert_problem, document, retries

SLOW_S = 120


async def pause(runtime: Runtime, step_id: str, **members: Any) -> ApiReply:
    return await runtime.post(f"/runs/{run_id_of(step_id)}/pause", members or None)


async def resume(runtime: Runtime, step_id: str) -> ApiReply:
    return await runtime.post(f"/runs/{run_id_of(step_id)}/resume")


async def step(runtime: Runtime, step_id: str) -> dict[str, Any]:
    found: dict[str, Any] = (await runtime.get(f"/steps/{step_id}")).json
    return found


async def at_rest(runtime: Runtime, step_id: str) -> dict[str, Any]:
    """The step, as soon as it rests."""

    async def look() -> dict[str, Any] | None:
        found = await step(runtime, step_id)
        return found if found.get("rests") else None

    found: dict[str, Any] = await runtime.until(look)
    return found


async def scenario_a_run_that_starts_paused_begins_when_it_is_resumed(runtime: Runtime) -> None:
    url = runtime.endpoint("/work", answer_ok)

    started = await runtime.start(document(url, paused=True), **ASYNC)

    assert (started.status, started.json["status"]) == (202, "pending")
    root_id = started.json["id"]
    rests = await at_rest(runtime, root_id)
    assert (rests["status"], rests["attempts"], rests["dueAt"]) == ("pending", 0, None)
    assert rests["rests"]["exhausted"] is False
    assert {**rests["paused"], "since": ""} == {"since": "", "until": None, "note": "", "by": None}
    assert runtime.calls(url) == []

    resumed = await resume(runtime, root_id)
    assert (resumed.status, {"paused", "rests"} & resumed.json.keys()) == (200, set())
    assert (await runtime.step_in(root_id, "succeeded"))["attempts"] == 1
    # It has ended: a resume changes nothing, a pause is refused.
    assert (await resume(runtime, root_id)).json["status"] == "succeeded"
    refused = await pause(runtime, root_id)
    assert_problem(refused, 409, "run-ended")
    assert refused.json["stepStatus"] == "succeeded"


async def scenario_an_attempt_under_way_ends_and_nothing_follows_it(runtime: Runtime) -> None:
    gate = Gate()
    slow, after = runtime.endpoint("/slow", gate), runtime.endpoint("/after", answer_ok)
    statuses: list[int] = []

    async def workflow(call: EndpointCall) -> EndpointReply:
        for url in (slow, after):
            posted = {**document(url), "parent": call.json["stepId"]}
            reply = await runtime.start(posted, **ASYNC)
            statuses.append(reply.status)
            if reply.status == 202:
                return EndpointReply(status=202, headers={"Atomic-Waiting-For": reply.json["id"]})
        return EndpointReply(json="done")

    root_url = runtime.endpoint("/root", workflow)
    root_id = (await runtime.start(document(root_url, key="k-1"), **ASYNC)).json["id"]
    await runtime.step_in(root_id, "waiting")
    await gate.entered.wait()

    paused = await pause(runtime, root_id, note="the provider is down")
    again = await pause(runtime, root_id)
    assert paused.json["paused"]["note"] == "the provider is down"
    assert again.json["paused"] == paused.json["paused"]
    gate.open()

    rests = await at_rest(runtime, root_id)
    assert rests["status"] == "pending"
    assert (len(runtime.calls(slow)), runtime.calls(after), statuses) == (1, [], [202])
    run = (await runtime.get(f"/runs/{run_id_of(root_id)}")).json
    assert [found["status"] for found in run["steps"]] == ["succeeded"]
    assert run["run"]["paused"] == paused.json["paused"]

    await resume(runtime, root_id)
    assert (await runtime.step_in(root_id, "succeeded"))["response"] == "done"
    assert len(runtime.calls(after)) == 1


async def scenario_a_pause_ends_by_itself(runtime: Runtime) -> None:
    url = runtime.endpoint("/work", answer_ok)
    root_id = (await runtime.start(document(url, key="until", paused=True), **ASYNC)).json["id"]
    await at_rest(runtime, root_id)
    until = await time_of(runtime, runtime.ms(600))

    paused = await pause(runtime, root_id, until=until)

    assert paused.json["paused"]["until"] == until
    ended = await runtime.step_in(root_id, "succeeded", within_s=SLOW_S)
    assert ended["attemptLog"][0]["startedAt"] >= until
    assert "paused" not in ended


async def scenario_a_deadline_goes_on_and_a_cancel_ends_a_paused_run(runtime: Runtime) -> None:
    url = runtime.endpoint("/work", answer_ok)
    late = await runtime.start(
        document(url, key="late", paused=True, deadline=runtime.ms(300), retry=retries(3)), **ASYNC
    )
    failed = await runtime.step_in(late.json["id"], "failed", within_s=SLOW_S)
    assert (failed["errorKind"], failed["attempts"]) == ("deadline_over", 0)
    held = (await runtime.start(document(url, key="held", paused=True), **ASYNC)).json["id"]
    await at_rest(runtime, held)
    cancelled = await runtime.post(f"/runs/{run_id_of(held)}/cancel")
    assert (cancelled.json["status"], cancelled.json.get("paused")) == ("cancelled", None)
    assert runtime.calls(url) == []


async def scenario_without_a_retry_left_a_run_may_be_paused(runtime: Runtime) -> None:
    url = runtime.endpoint("/broken", failing_first(2, 503, "mended"))
    policy = {**retries(1), "then": "pause"}

    async def workflow(call: EndpointCall) -> EndpointReply:
        posted = {**document(url, retry=policy), "parent": call.json["stepId"]}
        reply = await runtime.start(posted, **ASYNC)
        if reply.status == 202:
            return EndpointReply(status=202, headers={"Atomic-Waiting-For": reply.json["id"]})
        return EndpointReply(json=reply.json["response"])

    root_id = (await runtime.start(document(runtime.endpoint("/root", workflow)), **ASYNC)).json["id"]

    async def is_paused() -> dict[str, Any] | None:
        run: dict[str, Any] = (await runtime.get(f"/runs/{run_id_of(root_id)}")).json
        return run if run["run"].get("paused") else None

    run = await runtime.until(is_paused)
    [broken] = run["steps"]
    assert (broken["status"], broken["rests"]["exhausted"], broken["retriesUsed"]) == ("retrying", True, 1)
    assert broken["error"].startswith("the endpoint answered 503")
    assert broken["retry"]["then"] == "pause"
    assert run["run"]["paused"]["by"] == broken["id"]
    assert (await runtime.get("/dead-letters")).json["deadLetters"] == []

    await resume(runtime, root_id)
    assert (await runtime.step_in(root_id, "succeeded"))["response"] == "mended"
    mended = await step(runtime, broken["id"])
    assert (mended["attempts"], mended["generation"], mended["error"]) == (3, 2, None)


async def scenario_a_workflow_without_a_retry_left_is_paused_and_may_be_cancelled(runtime: Runtime) -> None:
    url = runtime.endpoint("/broken", always(503))
    policy = {**retries(0), "then": "pause"}
    root_id = (await runtime.start(document(url, retry=policy), **ASYNC)).json["id"]
    rests = await at_rest(runtime, root_id)
    assert (rests["status"], rests["attempts"], rests["paused"]["by"]) == ("retrying", 1, root_id)
    await runtime.post(f"/runs/{run_id_of(root_id)}/cancel")
    assert (await step(runtime, root_id))["status"] == "cancelled"
    assert len(runtime.calls(url)) == 1


async def scenario_a_run_is_paused_with_the_one_that_waits_for_it(runtime: Runtime) -> None:
    gate = Gate()
    inner = runtime.endpoint("/inner", gate)

    async def child(call: EndpointCall) -> EndpointReply:
        reply = await runtime.start({**document(inner), "parent": call.json["stepId"]}, **ASYNC)
        if reply.status == 202:
            return EndpointReply(status=202, headers={"Atomic-Waiting-For": reply.json["id"]})
        return EndpointReply(json="child")

    child_url = runtime.endpoint("/child", child)
    starter = Starter(runtime, child_url)
    root_id = await starter.begin()
    await gate.entered.wait()
    run = (await runtime.get(f"/runs/{run_id_of(root_id)}")).json
    [link] = run["steps"]
    child_root = f"{link['childRunId']}-root"
    await runtime.step_in(child_root, "waiting")

    await pause(runtime, root_id, note="both")

    below = (await step(runtime, child_root))["paused"]
    assert (below["note"], below["by"]) == ("both", link["id"])
    gate.open()
    assert (await at_rest(runtime, child_root))["status"] == "pending"
    assert len(runtime.calls(child_url)) == 1

    await resume(runtime, root_id)
    assert (await runtime.step_in(root_id, "succeeded"))["response"] == "child"


async def scenario_a_wrong_pause_is_told_what_is_wrong(runtime: Runtime) -> None:
    url = runtime.endpoint("/work", answer_ok)
    root_id = (await runtime.start(document(url, paused=True), **ASYNC)).json["id"]
    far = await time_of(runtime, 400 * 24 * 3_600_000)
    for members, field in (
        ({"until": far}, "until"),
        ({"until": "2020-01-01T00:00:00Z"}, "until"),
        ({"note": "n" * 501}, "note"),
        ({"why": 1}, "why"),
    ):
        refused = await pause(runtime, root_id, **members)
        assert_problem(refused, 400, "invalid-request")
        assert refused.json["detail"].startswith(f"{field}: ")
    assert_problem(await runtime.post("/runs/run_0/pause"), 404, "not-found")
    below = await runtime.start({**document(url), "parent": root_id, "paused": True})
    assert_problem(below, 400, "invalid-request")
