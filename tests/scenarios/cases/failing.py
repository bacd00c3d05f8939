"""How an attempt's end is read: the endpoint's own failure, a wait for steps, or Atomic's refusal."""

import asyncio
from typing import Any

from atomic.testing import ApiReply, EndpointCall, EndpointReply
from scenarios.cases.suspension import event_document, sleeping, timer_document
from scenarios.runtime import Handler, Runtime, always
from scenarios.starts import document as start_document

RETRY = {"count": 3, "backOff": 20, "strategy": "fixed", "jitter": "none"}
ASYNC = {"Prefer": "respond-async"}
DAY = 86_400_000


async def scenario_a_handler_that_fails_beside_an_open_event_is_called_again(runtime: Runtime) -> None:
    reply = await runtime.finish(
        document(runtime.endpoint("/root", beside(runtime, event_document("approval"))))
    )

    assert (reply.status, reply.json["response"]) == (200, "went on")
    assert await of_root(runtime, reply) == (2, 1, ["retryable", "succeeded"])


async def scenario_a_handler_that_fails_beside_a_long_timer_is_called_again(runtime: Runtime) -> None:
    timer = timer_document("later", delay=30 * DAY)

    reply = await runtime.finish(document(runtime.endpoint("/root", beside(runtime, timer))))

    assert (reply.status, reply.json["response"]) == (200, "went on")
    assert await of_root(runtime, reply) == (2, 1, ["retryable", "succeeded"])


async def scenario_a_handler_that_fails_beside_a_step_that_is_retried_for_long_is_called_again(
    runtime: Runtime,
) -> None:
    dead = document(runtime.endpoint("/dead", always(503)), retry={"count": 200, "backOff": DAY})

    reply = await runtime.finish(document(runtime.endpoint("/root", beside(runtime, dead))))

    assert (reply.status, reply.json["response"]) == (200, "went on")
    assert await of_root(runtime, reply) == (2, 1, ["retryable", "succeeded"])


async def scenario_what_fails_beside_a_live_step_shows_its_error_and_keeps_retry_after(
    runtime: Runtime,
) -> None:
    failure = EndpointReply(
        status=503, json={"error": "the database is away"}, headers={"Retry-After": "60"}
    )
    url = runtime.endpoint("/root", beside(runtime, event_document("approval"), failure))

    started = await runtime.start(document(url), **ASYNC)
    retrying = await runtime.step_in(started.json["id"], "retrying")

    assert retrying["error"] == "the endpoint answered 503: the database is away"
    assert (retrying["retriesUsed"], retrying["waitingFor"]) == (1, [])
    [attempt] = retrying["attemptLog"]
    assert retrying["dueAt"] > attempt["endedAt"]


async def scenario_a_handler_that_always_fails_beside_a_live_step_fails(runtime: Runtime) -> None:
    async def handler(call: EndpointCall) -> EndpointReply:
        await runtime.start(event_document("approval", parent=call.json["stepId"]), **ASYNC)
        return EndpointReply(status=500)

    reply = await runtime.finish(document(runtime.endpoint("/root", handler)))

    assert (reply.status, reply.json["attempts"]) == (424, 4)


async def scenario_a_failed_attempt_that_was_told_of_a_step_waits_for_it(runtime: Runtime) -> None:
    async def handler(call: EndpointCall) -> EndpointReply:
        parent = call.json["stepId"]
        await runtime.start(event_document("never", parent=parent), **ASYNC)
        told = await runtime.start(event_document("approval", parent=parent, timeout=20))
        return EndpointReply(status=200 if told.status == 200 else 500)

    started = await runtime.start(document(runtime.endpoint("/root", handler), retry={"count": 0}), **ASYNC)
    waiting = await runtime.step_in(started.json["id"], "waiting")

    # It waits for the steps that it was told of, and not for those that it never waited for.
    [approval] = waiting["waitingFor"]
    assert (await runtime.get(f"/steps/{approval}")).json["stepName"] == "approval"
    assert waiting["retriesUsed"] == 0
    await runtime.post(f"/steps/{approval}/result", "yes")
    assert (await runtime.step_in(started.json["id"], "succeeded"))["attempts"] == 2


async def scenario_a_later_attempt_is_not_excused_by_what_an_earlier_one_was_told(runtime: Runtime) -> None:
    async def handler(call: EndpointCall) -> EndpointReply:
        if call.attempt == 1:
            parent = call.json["stepId"]
            step = runtime.endpoint("/step", sleeping(runtime.ms(100)))
            await runtime.start(event_document("approval", parent=parent, timeout=1))
            await runtime.start(document(step, parent=parent, timeout=1))
        return EndpointReply(status=200 if call.attempt == 3 else 500)

    reply = await runtime.finish(document(runtime.endpoint("/root", handler)))

    assert (reply.status, (await of_root(runtime, reply))[1]) == (200, 1)


