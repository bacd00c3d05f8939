"""What the API refuses. Each refusal names the field and the cure, and has no effect."""

import json
from typing import Any

from atomic.protocol.backoff import JITTERS, STRATEGIES
from atomic.protocol.enums import KINDS
from atomic.testing import ApiReply
from scenarios.runtime import Runtime, answer_ok
from scenarios.starts import assert_problem, document
from wording import one_of

KIB = 1024
ABSENT = object()
UNKNOWN_RUN = "run_" + "0" * 32
UNKNOWN_STEP = f"{UNKNOWN_RUN}-root"
PAST = "2026-11-23T07:38:00Z"
RULES = "write status codes or classes"
# Members that replace those of a valid document, the field in the refusal, and a part of the cure.
BAD_MEMBERS: tuple[tuple[dict[str, Any], str, str], ...] = (
    ({"workflowName": ABSENT}, "workflowName", "required"),
    ({"workflowName": ""}, "workflowName", "at least 1"),
    ({"workflowName": 5}, "workflowName", "string"),
    ({"workflowName": "w" * 256}, "workflowName", "at most 255"),
    ({"workflowName": " w"}, "workflowName", "no space at the ends"),
    ({"workflowName": "w\r\nX-Injected: 1"}, "workflowName", "no control characters"),
    ({"workflowName": "hook/pager"}, "workflowName", "use another name"),
    ({"workflowName": "bulk/redrive"}, "workflowName", "use another name"),
    ({"stepName": "a\x00b"}, "stepName", "no control characters"),
    ({"stepName": ""}, "stepName", "at least 1"),
    ({"stepName": ["a"]}, "stepName", "string"),
    ({"idempotencyKey": ABSENT}, "idempotencyKey", "Idempotency-Key"),
    ({"idempotencyKey": None}, "idempotencyKey", "Idempotency-Key"),
    ({"idempotencyKey": 17}, "idempotencyKey", "string"),
    ({"kind": "sql"}, "kind", one_of(KINDS)),
    ({"kind": "timer", "stepName": "t"}, "stepInvokeUrl", "leave it out"),
    ({"kind": "timer", "stepInvokeUrl": ABSENT}, "stepName", "needs a name"),
    ({"kind": "event", "stepInvokeUrl": ABSENT}, "stepName", "needs a name"),
    ({"payloud": {}}, "payloud", "known are workflowName, kind, stepInvokeUrl"),
    ({"idempotency_key": "k-1"}, "idempotency_key", "unknown field"),
    ({"": 1}, "body", "unknown field"),
    ({"timeout": -1}, "timeout", "greater than or equal to 0"),
    ({"timeout": "8000"}, "timeout", "integer"),
    ({"timeout": 1.5}, "timeout", "integer"),
    ({"timeout": True}, "timeout", "integer"),
    ({"timeout": 366 * 86_400_000 + 1}, "timeout", "less than or equal to 31622400000"),
    ({"delay": -1}, "delay", "greater than or equal to 0"),
    ({"delay": None}, "delay", "integer"),
    ({"delay": 2**63}, "delay", "less than or equal to"),
    ({"startAt": 1_800_000_000_000}, "startAt", "2026-11-23T07:38:00Z"),
    ({"startAt": None}, "startAt", "2026-11-23T07:38:00Z"),
    ({"startBy": None}, "startBy", "2026-11-23T07:38:00Z"),
    ({"startAt": "tomorrow"}, "startAt", "2026-11-23T07:38:00Z"),
    ({"startAt": "2026-11-23"}, "startAt", "its offset from UTC"),
    ({"startAt": "2026-11-23T07:38:00"}, "startAt", "its offset from UTC"),
    ({"startAt": "9999-12-31T23:59:59Z"}, "startAt", "within 366 days"),
    ({"startAt": "2026-11-23T07:38:00Z", "delay": 0}, "startAt", "and not both"),
    ({"kind": "event", "stepName": "e", "stepInvokeUrl": ABSENT, "startAt": PAST}, "startAt", "leave it"),
    ({"startBy": 0}, "startBy", "1 to 31622400000 milliseconds"),
    ({"startBy": 366 * 86_400_000 + 1}, "startBy", "1 to 31622400000 milliseconds"),
    ({"startBy": True}, "startBy", "2026-11-23T07:38:00Z"),
    ({"startBy": "60000"}, "startBy", "its offset from UTC"),
    ({"startBy": "9999-12-31T23:59:59Z"}, "startBy", "within 366 days"),
    ({"startAt": PAST, "startBy": PAST}, "startBy", "after startAt"),
    ({"kind": "timer", "stepName": "t", "stepInvokeUrl": ABSENT, "parent": UNKNOWN_STEP, "startBy": 5},
     "startBy", "leave it out"),
    ({"deadline": 0}, "deadline", "greater than or equal to 1"),
    ({"deadline": 366 * 86_400_000 + 1}, "deadline", "less than or equal to"),
    ({"attemptTimeout": 0}, "attemptTimeout", "greater than or equal to 1"),
    ({"attemptTimeout": 900_001}, "attemptTimeout", "at most 900000"),
    ({"onLost": "ignore"}, "onLost", "'repeat' or 'fail'"),
    ({"onLost": None}, "onLost", "'repeat' or 'fail'"),
    ({"onLost": True}, "onLost", "'repeat' or 'fail'"),
    ({"kind": "event", "stepName": "e", "stepInvokeUrl": ABSENT, "onLost": "fail"}, "onLost", "leave it"),
    ({"retry": 3}, "retry", "dictionary"),
    ({"retry": None}, "retry", "dictionary"),
    ({"retry": {"count": -1}}, "retry.count", "greater than or equal to 0"),
    ({"retry": {"count": 1001}}, "retry.count", "less than or equal to 1000"),
    ({"retry": {"count": "3"}}, "retry.count", "integer"),
    ({"retry": {"count": True}}, "retry.count", "integer"),
    ({"retry": {"backoff": 10}}, "retry.backoff", "known are count, backOff"),
    ({"retry": {"backOff": -5}}, "retry.backOff", "greater than or equal to 0"),
    ({"retry": {"backOff": 1e400}}, "body", "Infinity is not JSON"),
    ({"retry": {"maxBackOff": 366 * 86_400_000 + 1}}, "retry.maxBackOff", "less than or equal to"),
    ({"retry": {"strategy": "random"}}, "retry.strategy", one_of(STRATEGIES)),
    ({"retry": {"jitter": True}}, "retry.jitter", one_of(JITTERS)),
    ({"retry": {"factor": 0.5}}, "retry.factor", "greater than or equal to 1"),
    ({"retry": {"factor": 101}}, "retry.factor", "less than or equal to 100"),
    ({"retry": {"on": "4x4"}}, "retry.on", RULES),
    ({"retry": {"on": ""}}, "retry.on", RULES),
    ({"retry": {"on": [404]}}, "retry.on", "string"),
    ({"retry": {"on": "Time out"}}, "retry.on", RULES),
    ({"retry": {"on": "TimeoutError,"}}, "retry.on", RULES),
    ({"retry": {"on": "my.Error"}}, "retry.on", RULES),
    ({"retry": {"never": "É"}}, "retry.never", RULES),
    ({"retry": {"never": "e" * 101}}, "retry.never", RULES),
    ({"retry": {"never": "404;410"}}, "retry.never", RULES),
    ({"retry": {"never": "600"}}, "retry.never", RULES),
    ({"parent": "root"}, "parent", "Atomic-Step-Id"),
    ({"parent": UNKNOWN_RUN}, "parent", "Atomic-Step-Id"),
    ({"parent": ""}, "parent", "Atomic-Step-Id"),
)  # fmt: skip
BAD_URLS = (
    "", "/steps/mail", "//app.example/mail", "app.example/mail", "ftp://app.example/mail", "file:///etc/passwd",
    "javascript:alert(1)", "http://", "https:///mail", "http://:80/mail", "https://ada@app.example/mail",
    "https://ada:pw@app.example/mail", "https://app.example/mail#top", "https://app.example/mail#",
    "https://app.example:0/mail", "https://app.example:65536/mail", "https://app.example:abc/mail",
    "https://[::1/mail", "https://app.example\\@evil.example/mail", "https://app.example/a mail",
    "https://app.example/mail\r\nX-Injected: 1", "https://app.example/\x00", " https://app.example/mail",
    "https://app.example/mail\n", "https://app.exämple/mail", "https://app.example/mäil",
    "https://app.example/" + "x" * 2048,
)  # fmt: skip
BAD_BODIES: tuple[tuple[bytes, str], ...] = (
    (b"", "not JSON"),
    (b"   ", "not JSON"),
    (b"{", "not JSON"),
    (b"[]", "send a JSON object"),
    (b"null", "send a JSON object"),
    (b'"k-1"', "send a JSON object"),
    (b'{"workflowName": "w"} {}', "not JSON: Extra data"),
    (b"{'workflowName': 'w'}", "not JSON"),
    (b'{"workflowName": "w",}', "not JSON"),
    (b'{"workflowName": "w", "workflowName": "w"}', "'workflowName' appears twice"),
    (b'{"workflowName": "\xe9"}', "not UTF-8 at byte"),
    ('{"workflowName": "w"}'.encode("utf-16"), "not UTF-8"),
    (b'\xef\xbb\xbf{"workflowName": "w"}', "byte order mark"),
    (b"workflowName=w&idempotencyKey=k-1", "not JSON"),
    (b"[" * 100_000, "nested deeper than 64"),
    (b'{"a":' * 50_000, "nested deeper than 64"),
)
BAD_HEADERS: tuple[tuple[str, str, str], ...] = (
    ("Idempotency-Key", "k-2", "differs from idempotencyKey in the body"),
    ("Idempotency-Key", '"k-2"', "differs from idempotencyKey in the body"),
    ("Idempotency-Key", "K-1", "differs from idempotencyKey in the body"),
    ("Idempotency-Key", "k 1", "visible ASCII"),
    ("Idempotency-Key", "", "visible ASCII"),
    ("Idempotency-Key", '""', "visible ASCII"),
    ("Idempotency-Key", "k" * 256, "visible ASCII"),
    ("Idempotency-Key", "ké", "visible ASCII"),
    ("Prefer", "wait", "whole seconds"),
    ("Prefer", "wait=soon", "whole seconds"),
    ("Prefer", "wait=-1", "whole seconds"),
    ("Prefer", "wait=1.5", "whole seconds"),
    ("Prefer", "respond-async, wait=8s", "whole seconds"),
    ("Prefer", "wait=" + "9" * 30, "whole seconds"),
)


