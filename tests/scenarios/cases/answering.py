"""Endpoints that answer later: `202` with `Atomic-Answer-Within`, and the answer in its own request."""

import json
from typing import Any

from atomic.testing import ApiReply, EndpointCall, EndpointReply
from scenarios.runtime import Runtime
from scenarios.starts import assert_problem, document, retries

HOUR = 3_600_000
KIB = 1024


class Later:
    """An endpoint that postpones every answer, and keeps the calls."""

    def __init__(self, within: object = HOUR, **headers: str) -> None:
        self._headers = {"Atomic-Answer-Within": str(within), **headers}
        self.calls: list[EndpointCall] = []

    async def __call__(self, call: EndpointCall) -> EndpointReply:
        """Handle one call."""
        self.calls.append(call)
        return EndpointReply(status=202, headers=self._headers)


async def answer(
    runtime: Runtime, call: EndpointCall, document: object, *, token: str | None = None
) -> ApiReply:
    """Post the answer of a call."""
    given = call.headers["atomic-attempt-token"] if token is None else token
    return await runtime.request(
        "POST",
        f"/{runtime.client}/steps/{call.json['stepId']}/answer",
        body=document if isinstance(document, bytes) else json.dumps(document).encode(),
        headers={"Atomic-Attempt-Token": given} if given else {},
    )


async def postponed(runtime: Runtime, within: object = HOUR, **members: Any) -> tuple[str, Later]:
    """Start a run whose endpoint answers later; its root, and the endpoint after its first call."""
    later = Later(within)
    url = runtime.endpoint("/later", later)
    asked = document(url, **{"attemptTimeout": 1000, **members})
    started = await runtime.start(asked, Prefer="respond-async")

    async def is_postponed() -> bool:
        return (await runtime.get(f"/steps/{started.json['id']}")).json["answerBy"] is not None

    await runtime.until(is_postponed)
    return started.json["id"], later


async def scenario_the_answer_comes_in_a_request_of_its_own(runtime: Runtime) -> None:
    step_id, later = await postponed(runtime)
    step = (await runtime.get(f"/steps/{step_id}")).json
    assert (step["status"], step["attempts"], step["answerBy"]) == ("running", 1, step["dueAt"])
    assert (step["attemptLog"][0]["endedAt"], step["error"]) == (None, None)

    told = await answer(runtime, later.calls[0], {"body": {"paid": 17}})
    again = await answer(runtime, later.calls[0], {"status": 200, "body": {"paid": 17}})

    assert (told.status, told.json["status"], told.json["response"]) == (200, "succeeded", {"paid": 17})
    assert again.json == told.json
    step = (await runtime.get(f"/steps/{step_id}")).json
    assert (step["responseStatus"], step["answerBy"], step["attempts"]) == (200, None, 1)
    assert step["attemptLog"][0]["outcome"] == "succeeded"


async def scenario_a_caller_that_waits_is_told_the_answer_that_comes_later(runtime: Runtime) -> None:
    step_id, later = await postponed(runtime)
    url = (await runtime.get(f"/steps/{step_id}")).json["stepInvokeUrl"]
    assert_problem(await runtime.start(document(url, timeout=50)), 504, "not-finished")

    await answer(runtime, later.calls[0], {"body": "done"})

    told = await runtime.start(document(url))
    assert (told.status, told.json["response"], len(later.calls)) == (200, "done", 1)


async def scenario_a_workflow_goes_on_with_the_answer_of_its_step(runtime: Runtime) -> None:
    later = Later()
    step = runtime.endpoint("/step", later)

    async def root(call: EndpointCall) -> EndpointReply:
        asked = {**document(step, parent=call.json["stepId"]), "timeout": 50}
        reply = await runtime.start(asked)
        return EndpointReply(status=reply.status, json=reply.json.get("response"))

    url = runtime.endpoint("/root", root)
    started = await runtime.start(document(url), Prefer="respond-async")
    await runtime.step_in(started.json["id"], "waiting")

    await answer(runtime, later.calls[0], {"body": ["late"]})

    told = await runtime.finish(document(url))
    assert (told.status, told.json["response"], told.json["attempts"]) == (200, ["late"], 2)
    assert len(later.calls) == 1


