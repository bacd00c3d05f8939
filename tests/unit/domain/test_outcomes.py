"""How an endpoint's answer is interpreted."""

import base64
import json
from dataclasses import replace
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atomic.domain.outcomes import (
    EndpointResponse,
    Outcome,
    StepError,
    StoredBody,
    classify,
    read_response,
    sentence_of,
)
from atomic.domain.outcomes import timed_out as is_timed_out
from atomic.domain.retry import RetryPolicy
from atomic.protocol import keys
from atomic.protocol.constants import RESPONSE_MAX_BYTES
from atomic.protocol.enums import OutcomeKind, WakePolicy
from atomic.protocol.error_kinds import ErrorKind
from unit.strategies import NOW, OTHER, RUN, examples

SUCCEEDED, RETRYABLE, PERMANENT, SUSPENDED = (
    OutcomeKind.SUCCEEDED,
    OutcomeKind.RETRYABLE,
    OutcomeKind.PERMANENT,
    OutcomeKind.SUSPENDED,
)


def read(status: int | None, headers: dict[str, str] | None = None, **more: Any) -> Outcome:
    policy = more.pop("policy", RetryPolicy())
    return classify(EndpointResponse(status=status, headers=headers or {}, **more), policy, NOW)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (200, SUCCEEDED), (201, SUCCEEDED), (202, SUCCEEDED), (204, SUCCEEDED), (206, SUCCEEDED),
        (299, SUCCEEDED), (300, PERMANENT), (301, PERMANENT), (302, PERMANENT), (304, PERMANENT),
        (307, PERMANENT), (308, PERMANENT), (400, RETRYABLE), (401, RETRYABLE), (403, RETRYABLE),
        (404, RETRYABLE), (408, RETRYABLE), (409, RETRYABLE), (410, PERMANENT), (422, RETRYABLE),
        (425, RETRYABLE), (429, RETRYABLE), (500, RETRYABLE), (501, RETRYABLE), (502, RETRYABLE),
        (503, RETRYABLE), (504, RETRYABLE), (599, RETRYABLE),
        (101, RETRYABLE), (600, RETRYABLE), (999, RETRYABLE),
    ],
)  # fmt: skip
def test_statuses(status: int, kind: OutcomeKind) -> None:
    outcome = read(status, body=b'"x"')
    assert (outcome.kind, outcome.status) == (kind, status)
    assert outcome.response == StoredBody(b'"x"', "json")
    found = f"the endpoint answered {status}" + (
        ", and no redirect is followed" if 300 <= status < 400 else ""
    )
    assert sentence_of(outcome.error) == (None if kind is SUCCEEDED else found)


@pytest.mark.parametrize(
    ("location", "words"),
    [
        ("https://app.example/pay/", ": call https://app.example/pay/ instead"),
        ("/pay/\r\n?x=\udcff", ": call /pay/ ?x=? instead"),
        ("", ": moved"),
    ],
)
def test_a_redirect_says_where_it_leads(location: str, words: str) -> None:
    outcome = read(307, {"location": location}, body=b'{"detail": "moved"}')
    assert outcome.error is not None
    assert outcome.error.kind is ErrorKind.REDIRECT_REFUSED
    assert str(outcome.error) == f"the endpoint answered 307, and no redirect is followed{words}"
    assert str(outcome.error.without_excerpt()) == "the endpoint answered 307, and no redirect is followed"


@pytest.mark.parametrize(
    ("options", "status", "kind"),
    [
        ({"on": "5xx"}, 404, PERMANENT),
        ({"on": "5xx"}, 503, RETRYABLE),
        ({"on": "410"}, 410, RETRYABLE),
        ({"on": "302"}, 302, RETRYABLE),
        ({"never": "404"}, 404, PERMANENT),
        ({"never": "404"}, 403, RETRYABLE),
        ({"on": "4xx", "never": "404"}, 404, PERMANENT),
        ({"never": "200"}, 200, SUCCEEDED),
        ({"on": "2xx"}, 204, SUCCEEDED),
    ],
)
def test_rules_of_the_step(options: dict[str, Any], status: int, kind: OutcomeKind) -> None:
    assert read(status, policy=RetryPolicy(**options)).kind is kind