async def scenario_after_a_time_out_it_waits_for_the_steps_that_it_waited_for(runtime: Runtime) -> None:
    async def handler(call: EndpointCall) -> EndpointReply:
        parent = call.json["stepId"]
        await runtime.start(event_document("never", parent=parent), **ASYNC)
        # An event that is opened without waiting, and waited for later.
        await runtime.start(event_document("approval", parent=parent), **ASYNC)
        reply = await runtime.start(event_document("approval", parent=parent))
        return EndpointReply(status=reply.status)

    root = document(runtime.endpoint("/root", handler), retry={"count": 0}, attemptTimeout=runtime.ms(100))
    started = await runtime.start(root, **ASYNC)

    async def look() -> list[str] | None:
        step = (await runtime.get(f"/steps/{started.json['id']}")).json
        return step["waitingFor"] or None

    [approval] = await runtime.until(look, within_s=30)
    await runtime.post(f"/steps/{approval}/result", "yes")
    ended = await runtime.step_in(started.json["id"], "succeeded")
    assert (ended["attempts"], ended["retriesUsed"]) == (2, 0)


async def scenario_a_time_out_beside_steps_that_were_not_waited_for_is_a_failure(
    runtime: Runtime,
) -> None:
    async def handler(call: EndpointCall) -> EndpointReply:
        await runtime.start(event_document("approval", parent=call.json["stepId"]), **ASYNC)
        if call.attempt == 1:
            await asyncio.sleep(runtime.ms(400) / 1000)
        return EndpointReply(json="went on")

    root = document(runtime.endpoint("/root", handler), attemptTimeout=runtime.ms(100))
    reply = await runtime.finish(root)

    assert (reply.status, reply.json["response"]) == (200, "went on")
    assert await of_root(runtime, reply) == (2, 1, ["retryable", "succeeded"])


async def scenario_an_attempt_whose_posts_were_refused_costs_no_retry(runtime: Runtime) -> None:
    replies = iter([REFUSED, REFUSED, EndpointReply(json="done")])

    async def handler(call: EndpointCall) -> EndpointReply:
        return next(replies)

    reply = await runtime.finish(document(runtime.endpoint("/root", handler), retry={"count": 0}))

    assert (reply.status, reply.json["response"]) == (200, "done")
    assert await of_root(runtime, reply) == (3, 0, ["deferred", "deferred", "succeeded"])


async def scenario_a_refusal_counts_unless_its_status_and_its_header_say_otherwise(
    runtime: Runtime,
) -> None:
    answers = {
        "plain": EndpointReply(status=503),
        "other": EndpointReply(status=500, headers={"Atomic-Refused": "true"}),
        "false": EndpointReply(status=503, headers={"Atomic-Refused": "false"}),
    }
    for name, answer in answers.items():
        url = runtime.endpoint(f"/{name}", saying(answer))
        reply = await runtime.finish(document(url, idempotencyKey=name, retry={"count": 0}))
        assert (reply.status, reply.json["attempts"]) == (424, 1), name


REFUSED = EndpointReply(status=503, headers={"Atomic-Refused": "true"}, json={"error": "later"})


def document(url: str, **members: Any) -> dict[str, Any]:
    """A start with a few quick retries."""
    return start_document(url, "k", **{"timeout": 20_000, "retry": RETRY, **members})


def beside(runtime: Runtime, step: dict[str, Any], failure: EndpointReply | None = None) -> Handler:
    """A handler that posts a step, does not wait for it, and fails at its first attempt."""

    async def handler(call: EndpointCall) -> EndpointReply:
        reply = await runtime.start({**step, "parent": call.json["stepId"]}, **ASYNC)
        assert reply.status == 202
        if call.attempt == 1:
            return failure or EndpointReply(status=500)
        return EndpointReply(json="went on")

    return handler


def saying(answer: EndpointReply) -> Handler:
    """An endpoint that always gives this answer."""

    async def handler(call: EndpointCall) -> EndpointReply:
        return answer

    return handler


async def of_root(runtime: Runtime, reply: ApiReply) -> tuple[int, int, list[str]]:
    """The number of attempts of a run's root, its used retries, and the outcome of each attempt."""
    root = (await runtime.get(f"/runs/{reply.json['runId']}")).json["root"]
    return root["attempts"], root["retriesUsed"], [attempt["outcome"] for attempt in root["attemptLog"]]
