"""Callback URLs: who has the URL of an event completes it once, by any body, and needs nothing else."""

import asyncio
import base64
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from atomic.protocol.constants import RESPONSE_MAX_BYTES
from atomic.testing import ApiReply
from scenarios.cases.events import REFUSED, Order, addressed
from scenarios.cases.results import called, results
from scenarios.cases.suspension import event_document
from scenarios.runtime import Runtime
from scenarios.starts import assert_problem

FORM = "application/x-www-form-urlencoded"
FILES = (
    b'--b\r\nContent-Disposition: form-data; name="who"\r\n\r\nada\r\n'
    b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\n1\r\n--b--\r\n'
)
FIELDS = (
    b'--b\r\nContent-Disposition: form-data; name="who"\r\n\r\nada\r\n'
    b'--b\r\nContent-Disposition: form-data; name="tag"\r\n\r\nx\r\n'
    b'--b\r\nContent-Disposition: form-data; name="tag"\r\n\r\n\xc3\xa4\r\n--b--\r\n'
)


def path_of(reply: ApiReply) -> str:
    """The path of the URL in an answer; the server may know its name or not."""
    return urlsplit(reply.json["callbackUrl"]).path


async def opened(runtime: Runtime, **members: Any) -> str:
    """The path of a new event."""
    return path_of(await runtime.start(event_document("payment", **members), Prefer="respond-async"))


async def send(
    runtime: Runtime, path: str, body: bytes = b"", content_type: str = "application/json", **given: str
) -> ApiReply:
    """Post as a third party does: without any key."""
    named = {name.replace("_", "-"): value for name, value in given.items()}
    headers = {"Content-Type": content_type, **named}
    return await runtime.request("POST", path, body=body, headers=headers, key_of="nobody")


async def response(runtime: Runtime) -> Any:
    """The response of the event, as its handler gets it."""
    reply = await runtime.start(event_document("payment"))
    assert reply.status == 200, reply.body
    return reply.json["response"]


async def scenario_a_callback_completes_its_event(runtime: Runtime) -> None:
    order = Order(runtime)
    started = await runtime.start(order.document(), Prefer="respond-async")
    await runtime.step_in(started.json["id"], "waiting")
    path = path_of(order.told[0])
    assert order.told[0].status == 504

    told = await send(runtime, path, b'{"paid": 42}')

    assert (told.status, told.json) == (200, {"status": "succeeded"})
    ended = await runtime.step_in(started.json["id"], "succeeded")
    assert (ended["response"], ended["attempts"]) == ({"paid": 42}, 2)
    # Each answer has the same URL. The same body again is no error, also when the run has ended.
    assert path_of(order.told[-1]) == path
    again = await send(runtime, path, b'{ "paid":42 }')
    other = await send(runtime, path, b'{"paid": 43}')
    assert (again.status, again.json) == (200, told.json)
    assert_problem(other, 410, "event-ended")
    assert other.json["stepStatus"] == "succeeded"


async def scenario_a_callback_url_is_the_same_wherever_it_is_told(runtime: Runtime) -> None:
    call = await called(runtime)
    document = event_document("payment", parent=call.json["stepId"], idempotencyKey="k-1")

    answers = [
        await runtime.start(document, Prefer="respond-async"),
        await runtime.start({**document, "timeout": 1}),
    ]
    [listed] = (await results(runtime, call)).json["steps"]
    [read] = (await results(runtime, call, f"&id={answers[0].json['id']}")).json["steps"]
    await runtime.post("/events", addressed(idempotencyKey="k-1", result="paid"))
    answers.append(await runtime.start(document))
    [ended] = (await results(runtime, call)).json["steps"]

    assert [answer.status for answer in answers[:2]] == [202, 504]
    urls = {each["callbackUrl"] for each in (*(answer.json for answer in answers[:2]), listed, read)}
    assert len(urls) == 1
    if answers[2].status == 200:
        assert {answers[2].json["callbackUrl"], ended["callbackUrl"]} == urls


async def scenario_only_who_opens_an_event_is_told_its_callback_url(runtime: Runtime) -> None:
    event = await runtime.start(event_document("payment"), Prefer="respond-async")
    step = f"/steps/{event.json['id']}"

    read = [await runtime.get(step), await runtime.get(f"/runs/{event.json['runId']}")]
    cancelled = await runtime.post(f"{step}/cancel")
    refused = await runtime.start(event_document("payment"))

    assert "callbackUrl" in event.json
    for reply in (*read, cancelled, refused):
        assert b"callback" not in reply.body, reply.body
    assert refused.status == 409