@pytest.mark.parametrize("options", [{}, {"on": "404"}, {"never": "5xx"}])
@pytest.mark.parametrize("timed_out", [False, True])
def test_no_answer_is_always_retried(options: dict[str, Any], timed_out: bool) -> None:
    policy = RetryPolicy(**options)
    error = StepError(ErrorKind.TIMED_OUT if timed_out else ErrorKind.NETWORK, "7")
    outcome = read(None, error=error, policy=policy)
    assert outcome == Outcome(kind=RETRYABLE, error=error)
    assert is_timed_out(outcome.error) is timed_out


@pytest.mark.parametrize(
    ("headers", "kind"),
    [
        ({"atomic-no-retry": "true"}, PERMANENT),
        ({"atomic-no-retry": " True "}, PERMANENT),
        ({"webhook-delivery": "abort-message"}, PERMANENT),
        ({"webhook-delivery": "Abort-Message"}, PERMANENT),
        ({"atomic-no-retry": "false"}, RETRYABLE),
        ({"atomic-no-retry": "1"}, RETRYABLE),
        ({"atomic-no-retry": ""}, RETRYABLE),
        ({"webhook-delivery": "abort-endpoint"}, RETRYABLE),
        ({"webhook-delivery": "true"}, RETRYABLE),
    ],
)
def test_an_endpoint_may_forbid_a_retry(headers: dict[str, str], kind: OutcomeKind) -> None:
    outcome = read(503, headers, policy=RetryPolicy(on="503"))
    assert outcome.kind is kind
    forbade = kind is PERMANENT
    assert str(outcome.error).endswith("and forbade a retry") is forbade
    assert outcome.error is not None
    assert outcome.error.kind is (ErrorKind.FORBADE_RETRY if forbade else ErrorKind.ENDPOINT_ANSWERED)
    assert read(200, headers).kind is SUCCEEDED


@pytest.mark.parametrize("options", [{}, {"never": "503"}, {"on": "404"}])
@pytest.mark.parametrize("value", ["true", " True "])
def test_a_503_may_say_that_atomic_refused_what_the_handler_posted(
    options: dict[str, Any], value: str
) -> None:
    outcome = read(503, {"atomic-refused": value, "retry-after": "7"}, policy=RetryPolicy(**options))
    assert (outcome.kind, outcome.retry_after_ms) == (OutcomeKind.DEFERRED, 7_000)


@pytest.mark.parametrize(
    ("status", "headers", "kind"),
    [
        (503, {"atomic-refused": "false"}, RETRYABLE),
        (503, {"atomic-refused": "1"}, RETRYABLE),
        (500, {"atomic-refused": "true"}, RETRYABLE),
        (429, {"atomic-refused": "true"}, RETRYABLE),
        (200, {"atomic-refused": "true"}, SUCCEEDED),
        (410, {"atomic-refused": "true"}, PERMANENT),
        (503, {"atomic-refused": "true", "atomic-no-retry": "true"}, PERMANENT),
    ],
)
def test_any_other_answer_is_the_endpoints_own(
    status: int, headers: dict[str, str], kind: OutcomeKind
) -> None:
    assert read(status, headers).kind is kind


@pytest.mark.parametrize(
    ("value", "ms"),
    [("120", 120_000), ("Tue, 14 Nov 2023 22:14:20 GMT", 60_000), ("soon", None), ("", None),
     ("Thu, 01 Jan 1970 00:00:00 GMT", None)],
)  # fmt: skip
@pytest.mark.parametrize("status", [429, 503, 404])
def test_retry_after_is_read(value: str, ms: int | None, status: int) -> None:
    assert read(status, {"retry-after": value}).retry_after_ms == ms


def test_an_answer_that_is_too_large_is_permanent_and_says_what_to_do() -> None:
    outcome = read(200, too_large=True)
    assert (outcome.kind, outcome.status, outcome.response) == (PERMANENT, 200, None)
    assert str(outcome.error) == (
        "response_too_large: the body is over 2097152 bytes; store it and answer with a reference"
    )


ROOT = keys.root_of(RUN)


