"""A graceful cancel over plain HTTP: a handler without any SDK is told, undoes, and says so."""

import asyncio
import json
from functools import partial
from typing import Any

from atomic.testing import ApiReply, EndpointCall, EndpointReply
from scenarios.cases.answering import answer
from scenarios.runtime import Runtime, answer_ok
from scenarios.starts import assert_problem, document

GRACEFUL = {"mode": "graceful", "within": 60_000}


class Trip:
    """A handler that books, waits for an event, and cancels its booking when it is told."""

    def __init__(self, runtime: Runtime, *, says: bool = True) -> None:
        self._runtime, self._says = runtime, says
        self.calls: list[tuple[str | None, Any]] = []
        self._book = runtime.endpoint("/book", answer_ok)
        self._undo = runtime.endpoint("/undo", answer_ok)

    async def begin(self, key: str) -> dict[str, Any]:
        """Start it; its root as soon as it waits."""
        started = document(self._runtime.endpoint("/trip", self.handle), key=key)
        reply = await self._runtime.start(started, Prefer="respond-async")
        root: dict[str, Any] = await self._runtime.step_in(reply.json["id"], "waiting")
        return root

    async def handle(self, call: EndpointCall) -> EndpointReply:
        self.calls.append((call.headers.get("atomic-cancelled"), call.json.get("cancelled")))
        parent = call.json["stepId"]
        if "cancelled" in call.json:
            undone = await self._runtime.start(document(self._undo, key="undo", parent=parent))
            assert undone.status == 200
            given = {"Atomic-Cancelled": "true"} if self._says else {}
            return EndpointReply(status=409 if self._says else 200, json={"undone": True}, headers=given)
        await self._runtime.start(document(self._book, key="book", parent=parent))
        event = {
            "kind": "event",
            "stepName": "go",
            "workflowName": "w",
            "idempotencyKey": "go",
            "parent": parent,
        }
        told = await self._runtime.start(event, Prefer="respond-async")
        return EndpointReply(status=202, headers={"Atomic-Waiting-For": told.json["id"]})


async def scenario_a_handler_that_is_told_undoes_what_it_did(runtime: Runtime) -> None:
    trip = Trip(runtime)
    root = await trip.begin("told")

    told = await runtime.post(f"/runs/{root['runId']}/cancel", GRACEFUL)

    assert told.status == 200
    assert told.json["cancelBy"] is not None
    ended = await runtime.step_in(root["id"], "cancelled")
    assert (ended["errorKind"], ended["responseStatus"], ended["response"]) == (
        "cancelled",
        409,
        {"undone": True},
    )
    assert trip.calls == [(None, None), ("true", True)]
    run = (await runtime.get(f"/runs/{root['runId']}")).json
    status = {
        step["stepName"] or step["stepInvokeUrl"].rpartition("/")[2]: step["status"]
        for step in run["steps"]
    }
    assert status == {"book": "succeeded", "go": "cancelled", "undo": "succeeded"}
    assert "cancelBy" not in run["run"]
    assert (await runtime.get("/dead-letters")).json["deadLetters"] == []


async def scenario_a_handler_that_is_told_may_finish(runtime: Runtime) -> None:
    trip = Trip(runtime, says=False)
    root = await trip.begin("finishes")

    await runtime.post(f"/runs/{root['runId']}/cancel", GRACEFUL)

    ended = await runtime.step_in(root["id"], "succeeded")
    assert ended["response"] == {"undone": True}


async def scenario_a_run_that_is_told_can_be_cancelled_hard(runtime: Runtime) -> None:
    async def stubborn(call: EndpointCall) -> EndpointReply:
        if "cancelled" in call.json:
            return EndpointReply(status=503)
        event = {
            "kind": "event",
            "stepName": "go",
            "workflowName": "w",
            "idempotencyKey": "go",
            "parent": call.json["stepId"],
        }
        told = await runtime.start(event, Prefer="respond-async")
        return EndpointReply(status=202, headers={"Atomic-Waiting-For": told.json["id"]})

    started = document(runtime.endpoint("/stubborn", stubborn), key="stubborn")
    root_id = (await runtime.start(started, Prefer="respond-async")).json["id"]
    root = await runtime.step_in(root_id, "waiting")
    await runtime.post(f"/runs/{root['runId']}/cancel", {**GRACEFUL, "within": 3_600_000})
    told = await runtime.step_in(root_id, "retrying")
    assert told["cancelBy"] is not None

    assert (await runtime.post(f"/runs/{root['runId']}/cancel")).json["status"] == "cancelled"