async def scenario_an_event_that_expired_still_tells_its_callback_url(runtime: Runtime) -> None:
    expired = await runtime.finish(event_document("payment", deadline=100))

    late = await send(runtime, path_of(expired), b"1")

    assert_problem(expired, 424, "event-expired")
    assert_problem(late, 410, "event-ended")
    assert late.json["stepStatus"] == "failed"


async def scenario_any_body_of_a_callback_is_read(runtime: Runtime) -> None:
    png = b"\x89PNG\r\n\x1a\n"
    multipart = "multipart/form-data; boundary=b"
    cases: list[tuple[bytes, str, Any]] = [
        (b"", "image/png", None),
        (b"", "text/plain", None),
        (b'{"a": [1, 2.5, null]}', "application/json; charset=utf-8", {"a": [1, 2.5, None]}),
        (b'{"type": "x"}', "application/cloudevents+json", {"type": "x"}),
        (b"17", "application/json", 17),
        (b"a=1&b=x+y%C3%A4&a=2&c=", FORM, {"a": ["1", "2"], "b": "x yä", "c": ""}),
        (b'{"curl": "sends this"}', FORM, {"curl": "sends this"}),
        (b"a=%FF", FORM, kept(b"a=%FF", FORM)),
        (FIELDS, multipart, {"who": "ada", "tag": ["x", "ä"]}),
        (FILES, multipart, kept(FILES, multipart)),
        (b"no parts", multipart, kept(b"no parts", multipart)),
        ("grüß".encode(), "text/plain", "grüß"),
        (b"x", "text/plain; charset=klingon", kept(b"x", "text/plain; charset=klingon")),
        (png, "image/png", kept(png, "image/png")),
    ]
    await all_are_read(runtime, cases)


async def scenario_a_text_that_is_no_utf_8_is_read_in_its_charset_or_kept(runtime: Runtime) -> None:
    latin = "text/plain; charset=iso-8859-1"
    cases = [
        ("grüß".encode("latin-1"), latin, "grüß"),
        (b"\xff", "text/plain", kept(b"\xff", "text/plain")),
    ]
    await all_are_read(runtime, cases)


def kept(body: bytes, content_type: str) -> dict[str, Any]:
    """The result of a body that is kept as it was sent."""
    return {"contentType": content_type, "encoding": "base64", "body": base64.b64encode(body).decode()}


async def all_are_read(runtime: Runtime, cases: Sequence[tuple[bytes, str, Any]]) -> None:
    """Post each body twice to an event of its own, and compare the event's result."""
    for number, (body, content_type, value) in enumerate(cases):
        document = event_document("payment", idempotencyKey=f"k-{number}")
        path = path_of(await runtime.start(document, Prefer="respond-async"))
        told = [await send(runtime, path, body, content_type) for _ in range(2)]
        assert [reply.status for reply in told] == [200, 200], (body, content_type, told[0].body)
        assert (await runtime.start(document)).json["response"] == value, (body, content_type)


