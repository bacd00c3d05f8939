"""Flow control over HTTP: slots, rates, pins, pauses, and what is refused."""

import asyncio
import json
from typing import Any

from atomic.testing import ApiReply, EndpointCall, EndpointReply
from scenarios.runtime import Runtime, answer_ok


async def _start(runtime: Runtime, url: str, key: str, *flow: Any, **members: Any) -> ApiReply:
    document = {
        "workflowName": "flow",
        "stepInvokeUrl": url,
        "idempotencyKey": key,
        "flow": list(flow),
        **members,
    }
    return await runtime.start(document, Prefer="respond-async")


async def _put(runtime: Runtime, key: str, **pin: Any) -> ApiReply:
    body = json.dumps(pin).encode()
    return await runtime.request("PUT", f"/{runtime.client}/flow/{key}", body=body)


async def scenario_no_more_attempts_are_open_than_the_key_has_slots(runtime: Runtime) -> None:
    now, most = 0, 0

    async def slow(call: EndpointCall) -> EndpointReply:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(runtime.ms(50) / 1000)
        now -= 1
        return EndpointReply(json=call.json["payload"])

    url = runtime.endpoint("/flow/slow", slow)
    started = [
        await _start(runtime, url, f"slow{number}", {"key": "slow", "concurrency": 2}, payload=number)
        for number in range(8)
    ]
    for number, reply in enumerate(started):
        step = await runtime.step_in(reply.json["id"], "succeeded")
        assert step["response"] == number
        assert step["flow"] == [
            {
                "key": "slow",
                "concurrency": 2,
                "rate": None,
                "scope": "attempt",
                "priority": 0,
                "fair": "",
            }
        ]
    # A stack may begin them one after the other.
    assert 1 <= most <= 2

    async def is_empty() -> bool:
        key = (await runtime.get("/flow/slow")).json
        return (key["running"], key["queued"], key["oldest"]) == (0, 0, None)

    await runtime.until(is_empty)


async def scenario_a_paused_key_holds_its_steps_until_it_is_resumed(runtime: Runtime) -> None:
    url = runtime.endpoint("/flow/paused", answer_ok)
    paused = await _put(runtime, "paused", paused=True, note="a slow host")
    assert (paused.status, paused.json["paused"], paused.json["note"]) == (200, True, "a slow host")
    started = await _start(runtime, url, "held", {"key": "paused"})

    async def waits() -> Any:
        return (await runtime.get(f"/steps/{started.json['id']}")).json.get("inLine")

    assert await runtime.until(waits) == "paused"
    key = (await runtime.get("/flow/paused")).json
    assert (key["running"], key["queued"]) == (0, 1)
    assert key["oldest"] is not None
    assert runtime.calls(url) == []
    resumed = await _put(runtime, "paused", paused=False)
    assert (resumed.json["queued"], resumed.json["note"]) == (0, "")
    for wrong in ({"note": "why"}, {"paused": False, "note": "why"}, {"paused": True, "note": "x" * 501}):
        refused = await _put(runtime, "paused", **wrong)
        assert refused.status == 400
        assert "note: " in refused.json["detail"]
    assert (await runtime.step_in(started.json["id"], "succeeded"))["inLine"] is None


async def scenario_a_pin_counts_more_than_what_steps_say(runtime: Runtime) -> None:
    url = runtime.endpoint("/flow/pinned", answer_ok)
    rate = {"limit": 100, "per": 1000}
    pinned = await _put(runtime, "pinned", concurrency=3, rate=rate)
    assert pinned.json["pinned"] == {"concurrency": 3, "rate": rate}
    started = await _start(runtime, url, "one", {"key": "pinned", "concurrency": 7})
    await runtime.step_in(started.json["id"], "succeeded")
    key = (await runtime.get("/flow/pinned")).json
    assert (key["concurrency"], key["pace"]["limit"], key["pace"]["per"]) == (3, 100, 1000)
    # What is left out stays; null ends a pin.
    key = (await _put(runtime, "pinned", rate=None)).json
    assert (key["concurrency"], key["pace"]) == (3, None)
    key = (await _put(runtime, "pinned", concurrency=None)).json
    assert (key["concurrency"], key["pinned"]) == (7, {"concurrency": None, "rate": None})


