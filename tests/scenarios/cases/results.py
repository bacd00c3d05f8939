"""Results: a handler that is called again reads all of its steps in one request."""

import asyncio
import json
from typing import Any

from atomic.protocol import keys, strict_json
from atomic.testing import ApiReply, EndpointCall, EndpointReply
from scenarios.cases.values import value
from scenarios.runtime import Runtime, always, answer_ok
from scenarios.starts import Gate, assert_problem, document

NOBODYS = keys.step_id("run_" + "f" * 32, keys.ROOT)


async def called(runtime: Runtime, path: str = "/w", **members: Any) -> EndpointCall:
    """The call of a handler that has succeeded, with its token: its step is there to name as parent."""
    url = runtime.endpoint(path, answer_ok)
    assert (await runtime.finish(document(url, **members))).status == 200
    return runtime.calls(url)[-1].call


async def results(runtime: Runtime, call: EndpointCall, query: str = "", **changed: str) -> ApiReply:
    """What the handler of the call is told of its steps."""
    parent = changed.get("parent", call.json["stepId"])
    run_id = changed.get("run", keys.run_of(call.json["stepId"]))
    token = changed.get("token", call.headers["atomic-attempt-token"])
    return await runtime.request(
        "GET",
        f"/{runtime.client}/runs/{run_id}/results?parent={parent}{query}",
        headers={"Atomic-Attempt-Token": token},
    )


async def every_page(runtime: Runtime, call: EndpointCall, limit: int) -> list[list[dict[str, Any]]]:
    """All pages of this length."""
    pages, after = [], ""
    while after is not None:
        page = (await results(runtime, call, f"&limit={limit}" + (f"&after={after}" if after else ""))).json
        pages.append(page["steps"])
        after = page["next"]
    return pages


async def scenario_results_are_what_posts_of_the_steps_answer(runtime: Runtime) -> None:
    async def odd(call: EndpointCall) -> EndpointReply:
        return EndpointReply(status=203, body=b"\xff\x00", headers={"Content-Type": "image/x"})

    call = await called(runtime)
    parent = call.json["stepId"]
    gate = Gate()
    plain = document(runtime.endpoint("/json", always(201, {"n": [1, "ä"]})), parent=parent)
    base64 = document(runtime.endpoint("/odd", odd), parent=parent, stepName="odd")
    text = document(runtime.endpoint("/text", always(200)), parent=parent, payload={"a": 1})
    posts = [plain, base64, text, value(parent, {"v": 17})]
    answers = [await runtime.post("/steps", post) for post in posts]
    # A handler that knows nothing of parents posts under the run's name and key.
    posts.append(document(runtime.endpoint("/naive", always(200, "naive"))))
    answers.append(await runtime.start(posts[-1]))
    failing = document(runtime.endpoint("/no", always(410)), parent=parent)
    failed = await runtime.post("/steps", failing)
    live = document(runtime.endpoint("/slow", gate), parent=parent, timeout=1)
    unfinished = await runtime.post("/steps", live)

    reply = await results(runtime, call)

    assert (reply.status, reply.json["parent"], reply.json["next"]) == (200, parent, None)
    steps = {step["id"]: step for step in reply.json["steps"]}
    assert list(steps) == sorted(steps)
    assert steps.keys() == {answer.json["id"] for answer in (*answers, failed, unfinished)}
    for post, answer in zip(posts, answers, strict=True):
        shown = steps[answer.json["id"]]
        assert shown.pop("fingerprint") == fingerprint(post)
        assert shown.items() <= answer.json.items()
        members = {"id", "kind", "status", "finishedAt", "response", "responseStatus"}
        members |= {"stepName"} if "stepName" in post else set()
        assert shown.keys() - {"responseEncoding", "responseContentType"} == members
        assert shown.get("responseEncoding") == answer.json.get("responseEncoding")
        assert shown.get("responseContentType") == answer.json.get("responseContentType")
    for answer, post, statuses in (
        (failed, failing, {"failed"}),
        (unfinished, live, {"running", "pending"}),
    ):
        shown = steps[answer.json["id"]]
        assert shown == {
            "id": answer.json["id"],
            "kind": "http",
            "status": shown["status"],
            "fingerprint": fingerprint(post),
        }
        assert shown["status"] in statuses
    gate.open()


def fingerprint(post: dict[str, Any]) -> str:
    """The fingerprint of what is posted."""
    return strict_json.fingerprint(strict_json.canonical_json(post.get("payload")))