async def scenario_a_child_run_is_told_as_well(runtime: Runtime) -> None:
    """The run that a step has started undoes what it did, too, and its parent waits for that."""
    trip = Trip(runtime)
    trip_url = runtime.endpoint("/trip", trip.handle)
    told: list[str] = []

    async def parent(call: EndpointCall) -> EndpointReply:
        link = {
            "kind": "run",
            "workflowName": "w",
            "idempotencyKey": "link",
            "parent": call.json["stepId"],
            "stepInvokeUrl": trip_url,
            "run": {"workflowName": "trip", "idempotencyKey": "child"},
        }
        reply = await runtime.start(link, Prefer="respond-async")
        if reply.status == 202:
            return EndpointReply(status=202, headers={"Atomic-Waiting-For": reply.json["id"]})
        told.append(reply.json["type"])
        return EndpointReply(status=409, headers={"Atomic-Cancelled": "true"})

    started = document(runtime.endpoint("/parent", parent), key="parent")
    root_id = (await runtime.start(started, Prefer="respond-async")).json["id"]
    root = await runtime.step_in(root_id, "waiting")
    link = (await runtime.get(f"/runs/{root['runId']}")).json["steps"][0]
    child_id = f"{link['childRunId']}-root"
    await runtime.step_in(child_id, "waiting")

    await runtime.post(f"/runs/{root['runId']}/cancel", GRACEFUL)

    await runtime.step_in(root_id, "cancelled")
    child = (await runtime.get(f"/steps/{child_id}")).json
    assert (child["status"], child["response"]) == ("cancelled", {"undone": True})
    assert trip.calls[-1] == ("true", True)
    assert told == ["urn:atomic:problem:cancelled"]


async def scenario_a_step_that_is_answered_later_ends_at_once(runtime: Runtime) -> None:
    """Its answer may take days, and what was done before is to be undone now. So it is refused."""
    calls: list[EndpointCall] = []

    async def later(call: EndpointCall) -> EndpointReply:
        calls.append(call)
        return EndpointReply(status=202, headers={"Atomic-Answer-Within": "3600000"})

    ask = document(runtime.endpoint("/ask", later), key="ask")

    async def handler(call: EndpointCall) -> EndpointReply:
        reply = await runtime.start({**ask, "parent": call.json["stepId"]}, Prefer="respond-async")
        if reply.status == 202:
            return EndpointReply(status=202, headers={"Atomic-Waiting-For": reply.json["id"]})
        return EndpointReply(status=409, headers={"Atomic-Cancelled": "true"})

    started = document(runtime.endpoint("/handler", handler), key="asks")
    root_id = (await runtime.start(started, Prefer="respond-async")).json["id"]
    root = await runtime.step_in(root_id, "waiting")

    async def is_asked() -> bool:
        return bool(calls)

    await runtime.until(is_asked)
    [asked] = calls
    await runtime.step_in(asked.json["stepId"], "running")

    await runtime.post(f"/runs/{root['runId']}/cancel", {**GRACEFUL, "within": 3_600_000})

    await runtime.step_in(root_id, "cancelled")
    assert (await runtime.get(f"/steps/{asked.json['stepId']}")).json["status"] == "cancelled"
    assert_problem(await answer(runtime, asked, {"body": 1}), 409, "attempt-over")
    assert len(calls) == 1


