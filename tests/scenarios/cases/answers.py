"""The answers to a start: every row of the table in docs/protocol.md, for all callers of a step."""

import asyncio

from atomic.testing import EndpointCall, EndpointReply
from scenarios.runtime import Runtime, always, answer_ok, failing_first
from scenarios.starts import NOBODY, Gate, assert_problem, document, moment, retries


async def scenario_a_success_says_who_what_and_when(runtime: Runtime) -> None:
    url = runtime.endpoint("/mail", always(201, {"sent": True}))

    reply = await runtime.start(document(url, stepName="mail"))

    step = reply.json
    assert reply.status == 200
    assert reply.headers["content-type"] == "application/json"
    assert "idempotency-replayed" not in reply.headers
    assert step["id"].startswith(step["runId"])
    assert (step["parent"], step["kind"], step["generation"]) == (None, "http", 1)
    assert (step["workflowName"], step["stepName"], step["stepInvokeUrl"]) == ("w", "mail", url)
    assert (step["idempotencyKey"], step["status"], step["attempts"]) == ("k-1", "succeeded", 1)
    assert (step["response"], step["responseStatus"]) == ({"sent": True}, 201)
    assert (step["error"], step["dueAt"]) == (None, None)
    assert moment(step["createdAt"]) <= moment(step["finishedAt"])
    assert moment(reply.headers["idempotency-expires"]) > moment(step["finishedAt"])


async def scenario_a_replay_is_the_same_to_the_byte(runtime: Runtime) -> None:
    url = runtime.endpoint("/mail", failing_first(2, 503, {"sent": True}))
    first = await runtime.start(document(url))

    again = [await runtime.start(document(url)) for _ in range(3)]

    assert [reply.status for reply in (first, *again)] == [200] * 4
    assert {reply.body for reply in again} == {first.body}
    assert {reply.headers["idempotency-replayed"] for reply in again} == {"true"}
    expires = [reply.headers["idempotency-expires"] for reply in (first, *again)]
    assert len(set(expires)) == 1
    assert len(runtime.calls(url)) == 3


async def scenario_a_step_that_failed_is_a_424(runtime: Runtime) -> None:
    url = runtime.endpoint("/mail", always(503, {"why": ["down", 1.5]}))

    reply = await runtime.start(document(url, retry=retries(2)))

    assert_problem(reply, 424, "step-failed")
    assert reply.headers["atomic-error-source"] == "step"
    assert "idempotency-replayed" not in reply.headers
    assert (reply.json["lastStatus"], reply.json["attempts"]) == (503, 3)
    assert reply.json["response"] == {"why": ["down", 1.5]}
    assert "503" in reply.json["lastError"]
    assert len(runtime.calls(url)) == 3
    step = (await runtime.get(f"/steps/{reply.json['id']}")).json
    assert (step["status"], step["runId"]) == ("failed", reply.json["runId"])

    again = await runtime.start(document(url, retry=retries(2)))

    assert (again.status, again.body) == (424, reply.body)
    assert again.headers["idempotency-replayed"] == "true"
    assert again.headers["idempotency-expires"] == reply.headers["idempotency-expires"]
    assert len(runtime.calls(url)) == 3


async def scenario_a_424_holds_an_odd_body_as_text(runtime: Runtime) -> None:
    async def gone(call: EndpointCall) -> EndpointReply:
        return EndpointReply(status=410, body=b"<h1>gone</h1>", headers={"Content-Type": "text/html"})

    reply = await runtime.start(document(runtime.endpoint("/mail", gone)))

    assert_problem(reply, 424, "step-failed")
    assert (reply.json["lastStatus"], reply.json["attempts"]) == (410, 1)
    assert (reply.json["response"], reply.json["responseContentType"]) == ("<h1>gone</h1>", "text/html")


async def scenario_a_424_without_any_answer_names_the_reason(runtime: Runtime) -> None:
    reply = await runtime.start(document(NOBODY, retry=retries(1)))

    assert_problem(reply, 424, "step-failed")
    assert (reply.json["lastStatus"], reply.json["attempts"]) == (None, 2)
    assert reply.json["lastError"]
    assert "response" not in reply.json


async def scenario_a_recorded_outcome_stands_whatever_the_endpoint_says_later(runtime: Runtime) -> None:
    answers = [EndpointReply(json="first"), EndpointReply(status=500, json="second")]

    async def moody(call: EndpointCall) -> EndpointReply:
        return answers.pop(0)

    url = runtime.endpoint("/mail", moody)
    first = await runtime.start(document(url))

    redriven = await runtime.post(f"/steps/{first.json['id']}/redrive")

    assert (redriven.status, redriven.body) == (200, first.body)
    assert (await runtime.start(document(url))).body == first.body
    assert len(runtime.calls(url)) == 1


