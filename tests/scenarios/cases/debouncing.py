"""Bursts of starts, of which only the last one runs."""

import asyncio
from itertools import pairwise
from typing import Any

from atomic.testing import ApiReply
from scenarios.runtime import Runtime, answer_ok
from scenarios.starts import Gate, assert_problem, document, moment

ASYNC = {"Prefer": "respond-async"}


async def begin(runtime: Runtime, url: str, key: str, quiet: int, **members: Any) -> ApiReply:
    """A start of a burst, without waiting for it. `quiet` is in milliseconds."""
    most = {"max": members.pop("max")} if "max" in members else {}
    burst = {"key": members.pop("name", "doc-9"), "quiet": quiet, **most}
    return await runtime.start(document(url, key=key, debounce=burst, **members), **ASYNC)


def seconds_to_start(step: dict[str, Any]) -> float:
    return (moment(step["startAt"]) - moment(step["createdAt"])).total_seconds()


async def scenario_only_the_last_start_of_a_burst_runs(runtime: Runtime) -> None:
    url, quiet = runtime.endpoint("/burst", answer_ok), runtime.ms(200)
    started = [await begin(runtime, url, f"k-{number}", quiet, payload=number) for number in range(4)]
    assert [reply.status for reply in started] == [202] * 4
    last = await runtime.step_in(started[-1].json["id"], "succeeded")
    assert last["debounce"] == {"key": "doc-9", "quiet": quiet, "max": None}
    assert [seen.call.payload for seen in runtime.calls(url)] == [3]
    for before, after in pairwise(started):
        step = (await runtime.get(f"/steps/{before.json['id']}")).json
        assert (step["status"], step["errorKind"]) == ("cancelled", "superseded")
        assert step["continuedAs"] == after.json["id"]
        assert step["error"] == f"superseded by the run {after.json['runId']}"
    # The next burst is another one.
    again = await begin(runtime, url, "k-4", quiet, payload=4)
    await runtime.step_in(again.json["id"], "succeeded")
    assert [seen.call.payload for seen in runtime.calls(url)] == [3, 4]


async def scenario_callers_of_a_burst_get_the_answer_of_the_last_one(runtime: Runtime) -> None:
    gate = Gate(then="the last")
    url, quiet = runtime.endpoint("/burst-wait", gate), runtime.ms(100)
    gate.open()
    burst = {"key": "doc-9", "quiet": quiet}
    waiting = asyncio.create_task(runtime.finish(document(url, key="k-1", payload=1, debounce=burst)))

    async def is_pending() -> bool:
        return bool((await runtime.get("/runs")).json["runs"])

    await runtime.until(is_pending)
    last = await runtime.finish(document(url, key="k-2", payload=2, debounce=burst))
    first = await waiting
    assert (first.status, first.json["response"], last.json["response"]) == (200, "the last", "the last")
    assert first.json["id"] == last.json["id"]
    assert first.json["attachedTo"]["idempotencyKey"] == "k-2"
    assert "attachedTo" not in last.json
    # The first one, posted again, is still not run.
    again = await runtime.finish(document(url, key="k-1", payload=1, debounce=burst))
    plain = await runtime.finish(document(url, key="k-1", payload=1))
    assert again.json["id"] == plain.json["id"] == last.json["id"]
    assert len(runtime.calls(url)) == 1


async def scenario_a_burst_ends_after_its_longest_time(runtime: Runtime) -> None:
    url, hour = runtime.endpoint("/burst-max", answer_ok), 3_600_000
    first = await begin(runtime, url, "k-1", hour, max=hour)
    first_step = (await runtime.get(f"/steps/{first.json['id']}")).json
    assert 3599 < seconds_to_start(first_step) <= 3600
    await asyncio.sleep(runtime.ms(20) / 1000)
    second = await begin(runtime, url, "k-2", hour, max=hour)
    second_step = (await runtime.get(f"/steps/{second.json['id']}")).json
    # As late as the first one may be, and no later.
    assert second_step["startAt"] == first_step["startAt"]
    third = await begin(runtime, url, "k-3", 1, max=hour)
    await runtime.step_in(third.json["id"], "succeeded")
    assert len(runtime.calls(url)) == 1


async def scenario_a_start_after_the_burst_has_begun_is_a_burst_of_its_own(runtime: Runtime) -> None:
    gate = Gate()
    url = runtime.endpoint("/burst-two", gate)
    first = await begin(runtime, url, "k-1", 1)
    await gate.entered.wait()
    second = await begin(runtime, url, "k-2", 1, payload=2)
    gate.open()
    await runtime.step_in(first.json["id"], "succeeded")
    await runtime.step_in(second.json["id"], "succeeded")
    assert len(runtime.calls(url)) == 2


async def scenario_an_operator_ends_the_quiet_time_of_a_burst(runtime: Runtime) -> None:
    url = runtime.endpoint("/burst-due", answer_ok)
    first = await begin(runtime, url, "k-1", 3_600_000)
    second = await begin(runtime, url, "k-2", 3_600_000)
    assert (await runtime.post(f"/steps/{second.json['id']}/due")).status == 200
    await runtime.step_in(second.json["id"], "succeeded")
    refused = await runtime.post(f"/steps/{first.json['id']}/due")
    assert_problem(refused, 409, "not-reschedulable")
    assert len(runtime.calls(url)) == 1


async def scenario_a_burst_of_one_key_leaves_others_alone(runtime: Runtime) -> None:
    url, quiet = runtime.endpoint("/burst-keys", answer_ok), runtime.ms(50)
    one = await begin(runtime, url, "k-1", quiet, name="one")
    two = await begin(runtime, url, "k-2", quiet, name="two")
    for reply in (one, two):
        await runtime.step_in(reply.json["id"], "succeeded")
    assert len(runtime.calls(url)) == 2
