"""Values, small results that a handler remembers as steps; and the path that handlers post to."""

from typing import Any

from atomic.testing import ApiReply, EndpointCall, EndpointReply
from scenarios.runtime import Runtime, answer_ok
from scenarios.starts import assert_problem, document, moment


def value(parent: str, payload: Any, name: str = "now", **members: Any) -> dict[str, Any]:
    """The post of a value."""
    return {
        "kind": "value",
        "workflowName": "w",
        "idempotencyKey": "k-1",
        "stepName": name,
        "parent": parent,
        "payload": payload,
        **members,
    }


async def a_parent(runtime: Runtime) -> str:
    """A step that has succeeded, for others to name."""
    reply = await runtime.finish(document(runtime.endpoint("/parent", answer_ok)))
    step_id: str = reply.json["id"]
    return step_id


async def scenario_a_value_has_succeeded_when_it_is_posted(runtime: Runtime) -> None:
    parent = await a_parent(runtime)

    reply = await runtime.post("/steps", value(parent, {"at": [17, "x"]}))

    step = reply.json
    assert (reply.status, step["kind"], step["status"]) == (200, "value", "succeeded")
    assert "idempotency-replayed" not in reply.headers
    assert moment(reply.headers["idempotency-expires"]) > moment(step["finishedAt"])
    assert (step["parent"], step["stepName"], step["stepInvokeUrl"]) == (parent, "now", None)
    assert (step["response"], step["responseStatus"], step["attempts"]) == ({"at": [17, "x"]}, None, 0)
    assert (step["dueAt"], step["error"], step["createdAt"]) == (None, None, step["finishedAt"])
    stored = (await runtime.get(f"/steps/{step['id']}")).json
    assert (stored["response"], stored["payload"], stored["attemptLog"]) == ({"at": [17, "x"]}, None, [])
    assert [each["id"] for each in (await runtime.get(f"/runs/{step['runId']}")).json["steps"]] == [
        step["id"]
    ]


async def scenario_the_first_value_of_an_identity_is_it(runtime: Runtime) -> None:
    parent = await a_parent(runtime)
    first = await runtime.post("/steps", value(parent, "first"))

    later = [await runtime.post("/steps", value(parent, payload)) for payload in ("other", "first", None)]
    # A handler's post finds it at the path of starts, too.
    later.append(await runtime.start(value(parent, 17), Prefer="respond-async"))

    assert [(reply.status, reply.body) for reply in later] == [(200, first.body)] * 4
    assert {reply.headers["idempotency-replayed"] for reply in later} == {"true"}
    elsewhere = await runtime.post("/steps", value(parent, "other", name="later"))
    assert (elsewhere.json["response"], elsewhere.json["id"] != first.json["id"]) == ("other", True)