async def scenario_a_timeout_is_a_504_and_the_work_goes_on(runtime: Runtime) -> None:
    gate = Gate({"sent": True})
    url = runtime.endpoint("/mail", gate)

    reply = await runtime.start(document(url, timeout=30))

    assert_problem(reply, 504, "not-finished")
    assert reply.headers["location"] == f"/{runtime.client}/steps/{reply.json['id']}"
    assert int(reply.headers["retry-after"]) >= 1
    assert "idempotency-expires" not in reply.headers
    assert reply.json["stepStatus"] == "running"
    there = await runtime.request("GET", reply.headers["location"])
    assert (there.status, there.json["id"]) == (200, reply.json["id"])

    attached = asyncio.create_task(runtime.start(document(url, timeout=8000)))
    gate.open()

    assert (await attached).status == 200
    assert (await attached).json["response"] == {"sent": True}
    assert len(runtime.calls(url)) == 1


async def scenario_a_504_while_a_retry_is_due_says_when(runtime: Runtime) -> None:
    url = runtime.endpoint("/mail", failing_first(1, 503))
    later = {"count": 1, "backOff": 20_000, "strategy": "fixed", "jitter": "none"}

    reply = await runtime.start(document(url, timeout=runtime.ms(200), retry=later))

    assert_problem(reply, 504, "not-finished")
    assert reply.json["stepStatus"] == "retrying"
    assert 15 <= int(reply.headers["retry-after"]) <= 20
    await runtime.post(f"/runs/{reply.json['runId']}/cancel")


async def scenario_the_smaller_of_timeout_and_wait_counts(runtime: Runtime) -> None:
    gate = Gate()
    url = runtime.endpoint("/mail", gate)
    clock = asyncio.get_running_loop()
    began_s = clock.time()

    by_header = await runtime.start(document(url, timeout=20_000), Prefer="wait=0")
    by_member = await runtime.start(document(url, timeout=20), Prefer="wait=20")
    by_header_alone = await runtime.start(document(url), Prefer="handling=lenient, WAIT=0")

    assert clock.time() < began_s + 10
    for reply in (by_header, by_member, by_header_alone):
        assert_problem(reply, 504, "not-finished")
    assert by_header.headers["preference-applied"] == "wait=0"
    assert by_member.headers["preference-applied"] == "wait=20"
    gate.open()


async def scenario_respond_async_is_a_202_with_the_step(runtime: Runtime) -> None:
    gate = Gate({"sent": True})
    url = runtime.endpoint("/mail", gate)

    reply = await runtime.start(document(url, timeout=8000), Prefer="respond-async")

    assert reply.status == 202
    assert reply.headers["content-type"] == "application/json"
    assert reply.headers["preference-applied"] == "respond-async"
    assert reply.headers["location"] == f"/{runtime.client}/steps/{reply.json['id']}"
    assert int(reply.headers["retry-after"]) >= 1
    assert (reply.json["status"], reply.json["response"]) == ("running", None)
    gate.open()
    await runtime.step_in(reply.json["id"], "succeeded")
    again = await runtime.start(document(url), Prefer="respond-async")
    assert (again.status, again.json["response"]) == (200, {"sent": True})
    assert again.headers["idempotency-replayed"] == "true"
    assert "location" not in again.headers


async def scenario_respond_async_with_wait_waits_first(runtime: Runtime) -> None:
    gate = Gate()
    quick, slow = runtime.endpoint("/quick", answer_ok), runtime.endpoint("/slow", gate)

    done = await runtime.start(document(quick), Prefer="respond-async, wait=8")
    going_on = await runtime.start(document(slow, timeout=20), Prefer="respond-async, wait=8")

    assert (done.status, done.json["status"]) == (200, "succeeded")
    assert going_on.status == 202
    assert going_on.json["status"] in {"pending", "running"}
    assert going_on.headers["preference-applied"] == "respond-async, wait=8"
    gate.open()


async def scenario_cancelled_is_a_409_for_every_caller(runtime: Runtime) -> None:
    gate = Gate()
    url = runtime.endpoint("/mail", gate)
    waiting = asyncio.create_task(runtime.start(document(url)))
    await gate.entered.wait()
    run_id = (await runtime.start(document(url), Prefer="respond-async")).json["runId"]

    await runtime.post(f"/runs/{run_id}/cancel")

    again = await runtime.start(document(url))
    for reply in (await waiting, again):
        assert_problem(reply, 409, "cancelled")
        assert (reply.json["runId"], "location" in reply.headers) == (run_id, False)
    new_step = await runtime.start(document(runtime.endpoint("/other", answer_ok)))
    assert_problem(new_step, 409, "cancelled")
    gate.open()


async def scenario_a_delay_passes_before_the_first_attempt(runtime: Runtime) -> None:
    url = runtime.endpoint("/mail", answer_ok)
    began_s = runtime.now_s()

    reply = await runtime.start(document(url, delay=200), Prefer="respond-async")

    assert (reply.status, reply.json["status"], reply.json["attempts"]) == (202, "pending", 0)
    assert runtime.calls(url) == []
    assert (await runtime.start(document(url, delay=200))).status == 200
    [call] = runtime.calls(url)
    # The server's clock counts whole milliseconds.
    assert call.server_s >= began_s + 0.198
