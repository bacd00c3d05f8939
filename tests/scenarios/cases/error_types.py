"""Errors that an endpoint names: the name is kept, and the policy of the step may go by it."""

import json
from typing import Any

from atomic.testing import EndpointCall, EndpointReply
from scenarios.runtime import Handler, Runtime
from scenarios.starts import assert_problem, document, retries


def raising(*names: str, then: Any = "done") -> Handler:
    """An endpoint that fails with one error after the other, and then succeeds."""
    left = list(names)

    async def handler(call: EndpointCall) -> EndpointReply:
        if not left:
            return EndpointReply(json=then)
        named = {"Atomic-Error-Type": left.pop(0)}
        return EndpointReply(status=500, json={"detail": "no"}, headers=named)

    return handler


def policy(**rules: str) -> dict[str, Any]:
    """A quick policy with rules."""
    return {**retries(5), **rules}


async def scenario_only_errors_of_these_names_are_retried(runtime: Runtime) -> None:
    url = runtime.endpoint(
        "/step", raising("ReadTimeout, TimeoutError, Exception", "ValueError, Exception")
    )

    reply = await runtime.start(document(url, retry=policy(on="TimeoutError")))

    assert_problem(reply, 424, "step-failed")
    assert (reply.json["attempts"], reply.json["lastErrorType"]) == (2, "ValueError")
    assert (reply.json["lastErrorKind"], reply.json["lastStatus"]) == ("endpoint_answered", 500)
    step = (await runtime.get(f"/steps/{reply.json['id']}")).json
    assert (step["errorType"], step["retry"]["on"]) == ("ValueError", "TimeoutError")
    assert [made["errorType"] for made in step["attemptLog"]] == ["ReadTimeout", "ValueError"]
    assert [made["outcome"] for made in step["attemptLog"]] == ["retryable", "permanent"]


async def scenario_errors_of_these_names_are_never_retried(runtime: Runtime) -> None:
    url = runtime.endpoint("/step", raising("KeyError", "CardDeclined, PaymentError"))

    reply = await runtime.start(document(url, retry=policy(never="400,PaymentError")))

    assert (reply.json["attempts"], reply.json["lastErrorType"]) == (2, "CardDeclined")


async def scenario_an_answer_without_a_name_is_judged_by_its_status(runtime: Runtime) -> None:
    url = runtime.endpoint("/step", raising("", "<b>not a name</b>", then="at last"))

    reply = await runtime.start(document(url, retry=policy(on="TimeoutError", never="ValueError")))

    assert (reply.status, reply.json["response"], reply.json["attempts"]) == (200, "at last", 3)
    step = (await runtime.get(f"/steps/{reply.json['id']}")).json
    assert [made["errorType"] for made in step["attemptLog"]] == [None, None, None]


async def scenario_an_answer_that_comes_later_may_name_its_error(runtime: Runtime) -> None:
    calls: list[EndpointCall] = []

    async def later(call: EndpointCall) -> EndpointReply:
        calls.append(call)
        return EndpointReply(status=202, headers={"Atomic-Answer-Within": "3600000"})

    asked = document(runtime.endpoint("/later", later), retry=policy(never="ValueError"))
    started = await runtime.start(asked, Prefer="respond-async")
    target = f"/{runtime.client}/steps/{started.json['id']}/answer"

    async def is_called() -> bool:
        return bool(calls)

    await runtime.until(is_called)
    answered = await runtime.request(
        "POST",
        target,
        body=json.dumps({"status": 500, "headers": {"Atomic-Error-Type": "ValueError"}}).encode(),
        headers={"Atomic-Attempt-Token": calls[0].headers["atomic-attempt-token"]},
    )

    assert (answered.json["status"], answered.json["errorType"]) == ("failed", "ValueError")
