"""Start tokens where API keys are required: what they allow, what they do not, and when they end."""

import json
from typing import Any

from atomic.testing import ApiReply
from scenarios.asking import key_id
from scenarios.cases.locked_managing import WITHIN_S
from scenarios.cases.locked_operating import operate, start_with
from scenarios.locked_clients import OPERATED, scoped
from scenarios.runtime import Runtime, answer_ok
from scenarios.starts import assert_problem, document


async def made(runtime: Runtime, url: str, client: str = "alpha", key: str = "", **more: Any) -> ApiReply:
    """A token for the workflow `shop` at this URL."""
    body = json.dumps({"workflows": {"shop": url}, **more}).encode()
    return await runtime.request("POST", f"/{client}/start-tokens", body=body, key_of=key or client)


async def ask(runtime: Runtime, method: str, path: str, token: str, sent: Any = None) -> ApiReply:
    """Send a request with a token."""
    return await runtime.request(
        method,
        path,
        body=b"" if sent is None else json.dumps(sent).encode(),
        headers={"Authorization": f"Bearer {token}"},
        key_of="nobody",
    )


def start(url: str, key: str, **more: Any) -> dict[str, Any]:
    """A start of the workflow `shop`."""
    return {**document(url, key=key), "workflowName": "shop", **more}


async def scenario_a_token_starts_its_workflow_and_reads_what_it_started(runtime: Runtime) -> None:
    url = runtime.endpoint("/app/shop", answer_ok)
    reply = await made(runtime, url, keyPrefix="user-1:", steps=True)
    assert (reply.status, reply.headers["cache-control"]) == (200, "no-store"), reply.body
    assert (reply.json["keyPrefix"], reply.json["workflows"], reply.json["steps"]) == (
        "user-1:",
        {"shop": url},
        True,
    )
    token = reply.json["token"]

    ran = await ask(runtime, "POST", "/alpha", token, start(url, "user-1:a"))
    again = await ask(runtime, "POST", "/alpha", token, start(url, "user-1:a"))
    root = await ask(runtime, "GET", f"/alpha/steps/{ran.json['id']}?wait=10", token)
    run = await ask(runtime, "GET", f"/alpha/runs/{ran.json['runId']}", token)

    assert (ran.status, ran.json["response"]) == (200, {"ok": True})
    assert again.headers["idempotency-replayed"] == "true"
    assert (root.status, root.json["status"]) == (200, "succeeded")
    assert (run.status, run.json["root"]["response"]) == (200, {"ok": True})


async def scenario_a_token_starts_nothing_else(runtime: Runtime) -> None:
    url, other = (runtime.endpoint(f"/app/{name}", answer_ok) for name in ("shop", "other"))
    token = (await made(runtime, url, keyPrefix="user-2:")).json["token"]
    root = (await ask(runtime, "POST", "/alpha", token, start(url, "user-2:a"))).json["id"]

    refused = {
        "workflowName": {"workflowName": "admin"},
        "stepInvokeUrl": {"stepInvokeUrl": other},
        "idempotencyKey": {"idempotencyKey": "user-3:a"},
        "kind": {"parent": root},
        "flow": {"flow": [{"key": "shared", "concurrency": 1000}]},
        "hooks": {"hooks": {"run.failed": other}},
    }
    for field, changed in refused.items():
        reply = await ask(runtime, "POST", "/alpha", token, start(url, "user-2:b", **changed))
        assert_problem(reply, 403, "beyond-token")
        assert reply.json["detail"].startswith(f"{field}: "), reply.body
    named = await ask(runtime, "POST", "/alpha", token, start(url, "user-2:b", stepName="x"))
    assert_problem(named, 403, "beyond-token")
    assert len(runtime.calls(url)) == 1
    assert not runtime.calls(other)


