"""Workflows that last longer than their calls: plain handlers, suspended handlers, events and timers."""

import asyncio
import json
from typing import Any

from atomic.testing import ApiReply, EndpointCall, EndpointReply
from scenarios.runtime import Handler, Runtime, always, answer_ok, failing_first
from scenarios.starts import Gate
from scenarios.starts import document as start_document

RETRY = {"count": 100, "backOff": 30, "strategy": "fixed", "jitter": "none"}
NO_RETRY = {"count": 0}


async def scenario_a_step_may_take_longer_than_every_wait_and_every_attempt(runtime: Runtime) -> None:
    step = runtime.endpoint("/step", failing_first(12, 503, "at last"))
    root = runtime.endpoint("/root", plain(runtime, step, timeout=50))

    reply = await runtime.finish(document(root, retry=NO_RETRY, attemptTimeout=150))

    assert (reply.status, reply.json["response"]) == (200, ["at last"])
    run = await run_of(runtime, reply)
    assert (run["root"]["attempts"], run["root"]["retriesUsed"]) == (2, 0)
    assert run["steps"][0]["attempts"] == 13
    assert [seen.status for seen in runtime.calls(root)] == [500, 200]


async def scenario_two_slow_steps_after_each_other_cost_two_more_calls(runtime: Runtime) -> None:
    steps = [runtime.endpoint(f"/{name}", failing_first(6, 503, name)) for name in "ab"]
    root = runtime.endpoint("/root", plain(runtime, *steps, timeout=50))

    reply = await runtime.finish(document(root, retry=NO_RETRY))

    assert (reply.status, reply.json["response"]) == (200, ["a", "b"])
    assert (reply.json["attempts"], len(runtime.calls(root))) == (3, 3)
    assert (await run_of(runtime, reply))["root"]["retriesUsed"] == 0


async def scenario_a_handler_that_runs_out_of_time_waits_for_its_step(runtime: Runtime) -> None:
    step = runtime.endpoint("/step", sleeping(runtime.ms(300), "done"))
    root = runtime.endpoint("/root", plain(runtime, step, timeout=20_000))

    reply = await runtime.finish(document(root, retry=NO_RETRY, attemptTimeout=runtime.ms(100)))

    assert (reply.status, reply.json["response"]) == (200, ["done"])
    run = await run_of(runtime, reply)
    assert (run["root"]["attempts"], run["root"]["retriesUsed"]) == (2, 0)
    assert run["root"]["attemptLog"][0]["error"].startswith("timeout")
    assert len(runtime.calls(step)) == 1


async def scenario_two_slow_steps_side_by_side(runtime: Runtime) -> None:
    steps = [
        runtime.endpoint(f"/{name}", sleeping(runtime.ms(at_best), name))
        for name, at_best in (("a", 100), ("b", 250))
    ]
    root = runtime.endpoint("/root", plain(runtime, *steps, timeout=50, side_by_side=True))

    reply = await runtime.finish(document(root, retry=NO_RETRY))

    assert (reply.status, reply.json["response"]) == (200, ["a", "b"])
    # A settled step may cause two calls of the handler: by its wake-up, and by the handler's own recheck.
    assert 2 <= reply.json["attempts"] <= 5
    assert (await run_of(runtime, reply))["root"]["retriesUsed"] == 0
    assert [len(runtime.calls(step)) for step in steps] == [1, 1]


async def scenario_a_wait_of_no_time_is_followed_by_a_call_as_well(runtime: Runtime) -> None:
    step = runtime.endpoint("/step", sleeping(100, "done"))
    root = runtime.endpoint("/root", plain(runtime, step, timeout=0))

    reply = await runtime.finish(document(root, retry=NO_RETRY))

    assert (reply.status, reply.json["response"]) == (200, ["done"])
    assert reply.json["attempts"] == 2


async def scenario_a_step_that_fails_is_told_to_the_waiting_handler(runtime: Runtime) -> None:
    step = runtime.endpoint("/step", always(500, {"why": "broken"}))
    told: list[int] = []
    retry = {**RETRY, "count": 3, "backOff": 60}
    root = runtime.endpoint("/root", plain(runtime, step, timeout=50, told=told, retry=retry))

    reply = await runtime.finish(document(root, retry={**RETRY, "count": 2}))

    assert (reply.status, reply.json["lastStatus"]) == (424, 500)
    assert told == [504, 424, 424, 424]
    run = await run_of(runtime, reply)
    assert (run["root"]["status"], run["root"]["retriesUsed"], run["root"]["attempts"]) == ("failed", 2, 4)
    assert (run["steps"][0]["status"], run["steps"][0]["attempts"]) == ("failed", 4)