async def scenario_a_body_that_cannot_be_kept_leaves_the_event_open(runtime: Runtime) -> None:
    path = await opened(runtime)

    malformed = await send(runtime, path, b'{"a": 1')
    twice = await send(runtime, path, b'{"a": 1, "a": 2}', FORM)
    large = [
        await send(runtime, path, b"x" * (RESPONSE_MAX_BYTES - 1), "text/plain"),
        # In base64 it would be larger than a response may be.
        await send(runtime, path, b"\xff" * (RESPONSE_MAX_BYTES * 4 // 5), "image/png"),
    ]
    told = await send(runtime, path, b"x" * (RESPONSE_MAX_BYTES - 2), "text/plain")

    for reply in (malformed, twice):
        assert_problem(reply, 400, "invalid-request")
        assert reply.json["errors"][0]["field"] == "body"
    for reply in large:
        assert_problem(reply, 413, "too-large")
    assert told.status == 200


async def scenario_a_callback_rejects_its_event(runtime: Runtime) -> None:
    cases: list[tuple[bytes, str, Mapping[str, Any]]] = [
        (b"", "text/plain", {"detail": "no reason was given"}),
        (b"detail=", FORM, {"detail": "no reason was given"}),
        (b"detail=too+dear&by=ada", FORM, {"detail": "too dear", "by": "ada"}),
        (b'{"detail": "no", "code": 7}', "application/json", {"detail": "no", "code": 7}),
    ]
    for number, (body, content_type, value) in enumerate(cases):
        document = event_document("payment", idempotencyKey=f"k-{number}")
        path = path_of(await runtime.start(document, Prefer="respond-async"))
        for wrong in (b'"no"', b'{"detail": 7}', b'{"detail": [1]}'):
            assert_problem(await send(runtime, f"{path}/reject", wrong), 400, "invalid-request")
        told = [await send(runtime, f"{path}/reject", body, content_type) for _ in range(2)]
        assert [reply.json for reply in told] == [{"status": "failed"}] * 2
        rejected = await runtime.start(document)
        assert_problem(rejected, 424, "event-rejected")
        assert (rejected.json["response"], path_of(rejected)) == (value, path)
        assert_problem(await send(runtime, path, b"1"), 410, "event-ended")


async def scenario_heartbeats_come_to_a_callback_url(runtime: Runtime) -> None:
    event = await runtime.start(event_document("payment", heartbeat=60_000), Prefer="respond-async")
    step, path = f"/steps/{event.json['id']}", path_of(event)
    first = (await runtime.get(step)).json["heartbeatBy"]

    await asyncio.sleep(0.01)
    beats = [await send(runtime, f"{path}/heartbeat") for _ in range(2)]
    later = (await runtime.get(step)).json["heartbeatBy"]
    forged = await send(runtime, f"{path}A/heartbeat")
    await send(runtime, path, b"1")
    late = await send(runtime, f"{path}/heartbeat")

    assert [(beat.status, beat.json["status"]) for beat in beats] == [(200, event.json["status"])] * 2
    assert later > first
    assert_problem(forged, 404, "not-found")
    assert_problem(late, 410, "event-ended")


async def scenario_headers_and_raw_body_are_captured(runtime: Runtime) -> None:
    path = await opened(runtime, capture=["Stripe-Signature", "x-other"])
    body = b'{"amount":  1}\n'

    told = await send(runtime, path, body, Stripe_Signature="t=1,v1=ab")
    # The sender did not see the answer; it signs each delivery anew.
    again = await send(runtime, path, body, Stripe_Signature="t=2,v1=cd")
    other = await send(runtime, path, b'{"amount":1}', Stripe_Signature="t=1,v1=ab")

    assert [reply.status for reply in (told, again, other)] == [200, 200, 410]
    assert await response(runtime) == {
        "headers": {"stripe-signature": "t=1,v1=ab"},
        "contentType": "application/json",
        "encoding": "text",
        "body": body.decode(),
    }
    binary = await opened(runtime, idempotencyKey="k-2", capture=["x-signature"])
    assert (await send(runtime, binary, b"\xff\x00", "image/x")).status == 200
    reply = await runtime.start(event_document("payment", idempotencyKey="k-2"))
    assert (reply.json["response"]["encoding"], reply.json["response"]["body"]) == ("base64", "/wA=")


async def scenario_a_wrong_capture_is_explained(runtime: Runtime) -> None:
    many = [f"x-{number}" for number in range(9)]
    wrong = [event_document("payment", capture=given) for given in (many, ["a b"], [""], "x", [7])]
    timer = {**event_document("nap", capture=["x"]), "kind": "timer", "parent": f"run_{'f' * 32}-root"}
    for document in (*wrong, timer):
        reply = await runtime.start(document)
        assert_problem(reply, 400, "invalid-request")
        assert reply.json["errors"][0]["field"].startswith("capture"), reply.body


async def scenario_reading_a_callback_url_changes_nothing(runtime: Runtime) -> None:
    event = await runtime.start(event_document("payment"), Prefer="respond-async")
    path = path_of(event)
    before = (await runtime.get(f"/steps/{event.json['id']}")).body

    pages = [await runtime.request("GET", path, key_of="nobody") for _ in range(3)]
    heads = [await runtime.request("HEAD", target) for target in (path, path + "?x=1")]
    below = [await runtime.request("GET", path + end) for end in ("/approve", "/reject")]
    others = [await runtime.request(method, path) for method in ("PUT", "DELETE", "PATCH")]

    assert {reply.status for reply in (*pages, *heads)} == {200}
    assert {reply.status for reply in (*below, *others)} == {405}
    assert (await runtime.get(f"/steps/{event.json['id']}")).body == before
    page = pages[0]
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    for part in ("payment", "Approve", "Reject"):
        assert part in page.body.decode()
    assert page.body.count(b"<form") == 2
    assert b"script" not in page.body


async def scenario_an_approval_is_what_the_page_posts(runtime: Runtime) -> None:
    path = await opened(runtime)

    told = [await send(runtime, f"{path}/approve", b"", FORM) for _ in range(2)]

    assert [reply.json for reply in told] == [{"status": "succeeded"}] * 2
    assert await response(runtime) == {"approved": True}
    page = await runtime.request("GET", path)
    assert (page.body.count(b"<form"), b"It was answered." in page.body) == (0, True)


async def scenario_a_token_that_is_not_valid_is_not_found(runtime: Runtime) -> None:
    path = await opened(runtime)
    head, _, token = path.rpartition("/")
    flipped = f"{head}/{'A' if token[0] != 'A' else 'B'}{token[1:]}"

    for wrong in (
        flipped,
        path[:-1],
        f"{path}A",
        f"{head}/x",
        f"{head}/{'A' * 70}",
        f"{head}/{token.upper()}",
    ):
        replies = [await send(runtime, wrong + end, b"1") for end in ("", "/approve", "/reject")]
        replies.append(await runtime.request("GET", wrong))
        for reply in replies:
            assert_problem(reply, 404, "not-found")
            assert reply.body == replies[0].body
    assert_problem(await send(runtime, f"{path}/other", b"1"), 404, "not-found")
    assert (await send(runtime, path, b"1")).status == 200


async def scenario_a_callback_of_a_cancelled_run_is_refused(runtime: Runtime) -> None:
    order = Order(runtime)
    started = await runtime.start(order.document(), Prefer="respond-async")
    await runtime.step_in(started.json["id"], "waiting")
    path = path_of(order.told[0])

    await runtime.post(f"/runs/{started.json['runId']}/cancel")
    late = await send(runtime, path, b"1")

    assert_problem(late, 410, "event-ended")
    assert late.json["stepStatus"] == "cancelled"
    assert b"No answer is needed any more." in (await runtime.request("GET", path)).body


async def scenario_a_callback_works_again_when_its_expired_event_is_redriven(runtime: Runtime) -> None:
    order = Order(runtime, deadline=runtime.ms(150))
    failed = await runtime.finish(order.document())
    path = path_of(order.told[0])
    assert_problem(await send(runtime, path, b'"late"'), 410, "event-ended")

    await runtime.post(f"/steps/{failed.json['id']}/redrive")
    told = await send(runtime, path, b'"paid"')

    ended = await runtime.step_in(failed.json["id"], "succeeded")
    assert (told.status, ended["response"]) == (200, "paid")
    assert {path_of(reply) for reply in order.told} == {path}


async def scenario_of_a_callback_and_a_result_by_name_one_counts(runtime: Runtime) -> None:
    order = Order(runtime)
    started = await runtime.start(order.document(), Prefer="respond-async")
    await runtime.step_in(started.json["id"], "waiting")
    path = path_of(order.told[0])

    by_url, by_name = await asyncio.gather(
        send(runtime, path, b'"url"'), runtime.post("/events", addressed(result="name"))
    )

    ended = await runtime.step_in(started.json["id"], "succeeded")
    if ended["response"] == "url":
        assert by_url.status == 200
        assert_problem(by_name, 409, REFUSED)
    else:
        assert (ended["response"], by_name.status) == ("name", 200)
        assert_problem(by_url, 410, "event-ended")


async def scenario_pages_of_all_origins_may_post(runtime: Runtime) -> None:
    path = await opened(runtime)
    foreign = {"Origin": "https://shop.example"}

    page = await runtime.request("GET", path, headers={"Origin": "null"})
    told = [await send(runtime, target, b"1", **foreign) for target in (f"{path}x", path, path + "?a=1")]
    other = await send(runtime, path, b"2", Origin="null")

    for reply in (*told, other):
        assert reply.headers["access-control-allow-origin"] == "*"
        assert "access-control-allow-credentials" not in reply.headers
        assert reply.headers["cache-control"] == "no-store"
    assert (page.status, "access-control-allow-origin" in page.headers) == (200, False)
    assert [reply.status for reply in (*told, other)] == [404, 200, 200, 410]
    started = await runtime.start(event_document("another"), Prefer="respond-async")
    assert "access-control-allow-origin" not in started.headers


async def scenario_a_preflight_of_a_callback_url_changes_nothing(runtime: Runtime) -> None:
    event = await runtime.start(event_document("payment"), Prefer="respond-async")
    before = (await runtime.get(f"/steps/{event.json['id']}")).body

    for end in ("", "/reject"):
        origin = {"Origin": "https://shop.example"}
        asked = await runtime.request("OPTIONS", path_of(event) + end, headers=origin)
        assert (asked.status, asked.headers["access-control-allow-origin"]) == (204, "*")
        assert asked.headers["access-control-allow-methods"] == "POST"
        assert "access-control-allow-credentials" not in asked.headers
    assert (await runtime.get(f"/steps/{event.json['id']}")).body == before


async def scenario_each_event_has_its_own_callback_url(runtime: Runtime) -> None:
    paths = {
        await opened(runtime),
        path_of(await runtime.start(event_document("other"), Prefer="respond-async")),
    }
    assert len(paths) == 2
