"""A run goes on as another one, with a new history."""

import asyncio
import json
from typing import Any

from atomic.testing import ApiReply, EndpointCall, EndpointReply
from scenarios.cases.child_runs import Starter, run_id_of
from scenarios.runtime import Runtime, answer_ok
from scenarios.starts import Gate, assert_problem, document, retries


class Rounds:
    """A workflow that counts down, one run a round; the last one answers through `last`."""

    def __init__(self, runtime: Runtime, path: str = "/rounds") -> None:
        self._runtime = runtime
        self.last = Gate(then="done")
        self.told: list[ApiReply] = []
        self.roots: list[str] = []
        self.url = runtime.endpoint(path, self)

    async def continued(self, call: EndpointCall, *, key: str, payload: Any, **members: Any) -> ApiReply:
        """Post the run that goes on."""
        body = {
            "workflowName": call.json["workflowName"],
            "idempotencyKey": key,
            "stepInvokeUrl": self.url,
            "payload": payload,
            "continues": call.json["stepId"],
            **members,
        }
        headers = {"Atomic-Attempt-Token": call.headers["atomic-attempt-token"]}
        path = f"/{self._runtime.client}/steps"
        reply = await self._runtime.request("POST", path, body=json.dumps(body).encode(), headers=headers)
        self.told.append(reply)
        return reply

    async def __call__(self, call: EndpointCall) -> EndpointReply:
        """Handle one call."""
        if call.json["stepId"] not in self.roots:
            self.roots.append(call.json["stepId"])
        if call.payload == 0:
            return await self.last(call)
        name = call.json["idempotencyKey"].partition("@")[0]
        key = f"{name}@{call.payload - 1}"
        reply = await self.continued(call, key=key, payload=call.payload - 1)
        assert reply.status in {200, 202}, reply.json
        return EndpointReply(status=202, headers={"Atomic-Continue-As": reply.json["id"]})


async def scenario_a_run_goes_on_as_another_one(runtime: Runtime) -> None:
    rounds = Rounds(runtime)
    reply = await runtime.finish(document(rounds.url, payload=2))

    assert (reply.status, reply.json["status"], reply.json["response"]) == (200, "succeeded", None)
    following = reply.json["continuedAs"]
    assert reply.headers["location"] == f"/{runtime.client}/steps/{following}"
    await rounds.last.entered.wait()
    rounds.last.open()
    second = await runtime.step_in(following, "succeeded")
    third = await runtime.step_in(second["continuedAs"], "succeeded")
    assert (third["response"], third["continuedFrom"]) == ("done", following)
    assert [second["continuedFrom"], following, third["id"]] == rounds.roots
    assert (third["idempotencyKey"], "continuedAs" in third) == ("k-1@0", False)
    again = await runtime.start(document(rounds.url, payload=2))
    assert (again.status, again.json["continuedAs"]) == (200, following)


async def scenario_who_waits_by_a_link_gets_the_outcome_of_the_last_run(runtime: Runtime) -> None:
    rounds = Rounds(runtime)
    rounds.last.open()
    starter = Starter(runtime, rounds.url, payload=3)

    reply = await runtime.finish(document(starter.url))

    assert reply.json["response"] == "done"
    settled = (await runtime.get(f"/steps/{starter.link_id}")).json
    assert (settled["status"], settled["continuedAs"]) == ("succeeded", rounds.roots[-1])
    assert f"{settled['childRunId']}-root" == rounds.roots[0]
    for root_id in rounds.roots:
        assert (await runtime.get(f"/steps/{root_id}")).json["startedBy"] == starter.link_id


async def scenario_an_attached_link_follows_as_well(runtime: Runtime) -> None:
    rounds = Rounds(runtime)
    first = {**document(rounds.url, key="child", payload=2), "workflowName": "c"}
    await runtime.start(first, Prefer="respond-async")
    starter = Starter(runtime, rounds.url, payload=2)
    root_id = (await runtime.start(document(starter.url), Prefer="respond-async")).json["id"]
    await rounds.last.entered.wait()
    rounds.last.open()

    assert (await runtime.step_in(root_id, "succeeded"))["response"] == "done"


async def scenario_a_cancel_reaches_the_run_that_goes_on(runtime: Runtime) -> None:
    rounds = Rounds(runtime)
    starter = Starter(runtime, rounds.url, payload=2)
    root_id = await starter.begin()
    await rounds.last.entered.wait()

    await runtime.post(f"/runs/{run_id_of(root_id)}/cancel")

    assert (await runtime.get(f"/steps/{rounds.roots[-1]}")).json["status"] == "cancelled"
    assert (await runtime.get(f"/steps/{starter.link_id}")).json["status"] == "cancelled"
    rounds.last.open()


async def scenario_a_run_that_is_cancelled_while_it_goes_on_stops_the_next_one(runtime: Runtime) -> None:
    posted, go_on = asyncio.Event(), asyncio.Event()
    begun = Gate()

    class Slow(Rounds):
        async def __call__(self, call: EndpointCall) -> EndpointReply:
            if call.payload == 0:
                return await begun(call)
            reply = await self.continued(call, key="next", payload=0)
            posted.set()
            await go_on.wait()
            return EndpointReply(status=202, headers={"Atomic-Continue-As": reply.json["id"]})

    rounds = Slow(runtime)
    first = await runtime.start(document(rounds.url, payload=1), Prefer="respond-async")
    await posted.wait()
    await begun.entered.wait()
    await runtime.post(f"/runs/{first.json['runId']}/cancel")
    go_on.set()

    await runtime.step_in(rounds.told[0].json["id"], "cancelled")
    begun.open()