async def scenario_who_is_under_a_key_is_listed(runtime: Runtime) -> None:
    url = runtime.endpoint("/flow/listed", answer_ok)
    await _put(runtime, "listed", paused=True)
    started = [
        await _start(runtime, url, fair, {"key": "listed", "concurrency": 2, "fair": fair})
        for fair in ("ada", "bob")
    ]

    async def are_listed() -> bool:
        listed = (await runtime.get("/flow/listed/steps")).json
        assert listed["running"] == []
        queued = {each["fair"]: each for each in listed["queued"]}
        if queued.keys() != {"ada", "bob"}:
            return False
        of_ada = queued["ada"]
        assert (of_ada["id"], of_ada["runId"]) == (started[0].json["id"], started[0].json["runId"])
        assert (of_ada["workflowName"], of_ada["stepName"], of_ada["priority"]) == ("flow", None, 0)
        assert of_ada["idempotencyKey"] == started[0].json["idempotencyKey"]
        assert of_ada["since"] is not None
        return True

    await runtime.until(are_listed)
    assert len((await runtime.get("/flow/listed/steps?limit=1")).json["queued"]) == 1
    assert (await runtime.get("/flow/listed/steps?limit=0")).status == 400
    assert (await runtime.get("/flow/unknown/steps")).status == 404
    await _put(runtime, "listed", paused=False)
    for each in started:
        await runtime.step_in(each.json["id"], "succeeded")


async def scenario_keys_are_listed_in_pages(runtime: Runtime) -> None:
    for key in ("list:c", "list:a", "list:b"):
        await _put(runtime, key, concurrency=1)

    async def has_all() -> bool:
        # A store may list a new key some moments later.
        listed = (await runtime.get("/flow?after=list:&limit=3")).json["keys"]
        return [key["key"] for key in listed] == ["list:a", "list:b", "list:c"]

    await runtime.until(has_all)
    first = (await runtime.get("/flow?after=list:&limit=2")).json
    assert [key["key"] for key in first["keys"]] == ["list:a", "list:b"]
    rest = await runtime.request("GET", first["next"])
    assert rest.json["keys"][0]["key"] == "list:c"
    assert (await runtime.get("/flow/unknown")).status == 404


async def scenario_what_is_no_flow_control_is_refused(runtime: Runtime) -> None:
    url = runtime.endpoint("/flow/refused", answer_ok)
    for wrong, field in (
        ([{"key": "no space"}], "flow.0.key"),
        ([{"key": ".."}], "flow.0.key"),
        ([{"key": "k", "concurrency": 0}], "flow.0.concurrency"),
        ([{"key": "k", "rate": {"limit": 1001, "per": 1}}], "flow.0.rate.limit"),
        ([{"key": "k", "priority": 6}], "flow.0.priority"),
        ([{"key": "k"}, {"key": "k"}], "flow"),
        ([{"key": f"k{number}"} for number in range(5)], "flow"),
    ):
        refused = await _start(runtime, url, "refused", *wrong)
        assert refused.status == 400, wrong
        assert [error["field"] for error in refused.json["errors"]] == [field]
    for pin in ({}, {"paused": None}, {"concurrency": 0}, {"other": 1}):
        assert (await _put(runtime, "k", **pin)).status == 400, pin
    misnamed = await _put(runtime, "no%20space", paused=True)
    assert misnamed.status == 400
    assert [error["field"] for error in misnamed.json["errors"]] == ["key"]
    value = {
        "workflowName": "flow",
        "idempotencyKey": "v",
        "kind": "event",
        "stepName": "e",
        "flow": [{"key": "k"}],
    }
    assert (await runtime.start(value)).status == 400
    assert runtime.calls(url) == []
