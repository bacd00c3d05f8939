"""Workflows that are paused and go on later."""

from typing import Any

from atomic.testing import ApiReply, EndpointCall, EndpointReply
from scenarios.cases.start_times import ASYNC
from scenarios.runtime import Runtime, answer_ok, failing_first
from scenarios.starts import Gate, assert_problem, document

SLOW_S = 120


async def pause(runtime: Runtime, name: str, **members: Any) -> ApiReply:
    return await runtime.post(f"/workflows/{name}/pause", members or None)


async def resume(runtime: Runtime, name: str) -> ApiReply:
    return await runtime.post(f"/workflows/{name}/resume")


def of(name: str, url: str, **members: Any) -> dict[str, Any]:
    return {**document(url, **members), "workflowName": name}


async def kept(runtime: Runtime, step_id: str) -> dict[str, Any]:
    """The step, as soon as its wake-up has found its workflow paused: it looks again later."""

    async def look() -> dict[str, Any] | None:
        found: dict[str, Any] = (await runtime.get(f"/steps/{step_id}")).json
        return found if found["dueAt"] > found["createdAt"] else None

    found: dict[str, Any] = await runtime.until(look)
    return found


async def scenario_the_runs_of_a_paused_workflow_are_kept_until_it_is_resumed(runtime: Runtime) -> None:
    url = runtime.endpoint("/kept", answer_ok)
    paused = await pause(runtime, "kept", note="a wrong release")
    assert paused.status == 200
    assert paused.json["workflowName"] == "kept"
    assert {**paused.json["paused"], "since": ""} == {"since": "", "until": None, "note": "a wrong release"}

    started = [await runtime.start(of("kept", url, key=f"k-{n}"), **ASYNC) for n in range(3)]
    assert [reply.status for reply in started] == [202] * 3
    for reply in started:
        found = await kept(runtime, reply.json["id"])
        assert (found["status"], found["attempts"]) == ("pending", 0)
    assert runtime.calls(url) == []
    # Other workflows go on, at the same endpoint.
    assert (await runtime.start(of("goes-on", url))).status == 200

    assert (await resume(runtime, "kept")).json["paused"] is None
    for reply in started:
        ended = await runtime.step_in(reply.json["id"], "succeeded", within_s=SLOW_S)
        assert ended["attempts"] == 1


async def scenario_an_attempt_under_way_ends_and_the_next_one_is_kept(runtime: Runtime) -> None:
    gate = Gate()
    slow, after = runtime.endpoint("/slow", gate), runtime.endpoint("/after", failing_first(1, 500))

    async def workflow(call: EndpointCall) -> EndpointReply:
        for url in (slow, after):
            posted = of("gated", url, parent=call.json["stepId"])
            reply = await runtime.start(posted, **ASYNC)
            if reply.status == 202:
                return EndpointReply(status=202, headers={"Atomic-Waiting-For": reply.json["id"]})
        return EndpointReply(json="done")

    root_url = runtime.endpoint("/root", workflow)
    root_id = (await runtime.start(of("gated", root_url), **ASYNC)).json["id"]
    await runtime.step_in(root_id, "waiting")
    await gate.entered.wait()
    await pause(runtime, "gated")
    gate.open()

    async def has_ended() -> bool:
        return bool(runtime.calls(slow))

    await runtime.until(has_ended)
    # The root is woken, is due, and is kept.
    await runtime.step_in(root_id, "pending", "retrying")
    assert runtime.calls(after) == []

    await resume(runtime, "gated")
    assert (await runtime.step_in(root_id, "succeeded", within_s=SLOW_S))["response"] == "done"
    assert len(runtime.calls(after)) == 2


async def scenario_a_pause_of_a_workflow_is_read_listed_and_ends_by_itself(runtime: Runtime) -> None:
    assert (await runtime.get("/workflows/ends")).json["paused"] is None
    url = runtime.endpoint("/ends", answer_ok)
    first = await pause(runtime, "ends", note="first")
    started = await runtime.start(of("ends", url), **ASYNC)
    found = await kept(runtime, started.json["id"])
    until = found["dueAt"]
    changed = (await pause(runtime, "ends", until=until)).json["paused"]
    assert changed == {**first.json["paused"], "until": until}
    assert (await runtime.get("/workflows/ends")).json["paused"] in (changed, None)
    await runtime.step_in(started.json["id"], "succeeded", within_s=SLOW_S)
    assert (await runtime.get("/workflows/ends")).json["paused"] is None


async def scenario_paused_workflows_are_listed_by_name_and_are_fifty_at_most(runtime: Runtime) -> None:
    for number in range(50):
        assert (await pause(runtime, f"many-{number:02}")).status == 200
    assert_problem(await pause(runtime, "one-more"), 409, "too-many-pauses")
    assert (await pause(runtime, "many-07", note="again")).json["paused"]["note"] == "again"
    listed = (await runtime.get("/paused-workflows")).json["workflows"]
    assert [each["workflowName"] for each in listed] == [f"many-{number:02}" for number in range(50)]
    for each in listed:
        assert (await resume(runtime, each["workflowName"])).status == 200
    assert (await runtime.get("/paused-workflows")).json == {"workflows": []}


async def scenario_a_bad_pause_of_a_workflow_is_told_field_and_cure(runtime: Runtime) -> None:
    for path, members, field in (
        ("bad", {"note": 1}, "note"),
        ("bad", {"until": "tomorrow"}, "until"),
        ("bad", {"until": "2999-01-01T00:00:00Z"}, "until"),
        ("bad", {"until": "2020-01-01T00:00:00Z"}, "until"),
        ("b" * 256, {}, "workflowName"),
    ):
        refused = await pause(runtime, path, **members)
        assert_problem(refused, 400, "invalid-request")
        assert refused.json["detail"].startswith(f"{field}: ")
    assert (await runtime.get("/paused-workflows")).json == {"workflows": []}
