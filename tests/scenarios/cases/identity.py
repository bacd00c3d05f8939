"""Identity: equal posts attach, another payload is refused, any different part makes another step."""

import asyncio
import itertools
from typing import Any

from atomic.testing import EndpointCall, EndpointReply
from scenarios.runtime import Handler, Runtime, always, answer_ok
from scenarios.starts import Gate, assert_problem, document

PAYLOAD: dict[str, Any] = {"to": "ada", "cc": ["bob", "eve"], "n": 1, "note": None}
OTHER_PAYLOADS: tuple[Any, ...] = (
    None,
    {},
    PAYLOAD | {"to": "Ada"},
    PAYLOAD | {"cc": ["eve", "bob"]},
    PAYLOAD | {"n": "1"},
    PAYLOAD | {"n": True},
    PAYLOAD | {"n": 1.5},
    {name: value for name, value in PAYLOAD.items() if name != "note"},
    PAYLOAD | {"more": None},
    [PAYLOAD],
)
# Parts that keys joined with separators would confuse.
PARTS = ("a", "a#b", "b", "#", "a%23b", "a:b", "a/b", "a|b", "A")


async def scenario_posts_in_flight_attach_and_get_one_answer(runtime: Runtime) -> None:
    gate = Gate({"sent": True})
    url = runtime.endpoint("/mail", gate)
    first = asyncio.create_task(runtime.start(document(url)))
    await gate.entered.wait()
    others = [asyncio.create_task(runtime.start(document(url))) for _ in range(16)]
    assert (await runtime.start(document(url, timeout=20))).status == 504

    gate.open()
    replies = await asyncio.gather(first, *others)

    assert {reply.status for reply in replies} == {200}
    assert len({reply.body for reply in replies}) == 1
    assert len(runtime.calls(url)) == 1


async def scenario_another_payload_in_flight_is_a_422(runtime: Runtime) -> None:
    gate = Gate({"sent": True})
    url = runtime.endpoint("/mail", gate)
    first = asyncio.create_task(runtime.start(document(url, payload=PAYLOAD)))
    await gate.entered.wait()

    await refuses_other_payloads(runtime, url)

    gate.open()
    assert (await first).json["response"] == {"sent": True}
    assert len(runtime.calls(url)) == 1


async def scenario_another_payload_after_success_is_a_422(runtime: Runtime) -> None:
    url = runtime.endpoint("/mail", answer_ok)
    first = await runtime.start(document(url, payload=PAYLOAD))

    await refuses_other_payloads(runtime, url)

    assert (await runtime.start(document(url, payload=PAYLOAD))).body == first.body
    assert len(runtime.calls(url)) == 1


async def scenario_another_payload_after_failure_is_a_422(runtime: Runtime) -> None:
    url = runtime.endpoint("/mail", always(410))
    first = await runtime.start(document(url, payload=PAYLOAD))

    await refuses_other_payloads(runtime, url)

    again = await runtime.start(document(url, payload=PAYLOAD))
    assert (first.status, again.body) == (424, first.body)
    assert len(runtime.calls(url)) == 1


async def scenario_the_key_may_come_as_a_header(runtime: Runtime) -> None:
    url = runtime.endpoint("/mail", answer_ok)
    without = {name: value for name, value in document(url).items() if name != "idempotencyKey"}

    first = await runtime.start(without, Idempotency_Key="k-1")
    same = [
        await runtime.start(without, Idempotency_Key='"k-1"'),
        await runtime.start(document(url), Idempotency_Key="k-1"),
        await runtime.start(document(url), Idempotency_Key='"k-1"'),
        await runtime.start(document(url)),
    ]

    assert (first.status, first.json["idempotencyKey"]) == (200, "k-1")
    assert {reply.body for reply in same} == {first.body}
    [seen] = runtime.calls(url)
    assert (seen.call.json["idempotencyKey"], seen.call.headers["idempotency-key"]) == ("k-1", "k-1")


async def scenario_each_part_of_the_identity_counts(runtime: Runtime) -> None:
    url, other = runtime.endpoint("/mail", answer_ok), runtime.endpoint("/other", answer_ok)
    documents = [
        document(url),
        document(url, key="k-2"),
        document(other),
        document(url, workflowName="W"),
        document(url, stepName="w"),
        document(url, stepName="k-1"),
    ]

    replies = [await runtime.start(each | {"payload": position}) for position, each in enumerate(documents)]

    assert {reply.status for reply in replies} == {200}
    assert len({reply.json["id"] for reply in replies}) == len(documents)
    runs = [reply.json["runId"] for reply in replies]
    assert runs[0] == runs[2] == runs[4] == runs[5]
    assert len(set(runs)) == 3
    assert (len(runtime.calls(url)), len(runtime.calls(other))) == (5, 1)


async def scenario_joined_names_do_not_collide(runtime: Runtime) -> None:
    url = runtime.endpoint("/mail", answer_ok)
    ways = [*itertools.product(PARTS, ("",), PARTS), *itertools.product(("a",), PARTS, ("b", "#", "b#a"))]

    ids, runs = set(), {}
    for workflow, step_name, key in ways:
        named = {"stepName": step_name} if step_name else {}
        reply = await runtime.start(document(url, key=key, workflowName=workflow, **named))
        assert reply.status == 200
        ids.add(reply.json["id"])
        runs[workflow, key] = reply.json["runId"]

    assert len(ids) == len(ways)
    assert len(set(runs.values())) == len(runs)