async def scenario_a_token_reads_only_its_own_runs(runtime: Runtime) -> None:
    url = runtime.endpoint("/app/shop", answer_ok)
    mine = (await made(runtime, url)).json
    ran = await ask(runtime, "POST", "/alpha", mine["token"], start(url, f"{mine['keyPrefix']}a"))
    theirs = (await made(runtime, url, steps=True)).json

    unread = [
        await ask(runtime, "GET", path, token)
        for path, token in (
            (f"/alpha/steps/{ran.json['id']}", theirs["token"]),
            (f"/alpha/runs/{ran.json['runId']}", theirs["token"]),
            # Without `steps`, the root alone.
            (f"/alpha/runs/{ran.json['runId']}", mine["token"]),
            ("/alpha/runs", mine["token"]),
            ("/alpha/stats", theirs["token"]),
            ("/beta/runs", mine["token"]),
        )
    ]
    unread.append(await ask(runtime, "POST", f"/alpha/runs/{ran.json['runId']}/cancel", mine["token"]))
    unread.append(
        await ask(runtime, "POST", "/alpha/start-tokens", mine["token"], {"workflows": {"a": url}})
    )
    unread.append(await ask(runtime, "POST", "/beta", mine["token"], start(url, f"{mine['keyPrefix']}a")))

    assert {reply.status for reply in unread} == {404}
    assert (await ask(runtime, "GET", f"/alpha/steps/{ran.json['id']}", mine["token"])).status == 200


async def scenario_a_token_that_is_forged_over_or_for_a_revoked_key_is_refused(runtime: Runtime) -> None:
    url = runtime.endpoint("/app/shop", answer_ok)
    added = (await operate(runtime, "POST", f"/{OPERATED}/keys", {"scopes": ["start", "read"]})).json
    body = {"workflows": {"shop": url}, "keyPrefix": "k:"}
    asked = [
        (
            await runtime.request(
                "POST",
                f"/{OPERATED}/start-tokens",
                body=json.dumps({**body, **more}).encode(),
                headers={"Authorization": f"Bearer {added['apiKey']}"},
                key_of="nobody",
            )
        ).json["token"]
        for more in ({}, {"expiresIn": 1})
    ]
    valid, over = asked
    assert (await ask(runtime, "POST", f"/{OPERATED}", valid, start(url, "k:1"))).status == 200

    forged = f"{valid[:-3]}AAA"
    for token in (over, forged, "ast_", "ast_x.y"):
        assert_problem(
            await ask(runtime, "POST", f"/{OPERATED}", token, start(url, "k:1")), 401, "unauthorized"
        )

    await operate(runtime, "DELETE", f"/{OPERATED}/keys/{key_id(added['apiKey'])}")

    async def is_refused() -> bool:
        return (await ask(runtime, "POST", f"/{OPERATED}", valid, start(url, "k:1"))).status == 401

    await runtime.until(is_refused, within_s=WITHIN_S)


async def scenario_a_token_is_asked_for_what_its_key_may(runtime: Runtime) -> None:
    url = runtime.endpoint("/app/shop", answer_ok)
    only = "only-start"
    assert (await made(runtime, url, only, scoped(only))).status == 200
    assert (await made(runtime, url, "only-read", scoped("only-read"))).status == 404
    outside = await made(runtime, "https://else.example/x")
    assert_problem(outside, 403, "url-not-allowed")

    for field, more in (
        ("steps", {"steps": True}),
        # Under this prefix others may have started runs, which this key may not read.
        ("keyPrefix", {"keyPrefix": "user-1:"}),
        ("keyPrefix", {"keyPrefix": "user-1"}),
        ("keyPrefix", {"keyPrefix": "a b:"}),
        ("expiresIn", {"expiresIn": 86_400_001}),
        ("expiresIn", {"expiresIn": 0}),
        ("workflows", {"workflows": {}}),
        ("workflows", {"workflows": {"shop": "/relative"}}),
        ("workflows", {"workflows": {f"shop-{number}": url for number in range(200)}}),
    ):
        refused = await made(runtime, url, only, scoped(only), **more)
        assert_problem(refused, 400, "invalid-request")
        assert field in refused.json["detail"], refused.body
    # A key that holds `start` alone has made the token; the token still starts.
    assert (await start_with(runtime, runtime.keys[scoped(only)], only, start(url, "x"))).status == 200
