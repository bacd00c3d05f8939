"""The operator's key over the API: creating, listing and changing clients, and managing their keys."""

import asyncio
import json
from typing import Any

from atomic.protocol import signatures
from atomic.testing import ApiReply
from scenarios.asking import key_id
from scenarios.cases.locked_managing import WITHIN_S, until_status
from scenarios.locked_clients import OPERATOR, ORDINARY
from scenarios.runtime import Runtime, always, answer_ok
from scenarios.starts import assert_problem, document

NEW = {"baseUrls": ["https://app.example/"]}


async def operate(runtime: Runtime, method: str, path: str, body: Any = None) -> ApiReply:
    """Send a request with the operator's key."""
    data = b"" if body is None else json.dumps(body).encode()
    return await runtime.request(method, path, body=data, key_of=OPERATOR)


async def start_with(runtime: Runtime, api_key: str, client: str, sent: dict[str, Any]) -> ApiReply:
    """Start a step with an API key that is not among the scenario's own."""
    headers = {"Authorization": f"Bearer {api_key}"}
    return await runtime.request(
        "POST", f"/{client}", body=json.dumps(sent).encode(), headers=headers, key_of="nobody"
    )


async def scenario_a_client_that_is_made_over_the_api_runs_steps_at_once(runtime: Runtime) -> None:
    url = runtime.endpoint("/app/made", answer_ok)
    base = url.removesuffix("made")
    body = {"clientId": "made", "baseUrls": [base], "allowHttp": True, "allowIp": True, "liveSteps": 50}

    made = await operate(runtime, "POST", "/clients", body)

    assert (made.status, made.headers["location"]) == (201, "/made"), made.body
    assert made.headers["cache-control"] == "no-store"
    assert (made.json["baseUrls"], made.json["liveSteps"]) == ([base], 50)
    assert made.json["startsPerSecond"] is None
    api_key, secret = made.json["apiKey"], signatures.decode_secret(made.json["signingSecret"])
    ran = await start_with(runtime, api_key, "made", document(url, key="made-1"))
    assert (ran.status, ran.json["response"]) == (200, {"ok": True})
    call = runtime.calls(url)[-1].call
    signed_at_s = int(call.headers["webhook-timestamp"])
    expected = signatures.sign([secret], call.headers["webhook-id"], signed_at_s, call.body)
    assert call.headers["webhook-signature"] == expected
    elsewhere = await start_with(runtime, api_key, "made", document("https://else.example/x", key="made-2"))
    assert_problem(elsewhere, 403, "url-not-allowed")

    again = await operate(runtime, "POST", "/clients", body)

    assert_problem(again, 409, "client-conflict")
    assert "'made' exists already" in again.json["detail"]
    seen = await operate(runtime, "GET", "/made")
    hidden = (api_key.rpartition("_")[2], made.json["signingSecret"])
    assert not any(text.encode() in seen.body for text in hidden)
    assert seen.json == {
        name: value for name, value in made.json.items() if name not in {"apiKey", "signingSecret"}
    }


async def scenario_clients_are_listed_page_by_page(runtime: Runtime) -> None:
    for name in ("listed-b", "listed-a"):
        assert (await operate(runtime, "POST", "/clients", {**NEW, "clientId": name})).status == 201

    async def listed() -> list[str] | None:
        found, target = [], "/clients?limit=3"
        while target:
            page = (await operate(runtime, "GET", target)).json
            assert len(page["clients"]) <= 3
            found += [client["clientId"] for client in page["clients"]]
            target = page["next"]
        return found if {"listed-a", "listed-b"} <= set(found) else None

    # The list may lag by seconds.
    found = await runtime.until(listed, within_s=WITHIN_S)
    assert found == sorted(set(found))
    assert {*ORDINARY} <= set(found)
    everything = await operate(runtime, "GET", "/clients?limit=100")
    assert ([client["clientId"] for client in everything.json["clients"]], everything.json["next"]) == (
        found,
        None,
    )
    for query, field in (("limit=0", "limit"), ("cursor=%2F", "cursor"), ("status=x", "status")):
        refused = await operate(runtime, "GET", f"/clients?{query}")
        assert_problem(refused, 400, "invalid-request")
        assert field in refused.json["detail"]


