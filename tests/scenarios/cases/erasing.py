"""Runs that are erased."""

from typing import Any

from atomic.testing import ApiReply, EndpointCall, EndpointReply
from scenarios.cases.auditing import log, told
from scenarios.cases.child_runs import run_id_of
from scenarios.cases.continuing import Rounds
from scenarios.cases.restarting import restart
from scenarios.cases.start_times import ASYNC
from scenarios.runtime import Runtime, answer_ok
from scenarios.starts import Gate, assert_problem, document

RUN = "run_" + 32 * "e"


async def erase(runtime: Runtime, run_id: str) -> ApiReply:
    return await runtime.request("DELETE", f"/{runtime.client}/runs/{run_id}")


async def scenario_a_run_that_has_ended_is_erased_with_all_its_steps(runtime: Runtime) -> None:
    inner = runtime.endpoint("/inner", answer_ok)

    async def workflow(call: EndpointCall) -> EndpointReply:
        posted = document(inner, parent=call.json["stepId"], payload="x" * 100_000)
        done = (await runtime.finish(posted)).json
        return EndpointReply(json=[done["id"], call.json["payload"]])

    url = runtime.endpoint("/root", workflow)
    first = (await runtime.finish(document(url, key="k-1", payload="a" * 20_000))).json
    other = (await runtime.finish(document(url, key="k-2"))).json
    run_id, child_id = first["runId"], first["response"][0]

    erased = await erase(runtime, run_id)

    assert (erased.status, erased.json) == (200, {"erased": run_id})
    for target in (f"/runs/{run_id}", f"/steps/{first['id']}", f"/steps/{child_id}/payload"):
        assert_problem(await runtime.get(target), 404, "not-found")
    listed = (await runtime.get("/runs")).json["runs"]
    assert [run["runId"] for run in listed] == [other["runId"]]
    assert (await runtime.get(f"/runs/{other['runId']}")).json["run"]["status"] == "succeeded"
    assert_problem(await erase(runtime, run_id), 404, "not-found")
    assert_problem(await erase(runtime, RUN), 404, "not-found")
    assert_problem(await erase(runtime, "x"), 404, "not-found")
    # Only the log of acts knows of it.
    assert told(await log(runtime))[-1] == ("eraseRun", {"runId": run_id}, 200)

    calls = len(runtime.calls(url))
    again = (await runtime.finish(document(url, key="k-1", payload="b"))).json
    assert (again["runId"], again["response"]) == (run_id, [child_id, "b"])
    assert len(runtime.calls(url)) > calls


async def scenario_a_revision_of_an_erased_run_is_none_of_the_next_one(runtime: Runtime) -> None:
    inner = runtime.endpoint("/inner", answer_ok)

    async def workflow(call: EndpointCall) -> EndpointReply:
        await runtime.finish(document(inner, parent=call.json["stepId"]))
        return EndpointReply(json=None)

    url = runtime.endpoint("/root", workflow)
    # It waits, so that the next run is created later, also where time stands still.
    run_id = (await runtime.finish(document(url, key="k-1", delay=1_000))).json["runId"]
    before = (await runtime.get(f"/runs/{run_id}")).json
    assert (await erase(runtime, run_id)).status == 200
    assert (await runtime.finish(document(url, key="k-1"))).json["runId"] == run_id

    # Its steps have the ids of those before, and were written as often.
    after = (await runtime.get(f"/runs/{run_id}?since={before['revision']}")).json
    assert (after["isPartial"], len(after["steps"])) == (False, 1)


async def scenario_a_live_run_is_not_erased(runtime: Runtime) -> None:
    url = runtime.endpoint("/later", answer_ok)
    started = await runtime.start(document(url, key="k-1", delay=3_600_000), **ASYNC)
    run_id = run_id_of(started.json["id"])

    refused = await erase(runtime, run_id)

    assert_problem(refused, 409, "run-live")
    assert refused.json["runId"] == run_id
    with_body = await runtime.request("DELETE", f"/{runtime.client}/runs/{run_id}", body=b'{"force":true}')
    assert_problem(with_body, 400, "invalid-request")
    await runtime.post(f"/runs/{run_id}/cancel")
    assert (await erase(runtime, run_id)).status == 200


async def scenario_an_attempt_that_outlives_its_run_writes_nothing(runtime: Runtime) -> None:
    gate = Gate()
    url = runtime.endpoint("/slow", gate)
    run_id = run_id_of((await runtime.start(document(url, key="k-1"), **ASYNC)).json["id"])
    await gate.entered.wait()
    await runtime.post(f"/runs/{run_id}/cancel")
    assert (await erase(runtime, run_id)).status == 200

    gate.open()

    async def ended() -> Any:
        return runtime.calls(url)

    await runtime.until(ended)
    assert_problem(await runtime.get(f"/runs/{run_id}"), 404, "not-found")
    assert (await runtime.get("/runs")).json["runs"] == []
    # The same key begins anew, although a run of it was cancelled.
    again = await runtime.finish(document(url, key="k-1"))
    assert again.json["status"] == "succeeded"


async def scenario_a_run_that_goes_on_as_another_is_erased_after_it(runtime: Runtime) -> None:
    rounds = Rounds(runtime)
    first = (await runtime.finish(document(rounds.url, payload=1))).json["runId"]
    await rounds.last.entered.wait()

    refused = await erase(runtime, first)

    assert_problem(refused, 409, "run-live")
    last = refused.json["runId"]
    assert last != first
    rounds.last.open()
    await runtime.step_in(f"{last}-root", "succeeded")
    assert (await erase(runtime, first)).status == 200


async def scenario_a_restart_of_an_erased_run_is_no_restart_of_the_next_one(runtime: Runtime) -> None:
    url = runtime.endpoint("/again", answer_ok)
    first = (await runtime.finish(document(url, key="k-1"))).json
    made = (await restart(runtime, first["id"])).json
    await runtime.step_in(made["id"], "succeeded")
    await erase(runtime, first["runId"])
    # Virtual time has to pass, too: the next run is created later than the restart.
    await runtime.finish(document(url, key="k-2", delay=runtime.ms(50)))
    assert (await runtime.finish(document(url, key="k-1"))).json["id"] == first["id"]

    assert_problem(await restart(runtime, first["id"]), 409, "run-exists")
    other = await restart(runtime, first["id"], key="k-1/other")
    assert other.json["restartOf"] == first["runId"]
