"""A runtime with API keys: what a key gives access to, and how little refusals reveal.

The scenario's client is alpha; others are beta and slow. They exist as long as the runtime, so each
scenario uses unique idempotency keys.
"""

import asyncio
import re
from urllib.parse import urlsplit, urlunsplit

from atomic.testing import ApiReply, EndpointCall, EndpointReply
from scenarios.asking import operations, send, start_as
from scenarios.locked_clients import scoped
from scenarios.runtime import Runtime, always, answer_ok
from scenarios.starts import assert_problem, document

BAD_AUTHORIZATION = (
    "", "Bearer", "Bearer ", "Bearer garbage", "Bearer atm_", "Bearer atm_alpha_", "bearer null",
    "Basic YWxwaGE6YQ==", "atm_alpha", "Bearer " + "x" * 4000, "Bearer é", "Bearer alpha",
    "Digest username=alpha", "Bearer,", "Bearer %00",
)  # fmt: skip


async def scenario_a_key_opens_its_client(runtime: Runtime) -> None:
    url = runtime.endpoint("/app/open", answer_ok)

    reply = await runtime.start(document(url, key="open-1"))

    assert (reply.status, reply.json["response"]) == (200, {"ok": True})
    listed = (await runtime.get("/runs?keyPrefix=open-1")).json["runs"]
    assert [run["id"] for run in listed] == [reply.json["id"]]
    assert (await runtime.get("/stats")).status == 200
    key = runtime.keys[runtime.client]
    spaced = await runtime.request(
        "GET", f"/{runtime.client}/stats", headers={"Authorization": f"bearer   {key}"}
    )
    assert spaced.status == 200


async def scenario_without_a_valid_key_everything_is_one_401(runtime: Runtime) -> None:
    url = runtime.endpoint("/app/closed", answer_ok)
    there = (await runtime.start(document(url, key="closed-1"))).json
    calls = len(runtime.seen)
    replies = []

    for client in ("alpha", "beta", "nobody", "-"):
        replies += [
            await send(runtime, method, target, url, key_of="nobody")
            for method, target in operations(client, there["runId"], there["id"])
        ]
    key, target = runtime.keys["alpha"], f"/alpha/steps/{there['id']}"
    replies += [
        await runtime.request("GET", target, headers={"Authorization": value})
        for value in (*BAD_AUTHORIZATION, f"Basic {key}", key, f"Bearer {key}x", f"Bearer {key[:-1]}")
    ]

    for reply in replies:
        assert_problem(reply, 401, "unauthorized")
        assert reply.headers["www-authenticate"] == "Bearer"
    assert len({reply.body for reply in replies}) == 1
    assert len(runtime.seen) == calls


async def scenario_the_same_key_of_two_clients_is_two_runs(runtime: Runtime) -> None:
    url = runtime.endpoint("/app/both", answer_ok)

    mine = await runtime.start(document(url, key="both-1", payload={"of": "alpha"}))
    theirs = await start_as(runtime, "beta", document(url, key="both-1", payload={"of": "beta"}))

    assert (mine.status, theirs.status) == (200, 200)
    assert mine.json["runId"] != theirs.json["runId"]
    assert [seen.call.payload for seen in runtime.calls(url)] == [{"of": "alpha"}, {"of": "beta"}]
    for client, run in (("alpha", mine), ("beta", theirs)):
        listed = await runtime.request("GET", f"/{client}/runs?keyPrefix=both-1", key_of=client)
        assert [each["id"] for each in listed.json["runs"]] == [run.json["id"]]


async def scenario_bulk_redrive_stays_with_its_client(runtime: Runtime) -> None:
    url = runtime.endpoint("/app/dead", always(410))
    theirs = await start_as(runtime, "beta", document(url, key="dead-1"))
    calls = len(runtime.calls(url))

    redriven = await runtime.post("/redrive", {"filter": {"keyPrefix": "dead-1"}})

    assert (redriven.json["redriven"], redriven.json["steps"]) == (0, [])
    there = await runtime.request("GET", f"/beta/steps/{theirs.json['id']}", key_of="beta")
    assert (there.json["status"], there.json["generation"]) == ("failed", 1)
    assert len(runtime.calls(url)) == calls