async def scenario_a_handler_suspends_itself_on_one_step(runtime: Runtime) -> None:
    gate = Gate("done")
    step = runtime.endpoint("/step", gate)
    root = runtime.endpoint("/root", suspending(runtime, step))

    started = await runtime.start(document(root, retry=NO_RETRY), Prefer="respond-async")
    waiting = await runtime.step_in(started.json["id"], "waiting")
    gate.open()
    reply = await runtime.finish(document(root, retry=NO_RETRY))

    [inner] = (await run_of(runtime, started))["steps"]
    assert waiting["waitingFor"] == [inner["id"]]
    assert waiting["attemptLog"][0]["outcome"] == "suspended"
    assert (reply.status, reply.json["response"]) == (200, ["done"])
    assert [seen.status for seen in runtime.calls(root)] == [202, 200]


async def scenario_a_handler_suspended_on_several_steps_is_called_when_one_settles(
    runtime: Runtime,
) -> None:
    steps = [
        runtime.endpoint(f"/{number}", sleeping(runtime.ms(100 * number), number)) for number in (1, 2, 3)
    ]
    root = runtime.endpoint("/root", suspending(runtime, *steps))

    reply = await runtime.finish(document(root, retry=NO_RETRY))

    assert (reply.status, reply.json["response"]) == (200, [1, 2, 3])
    assert 3 <= len(runtime.calls(root)) <= 7
    ended = [runtime.calls(step)[0].ended_s for step in steps]
    assert runtime.calls(root)[1].began_s < ended[1]
    assert (await run_of(runtime, reply))["root"]["retriesUsed"] == 0


async def scenario_suspending_on_nothing_that_is_still_to_settle_is_a_failed_attempt(
    runtime: Runtime,
) -> None:
    theirs = f"/{runtime.client}-b"
    event = json.dumps(event_document("approval")).encode()
    foreign = await runtime.request("POST", theirs, body=event, headers={"Prefer": "respond-async"})
    settled = await runtime.start(document(runtime.endpoint("/ok", answer_ok), idempotencyKey="before"))
    await asyncio.sleep(0.02)
    named = {
        "unknown": f"run_{'0' * 32}-{'1' * 32}",
        "foreign": foreign.json["id"],
        "settled": settled.json["id"],
        "own": None,
        "malformed": "what?",
        "none": "",
        "all": f"{foreign.json['id']}, what?,,{settled.json['id']}",
    }
    urls = {name: runtime.endpoint(f"/{name}", always_waiting_for(given)) for name, given in named.items()}
    retry = {**RETRY, "count": 2}

    replies = await asyncio.gather(
        *(runtime.start(document(url, idempotencyKey=name, retry=retry)) for name, url in urls.items())
    )

    for name, reply in zip(named, replies, strict=True):
        assert (reply.status, reply.json["attempts"]) == (424, 3), name
        assert "atomic-waiting-for" in reply.json["lastError"]
        assert len(runtime.calls(urls[name])) == 3
    untouched = await runtime.request("GET", f"{theirs}/steps/{foreign.json['id']}")
    assert untouched.json["status"] == "pending"


async def scenario_a_step_of_another_run_can_be_waited_for(runtime: Runtime) -> None:
    other = await runtime.start(
        document(runtime.endpoint("/slow", sleeping(runtime.ms(200), "done")), idempotencyKey="other"),
        Prefer="respond-async",
    )

    async def handler(call: EndpointCall) -> EndpointReply:
        if (await runtime.get(f"/steps/{other.json['id']}")).json["status"] == "succeeded":
            return EndpointReply(json="called again")
        return EndpointReply(status=202, headers={"Atomic-Waiting-For": other.json["id"]})

    reply = await runtime.finish(document(runtime.endpoint("/root", handler), retry=NO_RETRY))

    assert (reply.status, reply.json["attempts"]) == (200, 2)


