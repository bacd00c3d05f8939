"""Unusual keys, payloads and endpoint answers are kept exactly or refused."""

import json
from collections.abc import Iterator
from typing import Any

from atomic.protocol.constants import RESPONSE_MAX_BYTES
from atomic.testing import ApiReply, EndpointCall, EndpointReply
from scenarios.runtime import Runtime, answer_ok
from scenarios.starts import assert_problem, document

VISIBLE = "".join(map(chr, range(0x21, 0x7F)))
BAD_KEYS = (
    "", " ", "a b", " a", "a ", "a\tb", "a\n", "a\r\nX-Injected: 1", "a\x00", "\x1f", "\x7f", "\x80",
    "é", "e\u0301", "Ω", "键", "😀", "\u202e", "\u00a0", "k" * 256, "k" * 10_240,
)  # fmt: skip
DEEPEST = 64
FAITHFUL = (
    "null", "true", "false", "0", "1", "-1", "1.5", "-0.25", "1e308", "5e-324", "18446744073709551615",
    "-9223372036854775808", '""', '" "', '"null"', '"ada"', '"é ß 漢 ع"', '"e\\u0301"', '"😀 👩‍👩‍👧"',
    '"\\ud83d\\ude00"', '"\\u0000\\u001f\\u2028\\u2029\\ufeff"', '"\\"\\\\\\/\\b\\f\\n\\r\\t"',
    '"</script><b>&amp;"', "[]", "{}", "[[]]", "[null,true,0,\"x\",[],{}]", '{"":{"":null}}',
    '{"__proto__":1,"constructor":2}', '{"a":1,"A":2,"á":3}', '{"idempotencyKey":"other","payload":1}',
    "[" * DEEPEST + "]" * DEEPEST, '{"a":' * DEEPEST + "1" + "}" * DEEPEST,
    " \t\r\n{ \"a\" : [ 1 , 2 ] }\n ",
)  # fmt: skip
REFUSED: tuple[str | bytes, ...] = (
    "NaN", "Infinity", "-Infinity", "[1,NaN]", "1e999", "-1e999", "18446744073709551616",
    "-9223372036854775809", "9" * 5000, '"\\ud800"', '"\\udc00\\ud800"', '{"\\udfff":1}',
    '{"a":1,"a":1}', '[{"b":{"x":1,"\\u0078":2}}]', "[" * (DEEPEST + 1) + "]" * (DEEPEST + 1),
    '{"a":' * (DEEPEST + 1) + "1" + "}" * (DEEPEST + 1), "[" * 100_000 + "]" * 100_000, '"a\nb"',
    '"\x00"', "'a'", "01", "+1", ".5", "1.", "0x10", "1_000", "True", "None", "undefined", "[1,]",
    '{"a":1,}', "{a:1}", "/* one */ 1", '"\\x41"', '"\\u12"', "", "1 2", b'"\xff"', b'"\xc3"',
    b'"\xed\xa0\x80"', b'"\xc0\xaf"', "²", "１",
)  # fmt: skip
SAME_MEANING = (
    ("1", "1.0"), ("100", "1e2"), ("0", "-0.0"), ("1.5", "15e-1"), ("-3", "-3.000"),
    ('{"a":1,"b":{"x":[1],"y":2}}', ' { "b" : { "y":2.0, "x":[1.0] }, "a" : 1 }'), ('"é"', '"\\u00e9"'),
    ('"😀"', '"\\ud83d\\uDE00"'), ('"/"', '"\\/"'), ('{"é":"\\n"}', '{"\\u00e9":"\\u000a"}'),
)  # fmt: skip
OTHER_MEANING = (
    ("1", '"1"'), ("0", "false"), ("1", "true"), ("null", '"null"'), ("null", "{}"), ("null", "[]"),
    ('""', "null"), ("[]", "{}"), ("[1,2]", "[2,1]"), ("{}", '{"a":null}'), ('"é"', '"e\\u0301"'),
    ('"a"', '"A"'), ('"a"', '"a "'), ("9007199254740993", "9007199254740992"),
    ("0.1", "0.1000000000000001"), ("[1]", "1"), ('["a,b"]', '["a","b"]'),
)  # fmt: skip