async def scenario_a_handler_reads_its_own_steps_when_it_is_called_again(runtime: Runtime) -> None:
    leaf = runtime.endpoint("/leaf", answer_ok)
    told: list[Any] = []

    async def workflow(call: EndpointCall) -> EndpointReply:
        found = (await results(runtime, call)).json["steps"]
        told.append([(step["status"], step.get("response")) for step in found])
        step = document(leaf, parent=call.json["stepId"])
        headers = {"Atomic-Attempt-Token": call.headers["atomic-attempt-token"]}
        again = await runtime.request(
            "POST", f"/{runtime.client}/steps", body=body_of(step), headers=headers
        )
        assert (again.status, again.json["response"]) == (200, {"ok": True})
        assert ("idempotency-replayed" in again.headers) is (call.attempt > 1)
        return EndpointReply(status=200 if call.attempt > 2 else 500)

    reply = await runtime.finish(document(runtime.endpoint("/w", workflow)))

    assert (reply.status, reply.json["attempts"]) == (200, 3)
    assert told == [[], [("succeeded", {"ok": True})], [("succeeded", {"ok": True})]]
    assert len(runtime.calls(leaf)) == 1


def body_of(post: dict[str, Any]) -> bytes:
    """The body of a post."""
    return json.dumps(post).encode()


async def scenario_results_come_in_pages_without_gap_or_overlap(runtime: Runtime) -> None:
    call = await called(runtime)
    parent = call.json["stepId"]
    posted = [(await runtime.post("/steps", value(parent, n, f"v{n}"))).json["id"] for n in range(7)]

    for limit in (1, 3, 7, 1000):
        pages = await every_page(runtime, call, limit)
        assert [step["id"] for page in pages for step in page] == sorted(posted)
        assert [len(page) for page in pages[:-1]] == [limit] * (len(pages) - 1)
    # A cursor is a position, whether a step stands there or not.
    first, *_, last = sorted(posted)
    assert len((await results(runtime, call, f"&after={first}")).json["steps"]) == 6
    assert (await results(runtime, call, f"&after={last}")).json["steps"] == []


async def scenario_a_page_of_results_has_two_megabytes_at_most(runtime: Runtime) -> None:
    call = await called(runtime)
    parent = call.json["stepId"]
    text = "x" * 250_000
    posts = [await runtime.post("/steps", value(parent, f"{text}{n}", f"v{n}")) for n in range(9)]
    assert [post.status for post in posts] == [200] * 9

    pages = await every_page(runtime, call, 1000)

    assert [len(page) for page in pages] == [7, 2]
    assert {step["response"][250_000:] for page in pages for step in page} == set("012345678")


async def scenario_results_of_a_nested_handler_are_its_own(runtime: Runtime) -> None:
    root = await called(runtime)
    nested_url = runtime.endpoint("/nested", answer_ok)
    nested = await runtime.post("/steps", document(nested_url, parent=root.json["stepId"]))
    nested_call = runtime.calls(nested_url)[-1].call
    below = await runtime.post("/steps", value(nested.json["id"], "below"))

    for reply in (
        await results(runtime, nested_call),
        # The root's handler may ask for any handler of its run.
        await results(runtime, root, parent=nested.json["id"]),
    ):
        assert [step["id"] for step in reply.json["steps"]] == [below.json["id"]]
    assert [step["id"] for step in (await results(runtime, root)).json["steps"]] == [nested.json["id"]]
    foreign = await results(runtime, nested_call, parent=root.json["stepId"])
    assert_problem(foreign, 403, "attempt-token-required")


async def scenario_one_result_is_read_by_its_id(runtime: Runtime) -> None:
    call = await called(runtime)
    parent = call.json["stepId"]
    one = await runtime.post("/steps", value(parent, "one", "one"))
    await runtime.post("/steps", value(parent, "two", "two"))

    found = (await results(runtime, call, f"&id={one.json['id']}")).json
    unknown = keys.step_id(keys.run_of(parent), "0" * 32)
    other = await runtime.post("/steps", value(one.json["id"], "below", "below"))

    assert [(step["id"], step["response"]) for step in found["steps"]] == [(one.json["id"], "one")]
    assert found["next"] is None
    for step_id in (unknown, parent, other.json["id"]):
        assert (await results(runtime, call, f"&id={step_id}")).json["steps"] == []


async def scenario_results_are_for_attempts_of_their_run_only(runtime: Runtime) -> None:
    call = await called(runtime)
    other = await called(runtime, "/other", idempotencyKey="k-2")
    token = call.headers["atomic-attempt-token"]
    number, _, mac = token.partition(".")

    wrong = ["", "x", mac, f"{int(number) + 1}.{mac}", f"{number}.{'0' * 32}", token[:-1]]
    wrong.append(other.headers["atomic-attempt-token"])
    for each in wrong:
        reply = await results(runtime, call, token=each)
        assert_problem(reply, 403, "attempt-token-required")
        assert reply.json["detail"].startswith("Atomic-Attempt-Token: ")
    without = await runtime.get(
        f"/runs/{keys.run_of(call.json['stepId'])}/results?parent={call.json['stepId']}"
    )
    assert_problem(without, 403, "attempt-token-required")
    assert (await results(runtime, call)).status == 200