async def scenario_what_a_client_may_use_is_changed_and_soon_holds(runtime: Runtime) -> None:
    url = runtime.endpoint("/app/changed", answer_ok)
    created = {**NEW, "clientId": "changed", "redact": ["email"], "storedBytes": 10**6}
    api_key = (await operate(runtime, "POST", "/clients", created)).json["apiKey"]
    assert_problem(
        await start_with(runtime, api_key, "changed", document(url, key="c-0")), 403, "url-not-allowed"
    )

    changed = await operate(
        runtime,
        "PATCH",
        "/changed",
        {"baseUrls": [url], "allowHttp": True, "allowIp": True, "storedBytes": None},
    )

    assert (changed.status, changed.json["baseUrls"]) == (200, [url]), changed.body
    assert (changed.json["redact"], changed.json["storedBytes"]) == (["email"], None)
    assert (await operate(runtime, "GET", "/changed")).json == changed.json
    serial = iter(range(10_000))

    async def started() -> ApiReply:
        return await start_with(runtime, api_key, "changed", document(url, key=f"c-{next(serial)}"))

    async def may_call() -> bool:
        return (await started()).status == 200

    await runtime.until(may_call, within_s=WITHIN_S)
    limited = await operate(runtime, "PATCH", "/changed", {"startsPerSecond": 0.01})
    assert limited.json["startsPerSecond"] == 0.01

    async def is_limited() -> bool:
        reply = await started()
        return reply.status == 429 and int(reply.headers["retry-after"]) > 1

    await runtime.until(is_limited, within_s=WITHIN_S)


async def scenario_a_base_url_that_is_taken_away_is_called_no_more(runtime: Runtime) -> None:
    url = runtime.endpoint("/app/closing", always(503))
    created = {"clientId": "closing", "baseUrls": [url], "allowHttp": True, "allowIp": True}
    api_key = (await operate(runtime, "POST", "/clients", created)).json["apiKey"]
    headers = {"Authorization": f"Bearer {api_key}", "Prefer": "respond-async"}
    retry = {"count": 1000, "backOff": runtime.ms(100), "strategy": "fixed", "jitter": "none"}
    body = json.dumps(document(url, key="closing-1", retry=retry)).encode()
    step = await runtime.request("POST", "/closing", body=body, headers=headers, key_of="nobody")
    assert step.status == 202, step.body

    assert (await operate(runtime, "PATCH", "/closing", NEW)).status == 200

    async def is_refused() -> bool:
        target = f"/closing/steps/{step.json['id']}"
        seen = await runtime.request("GET", target, headers=headers, key_of="nobody")
        return "may not call this URL any more" in (seen.json["error"] or "")

    await runtime.until(is_refused, within_s=WITHIN_S)

    async def is_quiet() -> bool:
        called = len(runtime.calls(url))
        await asyncio.sleep(runtime.ms(400) / 1000)
        return len(runtime.calls(url)) == called

    # Other processes may see the change later.
    await runtime.until(is_quiet, within_s=WITHIN_S)
    target = f"/closing/runs/{step.json['runId']}/cancel"
    cancelled = await runtime.request("POST", target, headers=headers, key_of="nobody")
    assert cancelled.status == 200


async def scenario_the_operator_manages_the_keys_of_any_client(runtime: Runtime) -> None:
    first = (await operate(runtime, "POST", "/clients", {**NEW, "clientId": "keyed"})).json["apiKey"]

    added = await operate(runtime, "POST", "/keyed/keys", {"scopes": ["admin"], "expiresIn": 3_600_000})

    assert (added.status, added.headers["cache-control"]) == (201, "no-store")
    assert (added.json["scopes"], added.json["takesOver"]) == (["admin"], None)
    assert added.json["expiresAt"] > added.json["createdAt"]
    rotated = await operate(runtime, "POST", f"/keyed/keys/{key_id(first)}/rotate", {"overlap": 3_600_000})
    assert rotated.json["takesOver"] == key_id(first)
    await until_status(runtime, "keyed", rotated.json["apiKey"], 200)
    left = await operate(runtime, "DELETE", f"/keyed/keys/{key_id(first)}")
    assert [key["id"] for key in left.json["keys"]] == [added.json["id"], rotated.json["id"]]
    await until_status(runtime, "keyed", first, 401)
    assert (await operate(runtime, "POST", "/keyed/secrets", {"overlap": 1000})).status == 201
    listed = await operate(runtime, "GET", "/keyed/secrets")
    assert [secret["expiresAt"] is None for secret in listed.json["secrets"]] == [False, True]