async def scenario_a_handler_that_was_told_may_answer_later(runtime: Runtime) -> None:
    """What it has left live ends with it, as after a direct answer."""
    left: list[tuple[EndpointCall, str]] = []

    async def handler(call: EndpointCall) -> EndpointReply:
        name = "left" if "cancelled" in call.json else "go"
        event = {"kind": "event", "stepName": name, "workflowName": "w", "idempotencyKey": name}
        reply = await runtime.start({**event, "parent": call.json["stepId"]}, Prefer="respond-async")
        if name == "go":
            return EndpointReply(status=202, headers={"Atomic-Waiting-For": reply.json["id"]})
        left.append((call, reply.json["id"]))
        return EndpointReply(status=202, headers={"Atomic-Answer-Within": "3600000"})

    started = document(runtime.endpoint("/handler", handler), key="undoes-later")
    root_id = (await runtime.start(started, Prefer="respond-async")).json["id"]
    root = await runtime.step_in(root_id, "waiting")
    await runtime.post(f"/runs/{root['runId']}/cancel", GRACEFUL)
    await runtime.until(partial(_answers_later, runtime, root_id))
    [(call, left_id)] = left

    answered = await answer(runtime, call, {"status": 409, "headers": {"Atomic-Cancelled": "true"}})

    assert answered.json["status"] == "cancelled"
    assert (await runtime.get(f"/steps/{left_id}")).json["status"] == "cancelled"


async def _answers_later(runtime: Runtime, step_id: str) -> bool:
    return (await runtime.get(f"/steps/{step_id}")).json["answerBy"] is not None


async def scenario_a_nested_handler_whose_attempt_fails_after_a_post_is_told(runtime: Runtime) -> None:
    """When the cancel is requested, it has posted nothing. Then it books, and its attempt fails."""
    called, goes_on = asyncio.Event(), asyncio.Event()
    book, undo = (document(runtime.endpoint(f"/{name}", answer_ok), key=name) for name in ("book", "undo"))
    told: list[str] = []

    async def nested(call: EndpointCall) -> EndpointReply:
        parent = call.json["stepId"]
        if "cancelled" in call.json:
            told.append(parent)
            assert (await runtime.start({**undo, "parent": parent})).status == 200
            return EndpointReply(status=409, headers={"Atomic-Cancelled": "true"})
        called.set()
        await goes_on.wait()
        assert (await runtime.start({**book, "parent": parent})).status == 200
        return EndpointReply(status=500)

    steps = document(runtime.endpoint("/nested", nested), key="nested", retry={"count": 3})

    async def handler(call: EndpointCall) -> EndpointReply:
        reply = await runtime.start({**steps, "parent": call.json["stepId"]}, Prefer="respond-async")
        if reply.status == 202:
            return EndpointReply(status=202, headers={"Atomic-Waiting-For": reply.json["id"]})
        return EndpointReply(status=409, headers={"Atomic-Cancelled": "true"})

    started = document(runtime.endpoint("/handler", handler), key="nests")
    root_id = (await runtime.start(started, Prefer="respond-async")).json["id"]
    await called.wait()
    root = await runtime.step_in(root_id, "waiting")
    await runtime.post(f"/runs/{root['runId']}/cancel", GRACEFUL)
    # Its step is asked to end before its handler is told.
    await runtime.until(partial(_is_asked, runtime, root["runId"]))
    goes_on.set()

    await runtime.step_in(root_id, "cancelled")
    assert len(told) == 1


async def _is_asked(runtime: Runtime, run_id: str) -> bool:
    return "cancelBy" in (await runtime.get(f"/runs/{run_id}")).json["steps"][0]


async def scenario_a_redrive_tells_the_handler_again(runtime: Runtime) -> None:
    trip, fails = Trip(runtime), [True]

    async def handler(call: EndpointCall) -> EndpointReply:
        if "cancelled" in call.json and fails:
            return EndpointReply(status=410)
        return await trip.handle(call)

    started = document(runtime.endpoint("/trip", handler), key="told-again")
    root_id = (await runtime.start(started, Prefer="respond-async")).json["id"]
    root = await runtime.step_in(root_id, "waiting")
    await runtime.post(f"/runs/{root['runId']}/cancel", GRACEFUL)
    await runtime.step_in(root_id, "failed")
    fails.clear()

    redriven = await runtime.post(f"/steps/{root_id}/redrive")

    assert redriven.json["status"] in {"pending", "running", "cancelled"}
    ended = await runtime.step_in(root_id, "cancelled")
    assert ended["response"] == {"undone": True}