async def scenario_a_bad_document_is_told_field_and_cure(runtime: Runtime) -> None:
    url = runtime.endpoint("/mail", answer_ok)

    for members, field, cure in BAD_MEMBERS:
        changed = {**document(url), **members}
        reply = await runtime.start({name: value for name, value in changed.items() if value is not ABSENT})
        assert_names(reply, field, cure)

    await nothing_happened(runtime, url)


async def scenario_a_bad_url_is_told_what_one_looks_like(runtime: Runtime) -> None:
    for url in (*BAD_URLS, None, 5, ["https://app.example/mail"]):
        reply = await runtime.start({**document(""), "stepInvokeUrl": url})
        assert_names(reply, "stepInvokeUrl", "")

    assert (await runtime.get("/runs")).json["runs"] == []


async def scenario_a_body_that_is_no_json_object_is_refused(runtime: Runtime) -> None:
    for body, cure in BAD_BODIES:
        reply = await runtime.request("POST", f"/{runtime.client}", body=body)
        assert_names(reply, "body", cure)

    assert (await runtime.get("/runs")).json["runs"] == []


async def scenario_a_bad_header_is_named(runtime: Runtime) -> None:
    url = runtime.endpoint("/mail", answer_ok)

    for name, value, cure in BAD_HEADERS:
        reply = await runtime.start(document(url), **{name: value})
        assert_names(reply, name, cure)

    await nothing_happened(runtime, url)


