"""Workflows that outlive their own calls: plain handlers, suspended ones, events and timers."""

import asyncio
import json
from typing import Any

from atomic.testing import EndpointCall, EndpointReply, Reply
from scenarios.home import Handler, Home, always, answer_ok, failing_first
from scenarios.starts import Gate
from scenarios.starts import document as start_document

RETRY = {"count": 100, "backOff": 30, "strategy": "fixed", "jitter": "none"}
NO_RETRY = {"count": 0}


async def scenario_a_step_may_take_longer_than_every_hang_and_every_attempt(home: Home) -> None:
    step = home.endpoint("/step", failing_first(12, 503, "at last"))
    root = home.endpoint("/root", plain(home, step, timeout=50))

    reply = await home.finish(document(root, retry=NO_RETRY, attemptTimeout=150))

    assert (reply.status, reply.json["response"]) == (200, ["at last"])
    run = await run_of(home, reply)
    assert (run["root"]["attempts"], run["root"]["retriesUsed"]) == (2, 0)
    assert run["steps"][0]["attempts"] == 13
    assert [seen.status for seen in home.calls(root)] == [500, 200]


async def scenario_two_slow_steps_after_each_other_cost_two_more_calls(home: Home) -> None:
    steps = [home.endpoint(f"/{name}", failing_first(6, 503, name)) for name in "ab"]
    root = home.endpoint("/root", plain(home, *steps, timeout=50))

    reply = await home.finish(document(root, retry=NO_RETRY))

    assert (reply.status, reply.json["response"]) == (200, ["a", "b"])
    assert (reply.json["attempts"], len(home.calls(root))) == (3, 3)
    assert (await run_of(home, reply))["root"]["retriesUsed"] == 0


async def scenario_a_handler_that_runs_out_of_time_waits_for_its_step(home: Home) -> None:
    step = home.endpoint("/step", sleeping(home.ms(300), "done"))
    root = home.endpoint("/root", plain(home, step, timeout=20_000))

    reply = await home.finish(document(root, retry=NO_RETRY, attemptTimeout=home.ms(100)))

    assert (reply.status, reply.json["response"]) == (200, ["done"])
    run = await run_of(home, reply)
    assert (run["root"]["attempts"], run["root"]["retriesUsed"]) == (2, 0)
    assert run["root"]["attemptLog"][0]["error"].startswith("timeout")
    assert len(home.calls(step)) == 1


async def scenario_two_slow_steps_side_by_side(home: Home) -> None:
    steps = [
        home.endpoint(f"/{name}", sleeping(home.ms(at_best), name))
        for name, at_best in (("a", 100), ("b", 250))
    ]
    root = home.endpoint("/root", plain(home, *steps, timeout=50, side_by_side=True))

    reply = await home.finish(document(root, retry=NO_RETRY))

    assert (reply.status, reply.json["response"]) == (200, ["a", "b"])
    # A settle may call the handler twice: once by the step that settles, once by the handler that looks.
    assert 2 <= reply.json["attempts"] <= 5
    assert (await run_of(home, reply))["root"]["retriesUsed"] == 0
    assert [len(home.calls(step)) for step in steps] == [1, 1]


async def scenario_a_hang_of_no_time_is_followed_by_a_call_as_well(home: Home) -> None:
    step = home.endpoint("/step", sleeping(100, "done"))
    root = home.endpoint("/root", plain(home, step, timeout=0))

    reply = await home.finish(document(root, retry=NO_RETRY))

    assert (reply.status, reply.json["response"]) == (200, ["done"])
    assert reply.json["attempts"] == 2


async def scenario_a_step_that_gives_up_is_told_to_the_waiting_handler(home: Home) -> None:
    step = home.endpoint("/step", always(500, {"why": "broken"}))
    told: list[int] = []
    retry = {**RETRY, "count": 3, "backOff": 60}
    root = home.endpoint("/root", plain(home, step, timeout=50, told=told, retry=retry))

    reply = await home.finish(document(root, retry={**RETRY, "count": 2}))

    assert (reply.status, reply.json["lastStatus"]) == (424, 500)
    assert told == [504, 424, 424, 424]
    run = await run_of(home, reply)
    assert (run["root"]["status"], run["root"]["retriesUsed"], run["root"]["attempts"]) == ("failed", 2, 4)
    assert (run["steps"][0]["status"], run["steps"][0]["attempts"]) == ("failed", 4)