@pytest.mark.parametrize(
    ("value", "waiting_for"),
    [
        (OTHER, (OTHER,)),
        (f" {OTHER} ,{ROOT}", (OTHER, ROOT)),
        (f"{OTHER},{OTHER}", (OTHER,)),
        (f"{OTHER},nonsense,{ROOT},", (OTHER, ROOT)),
        ("", ()),
        ("nonsense", ()),
        (RUN, ()),
        (OTHER.upper(), ()),
        (f"{OTHER};{ROOT}", ()),
    ],
)
def test_a_202_that_waits_is_suspended(value: str, waiting_for: tuple[str, ...]) -> None:
    outcome = read(202, {"atomic-waiting-for": value}, body=b"ignored")
    assert outcome == Outcome(kind=SUSPENDED, status=202, waiting_for=waiting_for)


@pytest.mark.parametrize(
    ("value", "wake"),
    [("any", None), (" Any ", None), ("all", "all"), ("ALL", "all"), ("settled", "settled")],
)
def test_a_202_says_when_it_is_called_again(value: str, wake: WakePolicy | None) -> None:
    outcome = read(202, {"atomic-waiting-for": f"{OTHER}, {ROOT}", "atomic-wake": value})
    assert (outcome.kind, outcome.waiting_for, outcome.wake) == (SUSPENDED, (OTHER, ROOT), wake)


@pytest.mark.parametrize("value", ["", "both", "all,any", "all settled", "true", "\udcff"])
def test_an_unknown_wake_fails_the_attempt_and_says_what_is_known(value: str) -> None:
    outcome = read(202, {"atomic-waiting-for": OTHER, "atomic-wake": value})
    assert (outcome.kind, outcome.waiting_for, outcome.wake) == (RETRYABLE, (), None)
    assert outcome.error is not None
    assert outcome.error.kind is ErrorKind.UNKNOWN_WAKE
    assert str(outcome.error).startswith("atomic-wake may be any, all or settled, and not '")


@pytest.mark.parametrize("value", ["*", f"{OTHER}, *", f"*,{OTHER}"])
def test_a_star_is_every_child(value: str) -> None:
    assert read(202, {"atomic-waiting-for": value}).waiting_for == ("*",)


@pytest.mark.parametrize(("status", "kind"), [(200, SUCCEEDED), (201, SUCCEEDED), (503, RETRYABLE)])
def test_only_a_202_can_wait(status: int, kind: OutcomeKind) -> None:
    outcome = read(status, {"atomic-waiting-for": OTHER})
    assert (outcome.kind, outcome.waiting_for) == (kind, ())


def test_a_step_waits_for_a_thousand_at_most() -> None:
    ids = [keys.step_id(RUN, f"{number:032x}") for number in range(1500)]
    assert read(202, {"atomic-waiting-for": ",".join(ids)}).waiting_for == tuple(ids[:1000])


JSON, TEXT, HTML = "application/json", "text/plain", "text/html; charset=utf-8"
BOM = b"\xef\xbb\xbf"