async def scenario_a_wrong_cancel_names_the_field(runtime: Runtime) -> None:
    root = await Trip(runtime).begin("wrong")
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"mode": "gentle"}, "mode"),
        ({"mode": "graceful", "within": 0}, "within"),
        ({"mode": "graceful", "within": 86_400_001}, "within"),
        ({"within": 1000}, "within"),
        ({"until": 1}, "until"),
    ]
    for body, field in wrong:
        refused = await runtime.post(f"/runs/{root['runId']}/cancel", body)
        assert refused.status == 400
        assert field in refused.json["detail"]
    assert (await runtime.get(f"/steps/{root['id']}")).json["status"] == "waiting"


class Loop:
    """Goes on once, when it is let. Its second run waits for an event, and says so when it is told."""

    def __init__(self, runtime: Runtime, path: str, *, answers_later: bool = False) -> None:
        self._runtime, self._later = runtime, answers_later
        self.url = runtime.endpoint(path, self.handle)
        self.posted, self.goes_on = asyncio.Event(), asyncio.Event()
        self.next_id = ""
        self.token = ""

    async def handle(self, call: EndpointCall) -> EndpointReply:
        parent = call.json["stepId"]
        if "cancelled" in call.json:
            return EndpointReply(status=409, headers={"Atomic-Cancelled": "true"})
        if call.payload == 2:
            event = {"kind": "event", "stepName": "go", "workflowName": "w", "idempotencyKey": "go"}
            told = await self._runtime.start({**event, "parent": parent}, Prefer="respond-async")
            return EndpointReply(status=202, headers={"Atomic-Waiting-For": told.json["id"]})
        self.token = call.headers["atomic-attempt-token"]
        following = document(self.url, key=f"{call.json['idempotencyKey']}/2", payload=2, continues=parent)
        told = await self._runtime.start(following, Atomic_Attempt_Token=self.token)
        self.next_id = told.json["id"]
        self.posted.set()
        if self._later:
            return EndpointReply(status=202, headers={"Atomic-Answer-Within": "60000"})
        await self.goes_on.wait()
        return EndpointReply(status=202, headers={"Atomic-Continue-As": self.next_id})

    async def answer(self, step_id: str) -> ApiReply:
        """Post the answer that was postponed."""
        headers = {"Atomic-Attempt-Token": self.token}
        body = json.dumps({"status": 202, "headers": {"Atomic-Continue-As": self.next_id}}).encode()
        path = f"/{self._runtime.client}/steps/{step_id}/answer"
        return await self._runtime.request("POST", path, body=body, headers=headers)


async def scenario_a_graceful_cancel_reaches_the_run_that_goes_on(runtime: Runtime) -> None:
    """The attempt under way may end, and has posted the next run already."""
    loop = Loop(runtime, "/loop")
    first = (await runtime.start(document(loop.url, payload=1), Prefer="respond-async")).json
    await loop.posted.wait()

    await runtime.post(f"/runs/{first['runId']}/cancel", GRACEFUL)
    loop.goes_on.set()

    old = await runtime.step_in(first["id"], "succeeded")
    assert old["continuedAs"] == loop.next_id
    ended = await runtime.step_in(loop.next_id, "cancelled")
    assert ended["responseStatus"] == 409


async def scenario_an_answer_that_comes_after_a_cancel_stops_the_next_run(runtime: Runtime) -> None:
    loop = Loop(runtime, "/late", answers_later=True)
    first = (await runtime.start(document(loop.url, payload=1), Prefer="respond-async")).json
    await loop.posted.wait()
    await runtime.step_in(loop.next_id, "waiting")

    await runtime.post(f"/runs/{first['runId']}/cancel")

    assert (await loop.answer(first["id"])).status == 409
    await runtime.step_in(loop.next_id, "cancelled")