async def scenario_every_wrong_field_is_named_at_once(runtime: Runtime) -> None:
    url = runtime.endpoint("/mail", answer_ok)
    wrong = {"timeout": -1, "retry": {"count": "3", "backoff": 1}, "colour": "red", "parent": "x"}

    reply = await runtime.start(document(url) | wrong)

    assert_problem(reply, 400, "invalid-request")
    fields = {error["field"] for error in reply.json["errors"]}
    assert fields == {"timeout", "retry.count", "retry.backoff", "colour", "parent"}
    assert all(field in reply.json["detail"] for field in fields)
    await nothing_happened(runtime, url)


async def scenario_what_does_not_exist_is_one_404(runtime: Runtime) -> None:
    url = runtime.endpoint("/mail", answer_ok)
    there = (await runtime.start(document(url))).json
    unknown = (
        f"/runs/{UNKNOWN_RUN}", f"/runs/{there['id']}", "/runs/x", "/runs/%00", "/runs/", "/runs/a/b",
        f"/steps/{UNKNOWN_RUN}-root", f"/steps/{there['runId']}-{'0' * 32}", f"/steps/{there['runId']}",
        "/steps/x", "/steps/", "/nothing", "/", "/stats/x", f"/runs/{there['runId']}/nothing",
    )  # fmt: skip
    acts = (
        f"/runs/{UNKNOWN_RUN}/cancel", f"/steps/{UNKNOWN_RUN}-root/redrive", "/steps/x/redrive",
        f"/steps/{UNKNOWN_RUN}-root/result", f"/runs/{there['runId']}/nothing", "/nothing",
    )  # fmt: skip

    replies = [
        *[await runtime.get(target) for target in unknown],
        *[await runtime.post(target) for target in acts],
        await runtime.start(document(url, key="k-2", parent=f"{UNKNOWN_RUN}-root")),
        await runtime.request("GET", "/static/nothing.js"),
        await runtime.request("GET", "/static/..%2f__init__.py"),
        await runtime.request("POST", "/-no-client-", body=json.dumps(document(url)).encode()),
    ]

    assert {reply.status for reply in replies} == {404}
    assert len({reply.body for reply in replies}) == 1
    assert_problem(replies[0], 404, "not-found")