async def scenario_a_value_may_be_as_large_as_a_payload(runtime: Runtime) -> None:
    parent = await a_parent(runtime)
    text = "€" * ((2 * 1024 * 1024 - 2) // 3)

    reply = await runtime.post("/steps", value(parent, text))

    assert (reply.status, reply.json["response"]) == (200, text)
    again = await runtime.post("/steps", value(parent, text))
    assert (again.status, again.body) == (200, reply.body)
    assert_problem(await runtime.post("/steps", value(parent, text + "x", name="more")), 413, "too-large")


async def scenario_what_a_value_may_not_have_is_refused_by_name(runtime: Runtime) -> None:
    parent = await a_parent(runtime)
    good = value(parent, 1)
    wrong: list[tuple[dict[str, Any], str]] = [
        ({**good, "stepInvokeUrl": "https://app.example/"}, "stepInvokeUrl"),
        ({**good, "retry": {}}, "retry"),
        ({**good, "timeout": 1}, "timeout"),
        ({**good, "deadline": 1}, "deadline"),
        ({**good, "delay": 0}, "delay"),
        ({**good, "attemptTimeout": 1}, "attemptTimeout"),
        ({name: member for name, member in good.items() if name != "parent"}, "parent"),
        ({name: member for name, member in good.items() if name != "stepName"}, "stepName"),
    ]
    for body, field in wrong:
        for target in ("", "/steps"):
            reply = await runtime.post(target, body)
            assert_problem(reply, 400, "invalid-request")
            assert [error["field"] for error in reply.json["errors"]] == [field], reply.json
    run_id = parent.rpartition("-")[0]
    assert (await runtime.get(f"/runs/{run_id}")).json["steps"] == []
    nobodys = f"run_{'0' * 32}-root"
    assert_problem(await runtime.post("/steps", value(nobodys, 1)), 404, "not-found")
    probed = await runtime.post("/probe", good)
    assert_problem(probed, 400, "invalid-request")


async def scenario_a_cancelled_run_takes_no_values(runtime: Runtime) -> None:
    started = await runtime.start(document(runtime.endpoint("/w", answer_ok), delay=60_000, timeout=1))
    before = await runtime.post("/steps", value(started.json["id"], "kept", name="before"))
    assert before.status == 200

    await runtime.post(f"/runs/{started.json['runId']}/cancel")

    for name in ("before", "after"):
        assert_problem(await runtime.post("/steps", value(started.json["id"], 1, name)), 409, "cancelled")
    kept = (await runtime.get(f"/steps/{before.json['id']}")).json
    assert (kept["status"], kept["response"]) == ("succeeded", "kept")


async def scenario_handlers_post_their_steps_to_a_path_of_their_own(runtime: Runtime) -> None:
    leaf = runtime.endpoint("/leaf", answer_ok)
    replies: list[ApiReply] = []

    async def workflow(call: EndpointCall) -> EndpointReply:
        step_id = call.headers["atomic-step-id"]
        step = document(leaf, parent=step_id)
        # Where the server knows its own address, each call says where steps are posted.
        told = call.headers.get("atomic-steps-url", f"/{runtime.client}/steps")
        assert told.endswith(f"/{runtime.client}/steps")
        replies.append(await runtime.post("/steps", step))
        replies.append(await runtime.start(step))
        return EndpointReply(json=replies[0].json["response"])

    reply = await runtime.start(document(runtime.endpoint("/w", workflow)))

    first, again = replies
    assert (reply.status, reply.json["response"]) == (200, {"ok": True})
    assert (first.status, again.body) == (200, first.body)
    assert (first.json["parent"], first.json["runId"]) == (reply.json["id"], reply.json["runId"])


async def scenario_a_step_that_is_posted_as_one_names_its_parent(runtime: Runtime) -> None:
    reply = await runtime.post("/steps", document(runtime.endpoint("/leaf", answer_ok)))

    assert_problem(reply, 400, "invalid-request")
    [error] = reply.json["errors"]
    assert error["field"] == "parent"
    assert "Atomic-Step-Id" in error["message"]
    assert (await runtime.get("/runs")).json["runs"] == []
    other = await runtime.request("GET", f"/{runtime.client}/steps")
    assert_problem(other, 405, "method-not-allowed")


async def scenario_each_attempt_is_given_a_token_of_its_own(runtime: Runtime) -> None:
    seen: list[EndpointCall] = []

    async def flaky(call: EndpointCall) -> EndpointReply:
        seen.append(call)
        return EndpointReply(status=200 if call.attempt > 1 else 500)

    step = document(runtime.endpoint("/flaky", flaky))
    assert (await runtime.start(step)).status == 200
    assert (await runtime.post("/probe", step)).status == 200
    await runtime.start({**step, "idempotencyKey": "k-2"})

    tokens = [call.headers.get("atomic-attempt-token") for call in seen]
    # A probe is no attempt: a step of the same identity may be there.
    assert [token and token.partition(".")[0] for token in tokens] == ["1", "2", None, "1", "2"]
    given = [token for token in tokens if token]
    assert len(set(given)) == len(given)
    assert {len(token) for token in given} == {34}


async def scenario_health_says_what_the_server_can_do(runtime: Runtime) -> None:
    health = (await runtime.request("GET", "/health")).json
    assert health["status"] == "ok"
    assert {"attempt-token", "steps", "value"} <= set(health["features"])