async def scenario_what_may_not_go_on(runtime: Runtime) -> None:
    """Each is a permanent failure of its own kind."""
    other = (await runtime.finish(document(runtime.endpoint("/ok", answer_ok), key="other"))).json["id"]

    async def names(call: EndpointCall) -> EndpointReply:
        named = {
            "nobody": f"run_{'0' * 32}-root",
            "other": other,
            "itself": call.json["stepId"],
            "text": "x",
        }
        headers = {"Atomic-Continue-As": named[call.payload]}
        return EndpointReply(status=202, headers=headers)

    url = runtime.endpoint("/names", names)
    for payload in ("nobody", "other", "itself", "text"):
        failed = await runtime.finish(document(url, key=payload, payload=payload))
        assert_problem(failed, 424, "step-failed")
        assert (failed.json["lastErrorKind"], failed.json["attempts"]) == ("invalid_continue_as", 1)

    async def below(call: EndpointCall) -> EndpointReply:
        step = document(url, payload="other", parent=call.json["stepId"])
        return EndpointReply(json=(await runtime.finish(step)).json)

    reply = await runtime.finish(document(runtime.endpoint("/below", below), key="below"))
    assert reply.json["response"]["lastErrorKind"] == "invalid_continue_as"


async def scenario_what_a_run_that_goes_on_must_say(runtime: Runtime) -> None:
    ok = runtime.endpoint("/ok", answer_ok)
    other = (await runtime.finish(document(ok, key="other"))).json
    rounds = Rounds(runtime, "/unused")
    told: dict[str, ApiReply] = {}
    calls: list[EndpointCall] = []

    async def asks(call: EndpointCall) -> EndpointReply:
        calls.append(call)
        told["itself"] = await rounds.continued(call, key="k-1", payload=1)
        told["other"] = await rounds.continued(call, key="other", payload=1)
        told["foreign"] = await rounds.continued(call, key="n", payload=1, continues=other["id"])
        told["parent"] = await rounds.continued(call, key="n", payload=1, parent=call.json["stepId"])
        told["step"] = await rounds.continued(
            call, key="n", payload=1, continues=f"run_{'0' * 32}-{'1' * 32}"
        )
        told["first"] = await rounds.continued(call, key="next", payload=0)
        told["again"] = await rounds.continued(call, key="next", payload=0)
        told["payload"] = await rounds.continued(call, key="next", payload=5)
        return EndpointReply(status=202, headers={"Atomic-Continue-As": told["first"].json["id"]})

    rounds.last.open()
    await runtime.finish(document(runtime.endpoint("/asks", asks)))

    assert_problem(told["itself"], 400, "invalid-request")
    assert_problem(told["other"], 409, "run-exists")
    assert_problem(told["foreign"], 403, "attempt-token-required")
    for name in ("parent", "step"):
        assert_problem(told[name], 400, "invalid-request")
        assert told[name].json["errors"][0]["field"] == "continues"
    assert (told["first"].status, told["again"].json["id"]) == (202, told["first"].json["id"])
    assert_problem(told["payload"], 422, "payload-mismatch")
    late = await rounds.continued(calls[0], key="later", payload=0)
    assert_problem(late, 409, "attempt-over")
    found = await rounds.continued(calls[0], key="next", payload=0)
    assert found.json["id"] == told["first"].json["id"]


async def scenario_a_run_that_goes_on_has_the_limits_of_the_run_before(runtime: Runtime) -> None:
    rounds = Rounds(runtime, "/unused")
    bodies: list[Any] = []

    async def goes_on(call: EndpointCall) -> EndpointReply:
        bodies.append(call.json)
        if call.payload == 2:
            return EndpointReply(json="done")
        own = {"retry": retries(9), "deadline": 50_000} if call.payload else {}
        reply = await rounds.continued(
            call, key=f"n-{call.payload}", payload=call.payload + 1, stepInvokeUrl=url, **own
        )
        return EndpointReply(status=202, headers={"Atomic-Continue-As": reply.json["id"]})

    url = runtime.endpoint("/goes-on", goes_on)
    given = {"retry": retries(3), "attemptTimeout": 7_000, "deadline": 60_000, "onLost": "fail"}
    ids = [(await runtime.finish({**document(url, payload=0), **given})).json["id"]]
    for _ in range(2):
        ids.append((await runtime.step_in(ids[-1], "succeeded"))["continuedAs"])

    last = await runtime.step_in(ids[2], "succeeded")
    second = (await runtime.get(f"/steps/{ids[1]}")).json
    for step, count, deadline in ((second, 3, 60_000), (last, 9, 50_000)):
        assert (step["retry"]["count"], step["deadline"]) == (count, deadline)
        assert (step["attemptTimeout"], step["onLost"]) == (7_000, "fail")
    assert [body.get("continuedFrom") for body in bodies] == [None, *ids[:2]]
