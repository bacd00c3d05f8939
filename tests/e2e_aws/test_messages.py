"""Delayed, duplicated, lost and invalid messages on the deployed stack, and what happens to the steps."""

import asyncio
import json
import os
import signal
from collections.abc import Callable, Coroutine
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from atomic.adapters.aws.destinations import SLOW_AFTER_S
from atomic.adapters.aws.wakeups import encode_wakeup
from atomic.adapters.system import SystemClock
from atomic.domain.steps import LEASE_MARGIN_MS
from atomic.testing import EndpointCall, EndpointReply
from e2e_aws.aws_runtime import AwsStack
from scenarios.runtime import Runtime, always, answer_ok, failing_first
from scenarios.starts import document

WITHIN_S = 150


def on(stack: AwsStack, story: Callable[[Runtime], Coroutine[Any, Any, None]]) -> None:
    """Run the test body with a client of its own."""

    async def main() -> None:
        async with stack.runtime() as runtime, asyncio.timeout(WITHIN_S):
            await story(runtime)

    asyncio.run(main())


def backing_off(back_off_ms: int, count: int = 5) -> dict[str, Any]:
    return {
        "count": count,
        "backOff": back_off_ms,
        "strategy": "exponential",
        "factor": 2,
        "jitter": "none",
    }


def test_404_is_retried_with_back_off_through_delayed_messages(stack: AwsStack) -> None:
    async def story(runtime: Runtime) -> None:
        url = runtime.endpoint("/soon", failing_first(3, 404, {"there": True}))

        reply = await runtime.finish(document(url, timeout=25_000, retry=backing_off(1000)))

        assert (reply.status, reply.json["attempts"], reply.json["response"]) == (200, 4, {"there": True})
        began = [call.began_s for call in runtime.calls(url)]
        gaps = [after - before for before, after in pairwise(began)]
        assert all(gap >= due for gap, due in zip(gaps, (0.95, 1.95, 3.95), strict=True)), gaps

    on(stack, story)


def test_what_failed_is_in_the_dead_letter_queue_and_moving_it_back_redrives_it(stack: AwsStack) -> None:
    async def story(runtime: Runtime) -> None:
        answers = [EndpointReply(status=500)] * 2

        async def repaired(call: EndpointCall) -> EndpointReply:
            return answers.pop() if answers else EndpointReply(json="done")

        url = runtime.endpoint("/broken", repaired)
        failed = await runtime.finish(document(url, timeout=20_000, retry=backing_off(10, count=1)))
        assert (failed.status, failed.json["attempts"]) == (424, 2)

        body = await dead_letter_of(stack, failed.json["id"])
        send(stack, body)
        send(stack, body)  # an operator may move it back twice

        step = await runtime.step_in(failed.json["id"], "succeeded", within_s=30)
        assert (step["generation"], step["response"]) == (2, "done")
        assert len(runtime.calls(url)) == 3

    on(stack, story)


@pytest.mark.parametrize("prefer", ["wait=25", "respond-async"], ids=["api", "invoker"])
def test_a_killed_worker_s_step_is_taken_up_when_its_lease_ends(stack: AwsStack, prefer: str) -> None:
    async def story(runtime: Runtime) -> None:
        calls = 0

        async def deadly(call: EndpointCall) -> EndpointReply:
            nonlocal calls
            calls += 1
            if calls == 1:
                os.kill(caller_of(urlsplit(call.url).port or 0), signal.SIGKILL)
                await asyncio.sleep(5)
            return EndpointReply(json=calls)

        url = runtime.endpoint("/deadly", deadly)
        start = document(url, timeout=25_000, attemptTimeout=3000, retry=backing_off(10))
        began_s = asyncio.get_running_loop().time()
        # A killed function's answer comes from the gateway, so it need not follow the API's description.
        told = await runtime._send(
            "POST",
            f"/{runtime.client}",
            body=json.dumps(start).encode(),
            headers={"Authorization": f"Bearer {runtime.keys[runtime.client]}", "Prefer": prefer},
        )
        assert told.status == 202 if prefer == "respond-async" else told.status >= 500

        reply = await runtime.finish(start)

        assert (reply.status, reply.json["response"], reply.json["attempts"]) == (200, 2, 2)
        # The lease of the attempt, and the target of 90 s on top.
        assert asyncio.get_running_loop().time() - began_s < (3000 + LEASE_MARGIN_MS) / 1000 + 90

    on(stack, story)


def test_long_attempts_use_the_other_queue(stack: AwsStack) -> None:
    async def story(runtime: Runtime) -> None:
        url = runtime.endpoint("/long", failing_first(1, 503, "done"))
        start = document(url, timeout=20_000, attemptTimeout=31_000, retry=backing_off(1000))

        reply = await runtime.finish(start)

        assert (reply.status, reply.json["attempts"], reply.json["response"]) == (200, 2, "done")

    on(stack, story)


