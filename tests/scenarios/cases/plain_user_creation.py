"""The user-creation workflow, call by call: a plain handler without any SDK."""

import asyncio
from typing import Any

from atomic.testing import EndpointCall, EndpointReply
from scenarios.runtime import Runtime, answer_ok, failing_first

RETRY = {"count": 10, "backOff": 20, "jitter": "none", "strategy": "fixed"}


class UserCreation:
    """createUser, then sendEmail and sendAnalytics in parallel; sendAnalytics answers 404 three times."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        base = "/workflows/userCreation"
        self.index = runtime.endpoint(f"{base}/index", self._workflow)
        self.create_user = runtime.endpoint(f"{base}/createUser", answer_ok)
        self.email = runtime.endpoint(f"{base}/sendEmail", answer_ok)
        self.analytics = runtime.endpoint(f"{base}/sendAnalytics", failing_first(3, 404, {"ok": True}))

    def document(self, url: str, key: str, payload: Any) -> dict[str, Any]:
        """The body of the request that starts the user creation."""
        return {
            "workflowName": "createUser",
            "stepInvokeUrl": url,
            "idempotencyKey": key,
            "payload": payload,
            "timeout": 20_000,
            "retry": RETRY,
        }

    async def step(self, url: str, call: EndpointCall) -> Any:
        """As `step` in the original sample: post, and raise unless the step succeeded."""
        key = call.json["idempotencyKey"]
        reply = await self.runtime.start(self.document(url, key, call.payload))
        if reply.status != 200:
            raise RuntimeError(f"{url} answered {reply.status}")
        return reply.json["response"]

    async def _workflow(self, call: EndpointCall) -> EndpointReply:
        await self.step(self.create_user, call)
        await asyncio.gather(self.step(self.email, call), self.step(self.analytics, call))
        return EndpointReply(json={"created": call.payload["userName"]})


async def scenario_the_sequence_diagram(runtime: Runtime) -> None:
    flow = UserCreation(runtime)
    document = flow.document(flow.index, "k-1", {"userName": "ada"})

    reply = await runtime.finish(document)

    assert reply.status == 200, reply.body
    assert reply.json["response"] == {"created": "ada"}
    assert reply.json["status"] == "succeeded"
    assert reply.json["attempts"] == 1
    assert "idempotency-replayed" not in reply.headers
    assert [seen.status for seen in runtime.calls(flow.analytics)] == [404, 404, 404, 200]
    assert [seen.call.attempt for seen in runtime.calls(flow.analytics)] == [1, 2, 3, 4]
    for url in (flow.index, flow.create_user, flow.email):
        assert [seen.status for seen in runtime.calls(url)] == [200]
    [root], [created], [email] = map(runtime.calls, (flow.index, flow.create_user, flow.email))
    assert root.began_s <= created.began_s <= created.ended_s <= email.began_s
    assert email.began_s < runtime.calls(flow.analytics)[-1].ended_s <= root.ended_s
    assert {seen.call.json["idempotencyKey"] for seen in runtime.seen} == {"k-1"}


async def scenario_the_same_post_again_calls_nothing(runtime: Runtime) -> None:
    flow = UserCreation(runtime)
    document = flow.document(flow.index, "k-1", {"userName": "ada"})
    first = await runtime.finish(document)
    calls = len(runtime.seen)

    again = await runtime.finish(document)

    assert again.status == 200
    assert again.body == first.body
    assert again.headers["idempotency-replayed"] == "true"
    assert "idempotency-expires" in again.headers
    assert len(runtime.seen) == calls


async def scenario_the_run_shows_every_step_and_attempt(runtime: Runtime) -> None:
    flow = UserCreation(runtime)
    reply = await runtime.finish(flow.document(flow.index, "k-1", {"userName": "ada"}))

    run = (await runtime.get(f"/runs/{reply.json['runId']}")).json

    assert run["run"]["status"] == "succeeded"
    assert run["root"]["stepInvokeUrl"] == flow.index
    assert run["root"]["payload"] == {"userName": "ada"}
    created = [step["createdAt"] for step in run["steps"]]
    assert created == sorted(created)
    assert {step["stepInvokeUrl"] for step in run["steps"]} == {
        flow.create_user,
        flow.email,
        flow.analytics,
    }
    assert {step["parent"] for step in run["steps"]} == {run["root"]["id"]}
    [analytics] = [step for step in run["steps"] if step["stepInvokeUrl"] == flow.analytics]
    assert [attempt["status"] for attempt in analytics["attemptLog"]] == [404, 404, 404, 200]
    assert analytics["retriesUsed"] == 3


async def scenario_64_simultaneous_first_posts_call_once(runtime: Runtime) -> None:
    flow = UserCreation(runtime)
    document = flow.document(flow.index, "k-1", {"userName": "ada"})

    replies = await asyncio.gather(*(runtime.start(document) for _ in range(64)))

    assert {reply.status for reply in replies} == {200}
    assert len({reply.body for reply in replies}) == 1
    assert len(runtime.calls(flow.index)) == 1
    assert len(runtime.calls(flow.create_user)) == 1


async def scenario_another_payload_is_refused(runtime: Runtime) -> None:
    flow = UserCreation(runtime)
    first = await runtime.finish(flow.document(flow.index, "k-1", {"userName": "ada"}))
    calls = len(runtime.seen)

    other = await runtime.start(flow.document(flow.index, "k-1", {"userName": "bob"}))

    assert other.status == 422
    assert other.headers["content-type"] == "application/problem+json"
    assert other.json["type"] == "urn:atomic:problem:payload-mismatch"
    assert other.json["id"] == first.json["id"]
    assert len(runtime.seen) == calls
    assert (await runtime.start(flow.document(flow.index, "k-1", {"userName": "ada"}))).body == first.body
