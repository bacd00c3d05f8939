"""kill -9 under load: nothing acknowledged is lost, no outcome changes, the server restarts quickly.

`make kill` does it for longer.
"""

import asyncio
import random
from pathlib import Path
from typing import Any

from atomic.testing import EndpointCall, EndpointReply
from reliability import kills
from scenarios.embedded_runtime import AtomicServer, kill_in_call, runtime_on

RUNS = 150
KILLS = 7


def document(url: str, key: str) -> dict[str, Any]:
    retry = {"count": 20, "backOff": 50, "strategy": "fixed"}
    return {"workflowName": "w", "stepInvokeUrl": url, "idempotencyKey": key, "retry": retry}


def test_kill_9_loses_nothing(tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    campaign = kills.run(tmp_path, kills=KILLS, runs=RUNS, seed=seed)
    print(campaign)
    assert campaign.problems == []
    assert len(campaign.observed.acknowledged) == RUNS


def test_a_step_in_the_middle_of_a_call_is_called_again_with_the_same_key(tmp_path: Path) -> None:
    server = AtomicServer(tmp_path / "data")
    server.start()

    async def main() -> None:
        async with runtime_on(server) as runtime:
            called = asyncio.Event()

            async def handler(call: EndpointCall) -> EndpointReply:
                called.set()
                if call.attempt == 1:
                    await asyncio.sleep(60)
                return EndpointReply(json={"attempt": call.attempt})

            url = runtime.endpoint("/once", handler)
            step_id = await kill_in_call(server, runtime, document(url, "k-1"), called)
            await asyncio.to_thread(server.start)
            step = await runtime.step_in(step_id, "succeeded")
            assert step["response"] == {"attempt": 2}
            assert step["retriesUsed"] == 0
            assert [attempt["outcome"] for attempt in step["attemptLog"]] == ["no_answer", "succeeded"]
            assert runtime.calls(url)[0].call.json["idempotencyKey"] == "k-1"

    asyncio.run(main())
    assert server.stop() == 0


def test_a_step_that_may_be_called_at_most_once_fails_with_the_process_that_called_it(
    tmp_path: Path,
) -> None:
    server = AtomicServer(tmp_path / "data")
    server.start()

    async def main() -> None:
        async with runtime_on(server) as runtime:
            called = asyncio.Event()

            async def handler(call: EndpointCall) -> EndpointReply:
                called.set()
                await asyncio.sleep(60)
                return EndpointReply()

            url = runtime.endpoint("/once", handler)
            asked = {**document(url, "k-1"), "onLost": "fail"}
            step_id = await kill_in_call(server, runtime, asked, called)
            await asyncio.to_thread(server.start)
            step = await runtime.step_in(step_id, "failed")
            assert (step["errorKind"], step["attempts"], step["onLost"]) == ("lost", 1, "fail")
            assert step["attemptLog"][0]["outcome"] == "no_answer"
            [letter] = (await runtime.get("/dead-letters")).json["deadLetters"]
            assert (letter["id"], letter["notRedrivableReason"]) == (step_id, None)

    asyncio.run(main())
    assert server.stop() == 0


def test_an_answer_that_comes_later_survives_a_restart(tmp_path: Path) -> None:
    server = AtomicServer(tmp_path / "data")
    server.start()

    async def main() -> None:
        async with runtime_on(server) as runtime:

            async def later(call: EndpointCall) -> EndpointReply:
                return EndpointReply(status=202, headers={"Atomic-Answer-Within": "3600000"})

            url = runtime.endpoint("/later", later)
            posted = await runtime.start(document(url, "k-1"), Prefer="respond-async")
            target = f"/steps/{posted.json['id']}"

            async def is_postponed() -> bool:
                return (await runtime.get(target)).json["answerBy"] is not None

            await runtime.until(is_postponed)
            server.kill()
            await asyncio.to_thread(server.start)
            step = (await runtime.get(target)).json
            assert (step["status"], step["attempts"]) == ("running", 1)
            [seen] = runtime.calls(url)
            told = await runtime.request(
                "POST",
                f"/{runtime.client}{target}/answer",
                body=b'{"body":"done"}',
                headers={"Atomic-Attempt-Token": seen.call.headers["atomic-attempt-token"]},
            )
            assert told.status == 200, told.json
            assert (told.json["status"], told.json["response"]) == ("succeeded", "done")
            assert len(runtime.calls(url)) == 1

    asyncio.run(main())
    assert server.stop() == 0


def test_timers_survive_a_restart(tmp_path: Path) -> None:
    server = AtomicServer(tmp_path / "data")
    server.start()

    async def main() -> None:
        async with runtime_on(server) as runtime:

            async def ok(call: EndpointCall) -> EndpointReply:
                return EndpointReply(json="ok")

            delayed = {**document(runtime.endpoint("/ok", ok), "k-1"), "delay": 1500}
            posted = await runtime.start(delayed, Prefer="respond-async")
            server.kill()
            await asyncio.to_thread(server.start)
            assert runtime.seen == []
            metrics = (await runtime.request("GET", "/metrics")).body
            assert b"\natomic_live_steps 1.0\n" in metrics
            await runtime.step_in(posted.json["id"], "succeeded")
            assert len(runtime.seen) == 1

    asyncio.run(main())
    assert server.stop() == 0
