"""What an endpoint receives, and the effect of each of its answers."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise
from typing import Any

from atomic.protocol.constants import RESPONSE_MAX_BYTES
from atomic.testing import ApiReply, EndpointCall, EndpointReply
from scenarios.runtime import Handler, Runtime, always, answer_ok, failing_first
from scenarios.starts import NOBODY
from scenarios.starts import document as start_document

RETRY = {"count": 3, "backOff": 10, "strategy": "fixed", "jitter": "none"}
LIMIT = RESPONSE_MAX_BYTES
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


async def scenario_the_body_says_who_calls_and_what_for(runtime: Runtime) -> None:
    url = runtime.endpoint("/step", failing_first(1, 503))
    payload = {"name": "ada", "list": [1, 2.5, None, True, "ä"]}

    reply = await runtime.finish(document(url, payload=payload))

    first, second = (seen.call for seen in runtime.calls(url))
    assert first.json == {
        "idempotencyKey": "k",
        "payload": payload,
        "attempt": 1,
        "runId": reply.json["runId"],
        "stepId": reply.json["id"],
        "workflowName": "w",
    }
    assert second.json == {**first.json, "attempt": 2}


async def scenario_the_headers_say_the_same(runtime: Runtime) -> None:
    url = runtime.endpoint("/step", failing_first(1, 503))

    reply = await runtime.finish(document(url))

    for number, seen in enumerate(runtime.calls(url), start=1):
        headers = seen.call.headers
        assert headers["content-type"] == "application/json"
        assert headers["idempotency-key"] == "k"
        assert headers["atomic-run-id"] == reply.json["runId"]
        assert headers["atomic-step-id"] == reply.json["id"]
        assert headers["atomic-attempt"] == str(number)
        assert headers["webhook-id"] == reply.json["id"]
        assert headers["webhook-timestamp"].isdigit()
        assert len(headers["webhook-timestamp"]) == 10
    assert len(runtime.calls(url)) == 2


async def scenario_each_attempt_is_a_new_span_of_the_callers_trace(runtime: Runtime) -> None:
    url = runtime.endpoint("/step", failing_first(2, 503))

    reply = await runtime.finish(document(url), traceparent=f"00-{TRACE}-00f067aa0ba902b7-01")

    assert reply.status == 200
    parts = [seen.call.headers["traceparent"].split("-") for seen in runtime.calls(url)]
    assert [part[:2] for part in parts] == [["00", TRACE]] * 3
    spans = {part[2] for part in parts}
    assert len(spans) == 3
    assert "00f067aa0ba902b7" not in spans


async def scenario_endpoints_are_told_when_a_trace_is_not_recorded(runtime: Runtime) -> None:
    url = runtime.endpoint("/step", failing_first(1, 503))

    reply = await runtime.finish(document(url), traceparent=f"00-{TRACE}-00f067aa0ba902b7-00")

    assert reply.status == 200
    parts = [seen.call.headers["traceparent"].split("-") for seen in runtime.calls(url)]
    assert [(part[1], part[3]) for part in parts] == [(TRACE, "00")] * 2


async def scenario_without_a_trace_a_run_is_one(runtime: Runtime) -> None:
    step = runtime.endpoint("/step", answer_ok)

    async def workflow(call: EndpointCall) -> EndpointReply:
        return EndpointReply(status=(await runtime.start(document(step))).status)

    root = runtime.endpoint("/root", workflow)
    reply = await runtime.finish(document(root), traceparent="not-a-trace")

    assert reply.status == 200
    [called], [inner] = runtime.calls(root), runtime.calls(step)
    trace = called.call.headers["traceparent"].split("-")[1]
    assert len(trace) == 32
    assert inner.call.headers["traceparent"].split("-")[1] == trace


async def scenario_every_2xx_is_success(runtime: Runtime) -> None:
    statuses = (200, 201, 202, 203, 204, 205, 206, 207, 208, 226, 299)

    replies = await start_each(runtime, {status: always(status) for status in statuses})

    for status, reply in replies.items():
        assert reply.status == 200, status
        assert reply.json["responseStatus"] == status
        assert reply.json["attempts"] == 1


async def scenario_4xx_and_5xx_are_retried_404_included(runtime: Runtime) -> None:
    statuses = (400, 401, 403, 404, 405, 408, 409, 413, 422, 425, 429, 500, 501, 502, 503, 504, 599)

    replies = await start_each(runtime, {status: failing_first(1, status) for status in statuses})

    for status, reply in replies.items():
        assert (reply.status, reply.json["attempts"]) == (200, 2), status
        log = await attempt_log(runtime, reply)
        assert [attempt["status"] for attempt in log] == [status, 200]
        assert [attempt["outcome"] for attempt in log] == ["retryable", "succeeded"]


async def scenario_3xx_and_410_are_permanent_and_no_redirect_is_followed(runtime: Runtime) -> None:
    elsewhere = runtime.endpoint("/elsewhere", answer_ok)
    statuses = (300, 301, 302, 303, 304, 307, 308, 410)

    replies = await start_each(runtime, {status: always(status, location=elsewhere) for status in statuses})

    for status, reply in replies.items():
        assert (reply.status, reply.json["lastStatus"], reply.json["attempts"]) == (424, status, 1), status
        assert reply.headers["atomic-error-source"] == "step"
        told = f", and no redirect is followed: call {elsewhere} instead" if status < 400 else ""
        assert reply.json["lastError"] == f"the endpoint answered {status}{told}"
        kind = "redirect_refused" if status < 400 else "endpoint_answered"
        excerpt = f"call {elsewhere} instead" if status < 400 else None
        assert (reply.json["lastErrorKind"], reply.json["lastErrorExcerpt"]) == (kind, excerpt)
        assert reply.json["stepInvokeUrl"].endswith(f"/{status}")
    assert runtime.calls(elsewhere) == []


async def scenario_an_endpoint_may_forbid_the_retry(runtime: Runtime) -> None:
    handlers = {
        500: always(500, {"why": "broken"}, atomic_no_retry="true"),
        503: always(503, {"why": "broken"}, webhook_delivery="abort-message"),
        404: always(404, {"why": "broken"}, atomic_no_retry="True", retry_after="1"),
    }

    replies = await start_each(runtime, handlers)

    for status, reply in replies.items():
        assert (reply.status, reply.json["lastStatus"], reply.json["attempts"]) == (424, status, 1)
        assert reply.json["response"] == {"why": "broken"}
        assert "forbade" in reply.json["lastError"]
        assert reply.json["lastErrorKind"] == "forbade_retry"


async def scenario_other_values_of_these_headers_forbid_nothing(runtime: Runtime) -> None:
    handlers = {
        500: failing_first(1, 500, atomic_no_retry="false"),
        503: failing_first(1, 503, webhook_delivery="later"),
    }

    replies = await start_each(runtime, handlers)

    assert [(reply.status, reply.json["attempts"]) for reply in replies.values()] == [(200, 2)] * 2


async def scenario_retry_on_names_the_only_statuses_that_are_retried(runtime: Runtime) -> None:
    statuses = (404, 429, 500, 503)
    retry = {**RETRY, "on": "429, 5xx", "never": "503"}

    replies = await start_each(
        runtime, {status: failing_first(1, status) for status in statuses}, retry=retry
    )

    assert {status: reply.status for status, reply in replies.items()} == {
        404: 424,
        429: 200,
        500: 200,
        503: 424,
    }


async def scenario_retry_on_can_make_410_worth_a_retry(runtime: Runtime) -> None:
    url = runtime.endpoint("/step", failing_first(1, 410))

    reply = await runtime.finish(document(url, retry={**RETRY, "on": "410"}))

    assert (reply.status, reply.json["attempts"]) == (200, 2)


async def scenario_retry_after_lengthens_the_delay(runtime: Runtime) -> None:
    url = runtime.endpoint("/step", failing_first(1, 503, retry_after="1"))

    reply = await runtime.finish(document(url))

    assert reply.status == 200
    [pause] = pauses_ms(await attempt_log(runtime, reply))
    assert pause >= 1000


async def scenario_retry_after_never_shortens_the_delay(runtime: Runtime) -> None:
    url = runtime.endpoint("/step", failing_first(1, 503, retry_after="0"))

    reply = await runtime.finish(document(url, retry={**RETRY, "backOff": 150}))

    [pause] = pauses_ms(await attempt_log(runtime, reply))
    assert pause >= 150


async def scenario_delays_are_fixed_linear_or_exponential(runtime: Runtime) -> None:
    wanted = {
        "fixed": (30, 30, 30),
        "linear": (30, 60, 90),
        "exponential": (30, 90, 100),  # the maximum limits the third delay, which would be 270 ms
    }
    retry = {**RETRY, "backOff": 30, "factor": 3, "maxBackOff": 100}
    urls = {name: runtime.endpoint(f"/{name}", failing_first(3, 500)) for name in wanted}

    replies = await asyncio.gather(
        # Each is a run of its own, because a failing root also waits for the steps of its run.
        *(
            runtime.start(document(url, idempotencyKey=name, retry={**retry, "strategy": name}))
            for name, url in urls.items()
        )
    )

    for reply, (name, least) in zip(replies, wanted.items(), strict=True):
        assert reply.status == 200
        pauses = pauses_ms(await attempt_log(runtime, reply))
        assert len(pauses) == 3
        assert all(pause >= ms for pause, ms in zip(pauses, least, strict=True)), (name, pauses)


async def scenario_the_attempt_timeout_is_total_and_retried(runtime: Runtime) -> None:
    async def slow_once(call: EndpointCall) -> EndpointReply:
        await asyncio.sleep(runtime.ms(1500) / 1000 if call.attempt == 1 else 0)
        return EndpointReply(json=call.attempt)

    url = runtime.endpoint("/step", slow_once)

    reply = await runtime.finish(document(url, attemptTimeout=runtime.ms(100)))

    assert (reply.status, reply.json["response"]) == (200, 2)
    first, _ = await attempt_log(runtime, reply)
    assert (first["status"], first["outcome"]) == (None, "retryable")
    assert first["error"].startswith("timeout")
    assert runtime.ms(100) <= first["duration"] < runtime.ms(1500)


async def scenario_a_refused_connection_is_retried(runtime: Runtime) -> None:
    reply = await runtime.finish(document(NOBODY, retry={**RETRY, "count": 2}))

    assert (reply.status, reply.json["attempts"]) == (424, 3)
    assert reply.json["lastStatus"] is None
    assert reply.json["lastError"].startswith("network")
    assert reply.json["lastErrorKind"] == "network"
    log = await attempt_log(runtime, reply)
    assert [attempt["errorKind"] for attempt in log] == ["network"] * 3
    assert [attempt["outcome"] for attempt in log] == ["retryable"] * 3


async def scenario_a_response_may_be_256_kib_and_no_more(runtime: Runtime) -> None:
    def of(size: int) -> Handler:
        async def handler(call: EndpointCall) -> EndpointReply:
            headers = {"content-type": "application/json"}
            return EndpointReply(body=b'"' + b"a" * (size - 2) + b'"', headers=headers)

        return handler

    fits, over = runtime.endpoint("/fits", of(LIMIT)), runtime.endpoint("/over", of(LIMIT + 1))

    good, bad = await asyncio.gather(runtime.start(document(fits)), runtime.start(document(over)))

    assert good.status == 200
    assert good.json["response"] == "a" * (LIMIT - 2)
    assert (bad.status, bad.json["attempts"], bad.json["lastStatus"]) == (424, 1, 200)
    assert bad.json["lastError"].startswith("response_too_large")
    assert bad.json["lastErrorKind"] == "response_too_large"
    [attempt] = await attempt_log(runtime, bad)
    assert attempt["outcome"] == "permanent"


async def scenario_a_count_of_0_allows_one_attempt(runtime: Runtime) -> None:
    url = runtime.endpoint("/step", always(500, {"why": "broken"}))

    reply = await runtime.finish(document(url, retry={"count": 0}))

    assert (reply.status, reply.json["attempts"]) == (424, 1)
    assert reply.json["response"] == {"why": "broken"}
    assert len(runtime.calls(url)) == 1


async def scenario_the_deadline_ends_a_step_between_attempts(runtime: Runtime) -> None:
    url = runtime.endpoint("/step", always(500))

    retry = {**RETRY, "count": 1000, "backOff": runtime.ms(30)}

    reply = await runtime.finish(document(url, deadline=runtime.ms(100), retry=retry))

    assert reply.status == 424
    assert f"deadline of {runtime.ms(100)} ms" in reply.json["lastError"]
    assert reply.json["lastErrorKind"] in {"deadline_over", "no_time_left"}
    assert 1 <= reply.json["attempts"] <= 4
    calls = len(runtime.calls(url))
    await asyncio.sleep(runtime.ms(100) / 1000)
    assert len(runtime.calls(url)) == calls


async def scenario_the_deadline_cuts_an_attempt_off(runtime: Runtime) -> None:
    async def slow(call: EndpointCall) -> EndpointReply:
        await asyncio.sleep(runtime.ms(1500) / 1000)
        return EndpointReply()

    url = runtime.endpoint("/step", slow)

    reply = await runtime.finish(document(url, deadline=runtime.ms(100)))

    assert (reply.status, reply.json["attempts"]) == (424, 1)
    [attempt] = await attempt_log(runtime, reply)
    assert attempt["duration"] < runtime.ms(1500)


async def scenario_the_first_recorded_outcome_stands(runtime: Runtime) -> None:
    async def fickle(call: EndpointCall) -> EndpointReply:
        return EndpointReply(status=500 if runtime.calls(url) else 200, json=len(runtime.calls(url)))

    url = runtime.endpoint("/step", fickle)
    first = await runtime.finish(document(url))

    again = [await runtime.start(document(url)) for _ in range(3)]

    assert (first.status, first.json["response"]) == (200, 0)
    assert {reply.body for reply in again} == {first.body}
    assert len(runtime.calls(url)) == 1


async def scenario_a_late_answer_changes_nothing_and_is_noted(runtime: Runtime) -> None:
    called = asyncio.Event()

    async def slow(call: EndpointCall) -> EndpointReply:
        called.set()
        await asyncio.sleep(runtime.ms(300) / 1000)
        return EndpointReply(json="late")

    url = runtime.endpoint("/step", slow)
    started = await runtime.start(document(url), Prefer="respond-async")
    await called.wait()
    await runtime.post(f"/runs/{started.json['runId']}/cancel")
    before = (await runtime.get(f"/steps/{started.json['id']}")).json

    async def noted() -> Any:
        [attempt] = await attempt_log(runtime, started)
        return attempt["late"]

    assert await runtime.until(noted) == "succeeded 200"
    after = (await runtime.get(f"/steps/{started.json['id']}")).json
    assert (before["status"], before["response"]) == ("cancelled", None)
    unchanged = before.keys() - {"attemptLog"}
    assert {name: after[name] for name in unchanged} == {name: before[name] for name in unchanged}


def document(url: str, **members: Any) -> dict[str, Any]:
    """A start that is retried at once."""
    return start_document(url, "k", **{"timeout": 20_000, "retry": RETRY, **members})


async def start_each(runtime: Runtime, handlers: dict[int, Handler], **members: Any) -> dict[int, ApiReply]:
    """Start a run for each handler concurrently; return the replies under the same keys."""
    urls = {status: runtime.endpoint(f"/{status}", handler) for status, handler in handlers.items()}
    documents = [document(url, idempotencyKey=f"k-{status}", **members) for status, url in urls.items()]
    replies = await asyncio.gather(*map(runtime.start, documents))
    return dict(zip(handlers, replies, strict=True))


async def attempt_log(runtime: Runtime, reply: ApiReply) -> list[dict[str, Any]]:
    """The attempts of the step that a reply is about."""
    log: list[dict[str, Any]] = (await runtime.get(f"/steps/{reply.json['id']}")).json["attemptLog"]
    return log


def pauses_ms(log: Sequence[dict[str, Any]]) -> list[int]:
    """The pause between the end of each attempt and its retry."""
    return [
        round(_moment_ms(after["startedAt"]) - _moment_ms(before["endedAt"]))
        for before, after in pairwise(log)
    ]


def _moment_ms(text: str) -> float:
    return datetime.fromisoformat(text).timestamp() * 1000