@pytest.mark.parametrize(
    ("body", "content_type", "form", "text"),
    [
        (b'{"a":1}', JSON, "json", b'{"a":1}'),
        (b'{"a":1}', None, "json", b'{"a":1}'),
        (b' {"a": 1.0}\n', "text/html", "json", b' {"a": 1.0}\n'),
        (b"42", TEXT, "json", b"42"),
        (b"null", JSON, "json", b"null"),
        (b"", None, "json", b"null"),
        (b"", JSON, "json", b"null"),
        (BOM, JSON, "json", b"null"),
        (BOM + b'{"a":1}', JSON, "json", b'{"a":1}'),
        ('{"a":"é"}'.encode(), "application/json; charset=iso-8859-1", "json", '{"a":"é"}'.encode()),
        (b'{"a":1', JSON, "text", b'{"a":1'),
        (b"{'a':1}", JSON, "text", b"{'a':1}"),
        (b" ", JSON, "text", b" "),
        (b'{"a":1,"a":2}', TEXT, "text", b'{"a":1,"a":2}'),
        (b'{"a":NaN}', None, "text", b'{"a":NaN}'),
        (b"9" * 5000, TEXT, "text", b"9" * 5000),
        (b"18446744073709551616", TEXT, "text", b"18446744073709551616"),
        (b"[" * 100_000, JSON, "text", b"[" * 100_000),
        (b"<html><body>ok</body></html>", HTML, "text", b"<html><body>ok</body></html>"),
        (b"ok", None, "text", b"ok"),
        (b"a\x00b", TEXT, "text", b"a\x00b"),
        ("naïve 😀".encode(), TEXT, "text", "naïve 😀".encode()),
        (BOM + b"hello", TEXT, "text", BOM + b"hello"),
        (b"caf\xe9", "text/plain; charset=iso-8859-1", "text", "café".encode()),
        (b"caf\xe9", 'text/plain;charset="ISO-8859-1"; x=y', "text", "café".encode()),
        (b"caf\xe9", "text/plain; CHARSET=Latin1", "text", "café".encode()),
        (b"\x80", "text/plain; charset=windows-1252", "text", "€".encode()),
        ("hé".encode("utf-16"), "text/plain; charset=utf-16", "text", "hé".encode()),
        ('{"a":1}'.encode("utf-16"), "application/json; charset=utf-16", "text", b'{"a":1}'),
        ("日本".encode("shift_jis"), "text/html; charset=Shift_JIS", "text", "日本".encode()),
        (b"\xff\xfe\x00", TEXT, "base64", None),
        (b"caf\xe9", JSON, "base64", None),
        (b"caf\xe9", "text/plain; charset=utf-8", "base64", None),
        (b"caf\xe9", "text/plain; charset=us-ascii", "base64", None),
        (b"odd", "text/plain; charset=utf-16", "base64", None),
        (b"plain", "text/plain; charset=klingon", "base64", None),
        (b"plain", "text/plain; charset=iso-8859-99", "base64", None),
        (b"plain", "text/plain; charset=\x00", "base64", None),
        (b"plain", "text/plain; charset=../../etc/passwd", "base64", None),
        (b"plain", "text/plain; charset=", "text", b"plain"),
        (b"ab", "text/plain; charset=hex", "base64", None),
        (b"cGxhaW4=", "text/plain; charset=base64", "base64", None),
        (b"plain", "text/plain; charset=rot13", "base64", None),
        (b"\\u00e9", "text/plain; charset=unicode_escape", "base64", None),
        (b"bcher-kva", "text/plain; charset=punycode", "base64", None),
        (b"xn--bcher-kva", "text/plain; charset=idna", "base64", None),
        (b"b" * 100_000 + b"-" + b"9" * 100_000, "text/plain; charset=punycode", "base64", None),
        (b"xn--" + b"9" * 200_000, "text/plain; charset=idna", "base64", None),
        (b"\x89PNG\r\n\x1a\n\x00\xff", "image/png", "base64", None),
        (bytes(range(256)), "application/octet-stream", "base64", None),
        (b"\x1f\x8b\x08\x00\x00", "application/json", "base64", None),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_a_200_stays_a_success_whatever_its_body(
    body: bytes, content_type: str | None, form: Literal["json", "text", "base64"], text: bytes | None
) -> None:
    headers = {} if content_type is None else {"content-type": content_type}
    outcome = read(200, headers, body=body)
    assert outcome.kind is SUCCEEDED
    kept = base64.b64encode(body) if text is None else text
    stored_type = content_type and content_type.replace("\udc80", "?")
    assert outcome.response == StoredBody(kept, form, stored_type)


@pytest.mark.parametrize("content_type", [JSON, "Application/JSON; charset=utf-8", "application/hal+json"])
@pytest.mark.parametrize(
    ("body", "cure"),
    [
        (b'{"a":1,"a":2}', "keep one of them"),
        (b'{"a":NaN}', "send null or a string"),
        (b"-Infinity", "send null or a string"),
        (b"1e999", "send it as a string"),
        (BOM + b"9" * 5000, "send it as a string"),
        (b'{"n": 18446744073709551616}', "send it as a string"),
        (b"[" * 65 + b"]" * 65, "flatten it"),
        (b'"\\ud800"', "send whole characters"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_json_that_cannot_be_stored_as_json_fails_for_good(
    body: bytes, cure: str, content_type: str
) -> None:
    outcome = read(200, {"content-type": content_type}, body=body)
    assert (outcome.kind, outcome.status) == (PERMANENT, 200)
    assert str(outcome.error).startswith("response_not_storable: ")
    assert str(outcome.error).endswith(cure)
    assert outcome.response == StoredBody(body, "text", content_type)
    assert read(500, {"content-type": content_type}, body=body).kind is RETRYABLE


def test_an_empty_204_is_null() -> None:
    assert read(204).response == StoredBody(b"null", "json", None)


def test_half_a_character_in_what_is_kept_is_replaced() -> None:
    """Raw bytes of a header are decoded as lone surrogates, which no store accepts."""
    assert read_response(b"x", "text/plain; a=\udc80") == StoredBody(b"x", "text", "text/plain; a=?")
    assert read_response(b"x", "text/plain; charset=\udc80").form == "base64"
    error = StepError(ErrorKind.NETWORK, "bad header \udcff")
    assert read(None, error=error).error == StepError(ErrorKind.NETWORK, "bad header ?")


def test_an_attempt_without_status_and_error_has_no_answer() -> None:
    assert str(read(None).error) == "no answer"


def test_a_text_that_grows_beyond_the_limit_is_kept_as_its_bytes() -> None:
    body = b"\x80" * (RESPONSE_MAX_BYTES // 2)
    assert read_response(body, "text/plain; charset=windows-1252").form == "base64"


def test_a_text_that_a_document_makes_longer_than_base64_is_kept_as_its_bytes() -> None:
    lines = b"0123456789abcdef\n" * (RESPONSE_MAX_BYTES // 17)
    assert read_response(lines, "text/plain").form == "text"
    assert read_response(b"\x01" * (RESPONSE_MAX_BYTES // 6), "text/plain").form == "text"
    assert read_response(b"\x01" * (RESPONSE_MAX_BYTES // 2), "text/plain").form == "base64"


def test_an_outage_with_a_large_page_is_still_retried() -> None:
    answer = EndpointResponse(status=503, too_large=True)
    assert classify(answer, RetryPolicy(), NOW).kind is OutcomeKind.RETRYABLE


def test_raw_bytes_in_an_error_can_be_stored() -> None:
    outcome = classify(EndpointResponse(error=StepError(ErrorKind.NETWORK, "\udc80")), RetryPolicy(), NOW)
    assert str(outcome.error) == "network: ?"


def test_a_long_content_type_is_cut() -> None:
    response = read_response(b"x", "text/plain; " + "x" * 100_000)
    assert response.content_type is not None
    assert len(response.content_type) == 255


charsets = st.sampled_from(["utf-16", "big5", "gb18030", "iso-2022-jp", "x"])
content_types = st.none() | st.text(max_size=20) | charsets.map("text/plain; charset={}".format)


@examples(150)
@given(st.binary(max_size=30), content_types)
def test_any_body_is_kept_as_text(body: bytes, content_type: str | None) -> None:
    response = read_response(body, content_type)
    text = response.text.decode()
    if response.form == "json":
        json.loads(text)
    if response.form == "base64":
        assert base64.b64decode(text) == body


names = st.sampled_from(
    ["retry-after", "atomic-waiting-for", "atomic-no-retry", "webhook-delivery", "content-type"]
)


@examples(120)
@given(st.integers(100, 999), st.dictionaries(names, st.text(max_size=20)), st.binary(max_size=20))
def test_every_answer_can_be_interpreted(status: int, headers: dict[str, str], body: bytes) -> None:
    outcome = read(status, headers, body=body)
    assert (outcome.kind in {SUCCEEDED, SUSPENDED}) is (200 <= status <= 299)


@pytest.mark.parametrize(
    ("body", "content_type", "words"),
    [
        (b'{"type": "x", "title": "T", "detail": "no tax id"}', "application/problem+json", ": no tax id"),
        (b'{"error": "KeyError:\\n  \'name\'\\u0000"}', "application/json", ": KeyError: 'name'"),
        (b'{"message": "too\\tmuch", "error": 7}', None, ": too much"),
        (b"upstream\r\nis down", "Text/Plain; charset=utf-8", ": upstream is down"),
        (b"<html>down</html>", "text/html", ""),
        (b'{"detail": [{"loc": ["body"]}]}', "application/json", ""),
        (b'["no"]', "application/json", ""),
        (b"\xff\xfe", "text/plain", ""),
        (b"", None, ""),
        (b'{"detail": "' + 300 * b"w" + b'"}', None, ": " + 199 * "w" + "…"),
    ],
)
def test_an_error_holds_the_beginning_of_what_the_endpoint_said(
    body: bytes, content_type: str | None, words: str
) -> None:
    outcome = read(500, {"content-type": content_type} if content_type else {}, body=body)
    assert str(outcome.error) == f"the endpoint answered 500{words}"


def failed(
    error: str, excerpt: str | None = None, url: str = "http://app/pay", attempts: int = 2, **more: Any
) -> dict[str, Any]:
    """A step-failed problem, as the answer to a start."""
    known = {"type": "urn:atomic:problem:step-failed", "detail": "nested"}
    known |= {"lastError": error, "lastErrorExcerpt": excerpt}
    return {**known, "attempts": attempts, "stepInvokeUrl": url, **more}


@pytest.mark.parametrize(
    ("problem", "words"),
    [
        (
            failed("the endpoint answered 402: no funds", "no funds"),
            "no funds (step http://app/pay failed at attempt 2: the endpoint answered 402)",
        ),
        (
            failed("the endpoint answered 404"),
            "the endpoint answered 404 (step http://app/pay failed at attempt 2)",
        ),
        (
            failed(
                "the event was not completed",
                stepName="approval",
                attempts=0,
                type="urn:atomic:problem:event-expired",
            ),
            "the event was not completed (step approval)",
        ),
        (
            failed(
                "the endpoint answered 500: nested",
                "nested",
                response=failed(
                    "the endpoint answered 500: nested", "nested", response=failed("timeout: 9 ms")
                ),
            ),
            "timeout: 9 ms (step http://app/pay failed at attempt 2)",
        ),
    ],
)
def test_a_handler_that_passes_a_failure_on_says_why_first(problem: dict[str, Any], words: str) -> None:
    outcome = read(500, {"content-type": "application/problem+json"}, body=json.dumps(problem).encode())
    assert str(outcome.error) == f"the endpoint answered 500: {words}"
    assert outcome.error == StepError(ErrorKind.ENDPOINT_ANSWERED, "500", words)


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (200, {}),
        (202, {"atomic-waiting-for": OTHER}),
        (202, {"atomic-waiting-for": OTHER, "atomic-wake": "both"}),
        (302, {}),
        (410, {}),
        (503, {}),
        (503, {"atomic-refused": "true"}),
    ],
)
def test_every_answer_may_say_its_build(status: int, headers: dict[str, str]) -> None:
    plain = read(status, headers)
    said = {"atomic-build": "abc-1", "atomic-unused-results": "2"}
    assert (plain.build, plain.unused_results) == (None, 0)
    assert read(status, headers | said) == replace(plain, build="abc-1", unused_results=2)
    assert read(status, headers | {"atomic-build": "a b", "atomic-unused-results": "-1"}) == plain


def test_an_answer_that_is_too_large_says_its_build_as_well() -> None:
    assert read(200, {"atomic-build": "abc-1"}, too_large=True).build == "abc-1"


@pytest.mark.parametrize(
    ("header", "kept"),
    [
        ("ValueError", "ValueError"),
        (" ValueError , Exception", "ValueError"),
        ("", ""),
        ("\udc80, <b>, a b, my.Error", ""),
        ("e" * 101, ""),
        (", ,Late", "Late"),
        (", " * 30 + "Late", ""),
    ],
)
def test_an_error_keeps_the_name_that_the_endpoint_gives_it(header: str, kept: str) -> None:
    answer = EndpointResponse(status=500, headers={"atomic-error-type": header})
    error = classify(answer, RetryPolicy(), NOW).error
    assert error is not None
    assert (error.type, error.raised) == (kept, kept)
    assert StepError(ErrorKind.NO_TIME_LEFT, "5", last=error).raised == kept
    assert error.without_excerpt().raised == ""