async def scenario_what_is_wrong_with_a_question_for_results_is_named(runtime: Runtime) -> None:
    call = await called(runtime)
    other = await called(runtime, "/other", idempotencyKey="k-2")
    run_id, strange = keys.run_of(call.json["stepId"]), other.json["stepId"]
    below = keys.step_id(run_id, "0" * 32)

    for query, field in (
        ("&after=x", "after"),
        (f"&after={below}", "after"),
        (f"&after={strange}", "after"),
        ("&id=x", "id"),
        (f"&id={strange}", "id"),
        (f"&id={below}&after={keys.children_range(call.json['stepId'])[0]}{'0' * 24}", "after"),
        ("&limit=0", "limit"),
        ("&limit=1001", "limit"),
        ("&page=2", "page"),
    ):
        reply = await results(runtime, call, query)
        assert_problem(reply, 400, "invalid-request")
        assert [error["field"] for error in reply.json["errors"]] == [field], query
    for parent in ("x", strange):
        reply = await results(runtime, call, parent=parent)
        assert_problem(reply, 400, "invalid-request")
        assert [error["field"] for error in reply.json["errors"]] == ["parent"]
    missing = await runtime.request(
        "GET",
        f"/{runtime.client}/runs/{run_id}/results",
        headers={"Atomic-Attempt-Token": call.headers["atomic-attempt-token"]},
    )
    assert [error["field"] for error in missing.json["errors"]] == ["parent"]
    for run in (keys.run_of(NOBODYS), "x"):
        assert_problem(await results(runtime, call, run=run, parent=NOBODYS), 404, "not-found")


async def scenario_a_post_of_a_later_attempt_finds_what_is_there(runtime: Runtime) -> None:
    gate = Gate("done")
    slow, leaf = runtime.endpoint("/slow", gate), runtime.endpoint("/leaf", answer_ok)
    seen: list[tuple[int, list[int]]] = []

    async def workflow(call: EndpointCall) -> EndpointReply:
        parent = call.json["stepId"]
        posts = [
            document(leaf, parent=parent, payload=1),
            # What another attempt has posted is found, and is compared with this.
            document(leaf, parent=parent, payload=call.attempt),
            document(slow, parent=parent, timeout=1),
            document(leaf, parent=parent, stepName=f"new in {call.attempt}"),
            value(parent, call.attempt, "number"),
        ]
        headers = {"Atomic-Attempt-Token": call.headers["atomic-attempt-token"]}
        target = f"/{runtime.client}/steps"
        replies = [
            await runtime.request("POST", target, body=body_of(post), headers=headers) for post in posts
        ]
        assert replies[-1].json["response"] == 1
        seen.append((call.attempt, [reply.status for reply in replies]))
        gate.open()
        unfinished = any(reply.status == 504 for reply in replies)
        return EndpointReply(status=500 if unfinished or call.attempt < 3 else 200)

    reply = await runtime.finish(document(runtime.endpoint("/w", workflow)))

    assert reply.status == 200, seen
    assert seen[0] == (1, [200, 200, 504, 200, 200])
    assert {tuple(statuses) for _, statuses in seen[1:]} <= {
        (200, 422, 200, 200, 200),
        (200, 422, 504, 200, 200),
    }
    assert len(runtime.calls(slow)) == 1
    assert len(runtime.calls(leaf)) == 1 + len(seen)


async def scenario_a_later_attempt_of_a_cancelled_run_posts_nothing(runtime: Runtime) -> None:
    leaf, gate = runtime.endpoint("/leaf", answer_ok), Gate()
    replies: list[ApiReply] = []

    async def workflow(call: EndpointCall) -> EndpointReply:
        if call.attempt == 1:
            step = document(leaf, parent=call.json["stepId"])
            assert (await runtime.post("/steps", step)).status == 200
            return EndpointReply(status=500)
        await gate(call)
        headers = {"Atomic-Attempt-Token": call.headers["atomic-attempt-token"]}
        for name in ("", "new"):
            step = document(leaf, parent=call.json["stepId"], **({"stepName": name} if name else {}))
            target = f"/{runtime.client}/steps"
            replies.append(await runtime.request("POST", target, body=body_of(step), headers=headers))
        return EndpointReply()

    started = await runtime.start(document(runtime.endpoint("/w", workflow)), Prefer="respond-async")
    await asyncio.wait_for(gate.entered.wait(), 20)
    await runtime.post(f"/runs/{started.json['runId']}/cancel")
    gate.open()

    async def both() -> bool:
        return len(replies) == 2

    await runtime.until(both)
    for reply in replies:
        assert_problem(reply, 409, "cancelled")
    assert len(runtime.calls(leaf)) == 1