async def scenario_parents_three_levels_deep_wait_for_their_own(runtime: Runtime) -> None:
    leaf = runtime.endpoint("/leaf", failing_first(8, 503, "leaf"))
    middle = runtime.endpoint("/middle", plain(runtime, leaf, timeout=50, is_parent=True))
    root = runtime.endpoint("/root", plain(runtime, middle, timeout=50, is_parent=True, retry=NO_RETRY))

    reply = await runtime.finish(document(root, retry=NO_RETRY))

    assert (reply.status, reply.json["response"]) == (200, [["leaf"]])
    run = await run_of(runtime, reply)
    steps = {step["stepInvokeUrl"]: step for step in (run["root"], *run["steps"])}
    assert steps[leaf]["parent"] == steps[middle]["id"]
    assert steps[middle]["parent"] == steps[root]["id"]
    assert [steps[url]["retriesUsed"] for url in (root, middle, leaf)] == [0, 0, 8]
    # One more call if a settled step is noticed both by the recheck and by its wake-up.
    assert 2 <= steps[middle]["attempts"] <= 3
    assert 2 <= steps[root]["attempts"] <= 3


async def scenario_100_runs_of_depth_3_that_wait_for_their_steps_all_finish(runtime: Runtime) -> None:
    leaf = runtime.endpoint("/leaf", sleeping(50, "leaf"))
    middle = runtime.endpoint("/middle", plain(runtime, leaf, timeout=8000, is_parent=True))
    root = runtime.endpoint("/root", plain(runtime, middle, timeout=8000, is_parent=True))

    replies = await asyncio.gather(
        *(runtime.start(document(root, idempotencyKey=f"k-{number}")) for number in range(100))
    )

    assert {reply.status for reply in replies} == {200}
    assert len({reply.json["runId"] for reply in replies}) == 100
    assert [len(runtime.calls(url)) for url in (root, middle, leaf)] == [100] * 3


async def scenario_a_result_that_is_posted_before_anybody_waits_is_kept(runtime: Runtime) -> None:
    created = await runtime.start(event_document("approval"), Prefer="respond-async")
    result = f"/steps/{created.json['id']}/result"

    posted = await runtime.post(result, {"by": "ada", "yes": True})
    again = await runtime.post(result, {"yes": True, "by": "ada"})
    other = await runtime.post(result, {"by": "bob", "yes": True})

    assert (created.status, created.json["status"], created.json["kind"]) == (202, "pending", "event")
    assert (posted.status, posted.json["status"]) == (200, "succeeded")
    assert (again.status, again.body) == (200, posted.body)
    assert (other.status, other.json["type"]) == (409, "urn:atomic:problem:not-an-open-event")
    waited = await runtime.start(event_document("approval"))
    assert (waited.status, waited.json["response"]) == (200, {"by": "ada", "yes": True})
    assert waited.json["attempts"] == 0


async def scenario_an_event_that_comes_before_its_root_becomes_a_step_of_it(runtime: Runtime) -> None:
    early = await runtime.start(event_document("approval"), Prefer="respond-async")
    await runtime.post(f"/steps/{early.json['id']}/result", "yes")

    async def workflow(call: EndpointCall) -> EndpointReply:
        named = await runtime.start(event_document("approval", parent=call.json["stepId"]))
        return EndpointReply(json=[named.json["id"], named.json["response"]])

    reply = await runtime.finish(document(runtime.endpoint("/root", workflow)))

    assert early.json["parent"] == reply.json["id"] != early.json["id"]
    assert (reply.json["parent"], reply.json["response"]) == (None, [early.json["id"], "yes"])


async def scenario_a_result_wakes_a_waiting_caller(runtime: Runtime) -> None:
    created = await runtime.start(event_document("approval"), Prefer="respond-async")
    waiting = asyncio.create_task(runtime.start(event_document("approval")))
    await asyncio.sleep(0.05)

    await runtime.post(f"/steps/{created.json['id']}/result", [1, None])

    reply = await waiting
    assert (reply.status, reply.json["response"]) == (200, [1, None])


async def scenario_only_an_open_event_takes_a_result(runtime: Runtime) -> None:
    live = await runtime.start(
        document(runtime.endpoint("/slow", sleeping(runtime.ms(100)))), Prefer="respond-async"
    )
    root = runtime.endpoint("/root", always(503))
    run = await runtime.start(document(root, idempotencyKey="k-2"), Prefer="respond-async")
    event = await runtime.start(event_document("never", idempotencyKey="k-2"), Prefer="respond-async")
    await runtime.post(f"/runs/{run.json['runId']}/cancel")

    replies = [
        await runtime.post(f"/steps/{step.json['id']}/result", {"status": "mine"}) for step in (live, event)
    ]

    assert [reply.status for reply in replies] == [409, 409]
    ended = await runtime.step_in(live.json["id"], "succeeded")
    assert ended["response"] is None


