"""Pages of other origins: a client lists those that may call, and only they see answers."""

import json
from typing import Any

from atomic.protocol.constants import BODY_MAX_BYTES
from atomic.testing import ApiReply
from scenarios.cases.locked_managing import WITHIN_S
from scenarios.cases.locked_operating import NEW, operate
from scenarios.locked_clients import SLOW
from scenarios.runtime import Runtime, answer_ok
from scenarios.starts import assert_problem, document

SHOP = "https://shop.example"
ASKED = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}


async def from_page(
    runtime: Runtime, origin: str, method: str, path: str, body: Any = None, key: str = "", **more: str
) -> ApiReply:
    """A request as a browser sends it for a page."""
    headers = {"Origin": origin, **more}
    if key:
        headers["Authorization"] = f"Bearer {key}"
    data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    return await runtime.request(method, path, body=data, headers=headers, key_of="nobody")


def shown_to(reply: ApiReply) -> str | None:
    """The origin whose pages see the reply."""
    return reply.headers.get("access-control-allow-origin")


async def scenario_a_listed_page_calls_and_sees_every_answer(runtime: Runtime) -> None:
    url = runtime.endpoint("/app/paged", answer_ok)
    base = url.removesuffix("paged")
    new = {"clientId": "paged", "baseUrls": [base], "allowHttp": True, "allowIp": True, "origins": [SHOP]}
    made = (await operate(runtime, "POST", "/clients", new)).json
    assert made["origins"] == [SHOP]
    key = made["apiKey"]

    async def is_known() -> ApiReply | None:
        reply = await from_page(runtime, SHOP, "OPTIONS", "/paged", **ASKED)
        return reply if reply.status == 204 else None

    asked = await runtime.until(is_known, within_s=WITHIN_S)
    sent = await from_page(runtime, SHOP, "POST", "/paged", document(url, key="p-1"), key)

    assert (asked.body, shown_to(asked)) == (b"", SHOP)
    assert "authorization" in asked.headers["access-control-allow-headers"]
    assert "POST" in asked.headers["access-control-allow-methods"]
    assert (sent.status, shown_to(sent), sent.headers["vary"]) == (200, SHOP, "Origin")
    assert "retry-after" in sent.headers["access-control-expose-headers"]
    # Keys are no cookies.
    assert "access-control-allow-credentials" not in {**asked.headers, **sent.headers}
    refused = [
        await from_page(runtime, SHOP, "POST", "/paged", document(url, key="p-2")),
        await from_page(runtime, SHOP, "POST", "/paged", {"workflowName": "w"}, key),
        await from_page(runtime, SHOP, "GET", "/paged/nothing/here", None, key),
        await from_page(runtime, SHOP, "DELETE", "/paged", None, key),
        await from_page(runtime, SHOP, "POST", "/paged", b"x" * (BODY_MAX_BYTES + 1), key),
    ]
    assert [reply.status for reply in refused] == [401, 400, 404, 405, 413]
    assert {shown_to(reply) for reply in refused} == {SHOP}


async def scenario_a_page_that_is_not_listed_sees_nothing(runtime: Runtime) -> None:
    await operate(runtime, "POST", "/clients", {**NEW, "clientId": "unpaged", "origins": [SHOP]})
    for origin in ("http://shop.example", "https://shop.example:8443", "https://evil.example", "null", "*"):
        for client in ("unpaged", "alpha", "nobody"):
            asked = await from_page(runtime, origin, "OPTIONS", f"/{client}", **ASKED)
            sent = await from_page(runtime, origin, "POST", f"/{client}", {})
            assert asked.status in {403, 405}
            assert sent.status in {401, 403}
            assert not any(name.startswith("access-control") for name in {**asked.headers, **sent.headers})
    of_others = await from_page(runtime, SHOP, "OPTIONS", "/alpha", **ASKED)
    assert (of_others.status in {403, 405}, shown_to(of_others)) == (True, None)


async def scenario_a_page_sees_that_a_client_may_start_no_more(runtime: Runtime) -> None:
    await operate(runtime, "PATCH", f"/{SLOW}", {"origins": [SHOP]})
    url = runtime.endpoint("/app/often", answer_ok)

    async def is_shown() -> bool:
        return shown_to(await from_page(runtime, SHOP, "OPTIONS", f"/{SLOW}", **ASKED)) == SHOP

    await runtime.until(is_shown, within_s=WITHIN_S)
    key = runtime.keys[SLOW]
    replies = [
        await from_page(runtime, SHOP, "POST", f"/{SLOW}", document(url, key=f"often-{number}"), key)
        for number in range(12)
    ]
    assert {reply.status for reply in replies} == {200, 429}
    assert {shown_to(reply) for reply in replies} == {SHOP}

    changed = await operate(runtime, "PATCH", f"/{SLOW}", {"origins": []})
    assert changed.json["origins"] == []

    async def is_hidden() -> bool:
        return shown_to(await from_page(runtime, SHOP, "OPTIONS", f"/{SLOW}", **ASKED)) is None

    await runtime.until(is_hidden, within_s=WITHIN_S)


async def scenario_origins_are_checked_when_they_are_given(runtime: Runtime) -> None:
    for origin in (
        "shop.example",
        "https://shop.example/",
        "https://shop.example/x",
        "*",
        "null",
        "ftp://a.b",
    ):
        refused = await operate(
            runtime, "POST", "/clients", {**NEW, "clientId": "wrong", "origins": [origin]}
        )
        assert_problem(refused, 400, "invalid-request")
        assert "origins" in refused.json["detail"]
    kept = await operate(
        runtime,
        "POST",
        "/clients",
        {**NEW, "clientId": "right", "origins": ["HTTPS://Shop.example:443", "http://localhost:5173"]},
    )
    assert kept.json["origins"] == ["https://shop.example", "http://localhost:5173"]
