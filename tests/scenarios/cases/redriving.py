"""Dead letters that were handled, or whose run was cancelled, are not redriven."""

import asyncio
from typing import Any

from atomic.testing import ApiReply, EndpointCall, EndpointReply
from scenarios.runtime import Handler, Runtime, always
from scenarios.starts import assert_problem

ONCE = {"count": 0}


def document(url: str, **members: Any) -> dict[str, Any]:
    """A start that fails at once."""
    start = {"workflowName": "saga", "idempotencyKey": "k", "stepInvokeUrl": url, "retry": ONCE}
    return {**start, "timeout": 20_000, **members}


def catching(runtime: Runtime, url: str, then: str) -> Handler:
    """A handler that goes on when its step fails."""

    async def handler(call: EndpointCall) -> EndpointReply:
        reply = await runtime.start(document(url, parent=call.json["stepId"]))
        if reply.status != 424:
            return EndpointReply(status=500)
        return EndpointReply(json=then)

    return handler


def passing_on(runtime: Runtime, *urls: str) -> Handler:
    """A handler that posts its steps one by one, and fails when one of them fails."""

    async def handler(call: EndpointCall) -> EndpointReply:
        for url in urls:
            reply = await runtime.start(document(url, parent=call.json["stepId"]))
            if reply.status != 200:
                return EndpointReply(status=500)
        return EndpointReply(json="done")

    return handler


async def letter_of(runtime: Runtime, url: str) -> dict[str, Any]:
    """Wait for the dead letter of an endpoint to be in the list; return it."""

    async def look() -> dict[str, Any] | None:
        letters = (await runtime.get("/dead-letters")).json["deadLetters"]
        return next((letter for letter in letters if letter["stepInvokeUrl"] == url), None)

    found: dict[str, Any] = await runtime.until(look)
    return found


async def assert_left_alone(runtime: Runtime, url: str, why: str) -> None:
    """Neither a single nor a bulk redrive calls this endpoint's dead letter again."""
    letter = await letter_of(runtime, url)
    assert letter["notRedrivableReason"] == why
    calls = len(runtime.calls(url))

    many = await runtime.post("/redrive", {"filter": {"workflowName": "saga"}})
    one: ApiReply = await runtime.post(f"/steps/{letter['id']}/redrive")

    assert (many.json["redriven"], many.json["steps"], many.json["more"]) == (0, [], False)
    assert_problem(one, 409, "not-redrivable")
    assert one.json["notRedrivableReason"] == why
    await asyncio.sleep(0.05)
    after = (await runtime.get(f"/steps/{letter['id']}")).json
    assert (after["status"], after["generation"], len(runtime.calls(url))) == ("failed", 1, calls)


async def scenario_what_a_handler_caught_is_not_redriven(runtime: Runtime) -> None:
    flight = runtime.endpoint("/flight", always(500))
    root = runtime.endpoint("/saga", catching(runtime, flight, "compensated"))

    saga = await runtime.finish(document(root))

    assert saga.json["response"] == "compensated"
    await assert_left_alone(runtime, flight, "handled")


async def scenario_what_failed_below_a_step_that_was_caught_is_not_redriven(runtime: Runtime) -> None:
    leaf = runtime.endpoint("/leaf", always(500))
    middle = runtime.endpoint("/middle", passing_on(runtime, leaf))
    root = runtime.endpoint("/saga", catching(runtime, middle, "compensated"))

    await runtime.finish(document(root))

    await assert_left_alone(runtime, leaf, "handled")


async def scenario_no_dead_letter_of_a_cancelled_run_is_redriven(runtime: Runtime) -> None:
    flight = runtime.endpoint("/flight", always(500))

    async def saga(call: EndpointCall) -> EndpointReply:
        await runtime.start(document(flight, parent=call.json["stepId"]))
        event = {"workflowName": "saga", "kind": "event", "stepName": "e", "idempotencyKey": "k"}
        reply = await runtime.start({**event, "parent": call.json["stepId"]}, Prefer="respond-async")
        return EndpointReply(status=202, headers={"Atomic-Waiting-For": reply.json["id"]})

    started = await runtime.start(document(runtime.endpoint("/saga", saga)), Prefer="respond-async")
    await runtime.step_in(started.json["id"], "waiting")
    await runtime.post(f"/runs/{started.json['runId']}/cancel")

    await assert_left_alone(runtime, flight, "cancelled")


async def scenario_redriving_a_root_leaves_alone_what_a_step_of_it_caught(runtime: Runtime) -> None:
    broken = True

    async def last(call: EndpointCall) -> EndpointReply:
        return EndpointReply(status=500 if broken else 200)

    flight = runtime.endpoint("/flight", always(500))
    book = runtime.endpoint("/book", catching(runtime, flight, "compensated"))
    root = runtime.endpoint("/trip", passing_on(runtime, book, runtime.endpoint("/last", last)))
    failed = await runtime.finish(document(root))
    assert failed.status == 424
    broken = False

    await runtime.post(f"/steps/{failed.json['id']}/redrive")

    await runtime.step_in(failed.json["id"], "succeeded")
    assert len(runtime.calls(flight)) == 1


async def scenario_a_step_that_failed_after_its_run_had_succeeded_is_redriven(runtime: Runtime) -> None:
    repaired = False
    answered = asyncio.Event()

    async def mail(call: EndpointCall) -> EndpointReply:
        await answered.wait()
        return EndpointReply(status=200 if repaired else 500)

    url = runtime.endpoint("/mail", mail)

    async def careless(call: EndpointCall) -> EndpointReply:
        posted = await runtime.start(document(url, parent=call.json["stepId"]), Prefer="respond-async")
        return EndpointReply(json=posted.status)

    run = await runtime.finish(document(runtime.endpoint("/saga", careless)))
    assert run.json["response"] == 202
    # Times have a resolution of 1 ms, and the step has to fail later than its run ended.
    await asyncio.sleep(0.02)
    answered.set()
    letter = await letter_of(runtime, url)
    assert letter["notRedrivableReason"] is None
    repaired = True

    many = await runtime.post("/redrive", {"filter": {"workflowName": "saga"}})

    assert many.json["steps"] == [letter["id"]]
    await runtime.step_in(letter["id"], "succeeded")
