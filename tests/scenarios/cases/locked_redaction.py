"""Redaction: endpoints get the real values, and readers get keyed hashes of them."""

import json
import re
from typing import Any

from atomic.testing import EndpointCall, EndpointReply
from scenarios.asking import start_as
from scenarios.cases.callbacks import path_of, send
from scenarios.locked_clients import scoped
from scenarios.runtime import Runtime, always, answer_ok
from scenarios.starts import assert_problem, document

CLIENT = "private"
SECRETS = ("ada@example.org", "4111111111111111", "grace@example.org")
PAYLOAD = {
    "email": SECRETS[0],
    "card": {"number": SECRETS[1], "year": 30},
    "cc": [{"email": SECRETS[2]}],
    "n": 1,
}
HASH = re.compile(r"hmac-sha256:[0-9a-f]{64}")


async def read(runtime: Runtime, path: str) -> tuple[Any, str]:
    """What a reader gets: parsed, and as text."""
    reply = await runtime.request("GET", f"/{CLIENT}{path}", key_of=CLIENT)
    assert reply.status == 200
    return reply.json, reply.body.decode()


async def scenario_readers_are_shown_hashes_of_what_the_endpoint_gets(runtime: Runtime) -> None:
    async def echo(call: EndpointCall) -> EndpointReply:
        return EndpointReply(json={"got": call.payload})

    url = runtime.endpoint("/app/private", echo)

    started = await start_as(runtime, CLIENT, document(url, key="private-1", payload=PAYLOAD))

    assert (started.status, started.json["response"]) == (200, {"got": PAYLOAD})
    assert runtime.calls(url)[0].call.payload == PAYLOAD
    step, step_text = await read(runtime, f"/steps/{started.json['id']}")
    run, run_text = await read(runtime, f"/runs/{started.json['runId']}")
    listed = (await read(runtime, "/runs?keyPrefix=private-1"))[1]
    for secret in SECRETS:
        assert secret not in step_text + run_text + listed
    shown = step["payload"]
    assert (shown["n"], shown["card"]["year"]) == (1, 30)
    hashes = [shown["email"], shown["card"]["number"], shown["cc"][0]["email"]]
    assert all(map(HASH.fullmatch, hashes))
    assert len(set(hashes)) == 3
    assert step["response"] == {"got": shown}
    assert run["root"]["payload"] == shown
    # Posting again returns the real value, and equal values have equal hashes.
    again = await start_as(runtime, CLIENT, document(url, key="private-1", payload=PAYLOAD))
    assert again.json["response"] == {"got": PAYLOAD}
    other = await start_as(runtime, CLIENT, document(url, key="private-2", payload={"email": SECRETS[0]}))
    assert (await read(runtime, f"/steps/{other.json['id']}"))[0]["payload"] == {"email": hashes[0]}


async def scenario_a_payload_that_is_read_alone_is_hidden_as_well(runtime: Runtime) -> None:
    async def echo(call: EndpointCall) -> EndpointReply:
        return EndpointReply(json={"got": call.payload})

    url = runtime.endpoint("/app/large", echo)
    for padding in (0, 5_000, 300_000):
        payload = {**PAYLOAD, "padding": "x" * padding}
        started = await start_as(runtime, CLIENT, document(url, key=f"large-{padding}", payload=payload))
        assert started.json["response"] == {"got": payload}
        alone, alone_text = await read(runtime, f"/steps/{started.json['id']}/payload")
        step_text = (await read(runtime, f"/steps/{started.json['id']}"))[1]
        run_text = (await read(runtime, f"/runs/{started.json['runId']}"))[1]
        for secret in SECRETS:
            assert secret not in alone_text + step_text + run_text
        assert HASH.fullmatch(alone["email"])
        assert (alone["n"], len(alone["padding"])) == (1, padding)


async def scenario_a_handler_reads_the_real_results_of_its_steps(runtime: Runtime) -> None:
    url = runtime.endpoint("/app/remembering", answer_ok)
    root = (await start_as(runtime, CLIENT, document(url, key="private-9"))).json["id"]
    value = {"kind": "value", "workflowName": "w", "idempotencyKey": "private-9", "stepName": "v"}
    body = json.dumps({**value, "parent": root, "payload": PAYLOAD}).encode()

    posted = await runtime.request("POST", f"/{CLIENT}/steps", body=body, key_of=CLIENT)
    token = runtime.calls(url)[-1].call.headers["atomic-attempt-token"]
    asked = f"/{CLIENT}/runs/{root.removesuffix('-root')}/results?parent={root}"
    results = await runtime.request("GET", asked, headers={"Atomic-Attempt-Token": token}, key_of=CLIENT)

    assert posted.json["response"] == PAYLOAD
    [step] = results.json["steps"]
    assert (step["id"], step["response"]) == (posted.json["id"], PAYLOAD)
    shown, text = await read(runtime, f"/steps/{step['id']}")
    assert HASH.fullmatch(shown["response"]["email"])
    for secret in SECRETS:
        assert secret not in text