async def scenario_handlers_that_name_themselves_share_no_step(runtime: Runtime) -> None:
    """Two child workflows and their parent call the same URL with the same key.

    These are three steps, with three keys.
    """
    charge = runtime.endpoint("/charge", lambda call: answer(call.json["payload"]))

    def charging(name: str, *below: str) -> Handler:
        async def handler(call: EndpointCall) -> EndpointReply:
            return EndpointReply(json=[await post(runtime, call, url, name) for url in (charge, *below)])

        return handler

    children = [runtime.endpoint(f"/child/{name}", charging(name)) for name in ("a", "b")]
    root = runtime.endpoint("/root", charging("root", *children))

    reply = await runtime.finish(document(root))

    assert reply.json["response"] == ["root", ["a"], ["b"]]
    sent = [seen.call.json["idempotencyKey"] for seen in runtime.calls(charge)]
    assert [seen.call.headers["idempotency-key"] for seen in runtime.calls(charge)] == sent
    assert (sent[0], len(set(sent))) == ("k-1", 3)
    assert all(key.startswith("k-1-") for key in sent[1:])
    run = (await runtime.get(f"/runs/{reply.json['runId']}")).json
    charges = [step for step in run["steps"] if step["stepInvokeUrl"] == charge]
    assert {step["idempotencyKey"] for step in charges} == {"k-1"}
    assert {step["endpointKey"] for step in charges} == set(sent)
    assert len({step["parent"] for step in charges}) == 3


async def scenario_a_workflow_may_call_itself(runtime: Runtime) -> None:
    async def countdown(call: EndpointCall) -> EndpointReply:
        left = call.json["payload"]
        below = await post(runtime, call, root, left - 1) if left else []
        return EndpointReply(json=[left, *below])

    root = runtime.endpoint("/countdown", countdown)

    reply = await runtime.finish(document(root, payload=3))

    assert reply.json["response"] == [3, 2, 1, 0]
    keys = [seen.call.json["idempotencyKey"] for seen in runtime.calls(root)]
    assert (len(keys), len(set(keys)), min(keys)) == (4, 4, "k-1")


async def scenario_a_step_of_the_root_is_the_same_with_and_without_its_parent(runtime: Runtime) -> None:
    url = runtime.endpoint("/mail", answer_ok)
    root = await runtime.start(document(runtime.endpoint("/root", answer_ok)))

    named = await runtime.start(document(url, parent=root.json["id"]))
    unnamed = await runtime.start(document(url))

    assert named.body == unnamed.body
    assert named.json["parent"] == root.json["id"]
    assert len(runtime.calls(url)) == 1


async def scenario_names_that_endpoints_are_not_sent_make_keys_of_their_own(runtime: Runtime) -> None:
    url = runtime.endpoint("/mail", answer_ok)
    root = await runtime.start(document(runtime.endpoint("/root", answer_ok)))
    ways: list[dict[str, Any]] = [{}, {"stepName": "a"}, {"stepName": "b"}, {"workflowName": "W"}]

    for way in ways:
        assert (await runtime.start(document(url, parent=root.json["id"], **way))).status == 200

    sent = [seen.call.json["idempotencyKey"] for seen in runtime.calls(url)]
    assert (sent[0], len(set(sent))) == ("k-1", len(ways))


async def answer(value: Any) -> EndpointReply:
    """An endpoint's answer."""
    return EndpointReply(json=value)


async def post(runtime: Runtime, call: EndpointCall, url: str, payload: Any) -> Any:
    """Post a step of the called handler, under the handler's own key."""
    key, parent = call.json["idempotencyKey"], call.json["stepId"]
    reply = await runtime.finish(document(url, key=key, parent=parent, payload=payload))
    return reply.json["response"]


async def refuses_other_payloads(runtime: Runtime, url: str) -> None:
    """Posting the identity with `PAYLOAD` again is no 422; any other payload is."""
    same = await runtime.start(document(url, payload=PAYLOAD), Prefer="respond-async")
    for payload in OTHER_PAYLOADS:
        reply = await runtime.start(document(url, payload=payload))
        assert_problem(reply, 422, "payload-mismatch")
        assert reply.json["id"] == same.json["id"]
        assert reply.json["fingerprint"] != reply.json["firstFingerprint"]
    after = await runtime.start(document(url, payload=PAYLOAD), Prefer="respond-async")
    assert (same.status, same.body) == (after.status, after.body)


async def scenario_a_mismatch_names_the_step_and_the_first_difference(runtime: Runtime) -> None:
    url = runtime.endpoint("/mail", answer_ok)
    first = {"to": "ada", "items": [{"price": 5, "name": "cup"}], "note": "x" * 100}
    others: list[tuple[Any, str, str]] = [
        ({**first, "items": [{"price": 6, "name": "cup"}]}, "payload.items[0].price", "was 5 and is 6 now"),
        ({**first, "items": []}, "payload.items[0]", 'was {"name": "cup", "price": 5} and is absent now'),
        ({**first, "at": None}, "payload.at", "was absent and is null now"),
        ({**first, "note": "y" * 100}, "payload.note", f'was "{"x" * 38}… and is "{"y" * 38}… now'),
        ([], "payload", "and is [] now"),
    ]
    await runtime.start(document(url, payload=first))
    for payload, path, words in others:
        reply = await runtime.start(document(url, payload=payload))
        assert_problem(reply, 422, "payload-mismatch")
        assert reply.json["detail"].startswith(f"{url} was posted before with another payload: {path} was ")
        assert words in reply.json["detail"]
        assert (reply.json["difference"], reply.json["stepInvokeUrl"]) == (path, url)

    await runtime.start(document(url, payload=1, stepName="by-name", key="k-2"))
    named = await runtime.start(document(url, payload=True, stepName="by-name", key="k-2"))

    assert named.json["detail"].startswith(
        "by-name was posted before with another payload: payload was 1 and"
    )