async def scenario_no_client_of_that_name_is_the_404_of_everything_else(runtime: Runtime) -> None:
    nothing = await runtime.get("/nothing")
    # The operator's own record is hidden as well.
    for name in ("nobody", "_operator", "health2"):
        for method, path, body in (
            ("GET", "", None),
            ("PATCH", "", {"liveSteps": 5}),
            ("GET", "/keys", None),
            ("POST", "/keys", {"scopes": ["read"]}),
            ("POST", f"/keys/{'0' * 12}/rotate", None),
            ("POST", "/secrets", None),
            ("DELETE", f"/keys/{key_id(runtime.keys[OPERATOR])}", None),
        ):
            reply = await operate(runtime, method, f"/{name}{path}", body)
            assert (reply.status, reply.body) == (404, nothing.body), (name, method, path)


async def scenario_a_client_that_cannot_be_used_is_refused_by_its_field(runtime: Runtime) -> None:
    refused: list[tuple[dict[str, Any], str]] = [
        ({}, "clientId"),
        ({"clientId": "clients"}, "clientId"),
        ({"clientId": "_operator"}, "clientId"),
        ({"clientId": "a/b"}, "clientId"),
        ({"clientId": "x" * 65}, "clientId"),
        ({"baseUrls": []}, "baseUrls"),
        ({"baseUrls": ["http://app.example/"]}, "baseUrls"),
        ({"baseUrls": ["https://10.0.0.1/"]}, "baseUrls"),
        ({"baseUrls": ["https://app.example/", "https://u@app.example/"]}, "baseUrls.1"),
        ({"baseUrls": ["https://app.example/?q"]}, "baseUrls.0"),
        ({"baseUrls": ["https://app.example/"] * 51}, "baseUrls"),
        ({"scopes": []}, "scopes"),
        ({"scopes": ["operator"]}, "scopes.0"),
        ({"startsPerSecond": 0}, "startsPerSecond"),
        ({"startsPerSecond": "5"}, "startsPerSecond"),
        ({"liveSteps": 0}, "liveSteps"),
        ({"liveSteps": 2**53}, "liveSteps"),
        ({"storedBytes": 1.5}, "storedBytes"),
        ({"expiresIn": 0}, "expiresIn"),
        ({"redact": [""]}, "redact.0"),
        ({"redact": ["a..b"]}, "redact.0"),
        ({"ed25519": 1}, "ed25519"),
        ({"limits": {}}, "limits"),
    ]
    for members, field in refused:
        body = members if not members else {"clientId": "refused", **NEW, **members}
        reply = await operate(runtime, "POST", "/clients", body)
        assert_problem(reply, 400, "invalid-request")
        assert field in [error["field"] for error in reply.json["errors"]], (members, reply.json)
    assert (await operate(runtime, "GET", "/refused")).status == 404
    patches: list[tuple[dict[str, Any], str]] = [
        ({}, "body"),
        ({"allowHttp": True}, "body"),
        ({"clientId": "other"}, "clientId"),
        ({"baseUrls": None}, "baseUrls"),
        ({"baseUrls": []}, "baseUrls"),
        ({"baseUrls": ["http://app.example/"]}, "baseUrls"),
        ({"liveSteps": -1}, "liveSteps"),
    ]
    before = await operate(runtime, "GET", "/operated")
    for members, field in patches:
        reply = await operate(runtime, "PATCH", "/operated", members)
        assert_problem(reply, 400, "invalid-request")
        assert [error["field"] for error in reply.json["errors"]] == [field], (members, reply.json)
    assert (await operate(runtime, "GET", "/operated")).body == before.body


async def scenario_concurrent_changes_are_serialized(runtime: Runtime) -> None:
    made = await operate(runtime, "POST", "/clients", {"clientId": "crowded", **NEW})
    assert made.status == 201

    replies = await asyncio.gather(
        *(operate(runtime, "PATCH", "/crowded", {"liveSteps": number}) for number in range(1, 31)),
        *(operate(runtime, "GET", "/crowded/keys") for _ in range(30)),
    )

    # A change that conflicts with a concurrent one is refused, and can be tried again.
    assert {reply.status for reply in replies} <= {200, 409}
    changed = [reply.json["liveSteps"] for reply in replies[:30] if reply.status == 200]
    assert (await operate(runtime, "GET", "/crowded")).json["liveSteps"] in changed
    assert {len(reply.json["keys"]) for reply in replies[30:]} == {1}
