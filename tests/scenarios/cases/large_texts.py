"""Payloads and answers of 2 MiB, wherever they go: they are stored apart from the rows that name them."""

import random
import string
from typing import Any

from atomic.protocol.constants import PAYLOAD_MAX_BYTES
from atomic.testing import EndpointCall, EndpointReply
from scenarios.runtime import Runtime, answer_ok, failing_first
from scenarios.starts import document

RETRY = {"count": 2, "backOff": 10, "strategy": "fixed", "jitter": "none"}
# What makes a document too long to show it.
SHOWN_BYTES = 256 * 1024


def text_of(size: int, seed: int = 0) -> str:
    """A text whose JSON has this size, and which nothing makes much smaller."""
    return "".join(random.Random(seed).choices(string.ascii_letters + string.digits, k=size - 2))


LARGEST = text_of(PAYLOAD_MAX_BYTES)
ANSWER = text_of(PAYLOAD_MAX_BYTES, seed=1)


async def answer_large(call: EndpointCall) -> EndpointReply:
    del call
    return EndpointReply(json=ANSWER)


async def scenario_the_largest_payload_and_answer_go_through_a_retry(runtime: Runtime) -> None:
    failed: list[Any] = []

    async def once_more(call: EndpointCall) -> EndpointReply:
        failed.append(call.payload)
        return EndpointReply(status=503, json=ANSWER) if len(failed) == 1 else EndpointReply(json=ANSWER)

    url = runtime.endpoint("/large", once_more)
    wanted = document(url, payload=LARGEST, retry=RETRY)

    reply = await runtime.finish(wanted)
    again = await runtime.start(wanted)

    assert failed == [LARGEST, LARGEST]
    for told in (reply, again):
        assert (told.status, told.json["response"]) == (200, ANSWER)
    assert again.headers["idempotency-replayed"] == "true"
    other = await runtime.start(document(url, payload=LARGEST[1:], retry=RETRY))
    assert (other.status, len(failed)) == (422, 2)


async def scenario_a_redrive_calls_with_the_largest_payload_again(runtime: Runtime) -> None:
    seen: list[Any] = []

    async def mended(call: EndpointCall) -> EndpointReply:
        seen.append(call.payload)
        return EndpointReply(status=410, json=ANSWER) if len(seen) == 1 else EndpointReply(json=ANSWER)

    wanted = document(runtime.endpoint("/mended", mended), payload=LARGEST)
    failed = await runtime.start(wanted)
    assert (failed.status, failed.json["response"]) == (424, ANSWER)

    await runtime.post(f"/steps/{failed.json['id']}/redrive", {})
    reply = await runtime.finish(wanted)

    assert reply.json["response"] == ANSWER
    assert seen == [LARGEST, LARGEST]


async def scenario_a_nested_workflow_passes_large_texts_on(runtime: Runtime) -> None:
    leaf = runtime.endpoint("/leaf", answer_large)

    async def middle(call: EndpointCall) -> EndpointReply:
        step = document(leaf, payload=call.payload, parent=call.json["stepId"])
        reply = await runtime.post("/steps", step)
        return EndpointReply(status=reply.status, json=reply.json.get("response"))

    url = runtime.endpoint("/middle", middle)

    async def outer(call: EndpointCall) -> EndpointReply:
        step = document(url, payload=call.payload, parent=call.json["stepId"], retry=RETRY)
        reply = await runtime.post("/steps", step)
        return EndpointReply(status=reply.status, json=reply.json.get("response"))

    wanted = document(runtime.endpoint("/outer", outer), payload=LARGEST, retry=RETRY)
    reply = await runtime.finish(wanted)

    assert reply.json["response"] == ANSWER
    assert {seen.call.payload for seen in runtime.calls(leaf)} == {LARGEST}


async def scenario_a_handler_reads_large_results_page_by_page(runtime: Runtime) -> None:
    url = runtime.endpoint("/handler", answer_ok)
    await runtime.start(document(url))
    call = runtime.calls(url)[-1].call
    parent = call.json["stepId"]
    texts = [text_of(PAYLOAD_MAX_BYTES, seed) for seed in range(3)]
    for number, text in enumerate(texts):
        value = {"kind": "value", "stepName": f"v{number}", "parent": parent, "payload": text}
        told = await runtime.post("/steps", {"workflowName": "w", "idempotencyKey": "k", **value})
        assert (told.status, told.json["response"]) == (200, text)
    token = {"Atomic-Attempt-Token": call.headers["atomic-attempt-token"]}

    pages, after = [], ""
    while after is not None:
        path = f"/{runtime.client}/runs/{call.json['runId']}/results?parent={parent}{after}"
        page = await runtime.request("GET", path, headers=token)
        pages.append(page.json["steps"])
        after = page.json["next"] and f"&after={page.json['next']}"

    assert [len(page) for page in pages] == [1, 1, 1]
    assert {step["response"] for page in pages for step in page} == set(texts)


