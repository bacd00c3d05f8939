"""Runs that share a key, of which one goes on at a time."""

import asyncio
from typing import Any

from atomic.testing import ApiReply, EndpointCall, EndpointReply
from scenarios.cases.continuing import Rounds
from scenarios.runtime import Runtime, always, answer_ok
from scenarios.starts import Gate, assert_problem, document, retries

ASYNC = {"Prefer": "respond-async"}


async def begin(
    runtime: Runtime, url: str, key: str, on_busy: str = "attach", *, name: str = "sync", **members: Any
) -> ApiReply:
    """Start a run under the key of a singleton, without waiting for it."""
    single = {"key": name, "onBusy": on_busy}
    return await runtime.start(document(url, key=key, singleton=single, **members), **ASYNC)


async def has_flow(runtime: Runtime) -> bool:
    return "flow" in (await runtime.request("GET", "/health")).json["features"]


async def scenario_a_start_attaches_to_the_run_that_has_the_key(runtime: Runtime) -> None:
    gate = Gate(then="done")
    url = runtime.endpoint("/attach", gate)
    first = await begin(runtime, url, "k-1", payload=1)
    await gate.entered.wait()
    second = await begin(runtime, url, "k-2", payload=2)
    assert (second.status, second.json["id"]) == (202, first.json["id"])
    assert second.headers["location"] == f"/{runtime.client}/steps/{first.json['id']}"
    assert second.json["attachedTo"] == {
        "runId": first.json["runId"],
        "workflowName": "w",
        "idempotencyKey": "k-1",
    }
    assert "attachedTo" not in first.json
    waiting = asyncio.create_task(
        runtime.finish(document(url, key="k-3", singleton={"key": "sync"}, payload=3))
    )
    await asyncio.sleep(runtime.ms(20) / 1000)
    gate.open()
    third = await waiting
    assert (third.status, third.json["response"]) == (200, "done")
    assert third.json["attachedTo"]["idempotencyKey"] == "k-1"
    # It has ended, so nobody has the key, and no lease has to end.
    fourth = await runtime.finish(document(url, key="k-4", singleton={"key": "sync"}, payload=4))
    assert (fourth.status, "attachedTo" in fourth.json) == (200, False)
    assert [seen.call.payload for seen in runtime.calls(url)] == [1, 4]
    shown = (await runtime.get(f"/steps/{fourth.json['id']}")).json
    assert shown["singleton"] == {"key": "sync", "onBusy": "attach"}


async def scenario_a_repeated_start_has_its_own_run_whoever_has_the_key(runtime: Runtime) -> None:
    gate = Gate()
    url, quick = runtime.endpoint("/repeat", gate), runtime.endpoint("/repeat-ok", answer_ok)
    first = await runtime.finish(document(quick, key="k-1", singleton={"key": "sync"}))
    held = await begin(runtime, url, "k-2")
    again = await runtime.finish(document(quick, key="k-1", singleton={"key": "sync", "onBusy": "skip"}))
    assert (again.status, again.json["id"]) == (200, first.json["id"])
    assert again.headers["idempotency-replayed"] == "true"
    mine = await begin(runtime, url, "k-2", "skip")
    assert (mine.status, mine.json["id"]) == (202, held.json["id"])
    gate.open()
    await runtime.step_in(held.json["id"], "succeeded")


async def scenario_a_start_is_skipped_while_another_run_has_the_key(runtime: Runtime) -> None:
    gate = Gate()
    url = runtime.endpoint("/skip", gate)
    first = await begin(runtime, url, "k-1", "skip")
    second = await begin(runtime, url, "k-2", "skip")
    assert_problem(second, 409, "busy")
    assert second.headers["location"] == f"/{runtime.client}/steps/{first.json['id']}"
    assert second.json["runId"] == first.json["runId"]
    assert second.json["idempotencyKey"] == "k-1"
    assert first.json["runId"] in second.json["detail"]
    # Another key, and another start without one, are free.
    assert (await begin(runtime, url, "k-3", "skip", name="other")).status == 202
    gate.open()
    await runtime.step_in(first.json["id"], "succeeded")
    # Nothing was written for the second start.
    third = await begin(runtime, url, "k-2", "skip")
    assert third.status in {200, 202}
    assert third.json["idempotencyKey"] == "k-2"