async def scenario_a_url_outside_the_base_is_a_403(runtime: Runtime) -> None:
    url = runtime.endpoint("/app/inside", answer_ok)

    for position, outside in enumerate(urls_outside(url)):
        reply = await runtime.start(document(outside, key=f"outside-{position}", retry={"count": 0}))
        assert_problem(reply, 403, "url-not-allowed")
        assert "stepInvokeUrl" in reply.json["detail"]

    assert runtime.seen == []
    assert (await runtime.get("/runs?keyPrefix=outside-")).json["runs"] == []


async def scenario_every_url_under_the_base_is_allowed(runtime: Runtime) -> None:
    for position, path in enumerate(
        ("/app", "/app/", "/app/x", "/app/x/y..z", "/app/...", "/app/x;v=1", "/app//x")
    ):
        url = runtime.endpoint(path, answer_ok)
        reply = await runtime.start(document(url, key=f"inside-{position}"))
        assert (reply.status, len(runtime.calls(url))) == (200, 1), path


async def scenario_a_client_over_its_start_rate_waits_and_others_do_not(runtime: Runtime) -> None:
    url = runtime.endpoint("/app/fast", answer_ok)
    keys = [f"fast-{number}" for number in range(20)]
    began_s = asyncio.get_running_loop().time()

    theirs, mine = await asyncio.gather(
        asyncio.gather(*(start_as(runtime, "slow", document(url, key=key)) for key in keys)),
        asyncio.gather(*(runtime.start(document(url, key=key)) for key in keys[:5])),
    )
    took_s = asyncio.get_running_loop().time() - began_s

    assert {reply.status for reply in mine} == {200}
    granted = {key for key, reply in zip(keys, theirs, strict=True) if reply.status == 200}
    refused = [(key, reply) for key, reply in zip(keys, theirs, strict=True) if reply.status != 200]
    # Three a second, and up to three at once.
    assert 0 < len(granted) <= 3 * (took_s + 1)
    for _, reply in refused:
        assert_problem(reply, 429, "too-many-requests")
        assert "3" in reply.json["detail"]
    listed = await runtime.request("GET", "/slow/runs?keyPrefix=fast-", key_of="slow")
    assert {run["idempotencyKey"] for run in listed.json["runs"]} == granted
    assert len(runtime.calls(url)) == len(mine) + len(granted)

    key, reply = refused[0]
    await asyncio.sleep(int(reply.headers["retry-after"]))
    again = await start_as(runtime, "slow", document(url, key=key))
    assert (again.status, "idempotency-replayed" in again.headers) == (200, False)


async def scenario_a_client_over_its_storage_quota_is_refused_and_others_are_not(runtime: Runtime) -> None:
    async def echo(call: EndpointCall) -> EndpointReply:
        return EndpointReply(json=call.payload)

    url, text = runtime.endpoint("/app/large", echo), "x" * 300

    first = await start_as(runtime, "small", document(url, key="large-1", payload=text))
    # Stored bytes include the answers: 604 bytes so far, and 302 more with each further step.
    refused = [await start_as(runtime, "small", document(url, key="large-2", payload=text + text[:100]))]
    second = await start_as(runtime, "small", document(url, key="large-3", payload=text))
    refused.append(await start_as(runtime, "small", document(url, key="large-4", payload="y")))

    assert [first.status, second.status] == [200, 200]
    for reply in refused:
        assert_problem(reply, 507, "storage-full")
        assert "1000 bytes" in reply.json["detail"]
        assert 0 < int(reply.headers["retry-after"]) <= 24 * 3600
    again = await start_as(runtime, "small", document(url, key="large-1", payload=text))
    assert (again.status, again.json["response"]) == (200, text)
    mine = await runtime.start(document(url, key="large-2", payload=text))
    assert mine.status == 200
    assert len(runtime.calls(url)) == 3