async def scenario_an_answer_is_read_by_the_rules_of_a_direct_one(runtime: Runtime) -> None:
    step_id, later = await postponed(runtime, retry={**retries(3), "never": "422"})

    async def next_call(number: int) -> EndpointCall:
        async def is_called() -> bool:
            step = (await runtime.get(f"/steps/{step_id}")).json
            return step["attempts"] == number and step["answerBy"] is not None

        await runtime.until(is_called)
        return later.calls[-1]

    said = {"status": 503, "body": {"detail": "not yet"}}
    told = await answer(runtime, await next_call(1), said)
    assert told.json["status"] in {"retrying", "running"}
    again = await answer(runtime, (await next_call(2)) and later.calls[0], said)
    assert again.status == 200
    # 202 postpones it once more; a suspension on nothing is a failure.
    more = {"status": 202, "headers": {"Atomic-Answer-Within": str(2 * HOUR)}}
    assert (await answer(runtime, later.calls[-1], more)).json["status"] == "running"
    await answer(runtime, later.calls[-1], {"status": 202, "headers": {"Atomic-Waiting-For": step_id}})
    await next_call(3)
    failed = await answer(
        runtime, later.calls[-1], {"status": 500, "headers": {"atomic-no-retry": "true"}, "body": "no"}
    )

    assert (failed.json["status"], failed.json["errorKind"]) == ("failed", "forbade_retry")
    step = (await runtime.get(f"/steps/{step_id}")).json
    assert [made["errorKind"] for made in step["attemptLog"]] == [
        "endpoint_answered",
        "waited_for_nothing",
        "forbade_retry",
    ]
    assert step["attemptLog"][0]["error"] == "the endpoint answered 503: not yet"
    assert step["retriesUsed"] == 2


async def scenario_a_body_that_is_too_large_fails_the_step_as_it_does_at_once(runtime: Runtime) -> None:
    _, later = await postponed(runtime)

    told = await answer(runtime, later.calls[0], {"body": "x" * (2048 * KIB)})

    assert (told.status, told.json["status"], told.json["errorKind"]) == (
        200,
        "failed",
        "response_too_large",
    )


async def scenario_without_an_answer_the_attempt_has_timed_out(runtime: Runtime) -> None:
    step_id, later = await postponed(runtime, runtime.ms(100), retry=retries(1))

    step = await runtime.step_in(step_id, "failed")

    assert (step["errorKind"], step["retriesUsed"], len(later.calls)) == ("answer_overdue", 1, 2)
    assert [made["errorKind"] for made in step["attemptLog"]] == ["answer_overdue", "answer_overdue"]
    assert "no answer was posted within" in step["error"]
    late = await answer(runtime, later.calls[0], {"body": 1})
    assert_problem(late, 409, "attempt-over")
    assert late.json["stepStatus"] == "failed"
    step = (await runtime.get(f"/steps/{step_id}")).json
    assert [made["late"] for made in step["attemptLog"]] == ["succeeded 200", None]
    assert step["status"] == "failed"


async def scenario_an_answer_of_an_earlier_attempt_is_noted_and_told(runtime: Runtime) -> None:
    step_id, later = await postponed(runtime)
    await answer(runtime, later.calls[0], {"status": 500})

    async def is_called_again() -> bool:
        step = (await runtime.get(f"/steps/{step_id}")).json
        return step["attempts"] == 2 and step["answerBy"] is not None

    await runtime.until(is_called_again)

    late = await answer(runtime, later.calls[0], {"body": "of the first"})
    assert_problem(late, 409, "attempt-over")
    assert (late.json["stepStatus"], late.json["attempts"]) == ("running", 2)
    told = await answer(runtime, later.calls[1], {"body": "of the second"})

    assert told.json["response"] == "of the second"
    other = await answer(runtime, later.calls[1], {"body": "another"})
    assert_problem(other, 409, "attempt-over")
    step = (await runtime.get(f"/steps/{step_id}")).json
    assert step["response"] == "of the second"
    assert [made["late"] for made in step["attemptLog"]] == ["succeeded 200", "succeeded 200"]


async def scenario_a_cancelled_step_takes_no_answer(runtime: Runtime) -> None:
    step_id, later = await postponed(runtime)
    await runtime.post(f"/runs/{step_id.removesuffix('-root')}/cancel")

    late = await answer(runtime, later.calls[0], {"body": 1})

    assert_problem(late, 409, "attempt-over")
    step = (await runtime.get(f"/steps/{step_id}")).json
    assert (step["status"], step["answerBy"]) == ("cancelled", None)
    assert step["attemptLog"][0]["late"] == "succeeded 200"


async def scenario_the_deadline_of_the_step_ends_it_before_the_answer_is_overdue(runtime: Runtime) -> None:
    step_id, later = await postponed(runtime, deadline=runtime.ms(400))
    more = {"status": 202, "headers": {"Atomic-Answer-Within": str(2 * HOUR)}}
    assert (await answer(runtime, later.calls[0], more)).status == 200

    step = await runtime.step_in(step_id, "failed")

    assert (step["errorKind"], len(later.calls)) == ("deadline_over", 1)
    assert_problem(await answer(runtime, later.calls[0], {"body": 1}), 409, "attempt-over")