@pytest.mark.parametrize(
    ("invoker", "attempt_ms", "lasts_s"), [("long", 31_000, 0), ("short", 20_000, SLOW_AFTER_S + 2)]
)
def test_a_long_attempt_has_a_lease_at_its_destination(
    stack: AwsStack, invoker: str, attempt_ms: int, lasts_s: float
) -> None:
    async def story(runtime: Runtime) -> None:
        def held(url: str) -> list[str]:
            scheme, authority, *_ = urlsplit(url)
            found = stack.dynamodb().query(
                TableName=stack.outputs["TableName"],
                KeyConditionExpression="pk = :pk",
                ExpressionAttributeValues={":pk": {"S": f"lease#{runtime.client}#{scheme}://{authority}"}},
            )
            now_ms = SystemClock().now_ms()
            return [item["sk"]["S"] for item in found["Items"] if int(item["u"]["N"]) > now_ms]

        seen: list[list[str]] = []

        async def slow(call: EndpointCall) -> EndpointReply:
            seen.append(await asyncio.to_thread(held, call.url))
            await asyncio.sleep(lasts_s)
            seen.append(await asyncio.to_thread(held, call.url))
            return EndpointReply(json="done")

        url = runtime.endpoint("/slow", slow)
        reply = await runtime.start(document(url, attemptTimeout=attempt_ms), Prefer="respond-async")
        await runtime.step_in(reply.json["id"], "succeeded", within_s=60)

        # The receiver of the step's second wake-up may hold a lease briefly, until it finds the step
        # claimed.
        assert bool(seen[0]) == (invoker == "long")
        assert {number.partition("#")[0] for number in seen[1]} == {invoker}
        async with asyncio.timeout(20):
            while await asyncio.to_thread(held, url):  # noqa: ASYNC110 - there is no event to wait for
                await asyncio.sleep(0.2)

    on(stack, story)


def test_wakeups_that_come_twice_too_early_and_in_disorder_change_nothing(stack: AwsStack) -> None:
    async def story(runtime: Runtime) -> None:
        url = runtime.endpoint("/once-a-time", failing_first(2, 503, "done"))
        start = document(url, timeout=0, retry=backing_off(3000))
        started = await runtime.start(start, Prefer="respond-async")
        for at_ms in (9_999_999_999_999, 0, 5, 4, 3, 2, 1, 0):
            send(stack, encode_wakeup(started.json["id"], at_ms))

        step = await runtime.step_in(started.json["id"], "succeeded", within_s=30)

        assert (step["attempts"], step["response"]) == (3, "done")
        began = [call.began_s for call in runtime.calls(url)]
        assert len(began) == 3
        assert began[1] - began[0] >= 2.95
        for _ in range(3):
            send(stack, encode_wakeup(started.json["id"], 0))
        await asyncio.sleep(2)
        assert len(runtime.calls(url)) == 3

    on(stack, story)


def test_an_invalid_message_goes_to_the_dead_letter_queue_and_delays_nothing(stack: AwsStack) -> None:
    async def story(runtime: Runtime) -> None:
        poison = f"no wake-up, {runtime.client}"
        for body in (poison, json.dumps({"v": 1, "stepId": 5}), json.dumps({"v": 99}), "{" * 5000):
            send(stack, body)
        url = runtime.endpoint("/well", failing_first(1, 503, "done"))

        reply = await runtime.start(document(url, timeout=20_000, retry=backing_off(10)))

        assert reply.status == 200
        assert await dead_letter_of(stack, poison) == poison

    on(stack, story)


def test_a_wakeup_of_a_missing_step_is_dropped(stack: AwsStack) -> None:
    async def story(runtime: Runtime) -> None:
        send(stack, encode_wakeup("run_" + "f" * 32 + "-root", 0))
        url = runtime.endpoint("/well", answer_ok)
        assert (await runtime.start(document(url))).status == 200

    on(stack, story)


def test_maintenance_sends_the_wakeup_that_was_lost(stack: AwsStack) -> None:
    async def story(runtime: Runtime) -> None:
        url = runtime.endpoint("/late", failing_first(1, 503, "done"))
        await runtime.start(document(url, timeout=0, retry=backing_off(2000)), Prefer="respond-async")
        await asyncio.sleep(2.5)
        assert "clients" in stack.invoke_maintenance()
        assert (await runtime.start(document(url, timeout=20_000, retry=backing_off(2000)))).status == 200

    on(stack, story)


def test_a_step_fails_once(stack: AwsStack) -> None:
    async def story(runtime: Runtime) -> None:
        url = runtime.endpoint("/gone", always(410))
        reply = await runtime.start(document(url, timeout=20_000))
        assert (reply.status, reply.json["attempts"]) == (424, 1)
        assert json.loads(await dead_letter_of(stack, reply.json["id"]))["stepId"] == reply.json["id"]

    on(stack, story)


def send(stack: AwsStack, body: str) -> None:
    """Send a message to the step queue."""
    stack.sqs().send_message(QueueUrl=stack.outputs["QueueUrl"], MessageBody=body)


async def dead_letter_of(stack: AwsStack, text: str) -> str:
    """Receive the dead letter with this text; those of other tests stay in the queue."""
    sqs, url = stack.sqs(), stack.outputs["DeadLetterQueueUrl"]
    while True:
        found = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=3)
        for message in found.get("Messages", []):
            if text in message["Body"]:
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
                return str(message["Body"])
        await asyncio.sleep(0.2)


def caller_of(port: int) -> int:
    """The process at the other end of the one open connection to a port of this machine (Linux)."""
    mine = f"0100007F:{port:04X}"
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    [inode] = {line[9] for line in lines if line[2] == mine and line[3] == "01"}
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if link.readlink().name == f"socket:[{inode}]":
                return int(link.parts[2])
        except OSError:
            continue
    raise LookupError(f"nobody holds socket {inode}")