PLAIN, JSON, BYTES = "text/plain", "application/json", "application/octet-stream"
# Body, content type, and the value that is read.
JSON_BODIES: tuple[tuple[bytes, str, Any], ...] = (
    (b'{"ok": true}', JSON, {"ok": True}),
    (b'{"ok": true}', "text/html", {"ok": True}),
    (b'{"ok": true}', "application/vnd.x+json; charset=utf-16", {"ok": True}),
    (b"\xef\xbb\xbf[1]", JSON, [1]),
    (b" \n17\r\n", PLAIN, 17),
    (b'"\xc3\xa9 \xf0\x9f\x98\x80 \\u0000"', JSON, "é 😀 \x00"),
    (b"null", JSON, None),
    (b"", JSON, None),
    (b"", "text/html", None),
    (b"\xef\xbb\xbf", JSON, None),
    (b"[1.0, 1e5, 18446744073709551615]", JSON, [1.0, 1e5, 18446744073709551615]),
    (b"[" * DEEPEST + b"]" * DEEPEST, JSON, json.loads("[" * DEEPEST + "]" * DEEPEST)),
)
TEXT_BODIES: tuple[tuple[bytes, str, str], ...] = (
    (b"<!doctype html>It & 'how'", "text/html; charset=utf-8", "<!doctype html>It & 'how'"),
    (b"ok", PLAIN, "ok"),
    (b"ok", JSON, "ok"),
    (b"  \n", PLAIN, "  \n"),
    (b"{'ok': True}", JSON, "{'ok': True}"),
    (b'{"ok": tr', JSON, '{"ok": tr'),
    (b'{"a":1}{"a":2}', "application/x-ndjson", '{"a":1}{"a":2}'),
    (b"1" * 400, PLAIN, "1" * 400),
    (b"[" * 50_000, JSON, "[" * 50_000),
    (b"a\x00b\x1b[31m\x7f", PLAIN, "a\x00b\x1b[31m\x7f"),
    (b"caf\xe9", "text/plain; charset=ISO-8859-1", "café"),
    (b'{"a":"\xe9"}', "application/json; charset=latin-1", '{"a":"é"}'),
    (b"\x93x\x94", 'text/plain; charset="windows-1252"', "“x”"),
    ("söß".encode("utf-16"), "text/plain; charset=utf-16", "söß"),
    ("日本".encode("shift_jis"), "text/plain; charset=Shift_JIS; format=flowed", "日本"),
)  # fmt: skip
# Valid JSON for most parsers, which cannot be stored exactly.
UNSTORABLE_BODIES: tuple[bytes, ...] = (
    b'{"a":1,"a":2}',
    b'{"n": NaN}',
    b"-Infinity",
    b"1e999",
    b"1" * 400,
    b'"\\ud800"',
    b"[" * 65 + b"]" * 65,
)
BINARY_BODIES: tuple[tuple[bytes, str, str], ...] = (
    (b"\x89PNG\r\n\x1a\n\x00\x00", "image/png", "iVBORw0KGgoAAA=="),
    (b"\xff\xfe\x00", BYTES, "//4A"),
    (b"caf\xe9", "text/plain; charset=utf-8", "Y2Fm6Q=="),
    (b"caf\xe9", PLAIN, "Y2Fm6Q=="),
    (b"ok\xff", "text/plain; charset=us-ascii", "b2v/"),
    (b"hello", "text/plain; charset=klingon", "aGVsbG8="),
    (b"hello", "text/plain; charset=punycode", "aGVsbG8="),
    (b"hello", "text/plain; charset=rot13", "aGVsbG8="),
    (b'{"a":"\xed\xa0\x80"}', JSON, "eyJhIjoi7aCAIn0="),
    (b"\x1f\x8b\x08\x00", "application/gzip", "H4sIAA=="),
)