async def scenario_a_handler_suspends_itself_on_one_step(home: Home) -> None:
    gate = Gate("done")
    step = home.endpoint("/step", gate)
    root = home.endpoint("/root", suspending(home, step))

    started = await home.start(document(root, retry=NO_RETRY), Prefer="respond-async")
    waiting = await home.step_in(started.json["id"], "waiting")
    gate.open()
    reply = await home.finish(document(root, retry=NO_RETRY))

    [inner] = (await run_of(home, started))["steps"]
    assert waiting["waitingFor"] == [inner["id"]]
    assert waiting["attemptLog"][0]["outcome"] == "suspended"
    assert (reply.status, reply.json["response"]) == (200, ["done"])
    assert [seen.status for seen in home.calls(root)] == [202, 200]


async def scenario_a_handler_suspended_on_several_steps_is_called_when_one_settles(home: Home) -> None:
    steps = [home.endpoint(f"/{number}", sleeping(home.ms(100 * number), number)) for number in (1, 2, 3)]
    root = home.endpoint("/root", suspending(home, *steps))

    reply = await home.finish(document(root, retry=NO_RETRY))

    assert (reply.status, reply.json["response"]) == (200, [1, 2, 3])
    assert 3 <= len(home.calls(root)) <= 7
    ended = [home.calls(step)[0].ended_s for step in steps]
    assert home.calls(root)[1].began_s < ended[1]
    assert (await run_of(home, reply))["root"]["retriesUsed"] == 0


async def scenario_suspending_on_nothing_that_is_still_to_settle_is_a_failed_attempt(home: Home) -> None:
    theirs = f"/{home.client}-b"
    event = json.dumps(event_document("approval")).encode()
    foreign = await home.request("POST", theirs, body=event, headers={"Prefer": "respond-async"})
    settled = await home.start(document(home.endpoint("/ok", answer_ok), idempotencyKey="before"))
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
    urls = {name: home.endpoint(f"/{name}", always_waiting_for(given)) for name, given in named.items()}
    retry = {**RETRY, "count": 2}

    replies = await asyncio.gather(
        *(home.start(document(url, idempotencyKey=name, retry=retry)) for name, url in urls.items())
    )

    for name, reply in zip(named, replies, strict=True):
        assert (reply.status, reply.json["attempts"]) == (424, 3), name
        assert "atomic-waiting-for" in reply.json["lastError"]
        assert len(home.calls(urls[name])) == 3
    untouched = await home.request("GET", f"{theirs}/steps/{foreign.json['id']}")
    assert untouched.json["status"] == "pending"


async def scenario_a_step_of_another_run_can_be_waited_for(home: Home) -> None:
    other = await home.start(
        document(home.endpoint("/slow", sleeping(home.ms(200), "done")), idempotencyKey="other"),
        Prefer="respond-async",
    )

    async def handler(call: EndpointCall) -> EndpointReply:
        if (await home.get(f"/steps/{other.json['id']}")).json["status"] == "succeeded":
            return EndpointReply(json="called again")
        return EndpointReply(status=202, headers={"Atomic-Waiting-For": other.json["id"]})

    reply = await home.finish(document(home.endpoint("/root", handler), retry=NO_RETRY))

    assert (reply.status, reply.json["attempts"]) == (200, 2)


async def scenario_parents_three_levels_deep_wait_for_their_own(home: Home) -> None:
    leaf = home.endpoint("/leaf", failing_first(8, 503, "leaf"))
    middle = home.endpoint("/middle", plain(home, leaf, timeout=50, is_parent=True))
    root = home.endpoint("/root", plain(home, middle, timeout=50, is_parent=True, retry=NO_RETRY))

    reply = await home.finish(document(root, retry=NO_RETRY))

    assert (reply.status, reply.json["response"]) == (200, [["leaf"]])
    run = await run_of(home, reply)
    steps = {step["stepInvokeUrl"]: step for step in (run["root"], *run["steps"])}
    assert steps[leaf]["parent"] == steps[middle]["id"]
    assert steps[middle]["parent"] == steps[root]["id"]
    assert [steps[url]["retriesUsed"] for url in (root, middle, leaf)] == [0, 0, 8]
    # Once more when a settle is seen by looking across and by the wake-up as well.
    assert 2 <= steps[middle]["attempts"] <= 3
    assert 2 <= steps[root]["attempts"] <= 3