async def scenario_with_its_attempt_token_a_key_for_starts_cancels_steps_of_its_handler(
    runtime: Runtime,
) -> None:
    client, url = "only-start", runtime.endpoint("/app/own", answer_ok)
    root = (await start_as(runtime, client, document(url, key="own-1"))).json["id"]
    other = (await start_as(runtime, client, document(url, key="own-2"))).json["id"]
    tokens = {
        seen.call.json["stepId"]: seen.call.headers["atomic-attempt-token"] for seen in runtime.calls(url)
    }
    child = document(url, key="own-3", parent=root, delay=60_000)
    step_id = (await start_as(runtime, client, child, "respond-async")).json["id"]

    async def cancel(step_id: str, token: str | None, act: str = "cancel") -> ApiReply:
        headers = {} if token is None else {"Atomic-Attempt-Token": token}
        path = f"/{client}/steps/{step_id}/{act}"
        return await runtime.request("POST", path, headers=headers, key_of=scoped(client))

    for token in (None, "1." + "0" * 32, tokens[other]):
        assert_problem(await cancel(step_id, token), 404, "not-found")
    # Nothing else is allowed by it, and not the handler's own step.
    assert_problem(await cancel(step_id, tokens[root], "redrive"), 404, "not-found")
    assert_problem(await cancel(root, tokens[root]), 404, "not-found")
    cancelled = await cancel(step_id, tokens[root])
    assert (cancelled.status, cancelled.json["status"]) == (200, "cancelled")


async def scenario_attempts_carry_the_standard_webhooks_headers(runtime: Runtime) -> None:
    url = runtime.endpoint("/app/signed", answer_ok)
    moody = runtime.endpoint("/app/signed-twice", always(503))
    reply = await runtime.start(document(url, key="signed-1"))
    failed = await runtime.start(
        document(moody, key="signed-2", retry={"count": 1, "backOff": 10, "jitter": "none"})
    )

    assert (reply.status, failed.status) == (200, 424)
    first, second = runtime.calls(moody)
    assert first.call.headers["webhook-id"] == second.call.headers["webhook-id"] == failed.json["id"]
    for seen in runtime.seen:
        headers = seen.call.headers
        assert headers["webhook-id"] == headers["atomic-step-id"] == seen.call.json["stepId"]
        assert re.fullmatch(r"\d{10}", headers["webhook-timestamp"])
        # A runtime whose clients have no secrets signs nothing.
        signature = headers.get("webhook-signature", "v1," + "A" * 43 + "=")
        assert re.fullmatch(r"v1,[A-Za-z0-9+/]{43}=( v1,[A-Za-z0-9+/]{43}=)*", signature)
        assert "authorization" not in headers
        if "webhook-signature" in headers:
            assert headers["atomic-url"] == seen.url
            assert re.fullmatch(r"v1,[A-Za-z0-9+/]{43}=", headers["atomic-signature"])


def urls_outside(url: str) -> list[str]:
    """URLs that are similar to the allowed `…/app/inside`, but outside of the base URL."""
    base, parts = url.removesuffix("/inside"), urlsplit(url)
    host, port = parts.hostname or "", parts.port or 443
    paths = (
        "", "/", "/ap", "/application/x", "/app.x", "/app%2Fx", "/APP/x", "/other", "/app/../other",
        "/app/..", "/app/./x", "/app/x/../../other", "/app/%2e%2e/other", "/app/.%2E/other",
        "/app/..%2fother", "/app/x%2f..%2f..", "/app/..%5cother", "//app/x", "/x/app/x", "/?/app/x",
        "/other?/app/x", "/app/..;/other", "/app/%252e%252e/other", "/app/%c0%ae%c0%ae/other",
    )  # fmt: skip
    hosts = (
        f"{host}:{port + 1}", f"{host}.evil.test:{port}", f"evil.test:{port}",
        f"evil-{host}.test:{port}", f"localhost:{port}", f"[::1]:{port}", "evil.test",
    )  # fmt: skip
    scheme = "http" if parts.scheme == "https" else "https"
    return [
        *(base.removesuffix("/app") + path for path in paths),
        *(urlunsplit((parts.scheme, authority, parts.path, "", "")) for authority in hosts),
        urlunsplit((scheme, parts.netloc, parts.path, "", "")),
        urlunsplit((scheme, f"{host}:{port}", parts.path, "", "")),
    ]