async def scenario_keys_are_byte_exact(runtime: Runtime) -> None:
    url = runtime.endpoint("/mail", answer_ok)
    keys = [
        *VISIBLE,
        VISIBLE,
        VISIBLE[::-1],
        "k" * 255,
        "%41",
        "%20",
        "%00",
        "a%2Fb",
        "..",
        "../..",
        "a//b",
        "null",
    ]

    replies = [await runtime.start(document(url, key=key)) for key in keys]

    assert {reply.status for reply in replies} == {200}
    assert [reply.json["idempotencyKey"] for reply in replies] == keys
    assert len({reply.json["runId"] for reply in replies}) == len(keys)
    calls = runtime.calls(url)
    assert [seen.call.json["idempotencyKey"] for seen in calls] == keys
    assert [seen.call.headers["idempotency-key"] for seen in calls] == keys


async def scenario_a_key_that_headers_cannot_carry_is_refused(runtime: Runtime) -> None:
    url = runtime.endpoint("/mail", answer_ok)

    for key in BAD_KEYS:
        reply = await runtime.start(document(url, key=key))
        assert_problem(reply, 400, "invalid-request")
        assert [error["field"] for error in reply.json["errors"]] == ["idempotencyKey"]

    assert runtime.calls(url) == []


async def scenario_names_of_any_language_are_kept(runtime: Runtime) -> None:
    url = runtime.endpoint("/mail", answer_ok)
    names = [
        "é",
        "e\u0301",
        "😀 run",
        "عربى",
        "日本語",
        "n" * 255,
        "a\u00a0b",
        "<b>",
        "%41",
        "a?b&c=d",
        "..",
        "a/b",
    ]

    replies = [await runtime.start(document(url, workflowName=name, stepName=name)) for name in names]

    assert {reply.status for reply in replies} == {200}
    assert [reply.json["workflowName"] for reply in replies] == names
    assert [reply.json["stepName"] for reply in replies] == names
    assert len({reply.json["runId"] for reply in replies}) == len(names)
    assert [seen.call.json["workflowName"] for seen in runtime.calls(url)] == names


async def scenario_a_payload_arrives_as_it_was_meant(runtime: Runtime) -> None:
    url = runtime.endpoint("/mail", answer_ok)

    for position, text in enumerate(FAITHFUL):
        reply = await start_with(runtime, url, f"k-{position}", text)
        assert reply.status == 200, (text, reply.body)
        step = (await runtime.get(f"/steps/{reply.json['id']}")).json
        arrived = runtime.calls(url)[position].call.payload
        assert spelled(arrived) == spelled(step["payload"]) == spelled(json.loads(text))


async def scenario_a_payload_without_one_meaning_is_refused(runtime: Runtime) -> None:
    url = runtime.endpoint("/mail", answer_ok)

    for text in REFUSED:
        reply = await start_with(runtime, url, "k-1", text)
        assert reply.status == 400, text[:80]
        assert [error["field"] for error in reply.json["errors"]] == ["body"]

    assert runtime.calls(url) == []
    assert (await start_with(runtime, url, "k-1", "1")).status == 200


async def scenario_spellings_of_one_payload_are_one_step(runtime: Runtime) -> None:
    url = runtime.endpoint("/mail", answer_ok)

    for position, (one, other) in enumerate(SAME_MEANING):
        first = await start_with(runtime, url, f"k-{position}", one)
        again = await start_with(runtime, url, f"k-{position}", other)
        assert (first.status, again.status, again.body) == (200, 200, first.body), (one, other)
        assert spelled(runtime.calls(url)[position].call.payload) == spelled(json.loads(one))
    absent = await runtime.start(document(url, key="k-null"))
    null = await start_with(runtime, url, "k-null", "null")

    assert null.body == absent.body
    assert runtime.calls(url)[-1].call.payload is None
    assert len(runtime.calls(url)) == len(SAME_MEANING) + 1


async def scenario_payloads_that_only_look_alike_are_a_422(runtime: Runtime) -> None:
    url = runtime.endpoint("/mail", answer_ok)

    for position, (one, other) in enumerate(OTHER_MEANING):
        assert (await start_with(runtime, url, f"k-{position}", one)).status == 200
        assert_problem(await start_with(runtime, url, f"k-{position}", other), 422, "payload-mismatch")

    assert len(runtime.calls(url)) == len(OTHER_MEANING)