async def scenario_a_wrong_method_is_told_the_right_one(runtime: Runtime) -> None:
    allowed = {
        f"/{runtime.client}/runs": "GET",
        f"/{runtime.client}/runs/{UNKNOWN_RUN}/cancel": "POST",
        f"/{runtime.client}/steps/{UNKNOWN_RUN}-root": "GET",
        f"/{runtime.client}/steps/{UNKNOWN_RUN}-root/redrive": "POST",
        f"/{runtime.client}/steps/{UNKNOWN_RUN}-root/result": "POST",
        f"/{runtime.client}/redrive": "POST",
        f"/{runtime.client}/stats": "GET",
        "/": "GET",
        "/health": "GET",
        "/openapi.json": "GET",
        "/docs": "GET",
        "/dashboard": "GET",
    }
    for target, right in allowed.items():
        for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"} - {right}:
            reply = await runtime.request(method, target)
            assert_problem(reply, 405, "method-not-allowed")
            assert reply.headers["allow"] == {"GET": "GET, HEAD", "POST": "POST"}[right], target
    for method in ("PUT", "DELETE", "OPTIONS"):
        reply = await runtime.request(method, f"/{runtime.client}")
        assert_problem(reply, 405, "method-not-allowed")
        assert reply.headers["allow"] == "POST, GET, HEAD, PATCH"
    reply = await runtime.request("POST", f"/{runtime.client}/runs/{UNKNOWN_RUN}")
    assert_problem(reply, 405, "method-not-allowed")
    assert reply.headers["allow"] == "GET, HEAD, DELETE"


