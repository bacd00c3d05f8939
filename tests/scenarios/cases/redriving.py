"""Dead letters that nobody waits for any more are never called again."""

import asyncio
from typing import Any

from atomic.testing import EndpointCall, EndpointReply, Reply
from scenarios.home import Handler, Home, always
from scenarios.starts import assert_problem

ONCE = {"count": 0}


def document(url: str, **members: Any) -> dict[str, Any]:
    """A start that gives up at once."""
    start = {"workflowName": "saga", "idempotencyKey": "k", "stepInvokeUrl": url, "retry": ONCE}
    return {**start, "timeout": 20_000, **members}


def catching(home: Home, url: str, then: str) -> Handler:
    """A handler that goes on when its step gives up."""

    async def handler(call: EndpointCall) -> EndpointReply:
        reply = await home.start(document(url, parent=call.json["stepId"]))
        if reply.status != 424:
            return EndpointReply(status=500)
        return EndpointReply(json=then)

    return handler


def passing_on(home: Home, *urls: str) -> Handler:
    """A handler that posts its steps in turn and fails when one of them does."""

    async def handler(call: EndpointCall) -> EndpointReply:
        for url in urls:
            reply = await home.start(document(url, parent=call.json["stepId"]))
            if reply.status != 200:
                return EndpointReply(status=500)
        return EndpointReply(json="done")

    return handler


async def letter_of(home: Home, url: str) -> dict[str, Any]:
    """The dead letter of an endpoint, once it is in the list."""

    async def look() -> dict[str, Any] | None:
        letters = (await home.get("/dead-letters")).json["deadLetters"]
        return next((letter for letter in letters if letter["stepInvokeUrl"] == url), None)

    found: dict[str, Any] = await home.until(look)
    return found


async def assert_left_alone(home: Home, url: str, why: str) -> None:
    """Neither one by one nor among many is the dead letter of this endpoint called again."""
    letter = await letter_of(home, url)
    assert letter["over"] == why
    calls = len(home.calls(url))

    many = await home.post("/redrive", {"filter": {"workflowName": "saga"}})
    one: Reply = await home.post(f"/steps/{letter['id']}/redrive")

    assert (many.json["redriven"], many.json["steps"], many.json["more"]) == (0, [], False)
    assert_problem(one, 409, "not-redrivable")
    assert one.json["over"] == why
    await asyncio.sleep(0.05)
    after = (await home.get(f"/steps/{letter['id']}")).json
    assert (after["status"], after["generation"], len(home.calls(url))) == ("failed", 1, calls)


async def scenario_what_a_handler_caught_is_not_redriven(home: Home) -> None:
    flight = home.endpoint("/flight", always(500))
    root = home.endpoint("/saga", catching(home, flight, "compensated"))

    saga = await home.finish(document(root))

    assert saga.json["response"] == "compensated"
    await assert_left_alone(home, flight, "caught")


async def scenario_what_failed_below_a_step_that_was_caught_is_not_redriven(home: Home) -> None:
    leaf = home.endpoint("/leaf", always(500))
    middle = home.endpoint("/middle", passing_on(home, leaf))
    root = home.endpoint("/saga", catching(home, middle, "compensated"))

    await home.finish(document(root))

    await assert_left_alone(home, leaf, "caught")


async def scenario_no_dead_letter_of_a_cancelled_run_is_redriven(home: Home) -> None:
    flight = home.endpoint("/flight", always(500))

    async def saga(call: EndpointCall) -> EndpointReply:
        await home.start(document(flight, parent=call.json["stepId"]))
        event = {"workflowName": "saga", "kind": "event", "stepName": "e", "idempotencyKey": "k"}
        reply = await home.start({**event, "parent": call.json["stepId"]}, Prefer="respond-async")
        return EndpointReply(status=202, headers={"Atomic-Waiting-For": reply.json["id"]})

    started = await home.start(document(home.endpoint("/saga", saga)), Prefer="respond-async")
    await home.step_in(started.json["id"], "waiting")
    await home.post(f"/runs/{started.json['runId']}/cancel")

    await assert_left_alone(home, flight, "cancelled")


async def scenario_redriving_a_root_leaves_alone_what_a_step_of_it_caught(home: Home) -> None:
    broken = True

    async def last(call: EndpointCall) -> EndpointReply:
        return EndpointReply(status=500 if broken else 200)

    flight = home.endpoint("/flight", always(500))
    book = home.endpoint("/book", catching(home, flight, "compensated"))
    root = home.endpoint("/trip", passing_on(home, book, home.endpoint("/last", last)))
    failed = await home.finish(document(root))
    assert failed.status == 424
    broken = False

    await home.post(f"/steps/{failed.json['id']}/redrive")

    await home.step_in(failed.json["id"], "succeeded")
    assert len(home.calls(flight)) == 1


async def scenario_a_step_that_gave_up_after_its_run_had_succeeded_is_redriven(home: Home) -> None:
    repaired = False
    answered = asyncio.Event()

    async def mail(call: EndpointCall) -> EndpointReply:
        await answered.wait()
        return EndpointReply(status=200 if repaired else 500)

    url = home.endpoint("/mail", mail)

    async def careless(call: EndpointCall) -> EndpointReply:
        posted = await home.start(document(url, parent=call.json["stepId"]), Prefer="respond-async")
        return EndpointReply(json=posted.status)

    run = await home.finish(document(home.endpoint("/saga", careless)))
    assert run.json["response"] == 202
    # Moments have milliseconds, and the step has to give up later than its run ended.
    await asyncio.sleep(0.02)
    answered.set()
    letter = await letter_of(home, url)
    assert letter["over"] is None
    repaired = True

    many = await home.post("/redrive", {"filter": {"workflowName": "saga"}})

    assert many.json["steps"] == [letter["id"]]
    await home.step_in(letter["id"], "succeeded")