async def scenario_100_runs_of_depth_3_that_hang_for_their_steps_all_finish(home: Home) -> None:
    leaf = home.endpoint("/leaf", sleeping(50, "leaf"))
    middle = home.endpoint("/middle", plain(home, leaf, timeout=8000, is_parent=True))
    root = home.endpoint("/root", plain(home, middle, timeout=8000, is_parent=True))

    replies = await asyncio.gather(
        *(home.start(document(root, idempotencyKey=f"k-{number}")) for number in range(100))
    )

    assert {reply.status for reply in replies} == {200}
    assert len({reply.json["runId"] for reply in replies}) == 100
    assert [len(home.calls(url)) for url in (root, middle, leaf)] == [100] * 3


async def scenario_a_result_that_is_posted_before_anybody_waits_is_kept(home: Home) -> None:
    created = await home.start(event_document("approval"), Prefer="respond-async")
    result = f"/steps/{created.json['id']}/result"

    posted = await home.post(result, {"by": "ada", "yes": True})
    again = await home.post(result, {"yes": True, "by": "ada"})
    other = await home.post(result, {"by": "bob", "yes": True})

    assert (created.status, created.json["status"], created.json["kind"]) == (202, "pending", "event")
    assert (posted.status, posted.json["status"]) == (200, "succeeded")
    assert (again.status, again.body) == (200, posted.body)
    assert (other.status, other.json["type"]) == (409, "urn:atomic:problem:not-an-open-event")
    waited = await home.start(event_document("approval"))
    assert (waited.status, waited.json["response"]) == (200, {"by": "ada", "yes": True})
    assert waited.json["attempts"] == 0


async def scenario_an_event_that_comes_before_its_root_becomes_a_step_of_it(home: Home) -> None:
    early = await home.start(event_document("approval"), Prefer="respond-async")
    await home.post(f"/steps/{early.json['id']}/result", "yes")

    async def workflow(call: EndpointCall) -> EndpointReply:
        named = await home.start(event_document("approval", parent=call.json["stepId"]))
        return EndpointReply(json=[named.json["id"], named.json["response"]])

    reply = await home.finish(document(home.endpoint("/root", workflow)))

    assert early.json["parent"] == reply.json["id"] != early.json["id"]
    assert (reply.json["parent"], reply.json["response"]) == (None, [early.json["id"], "yes"])


async def scenario_a_result_wakes_the_caller_who_hangs_for_it(home: Home) -> None:
    created = await home.start(event_document("approval"), Prefer="respond-async")
    hanging = asyncio.create_task(home.start(event_document("approval")))
    await asyncio.sleep(0.05)

    await home.post(f"/steps/{created.json['id']}/result", [1, None])

    reply = await hanging
    assert (reply.status, reply.json["response"]) == (200, [1, None])


async def scenario_only_an_open_event_takes_a_result(home: Home) -> None:
    live = await home.start(
        document(home.endpoint("/slow", sleeping(home.ms(100)))), Prefer="respond-async"
    )
    root = home.endpoint("/root", always(503))
    run = await home.start(document(root, idempotencyKey="k-2"), Prefer="respond-async")
    event = await home.start(event_document("never", idempotencyKey="k-2"), Prefer="respond-async")
    await home.post(f"/runs/{run.json['runId']}/cancel")

    replies = [
        await home.post(f"/steps/{step.json['id']}/result", {"status": "mine"}) for step in (live, event)
    ]

    assert [reply.status for reply in replies] == [409, 409]
    ended = await home.step_in(live.json["id"], "succeeded")
    assert ended["response"] is None