async def scenario_an_event_has_a_large_result(runtime: Runtime) -> None:
    event = {"workflowName": "w", "idempotencyKey": "k", "kind": "event", "stepName": "mail"}
    opened = await runtime.start(event, Prefer="respond-async")
    assert opened.status == 202

    for _ in range(2):
        told = await runtime.post(f"/steps/{opened.json['id']}/result", ANSWER)
        assert (told.status, told.json["response"]) == (200, ANSWER)
    other = await runtime.post(f"/steps/{opened.json['id']}/result", LARGEST)
    early = {"workflowName": "w", "idempotencyKey": "k", "name": "early", "result": LARGEST}
    posts = [await runtime.post("/events", early) for _ in range(2)]

    assert other.status == 409
    assert [post.json["was"] for post in posts] == ["early", "done"]
    assert (await runtime.start(event)).json["response"] == ANSWER
    assert (await runtime.start({**event, "stepName": "early"})).json["response"] == LARGEST


async def scenario_a_child_run_takes_and_gives_large_texts(runtime: Runtime) -> None:
    child = runtime.endpoint("/child", answer_large)
    link = {
        "kind": "run",
        "workflowName": "w",
        "idempotencyKey": "k",
        "stepInvokeUrl": child,
        "run": {"workflowName": "child", "idempotencyKey": "c"},
        "payload": LARGEST,
    }

    async def parent(call: EndpointCall) -> EndpointReply:
        reply = await runtime.post("/steps", {**link, "parent": call.json["stepId"]})
        return EndpointReply(status=reply.status, json=reply.json.get("response"))

    reply = await runtime.finish(document(runtime.endpoint("/parent", parent), retry=RETRY))

    assert reply.json["response"] == ANSWER
    assert {seen.call.payload for seen in runtime.calls(child)} == {LARGEST}


async def scenario_a_document_shows_no_payload_that_is_too_long_and_says_how_long(runtime: Runtime) -> None:
    url = runtime.endpoint("/large", answer_large)
    for size in (SHOWN_BYTES, SHOWN_BYTES + 1):
        payload = text_of(size)
        run = (await runtime.finish(document(url, key=f"k{size}", payload=payload))).json

        step = (await runtime.get(f"/steps/{run['id']}")).json
        page = (await runtime.get(f"/runs/{run['runId']}")).json
        alone = await runtime.get(f"/steps/{run['id']}/payload")

        assert alone.json == payload
        assert alone.headers["content-type"] == "application/json"
        assert step["response"] == ANSWER
        for shown in (step, page["root"]):
            if size == SHOWN_BYTES:
                assert shown["payload"] == payload
                assert "payloadBytes" not in shown
            else:
                assert (shown["payload"], shown["payloadBytes"]) == (None, size)


async def scenario_a_page_of_a_run_has_the_size_of_a_long_answer_in_its_place(runtime: Runtime) -> None:
    url = runtime.endpoint("/large", answer_large)

    async def workflow(call: EndpointCall) -> EndpointReply:
        for number in range(5):
            step = document(url, parent=call.json["stepId"], stepName=f"s{number}")
            assert (await runtime.post("/steps", step)).status == 200
        return EndpointReply(json="done")

    root = await runtime.finish(document(runtime.endpoint("/workflow", workflow)))

    page = (await runtime.get(f"/runs/{root.json['runId']}")).json
    assert page["next"] is None
    assert [(s["response"], s["responseBytes"]) for s in page["steps"]] == [(None, PAYLOAD_MAX_BYTES)] * 5
    step = (await runtime.get(f"/steps/{page['steps'][0]['id']}")).json
    assert step["response"] == ANSWER


async def scenario_lists_are_as_short_with_large_texts(runtime: Runtime) -> None:
    failing = runtime.endpoint("/failing", failing_first(1, 410))
    wanted = document(failing, payload=LARGEST, retry={"count": 0})
    await runtime.start(wanted)
    for path in ("/runs", "/dead-letters", "/runs?progress=true"):
        assert len((await runtime.get(path)).body) < 2_000