async def scenario_a_2xx_with_any_body_is_a_success(runtime: Runtime) -> None:
    for position, (body, content_type, form, expected) in enumerate(odd_bodies()):
        url = runtime.endpoint(f"/odd-{position}", answering(200, body, content_type))

        reply = await runtime.start(document(url))

        said = (body[:80], content_type, reply.body[:300])
        assert (reply.status, reply.json["attempts"], reply.json["responseStatus"]) == (200, 1, 200), said
        assert spelled(reply.json["response"]) == spelled(expected), said
        assert reply.json.get("responseEncoding") == ("base64" if form == "base64" else None), said
        assert reply.json.get("responseContentType") == (None if form == "json" else content_type), said
        assert (await runtime.start(document(url))).body == reply.body
        step = (await runtime.get(f"/steps/{reply.json['id']}")).json
        assert {name: step[name] for name in reply.json} == reply.json
        assert len(runtime.calls(url)) == 1


async def scenario_json_that_cannot_be_stored_as_json_fails_loudly(runtime: Runtime) -> None:
    for position, body in enumerate(UNSTORABLE_BODIES):
        url = runtime.endpoint(f"/odd-{position}", answering(200, body, JSON))

        reply = await runtime.start(document(url))

        assert_problem(reply, 424, "step-failed")
        assert reply.json["lastError"].startswith("response_not_storable: "), body[:40]
        assert (reply.json["lastStatus"], reply.json["attempts"]) == (200, 1)
        # The body is kept completely.
        assert reply.json["response"] == body.decode()
        assert len(runtime.calls(url)) == 1


async def scenario_every_2xx_is_a_success(runtime: Runtime) -> None:
    for status in (200, 201, 202, 203, 206, 207, 226, 299):
        reply = await runtime.start(document(runtime.endpoint(f"/{status}", answering(status, b"1", JSON))))
        assert (reply.status, reply.json["responseStatus"], reply.json["response"]) == (200, status, 1)
    empty = await runtime.start(document(runtime.endpoint("/204", answering(204, b"", None))))
    bare = await runtime.start(document(runtime.endpoint("/bare", answering(200, b"ok", None))))

    assert (empty.status, empty.json["responseStatus"], empty.json["response"]) == (200, 204, None)
    assert (bare.status, bare.json["response"]) == (200, "ok")
    # Some servers set a content type if the handler sets none.
    assert bare.json["responseContentType"] in {None, BYTES}


async def scenario_a_response_may_be_2_mib_and_no_more(runtime: Runtime) -> None:
    largest = b'"' + b"x" * (RESPONSE_MAX_BYTES - 2) + b'"'
    fits = runtime.endpoint("/fits", answering(200, largest, JSON))
    over = runtime.endpoint("/over", answering(200, largest + b" ", JSON))

    assert (await runtime.start(document(fits))).json["response"] == json.loads(largest)
    refused = await runtime.start(document(over))

    assert_problem(refused, 424, "step-failed")
    assert refused.json["lastError"].startswith("response_too_large")
    assert (refused.json["lastStatus"], refused.json["attempts"]) == (200, 1)
    assert len(runtime.calls(over)) == 1


def odd_bodies() -> Iterator[tuple[bytes, str, str, Any]]:
    """Bodies with their content type, form, and the value that is read."""
    for form, bodies in (("json", JSON_BODIES), ("text", TEXT_BODIES), ("base64", BINARY_BODIES)):
        for body, content_type, expected in bodies:
            yield body, content_type, form, expected


def answering(status: int, body: bytes, content_type: str | None) -> Any:
    """An endpoint that answers these bytes."""
    headers = {} if content_type is None else {"Content-Type": content_type}

    async def handler(call: EndpointCall) -> EndpointReply:
        return EndpointReply(status=status, body=body, headers=headers)

    return handler


async def start_with(runtime: Runtime, url: str, key: str, payload: str | bytes) -> ApiReply:
    """Start with a payload in exactly this spelling."""
    text = payload.encode() if isinstance(payload, str) else payload
    body = json.dumps(document(url, key)).encode()[:-1] + b',"payload":' + text + b"}"
    return await runtime.request("POST", f"/{runtime.client}", body=body)


def spelled(value: Any) -> str:
    """One spelling for each JSON value: True differs from 1, and 1.0 does not."""
    return json.dumps(value, sort_keys=True).replace(".0", "")