async def scenario_an_event_ends_with_its_run_unless_that_has_failed(home: Home) -> None:
    posted: dict[str, str] = {}

    async def opens(call: EndpointCall) -> EndpointReply:
        key = call.json["idempotencyKey"]
        document = event_document("approval", idempotencyKey=key, parent=call.json["stepId"])
        reply = await home.start(document, Prefer="respond-async")
        posted[key] = reply.json["id"]
        return EndpointReply(status=200 if key == "good" or call.attempt > 1 else 410)

    url = home.endpoint("/opens", opens)
    root = {"workflowName": "w", "stepInvokeUrl": url}
    good, bad = [await home.finish({**root, "idempotencyKey": key}) for key in ("good", "bad")]

    refused = await home.post(f"/steps/{posted['good']}/result", "late")
    taken = await home.post(f"/steps/{posted['bad']}/result", "in time")

    assert (good.status, bad.status) == (200, 424)
    assert (refused.status, refused.json["type"]) == (409, "urn:atomic:problem:not-an-open-event")
    ended = (await home.get(f"/steps/{posted['good']}")).json
    assert (ended["status"], ended["error"]) == ("cancelled", "its run has ended")
    assert (taken.status, taken.json["response"]) == (200, "in time")
    await home.post(f"/steps/{bad.json['id']}/redrive")
    await home.step_in(bad.json["id"], "succeeded")


async def scenario_a_handler_waits_for_an_event(home: Home) -> None:
    async def workflow(call: EndpointCall) -> EndpointReply:
        reply = await home.start(event_document("approval", parent=call.json["stepId"], timeout=50))
        return EndpointReply(status=200 if reply.status == 200 else 500, json=reply.json.get("response"))

    root = home.endpoint("/root", workflow)
    started = await home.start(document(root, retry=NO_RETRY), Prefer="respond-async")
    waiting = await home.step_in(started.json["id"], "waiting")
    assert len(home.calls(root)) == 1

    [approval] = waiting["waitingFor"]
    await home.post(f"/steps/{approval}/result", "yes")

    ended = await home.step_in(started.json["id"], "succeeded")
    assert (ended["response"], ended["attempts"], ended["retriesUsed"]) == ("yes", 2, 0)


async def scenario_an_event_that_nobody_posts_ends_with_its_deadline(home: Home) -> None:
    reply = await home.finish(event_document("approval", deadline=100))

    assert (reply.status, reply.json["attempts"]) == (424, 0)
    assert reply.json["type"] == "urn:atomic:problem:event-expired"
    assert reply.json["detail"] == "Nobody completed the event within 100 ms."
    assert reply.headers["atomic-error-source"] == "step"
    # It is an answer to its workflow, and nothing for operators.
    assert (await home.get("/dead-letters")).json["deadLetters"] == []
    assert (await home.get("/stats")).json["deadLetters"] == 0
    bulk = await home.post("/redrive", {"filter": {"keyPrefix": "k"}})
    assert bulk.json == {"redriven": 0, "steps": [], "more": False}


async def scenario_an_open_event_takes_a_deadline_from_who_waits_for_it(home: Home) -> None:
    """Opened before its id is handed out, waited for later: the time of that wait counts."""
    opened = await home.start(event_document("approval"), Prefer="respond-async")
    assert opened.json["dueAt"] is None

    waited = await home.start(event_document("approval", deadline=home.ms(300), timeout=1))
    assert (waited.status, waited.json["id"]) == (504, opened.json["id"])
    first = (await home.get(f"/steps/{opened.json['id']}")).json["deadlineAt"]
    await home.start(event_document("approval", deadline=10_000_000, timeout=1))
    assert (await home.get(f"/steps/{opened.json['id']}")).json["deadlineAt"] == first

    reply = await home.finish(event_document("approval"))
    assert (reply.status, reply.json["type"]) == (424, "urn:atomic:problem:event-expired")


async def scenario_a_timer_ends_after_its_delay(home: Home) -> None:
    loop = asyncio.get_running_loop()
    root = await home.finish(document(home.endpoint("/root", answer_ok)))
    began_s = loop.time()

    reply = await home.finish(timer_document("nap", delay=150, parent=root.json["id"]))

    assert (reply.status, reply.json["kind"], reply.json["response"]) == (200, "timer", None)
    # The clock of the far side may be cut to milliseconds differently from ours.
    assert loop.time() - began_s >= 0.149
    assert reply.json["attempts"] == 0