async def scenario_an_event_ends_with_its_run_unless_that_has_failed(runtime: Runtime) -> None:
    posted: dict[str, str] = {}

    async def opens(call: EndpointCall) -> EndpointReply:
        key = call.json["idempotencyKey"]
        document = event_document("approval", idempotencyKey=key, parent=call.json["stepId"])
        reply = await runtime.start(document, Prefer="respond-async")
        posted[key] = reply.json["id"]
        return EndpointReply(status=200 if key == "good" or call.attempt > 1 else 410)

    url = runtime.endpoint("/opens", opens)
    root = {"workflowName": "w", "stepInvokeUrl": url}
    good, bad = [await runtime.finish({**root, "idempotencyKey": key}) for key in ("good", "bad")]

    refused = await runtime.post(f"/steps/{posted['good']}/result", "late")
    taken = await runtime.post(f"/steps/{posted['bad']}/result", "in time")

    assert (good.status, bad.status) == (200, 424)
    assert (refused.status, refused.json["type"]) == (409, "urn:atomic:problem:not-an-open-event")
    ended = (await runtime.get(f"/steps/{posted['good']}")).json
    assert (ended["status"], ended["error"]) == ("cancelled", "its run has ended")
    assert (taken.status, taken.json["response"]) == (200, "in time")
    await runtime.post(f"/steps/{bad.json['id']}/redrive")
    await runtime.step_in(bad.json["id"], "succeeded")


async def scenario_a_handler_waits_for_an_event(runtime: Runtime) -> None:
    async def workflow(call: EndpointCall) -> EndpointReply:
        reply = await runtime.start(event_document("approval", parent=call.json["stepId"], timeout=50))
        return EndpointReply(status=200 if reply.status == 200 else 500, json=reply.json.get("response"))

    root = runtime.endpoint("/root", workflow)
    started = await runtime.start(document(root, retry=NO_RETRY), Prefer="respond-async")
    waiting = await runtime.step_in(started.json["id"], "waiting")
    assert len(runtime.calls(root)) == 1

    [approval] = waiting["waitingFor"]
    await runtime.post(f"/steps/{approval}/result", "yes")

    ended = await runtime.step_in(started.json["id"], "succeeded")
    assert (ended["response"], ended["attempts"], ended["retriesUsed"]) == ("yes", 2, 0)


async def scenario_an_event_without_a_result_ends_with_its_deadline(runtime: Runtime) -> None:
    reply = await runtime.finish(event_document("approval", deadline=100))

    assert (reply.status, reply.json["attempts"]) == (424, 0)
    assert reply.json["type"] == "urn:atomic:problem:event-expired"
    assert reply.json["detail"] == "The event was not completed within 100 ms."
    assert reply.headers["atomic-error-source"] == "step"
    # The failure is an answer to the workflow, and not a dead letter.
    assert (await runtime.get("/dead-letters")).json["deadLetters"] == []
    assert (await runtime.get("/stats")).json["deadLetters"] == 0
    bulk = await runtime.post("/redrive", {"filter": {"keyPrefix": "k"}})
    assert bulk.json == {"redriven": 0, "steps": [], "more": False, "next": None}


async def scenario_an_open_event_takes_the_deadline_of_a_wait(runtime: Runtime) -> None:
    """The event is opened before its id is passed on, and waited for later.

    The deadline of that wait applies.
    """
    opened = await runtime.start(event_document("approval"), Prefer="respond-async")
    assert opened.json["dueAt"] is None

    waited = await runtime.start(event_document("approval", deadline=runtime.ms(300), timeout=1))
    assert (waited.status, waited.json["id"]) == (504, opened.json["id"])
    first = (await runtime.get(f"/steps/{opened.json['id']}")).json["deadlineAt"]
    await runtime.start(event_document("approval", deadline=10_000_000, timeout=1))
    assert (await runtime.get(f"/steps/{opened.json['id']}")).json["deadlineAt"] == first

    reply = await runtime.finish(event_document("approval"))
    assert (reply.status, reply.json["type"]) == (424, "urn:atomic:problem:event-expired")


async def scenario_a_timer_ends_after_its_delay(runtime: Runtime) -> None:
    gate = Gate()
    root = await runtime.start(document(runtime.endpoint("/root", gate)), Prefer="respond-async")
    began_s = runtime.now_s()

    reply = await runtime.finish(timer_document("nap", delay=150, parent=root.json["id"]))

    assert (reply.status, reply.json["kind"], reply.json["response"]) == (200, "timer", None)
    # The server's clock may round milliseconds differently from the test's.
    assert runtime.now_s() - began_s >= 0.149
    assert reply.json["attempts"] == 0
    gate.open()