async def scenario_a_start_cancels_the_run_that_has_the_key(runtime: Runtime) -> None:
    gate = Gate()
    url, quick = runtime.endpoint("/cancel", gate), runtime.endpoint("/cancel-ok", answer_ok)
    first = await begin(runtime, url, "k-1", "cancel")
    await gate.entered.wait()
    second = await runtime.finish(document(quick, key="k-2", singleton={"key": "sync", "onBusy": "cancel"}))
    assert (second.status, second.json["idempotencyKey"]) == (200, "k-2")
    cancelled = await runtime.step_in(first.json["id"], "cancelled")
    assert cancelled["errorKind"] == "cancelled"
    gate.open()


async def scenario_runs_of_a_key_wait_in_line(runtime: Runtime) -> None:
    if not await has_flow(runtime):
        gate = runtime.endpoint("/queue", answer_ok)
        refused = await begin(runtime, gate, "k-1", "queue")
        assert_problem(refused, 400, "invalid-request")
        assert "singleton.onBusy" in refused.json["detail"]
        return
    now, most = 0, 0

    async def slow(call: EndpointCall) -> EndpointReply:
        nonlocal now, most
        now, most = now + 1, max(most, now + 1)
        await asyncio.sleep(runtime.ms(10) / 1000)
        now -= 1
        return EndpointReply(json=call.payload)

    url = runtime.endpoint("/queue", slow)
    started = []
    for number in range(5):
        reply = await begin(runtime, url, f"k-{number}", "queue", payload=number)
        # It exists at once, and has its place in line when the next one is posted.
        assert reply.status == 202
        started.append(reply.json["id"])
        await asyncio.sleep(runtime.ms(2) / 1000)
    for step_id in started:
        await runtime.step_in(step_id, "succeeded")
    assert most == 1
    assert [seen.call.payload for seen in runtime.calls(url)] == list(range(5))


async def scenario_one_in_line_waits_for_a_run_that_is_not(runtime: Runtime) -> None:
    if not await has_flow(runtime):
        return
    gate = Gate()
    url, quick = runtime.endpoint("/mixed", gate), runtime.endpoint("/mixed-ok", answer_ok)
    first = await begin(runtime, url, "k-1", "skip")
    await gate.entered.wait()
    second = await begin(runtime, quick, "k-2", "queue")
    await asyncio.sleep(runtime.ms(30) / 1000)
    assert not runtime.calls(quick)
    assert_problem(await begin(runtime, quick, "k-3", "skip"), 409, "busy")
    gate.open()
    await runtime.step_in(first.json["id"], "succeeded")
    await runtime.step_in(second.json["id"], "succeeded")
    assert len(runtime.calls(quick)) == 1


async def scenario_a_run_that_goes_on_as_another_one_keeps_the_key(runtime: Runtime) -> None:
    rounds = Rounds(runtime, "/rounds-single")
    started = await begin(runtime, rounds.url, "r@2", payload=2)
    await rounds.last.entered.wait()
    assert len(rounds.roots) == 3
    other = runtime.endpoint("/rounds-other", answer_ok)
    attached = await begin(runtime, other, "k-2")
    assert attached.json["attachedTo"]["idempotencyKey"] == "r@0"
    busy = await begin(runtime, other, "k-3", "skip")
    assert_problem(busy, 409, "busy")
    assert busy.json["id"] == rounds.roots[-1]
    rounds.last.open()
    await runtime.step_in(rounds.roots[-1], "succeeded")
    assert (await begin(runtime, other, "k-4", "skip")).status in {200, 202}
    assert started.json["id"] == rounds.roots[0]


async def scenario_a_failed_run_is_redriven_if_its_key_is_free(runtime: Runtime) -> None:
    gate = Gate()
    bad, slow = runtime.endpoint("/redriven", always(500)), runtime.endpoint("/redriven-slow", gate)
    failed = await runtime.finish(document(bad, key="k-1", singleton={"key": "sync"}, retry=retries(0)))
    assert failed.status == 424
    held = await begin(runtime, slow, "k-2")
    refused = await runtime.post(f"/steps/{failed.json['id']}/redrive")
    assert_problem(refused, 409, "busy")
    assert refused.json["id"] == held.json["id"]
    assert (await runtime.get(f"/steps/{failed.json['id']}")).json["status"] == "failed"
    gate.open()
    await runtime.step_in(held.json["id"], "succeeded")
    redriven = await runtime.post(f"/steps/{failed.json['id']}/redrive")
    assert redriven.status == 200, redriven.json
    await runtime.step_in(failed.json["id"], "failed")
    assert len(runtime.calls(bad)) == 2


