"""Pauses of runs that share a key or a slot with others, or that start later."""

from typing import Any

from atomic.testing import EndpointCall, EndpointReply
from scenarios.cases import debouncing, singletons
from scenarios.cases.pausing import ASYNC, at_rest, pause, resume, step
from scenarios.cases.singletons import has_flow
from scenarios.cases.start_times import time_of
from scenarios.runtime import Runtime, answer_ok
from scenarios.starts import Gate, assert_problem, document


async def scenario_a_paused_run_keeps_the_key_of_its_singleton(runtime: Runtime) -> None:
    url = runtime.endpoint("/held", answer_ok)
    held = (await singletons.begin(runtime, url, "k-1", paused=True)).json["id"]
    await at_rest(runtime, held)

    assert (await singletons.begin(runtime, url, "k-2", "attach")).json["id"] == held
    assert_problem(await singletons.begin(runtime, url, "k-3", "skip"), 409, "busy")
    assert runtime.calls(url) == []

    await resume(runtime, held)
    await runtime.step_in(held, "succeeded")
    after = await singletons.begin(runtime, url, "k-3", "skip")
    await runtime.step_in(after.json["id"], "succeeded")
    assert len(runtime.calls(url)) == 2


async def scenario_a_start_cancels_a_paused_run_that_has_the_key(runtime: Runtime) -> None:
    url = runtime.endpoint("/held-cancel", answer_ok)
    held = (await singletons.begin(runtime, url, "k-1", "cancel", paused=True)).json["id"]
    await at_rest(runtime, held)
    second = await singletons.begin(runtime, url, "k-2", "cancel")
    await runtime.step_in(second.json["id"], "succeeded")
    assert (await step(runtime, held))["status"] == "cancelled"
    assert len(runtime.calls(url)) == 1


async def scenario_a_run_in_line_that_is_paused_lets_others_by(runtime: Runtime) -> None:
    if not await has_flow(runtime):
        return
    url = runtime.endpoint("/line", answer_ok)
    first = (await singletons.begin(runtime, url, "k-1", "queue", paused=True, payload=1)).json["id"]
    await at_rest(runtime, first)
    second = await singletons.begin(runtime, url, "k-2", "queue", payload=2)
    await runtime.step_in(second.json["id"], "succeeded")
    await resume(runtime, first)
    await runtime.step_in(first, "succeeded")
    assert [seen.call.payload for seen in runtime.calls(url)] == [2, 1]


async def scenario_a_paused_run_keeps_a_slot_of_runs(runtime: Runtime) -> None:
    if not await has_flow(runtime):
        return
    gate = Gate()

    async def fail(call: EndpointCall) -> EndpointReply:
        await gate(call)
        return EndpointReply(status=503)

    broken, quick = runtime.endpoint("/slot", fail), runtime.endpoint("/slot-ok", answer_ok)
    flow = [{"key": "runs", "concurrency": 1, "scope": "run"}]
    first = (await runtime.start(document(broken, key="k-1", flow=flow), **ASYNC)).json["id"]
    await gate.entered.wait()
    await pause(runtime, first)
    gate.open()
    assert (await at_rest(runtime, first))["attempts"] == 1
    second = (await runtime.start(document(quick, key="k-2", flow=flow), **ASYNC)).json["id"]

    async def waits() -> Any:
        return (await step(runtime, second)).get("inLine")

    assert await runtime.until(waits) == "runs"
    await runtime.post(f"/runs/{(await step(runtime, first))['runId']}/cancel")
    await runtime.step_in(second, "succeeded")
    assert len(runtime.calls(broken)) == 1


async def scenario_a_paused_run_of_a_burst_gives_way_to_a_newer_one(runtime: Runtime) -> None:
    url, quiet = runtime.endpoint("/burst-paused", answer_ok), runtime.ms(100)
    first = (await debouncing.begin(runtime, url, "k-1", quiet, payload=1)).json["id"]
    await pause(runtime, first)
    # Its burst is quiet by now, and it has not begun.
    await at_rest(runtime, first)

    second = (await debouncing.begin(runtime, url, "k-2", quiet, payload=2)).json["id"]

    before = await step(runtime, first)
    assert (before["status"], before["continuedAs"]) == ("cancelled", second)
    ended = await runtime.step_in(second, "succeeded")
    assert "paused" not in ended
    assert [seen.call.payload for seen in runtime.calls(url)] == [2]


async def scenario_the_last_run_of_a_burst_may_start_paused(runtime: Runtime) -> None:
    url, quiet = runtime.endpoint("/burst-last", answer_ok), runtime.ms(50)
    await debouncing.begin(runtime, url, "k-1", quiet, payload=1)
    last = (await debouncing.begin(runtime, url, "k-2", quiet, payload=2, paused=True)).json["id"]
    assert (await at_rest(runtime, last))["attempts"] == 0
    await resume(runtime, last)
    await runtime.step_in(last, "succeeded")
    assert [seen.call.payload for seen in runtime.calls(url)] == [2]


async def scenario_a_run_that_starts_paused_and_later_keeps_its_time(runtime: Runtime) -> None:
    url = runtime.endpoint("/later", answer_ok)
    at = await time_of(runtime, runtime.ms(400))
    started = (await runtime.start(document(url, startAt=at, paused=True), **ASYNC)).json
    # Before its time it does not rest, and its time is shown.
    assert ("rests" in started, started["status"]) == (False, "pending")
    await resume(runtime, started["id"])
    ended = await runtime.step_in(started["id"], "succeeded")
    assert ended["attemptLog"][0]["startedAt"] >= at