async def scenario_a_handler_sleeps_longer_than_it_waits(runtime: Runtime) -> None:
    async def workflow(call: EndpointCall) -> EndpointReply:
        reply = await runtime.start(
            timer_document("nap", delay=200, timeout=30, parent=call.json["stepId"])
        )
        return EndpointReply(status=200 if reply.status == 200 else 500)

    root = runtime.endpoint("/root", workflow)

    reply = await runtime.finish(document(root, retry=NO_RETRY))

    assert (reply.status, reply.json["attempts"]) == (200, 2)
    first, second = runtime.calls(root)
    assert second.server_s - first.server_s >= 0.199


async def scenario_a_delayed_step_starts_after_its_delay(runtime: Runtime) -> None:
    url = runtime.endpoint("/step", answer_ok)
    began_s = runtime.now_s()

    # A delay of 1 ms is over before the row is written; the wake-up must not be lost because of that.
    for number, delay in enumerate((1, 5, 120)):
        reply = await runtime.start(document(url, idempotencyKey=f"k-{number}", delay=delay))
        assert reply.status == 200

    assert runtime.calls(url)[2].server_s - began_s >= 0.124
    assert runtime.now_s() - began_s < 1


def document(url: str, **members: Any) -> dict[str, Any]:
    """A start with quick and many retries."""
    return start_document(url, "k", **{"timeout": 20_000, "retry": RETRY, **members})


def event_document(name: str, **members: Any) -> dict[str, Any]:
    """An event: a step that waits for a posted result."""
    event = {"workflowName": "w", "kind": "event", "stepName": name, "idempotencyKey": "k"}
    return {**event, "timeout": 20_000, **members}


def timer_document(name: str, **members: Any) -> dict[str, Any]:
    """A timer: a step that is done after a delay."""
    timer = {"workflowName": "w", "kind": "timer", "stepName": name, "idempotencyKey": "k"}
    return {**timer, "timeout": 20_000, **members}


def sleeping(ms: int, then: Any = None) -> Handler:
    """A slow endpoint."""

    async def handler(call: EndpointCall) -> EndpointReply:
        await asyncio.sleep(ms / 1000)
        return EndpointReply(json=then)

    return handler


def plain(
    runtime: Runtime,
    *urls: str,
    timeout: int,
    is_parent: bool = False,
    side_by_side: bool = False,
    told: list[int] | None = None,
    retry: dict[str, Any] = RETRY,
) -> Handler:
    """A handler without any SDK: it posts its steps, waits for them, and raises unless they succeeded."""

    async def step(url: str, call: EndpointCall) -> Any:
        key = call.json["idempotencyKey"]
        parent = {"parent": call.json["stepId"]} if is_parent else {}
        wanted = document(url, idempotencyKey=key, timeout=timeout, retry=retry, **parent)
        reply = await runtime.start(wanted)
        if told is not None:
            told.append(reply.status)
        if reply.status != 200:
            raise RuntimeError(f"{url} answered {reply.status}")
        return reply.json["response"]

    async def handler(call: EndpointCall) -> EndpointReply:
        if side_by_side:
            return EndpointReply(json=await asyncio.gather(*(step(url, call) for url in urls)))
        return EndpointReply(json=[await step(url, call) for url in urls])

    return handler


def suspending(runtime: Runtime, *urls: str) -> Handler:
    """A handler as an SDK implements it: it never waits, but suspends on the steps that it needs."""

    async def handler(call: EndpointCall) -> EndpointReply:
        key = call.json["idempotencyKey"]
        replies = [
            await runtime.start(document(url, idempotencyKey=key), Prefer="respond-async") for url in urls
        ]
        live = [reply.json["id"] for reply in replies if reply.status != 200]
        if live:
            return EndpointReply(status=202, headers={"Atomic-Waiting-For": ", ".join(live)})
        return EndpointReply(json=[reply.json["response"] for reply in replies])

    return handler


def always_waiting_for(step_id: str | None) -> Handler:
    """An endpoint that is always suspended, on itself if no step is named."""

    async def handler(call: EndpointCall) -> EndpointReply:
        named = call.json["stepId"] if step_id is None else step_id
        return EndpointReply(status=202, headers={"Atomic-Waiting-For": named})

    return handler


async def run_of(runtime: Runtime, reply: ApiReply) -> dict[str, Any]:
    """Read the run of a reply."""
    run: dict[str, Any] = (await runtime.get(f"/runs/{reply.json['runId']}")).json
    return run