class Parent:
    """A workflow that starts a run under the key of a singleton, and answers what the step is."""

    def __init__(self, runtime: Runtime, url: str, on_busy: str, **members: Any) -> None:
        self._runtime, self._url = runtime, url
        self._single = {"key": "sync", "onBusy": on_busy}
        self._members = members
        self.url = runtime.endpoint(f"/parent-{on_busy}{len(members)}", self)

    async def __call__(self, call: EndpointCall) -> EndpointReply:
        """Handle one call."""
        link = {
            "workflowName": call.json["workflowName"],
            "kind": "run",
            "stepName": "child",
            "stepInvokeUrl": self._url,
            "idempotencyKey": "child",
            "parent": call.json["stepId"],
            "run": {"workflowName": "w", "idempotencyKey": "child"},
            "singleton": self._single,
            **self._members,
        }
        reply = await self._runtime.start(link, Prefer="respond-async")
        if reply.status == 202:
            return EndpointReply(status=202, headers={"Atomic-Waiting-For": reply.json["id"]})
        return EndpointReply(json={"status": reply.status, "body": reply.json})


async def scenario_a_run_that_a_workflow_starts_shares_a_key(runtime: Runtime) -> None:
    gate = Gate(then="of the first")
    url = runtime.endpoint("/child", gate)
    first = await begin(runtime, url, "k-1")
    await gate.entered.wait()
    skipping = Parent(runtime, url, "skip")
    skipped = await runtime.finish(document(skipping.url, key="p-1"))
    assert skipped.json["response"]["status"] == 424
    assert first.json["runId"] in skipped.json["response"]["body"]["detail"]
    attaching = Parent(runtime, url, "attach")
    attached = await begin_plain(runtime, attaching.url, "p-2")
    detaching = Parent(runtime, url, "attach", detached=True)
    detached = await runtime.finish(document(detaching.url, key="p-3"))
    assert detached.json["response"]["body"]["response"]["runId"] == first.json["runId"]
    # On AWS, what waits for an answer may overtake what was started before it and goes through a queue.
    await runtime.step_in(attached.json["id"], "waiting")
    gate.open()
    done = await runtime.step_in(attached.json["id"], "succeeded")
    assert done["response"]["body"]["response"] == "of the first"
    assert len(runtime.calls(url)) == 1


async def begin_plain(runtime: Runtime, url: str, key: str) -> ApiReply:
    return await runtime.start(document(url, key=key), **ASYNC)


async def scenario_what_cannot_share_a_key_is_refused(runtime: Runtime) -> None:
    url = runtime.endpoint("/refused", answer_ok)
    root = await runtime.finish(document(url, key="k-1"))
    cases: list[tuple[dict[str, Any], str]] = [
        ({"singleton": {"key": "a b"}}, "singleton.key"),
        ({"singleton": {"key": "a/b"}}, "singleton.key"),
        ({"singleton": {"key": "a", "onBusy": "wait"}}, "singleton.onBusy"),
        ({"singleton": {"onBusy": "skip"}}, "singleton.key"),
        ({"singleton": {"key": "a"}, "parent": root.json["id"]}, "singleton"),
        ({"singleton": {"key": "a"}, "kind": "timer", "stepName": "t"}, "singleton"),
        ({"singleton": {"key": "a"}, "debounce": {"key": "a", "quiet": 10}}, "debounce"),
        ({"debounce": {"key": "a"}}, "debounce.quiet"),
        ({"debounce": {"key": "a", "quiet": 0}}, "debounce.quiet"),
        ({"debounce": {"key": "a", "quiet": 10, "max": 9}}, "debounce"),
        ({"debounce": {"key": "a", "quiet": 10}, "delay": 10}, "delay"),
        ({"debounce": {"key": "a", "quiet": 10}, "startAt": "2030-01-01T00:00:00Z"}, "startAt"),
        ({"debounce": {"key": "a", "quiet": 10}, "startBy": 5}, "startBy"),
        ({"debounce": {"key": "a", "quiet": 10}, "parent": root.json["id"]}, "debounce"),
        ({"singleton": {"key": "a"}, "continues": root.json["id"]}, "singleton"),
    ]
    for members, field in cases:
        asked = document(url, key="k-2", **members)
        if asked.get("kind"):
            del asked["stepInvokeUrl"]
            asked["parent"] = root.json["id"]
        refused = await runtime.start(asked)
        assert_problem(refused, 400, "invalid-request")
        fields = [error["field"] for error in refused.json["errors"]]
        assert field in fields, (members, refused.json)
    # A second identity of a run is a step of it.
    step = await runtime.start(document(url, key="k-1", stepName="other", singleton={"key": "a"}))
    assert_problem(step, 400, "invalid-request")