async def scenario_a_redrive_makes_another_attempt_which_is_answered_by_its_own_token(
    runtime: Runtime,
) -> None:
    step_id, later = await postponed(runtime)
    await answer(runtime, later.calls[0], {"status": 410})
    await runtime.post(f"/steps/{step_id}/redrive")

    async def is_called_again() -> bool:
        return (await runtime.get(f"/steps/{step_id}")).json["answerBy"] is not None

    await runtime.until(is_called_again)

    assert_problem(await answer(runtime, later.calls[0], {"body": 1}), 409, "attempt-over")
    told = await answer(runtime, later.calls[1], {"body": 2})
    assert (told.json["status"], told.json["response"], told.json["generation"]) == ("succeeded", 2, 2)


async def scenario_the_work_may_be_done_before_the_endpoint_has_answered(runtime: Runtime) -> None:
    async def handler(call: EndpointCall) -> EndpointReply:
        told.append(await answer(runtime, call, {"body": "at once"}))
        return EndpointReply(status=202, headers={"Atomic-Answer-Within": str(HOUR)})

    told: list[ApiReply] = []
    reply = await runtime.start(document(runtime.endpoint("/quick", handler)))

    assert (reply.status, reply.json["response"], told[0].status) == (200, "at once", 200)
    step = (await runtime.get(f"/steps/{reply.json['id']}")).json
    assert (step["attempts"], step["attemptLog"][0]["late"]) == (1, None)


async def scenario_what_is_wrong_with_the_header_is_said(runtime: Runtime) -> None:
    wrong = ["soon", "0", "-5", "1.5", "1e3", "", str(366 * 24 * HOUR + 1), "9" * 40]
    for number, within in enumerate(wrong):
        url = runtime.endpoint(f"/wrong-{number}", Later(within))
        reply = await runtime.start(document(url, key=f"k-{number}", retry=retries(0)))
        assert_problem(reply, 424, "step-failed")
        assert reply.json["lastErrorKind"] == "invalid_answer_within"
        assert "atomic-answer-within takes 1 to 31622400000 milliseconds" in reply.json["lastError"]
    both = Later(HOUR, **{"Atomic-Waiting-For": "*"})
    reply = await runtime.start(document(runtime.endpoint("/both", both), key="both", retry=retries(0)))
    assert reply.json["lastErrorKind"] == "invalid_answer_within"

    # On any other status than 202 the header says nothing.
    async def at_once(call: EndpointCall) -> EndpointReply:
        return EndpointReply(json="done", headers={"Atomic-Answer-Within": "soon"})

    reply = await runtime.start(document(runtime.endpoint("/at-once", at_once), key="at-once"))
    assert (reply.status, reply.json["response"]) == (200, "done")


async def scenario_an_answer_that_is_wrong_changes_nothing(runtime: Runtime) -> None:
    step_id, later = await postponed(runtime)
    [call] = later.calls
    for token in ("", "1", "1." + "0" * 32, call.headers["atomic-attempt-token"] + "0"):
        assert_problem(await answer(runtime, call, {"body": 1}, token=token), 403, "attempt-token-required")
    bad: tuple[tuple[object, str], ...] = (
        ({"status": 99}, "status"),
        ({"status": "200"}, "status"),
        ({"status": 600}, "status"),
        ({"result": 1}, "result"),
        ({"headers": {"a b": "c"}}, "headers"),
        ({"headers": {"retry-after": 5}}, "headers.retry-after"),
        ({"headers": {f"h{number}": "v" for number in range(40)}}, "headers"),
        ([1], "body"),
        (b'{"body": NaN}', "body"),
        (b"paid", "body"),
    )
    for given, field in bad:
        reply = await answer(runtime, call, given)
        assert_problem(reply, 400, "invalid-request")
        assert reply.json["errors"][0]["field"].startswith(field), reply.json
    too_much = await answer(runtime, call, {"body": "x" * (5200 * KIB)})
    assert_problem(too_much, 413, "too-large")
    missing = await runtime.request(
        "POST", f"/{runtime.client}/steps/run_{'0' * 32}-root/answer", body=b"{}"
    )
    assert_problem(missing, 404, "not-found")

    step = (await runtime.get(f"/steps/{step_id}")).json
    assert (step["status"], step["attemptLog"][0]["late"]) == ("running", None)
    assert (await answer(runtime, call, {"body": 1})).status == 200