async def scenario_head_is_get_without_a_body(runtime: Runtime) -> None:
    url = runtime.endpoint("/mail", answer_ok)
    there = (await runtime.start(document(url))).json
    for target in ("/health", "/docs", f"/{runtime.client}/runs", f"/{runtime.client}/steps/{there['id']}"):
        got, asked = await runtime.request("GET", target), await runtime.request("HEAD", target)
        assert (asked.status, asked.body) == (200, b"")
        assert asked.headers["content-type"] == got.headers["content-type"]
    assert (await runtime.request("HEAD", f"/{runtime.client}/steps/{UNKNOWN_RUN}-root")).status == 404
    assert (await runtime.request("HEAD", f"/{runtime.client}/cancel")).status == 404
    assert (await runtime.request("HEAD", f"/{runtime.client}/redrive")).status == 405


async def scenario_a_payload_may_be_2_mib_and_no_more(runtime: Runtime) -> None:
    url = runtime.endpoint("/mail", answer_ok)
    limit = 2048 * KIB - 2
    largest = "x" * limit

    reply = await runtime.start(document(url, payload=largest))
    over = await runtime.start(document(url, key="k-2", payload=largest + "x"))
    # A character of 3 bytes in UTF-8, which JSON may also write as 6 bytes.
    wide = await runtime.start(document(url, key="k-3", payload="€" * (limit // 3)))
    too_wide = await runtime.start(document(url, key="k-4", payload="€" * (limit // 3 + 1)))

    assert (reply.status, wide.status) == (200, 200)
    for refused in (over, too_wide):
        assert_problem(refused, 413, "too-large")
        assert "payload" in refused.json["detail"]
    assert [len(seen.call.payload) for seen in runtime.calls(url)] == [limit, limit // 3]


async def scenario_a_body_may_be_5_mib_and_no_more(runtime: Runtime) -> None:
    url = runtime.endpoint("/mail", answer_ok)
    largest = json.dumps(document(url)).encode().ljust(5 * KIB * KIB)

    sizes = {}
    for body in (largest, largest + b" ", largest + b" " * 5 * KIB * KIB):
        sizes[len(body)] = await runtime.request("POST", f"/{runtime.client}", body=body)

    fits, over, far_over = sizes.values()
    assert fits.status == 200
    for refused in (over, far_over):
        assert_problem(refused, 413, "too-large")
        assert "5242880" in refused.json["detail"]
    assert len(runtime.calls(url)) == 1
    acts = ("redrive", f"steps/{UNKNOWN_RUN}-root/redrive", f"steps/{UNKNOWN_RUN}-root/result")
    for target in (*acts, f"runs/{UNKNOWN_RUN}/cancel"):
        refused = await runtime.request("POST", f"/{runtime.client}/{target}", body=largest + b" ")
        assert_problem(refused, 413, "too-large")


def assert_names(reply: ApiReply, field: str, cure: str) -> None:
    """Assert that the reply is a 400 that names the field and the cure."""
    assert_problem(reply, 400, "invalid-request")
    said = {error["field"]: error["message"] for error in reply.json["errors"]}
    assert field in said, reply.json
    assert cure in said[field], reply.json
    assert cure in reply.json["detail"]


async def nothing_happened(runtime: Runtime, url: str) -> None:
    """Whether no endpoint was called and no run exists."""
    assert runtime.calls(url) == []
    assert (await runtime.get("/runs")).json["runs"] == []