async def scenario_hidden_members_of_dead_letters_and_of_what_is_no_json_stay_hidden(
    runtime: Runtime,
) -> None:
    refusing = runtime.endpoint(
        "/app/refusing", always(410, {"email": SECRETS[0], "why": "gone", "detail": "left"})
    )

    async def speaking(call: EndpointCall) -> EndpointReply:
        return EndpointReply(body=f"mailed {SECRETS[0]}".encode(), headers={"content-type": "text/plain"})

    failed = await start_as(runtime, CLIENT, document(refusing, key="private-3", payload=PAYLOAD))
    spoken = await start_as(
        runtime, CLIENT, document(runtime.endpoint("/app/speaking", speaking), key="private-4")
    )

    assert (failed.status, failed.json["response"]["email"]) == (424, SECRETS[0])
    assert spoken.json["response"] == f"mailed {SECRETS[0]}"
    dead = await read(runtime, f"/steps/{failed.json['id']}")
    said = await read(runtime, f"/steps/{spoken.json['id']}")
    letters = await read(runtime, "/dead-letters")
    redriven = await runtime.request("POST", f"/{CLIENT}/steps/{spoken.json['id']}/redrive", key_of=CLIENT)
    assert SECRETS[0] not in dead[1] + said[1] + letters[1] + redriven.body.decode()
    assert dead[0]["response"]["why"] == "gone"
    assert HASH.fullmatch(dead[0]["response"]["email"])
    assert HASH.fullmatch(said[0]["response"])
    assert dead[0]["error"] == dead[0]["attemptLog"][0]["error"] == "the endpoint answered 410"
    assert dead[0]["errorKind"] == dead[0]["attemptLog"][0]["errorKind"] == "endpoint_answered"
    assert (dead[0]["errorExcerpt"], failed.json["lastErrorExcerpt"]) == (None, "left")
    opened = {"workflowName": "w", "kind": "event", "stepName": "e", "idempotencyKey": "private-5"}
    event = await start_as(runtime, CLIENT, {**opened, "timeout": 1})
    answered = await runtime.request(
        "POST",
        f"/{CLIENT}/steps/{event.json['id']}/result",
        body=json.dumps({"email": SECRETS[0]}).encode(),
        key_of=CLIENT,
    )
    assert answered.status == 200
    assert HASH.fullmatch(answered.json["response"]["email"])


async def scenario_a_mismatch_tells_no_more_of_the_first_payload_than_a_read(runtime: Runtime) -> None:
    url = runtime.endpoint("/app/mismatch", answer_ok)
    await start_as(runtime, CLIENT, document(url, key="private-6", payload={"email": SECRETS[0], "n": 1}))
    hidden = await start_as(runtime, CLIENT, document(url, key="private-6", payload={"email": "x", "n": 1}))
    shown = await start_as(runtime, CLIENT, document(url, key="private-6", payload={"email": SECRETS[0]}))

    assert_problem(hidden, 422, "payload-mismatch")
    assert SECRETS[0] not in hidden.body.decode()
    assert 'payload.email was "hmac-sha256:' in hidden.json["detail"]
    assert "payload.n was 1 and is absent now" in shown.json["detail"]

    only = "only-start"
    await start_as(runtime, only, document(url, key="private-7", payload={"pin": 1234}))
    body = json.dumps(document(url, key="private-7", payload={"pin": 1})).encode()
    told = await runtime.request("POST", f"/{only}", body=body, key_of=scoped(only))

    assert_problem(told, 422, "payload-mismatch")
    assert told.json["detail"].startswith(f"{url} was posted before with another payload. That step is")
    assert "difference" not in told.json


async def scenario_what_comes_to_a_callback_url_is_hidden_as_well(runtime: Runtime) -> None:
    """A form has members. A text, an image and a captured body have none, so they are hidden completely."""
    form, card = "application/x-www-form-urlencoded", SECRETS[1]
    sent = [
        (b"email=" + SECRETS[0].encode() + b"&n=1", form, []),
        (card.encode(), "text/plain", []),
        (card.encode(), "image/png", []),
        (json.dumps({"card": {"number": card}}).encode(), "application/json", ["content-type"]),
    ]
    for number, (body, content_type, capture) in enumerate(sent):
        event = {"kind": "event", "workflowName": "w", "idempotencyKey": f"told-{number}", "stepName": "e"}
        opened = await start_as(runtime, CLIENT, {**event, "capture": capture, "timeout": 1})
        told = await send(runtime, path_of(opened), body, content_type)
        assert told.status == 200
        shown, text = await read(runtime, f"/steps/{opened.json['id']}")
        if content_type == form:
            assert shown["response"]["n"] == "1"
            assert HASH.fullmatch(shown["response"]["email"])
        else:
            assert HASH.fullmatch(shown["response"])
        assert card not in text
        # The handler gets it as it came.
        again = await start_as(runtime, CLIENT, event)
        assert "hmac" not in again.body.decode()

    rejecting = await start_as(runtime, CLIENT, {**event, "idempotencyKey": "told", "timeout": 1})
    refused = await send(runtime, path_of(rejecting) + "/reject", card.encode(), "image/png")
    assert_problem(refused, 400, "invalid-request")


async def scenario_a_cause_has_nothing_that_the_endpoint_said(runtime: Runtime) -> None:
    async def refuse(call: EndpointCall) -> EndpointReply:
        detail = f"no account of {call.payload}"
        return EndpointReply(
            status=410, headers={"Atomic-Error-Type": "NoAccount"}, json={"detail": detail}
        )

    url = runtime.endpoint("/app/no-account", refuse)
    for key, payload in (("account-1", "Ada"), ("account-2", "Grace")):
        await start_as(runtime, CLIENT, document(url, key=key, workflowName="accounts", payload=payload))

    listed, text = await read(runtime, "/causes?workflowName=accounts")

    # What was said tells them apart, and is not shown.
    assert [(cause["count"], cause["text"]) for cause in listed["causes"]] == [
        (1, "the endpoint answered 410"),
        (1, "the endpoint answered 410"),
    ]
    assert {cause["errorType"] for cause in listed["causes"]} == {None}
    assert not any(secret in text for secret in ("Ada", "Grace", "NoAccount"))