async def scenario_a_handler_sleeps_longer_than_it_hangs(home: Home) -> None:
    async def workflow(call: EndpointCall) -> EndpointReply:
        reply = await home.start(timer_document("nap", delay=200, timeout=30, parent=call.json["stepId"]))
        return EndpointReply(status=200 if reply.status == 200 else 500)

    root = home.endpoint("/root", workflow)

    reply = await home.finish(document(root, retry=NO_RETRY))

    assert (reply.status, reply.json["attempts"]) == (200, 2)
    first, second = home.calls(root)
    assert second.began_s - first.began_s >= 0.199


async def scenario_a_delayed_step_starts_after_its_delay(home: Home) -> None:
    url = home.endpoint("/step", answer_ok)
    loop = asyncio.get_running_loop()
    began_s = loop.time()

    # A delay of 1 ms is over before a durable row is written; its hint must not be spent by then.
    for number, delay in enumerate((1, 5, 120)):
        reply = await home.start(document(url, idempotencyKey=f"k-{number}", delay=delay))
        assert reply.status == 200

    assert home.calls(url)[2].began_s - began_s >= 0.124
    assert loop.time() - began_s < 1


def document(url: str, **members: Any) -> dict[str, Any]:
    """A start that is retried soon and for long."""
    return start_document(url, "k", **{"timeout": 20_000, "retry": RETRY, **members})


def event_document(name: str, **members: Any) -> dict[str, Any]:
    """A step that waits for somebody to post a result."""
    event = {"workflowName": "w", "kind": "event", "stepName": name, "idempotencyKey": "k"}
    return {**event, "timeout": 20_000, **members}


def timer_document(name: str, **members: Any) -> dict[str, Any]:
    """A step that does nothing for a while."""
    timer = {"workflowName": "w", "kind": "timer", "stepName": name, "idempotencyKey": "k"}
    return {**timer, "timeout": 20_000, **members}


def sleeping(ms: int, then: Any = None) -> Handler:
    """An endpoint that takes its time."""

    async def handler(call: EndpointCall) -> EndpointReply:
        await asyncio.sleep(ms / 1000)
        return EndpointReply(json=then)

    return handler


def plain(
    home: Home,
    *urls: str,
    timeout: int,
    is_parent: bool = False,
    side_by_side: bool = False,
    told: list[int] | None = None,
    retry: dict[str, Any] = RETRY,
) -> Handler:
    """A handler without any SDK: it posts its steps, hangs for them, and throws unless they worked."""

    async def step(url: str, call: EndpointCall) -> Any:
        key = call.json["idempotencyKey"]
        parent = {"parent": call.json["stepId"]} if is_parent else {}
        wanted = document(url, idempotencyKey=key, timeout=timeout, retry=retry, **parent)
        reply = await home.start(wanted)
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


def suspending(home: Home, *urls: str) -> Handler:
    """A handler as an SDK writes it: it never hangs, it says which steps it needs."""

    async def handler(call: EndpointCall) -> EndpointReply:
        key = call.json["idempotencyKey"]
        replies = [
            await home.start(document(url, idempotencyKey=key), Prefer="respond-async") for url in urls
        ]
        live = [reply.json["id"] for reply in replies if reply.status != 200]
        if live:
            return EndpointReply(status=202, headers={"Atomic-Waiting-For": ", ".join(live)})
        return EndpointReply(json=[reply.json["response"] for reply in replies])

    return handler


def always_waiting_for(step_id: str | None) -> Handler:
    """An endpoint that only ever waits; for itself when no step is named."""

    async def handler(call: EndpointCall) -> EndpointReply:
        named = call.json["stepId"] if step_id is None else step_id
        return EndpointReply(status=202, headers={"Atomic-Waiting-For": named})

    return handler


async def run_of(home: Home, reply: Reply) -> dict[str, Any]:
    """The run that a reply is about."""
    run: dict[str, Any] = (await home.get(f"/runs/{reply.json['runId']}")).json
    return run
