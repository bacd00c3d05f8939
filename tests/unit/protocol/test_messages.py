"""Request bodies: what is accepted, and that every refusal names the field and the cure."""

import json
from collections.abc import Hashable
from typing import Any

import pytest
from hypothesis import given

from atomic.domain.retry import RetryPolicy
from atomic.entrypoints.http_api.starts import retry_policy
from atomic.protocol import keys
from atomic.protocol.backoff import JITTERS, STRATEGIES
from atomic.protocol.constants import DURATION_MAX_MS
from atomic.protocol.enums import KINDS
from atomic.protocol.event_requests import EventRequest
from atomic.protocol.problems import Problem
from atomic.protocol.redrives import RedriveRequest
from atomic.protocol.requests import AnswerRequest, StartRequest, read_message
from atomic.protocol.wire import RetryOptions
from atomic.sdk import Retry
from unit.strategies import examples, json_values, meaning
from wording import one_of

BASE = {"workflowName": "createUser", "stepInvokeUrl": "https://app.example/s", "idempotencyKey": "k1"}
PARENT = keys.root_of(keys.run_id("acme", "createUser", "k1"))
TIMER = {
    "workflowName": "createUser",
    "kind": "timer",
    "stepName": "nap",
    "idempotencyKey": "k1",
    "parent": PARENT,
}
ABSENT = object()


def read(body: dict[str, Any]) -> StartRequest:
    present = {name: value for name, value in body.items() if value is not ABSENT}
    return read_message(StartRequest, json.dumps(present).encode())


def refusals(body: Any, model: Any = StartRequest) -> dict[str, str]:
    """Field and message of every error in the body."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    with pytest.raises(Problem) as caught:
        read_message(model, raw)
    problem = caught.value
    errors = problem.document()["errors"]
    assert problem.type.status == 400
    assert problem.detail == "; ".join(f"{error['field']}: {error['message']}" for error in errors)
    return {error["field"]: error["message"] for error in errors}


def test_the_minimal_body() -> None:
    message = read(BASE)
    assert (message.workflow_name, message.kind, message.idempotency_key) == ("createUser", "http", "k1")
    assert message.payload is None
    assert message.retry == RetryOptions()
    assert (message.timeout, message.delay, message.deadline, message.attempt_timeout) == (
        None,
        0,
        None,
        None,
    )


def test_retry_by_default() -> None:
    retry = RetryOptions()
    assert (retry.count, retry.back_off, retry.strategy, retry.factor) == (25, 1000, "exponential", 2.0)
    assert (retry.max_back_off_ms, retry.jitter, retry.on, retry.never) == (120_000, "full", None, None)


@pytest.mark.parametrize(
    ("retry", "longest_ms"),
    [
        ({"backOff": 600_000}, 600_000),
        ({"backOff": 600_000, "maxBackOff": 5000}, 5000),
        ({"backOff": 119_999}, 120_000),
        ({"maxBackOff": None}, 120_000),
        ({"maxBackOff": 0}, 0),
    ],
)
def test_a_first_delay_is_cut_only_by_a_ceiling_that_was_asked_for(retry: Any, longest_ms: int) -> None:
    assert read({**BASE, "retry": retry}).retry.max_back_off_ms == longest_ms


def test_defaults_have_one_source() -> None:
    sent = read({**BASE, "retry": Retry().document()}).retry
    for retry in (read(BASE).retry, sent):
        assert retry_policy(retry) == RetryPolicy()


def test_the_user_creation_s_sample() -> None:
    message = read(
        {**BASE, "payload": {"userName": "ada"}, "timeout": 8000, "retry": {"count": 10, "backOff": 1000}}
    )
    assert message.payload == {"userName": "ada"}
    assert (message.timeout, message.retry.count, message.retry.back_off) == (8000, 10, 1000)


@examples(150)
@given(json_values)
def test_a_payload_is_any_json(value: Any) -> None:
    assert meaning(read({**BASE, "payload": value}).payload) == meaning(value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("workflowName", "x"), ("workflowName", "x" * 255), ("workflowName", "new user 名前 😀"),
        ("stepName", "s" * 255), ("stepName", "a#b/c"), ("stepName", None),
        ("idempotencyKey", "k"), ("idempotencyKey", "~" * 255),
        ("idempotencyKey", "!\"#$%&'()*+,-./:;<=>?@"),
        ("idempotencyKey", None), ("idempotencyKey", ABSENT),
        ("timeout", 0), ("timeout", DURATION_MAX_MS), ("timeout", None),
        ("delay", 0), ("delay", DURATION_MAX_MS),
        ("deadline", 1), ("deadline", DURATION_MAX_MS),
        ("attemptTimeout", 1), ("attemptTimeout", DURATION_MAX_MS),
        ("parent", PARENT), ("parent", PARENT.replace("root", "0" * 32)),
        ("retry", {}), ("retry", {"count": 0}), ("retry", {"count": 1000}),
        ("retry", {"backOff": 0}), ("retry", {"backOff": DURATION_MAX_MS, "maxBackOff": 0}),
        ("retry", {"factor": 1}), ("retry", {"factor": 1.5}), ("retry", {"factor": 100}),
        ("retry", {"strategy": "linear", "jitter": "none"}),
        ("retry", {"strategy": "fixed", "jitter": "full"}),
        ("stepInvokeUrl", "http://localhost:8080/a?b=c&d=%20"), ("stepInvokeUrl", "https://app.example"),
        ("stepInvokeUrl", "HTTPS://APP.example/"), ("stepInvokeUrl", "https://[::1]:8443/x"),
        ("stepInvokeUrl", "https://127.0.0.1/"), ("stepInvokeUrl", "https://a.example/@x:y"),
        ("stepInvokeUrl", "https://a.example/" + "p" * (2048 - 18)),
    ],
)  # fmt: skip
def test_what_is_accepted(name: str, value: Any) -> None:
    read({**BASE, name: value})


INTEGER = "Input should be a valid integer"
LONG = "at most 255 characters"
RULES = 'write status codes or classes, and names of errors, such as "404,5xx,TimeoutError"'
VISIBLE = "visible ASCII characters, without spaces"
NAME = "use no control characters and no space at the ends"
HTTPS = "use an absolute URL, as in https://app.example/steps/mail"
ASCII_URL = "use an ASCII URL with a valid host and port"
PLAIN_URL = "leave out the user name and the fragment"


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("workflowName", ABSENT, "Field required"),
        ("workflowName", None, "valid string"),
        ("workflowName", 1, "valid string"),
        ("workflowName", "", "at least 1 character"),
        ("workflowName", "x" * 256, LONG),
        ("workflowName", " x", NAME),
        ("workflowName", "x\u00a0", NAME),
        ("workflowName", "a\nb", NAME),
        ("workflowName", "a\x00", NAME),
        ("workflowName", "a\x85b", NAME),
        ("workflowName", "a\u2028b", NAME),
        ("stepName", "", "at least 1 character"),
        ("stepName", "x" * 256, LONG),
        ("stepName", "x\t", NAME),
        ("idempotencyKey", "", VISIBLE),
        ("idempotencyKey", "k" * 256, LONG),
        ("idempotencyKey", "a b", VISIBLE),
        ("idempotencyKey", "a\r\nX: y", VISIBLE),
        ("idempotencyKey", "é", VISIBLE),
        ("idempotencyKey", "\x7f", VISIBLE),
        ("idempotencyKey", 7, "valid string"),
        ("kind", "webhook", one_of(KINDS)),
        ("kind", None, one_of(KINDS)),
        ("timeout", -1, "greater than or equal to 0"),
        ("timeout", DURATION_MAX_MS + 1, f"less than or equal to {DURATION_MAX_MS}"),
        ("timeout", 1.5, "valid integer"),
        ("timeout", 8000.0, INTEGER),
        ("timeout", "8000", INTEGER),
        ("timeout", True, INTEGER),
        ("timeout", [1], INTEGER),
        ("delay", -1, "greater than or equal to 0"),
        ("delay", DURATION_MAX_MS + 1, "less than or equal to"),
        ("delay", None, INTEGER),
        ("deadline", 0, "greater than or equal to 1"),
        ("deadline", DURATION_MAX_MS + 1, "less than or equal to"),
        ("attemptTimeout", 0, "greater than or equal to 1"),
        ("attemptTimeout", DURATION_MAX_MS + 1, "less than or equal to"),
        ("parent", "", "from its Atomic-Step-Id header"),
        ("parent", PARENT[:-5], "use the id of a step"),
        ("parent", PARENT + "\n", "use the id of a step"),
        ("retry", None, "valid dictionary"),
        ("retry", 3, "valid dictionary"),
        ("stepInvokeUrl", "", "at least 1 character"),
        ("stepInvokeUrl", "/steps/mail", HTTPS),
        ("stepInvokeUrl", "app.example/x", HTTPS),
        ("stepInvokeUrl", "//app.example/x", HTTPS),
        ("stepInvokeUrl", "https:app.example", HTTPS),
        ("stepInvokeUrl", "https:///x", HTTPS),
        ("stepInvokeUrl", "https://:443/x", HTTPS),
        ("stepInvokeUrl", "https://?x", HTTPS),
        ("stepInvokeUrl", "ftp://app.example/x", HTTPS),
        ("stepInvokeUrl", "file:///etc/passwd", HTTPS),
        ("stepInvokeUrl", "javascript:alert(1)", HTTPS),
        ("stepInvokeUrl", "https://app.example:0/", ASCII_URL),
        ("stepInvokeUrl", "https://app.example:65536/", ASCII_URL),
        ("stepInvokeUrl", "https://app.example:x/", ASCII_URL),
        ("stepInvokeUrl", "https://app.example:-1/", ASCII_URL),
        ("stepInvokeUrl", "https://app.example:80:80/", ASCII_URL),
        ("stepInvokeUrl", "https://[::1/", ASCII_URL),
        ("stepInvokeUrl", "https://[1.2.3.4]/", ASCII_URL),
        ("stepInvokeUrl", " https://app.example/", ASCII_URL),
        ("stepInvokeUrl", "https://app.example/a b", ASCII_URL),
        ("stepInvokeUrl", "https://app.example/\r\nX: y", ASCII_URL),
        ("stepInvokeUrl", "https://app.example/\t", ASCII_URL),
        ("stepInvokeUrl", "https://app.example\\@evil.example/", ASCII_URL),
        ("stepInvokeUrl", "https://app.example/\\", ASCII_URL),
        ("stepInvokeUrl", "https://bücher.example/", ASCII_URL),
        ("stepInvokeUrl", "https://app.example/é", ASCII_URL),
        ("stepInvokeUrl", "https://app。example/", ASCII_URL),
        ("stepInvokeUrl", "https://ada@app.example/", PLAIN_URL),
        ("stepInvokeUrl", "https://ada:pw@app.example/", PLAIN_URL),
        ("stepInvokeUrl", "https://@app.example/", PLAIN_URL),
        ("stepInvokeUrl", "https://app.example/#top", PLAIN_URL),
        ("stepInvokeUrl", "https://app.example/#", PLAIN_URL),
        ("stepInvokeUrl", "https://app.example/" + "p" * 2048, "at most 2048 characters"),
        ("stepInvokeUrl", None, "name the URL to call"),
        ("stepInvokeUrl", ABSENT, "name the URL to call"),
    ],
)
def test_a_refusal_names_field_and_cure(name: str, value: Any, says: str) -> None:
    body = {key: item for key, item in {**BASE, name: value}.items() if item is not ABSENT}
    found = refusals(body)
    assert list(found) == [name]
    assert says in found[name]


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("count", -1, "greater than or equal to 0"),
        ("count", 1001, "less than or equal to 1000"),
        ("count", 1.0, INTEGER),
        ("count", True, INTEGER),
        ("backOff", -1, "greater than or equal to 0"),
        ("backOff", DURATION_MAX_MS + 1, "less than or equal to"),
        ("backOff", "1s", INTEGER),
        ("maxBackOff", -1, "greater than or equal to 0"),
        ("maxBackOff", DURATION_MAX_MS + 1, "less than or equal to"),
        ("factor", 0.99, "greater than or equal to 1"),
        ("factor", 100.5, "less than or equal to 100"),
        ("factor", "2", "valid number"),
        ("factor", True, "valid number"),
        ("strategy", "random", one_of(STRATEGIES)),
        ("jitter", "equal", one_of(JITTERS)),
        ("jitter", True, one_of(JITTERS)),
        ("on", "", RULES),
        ("on", "4xx,", RULES),
        ("on", "600", RULES),
        ("on", "099", RULES),
        ("on", "4x", RULES),
        ("on", "40x", RULES),
        ("on", "4xx 5xx", RULES),
        ("on", "404;429", RULES),
        ("on", "400-499", RULES),
        ("on", "٤04", RULES),
        ("on", [404], "valid string"),
        ("never", 404, "valid string"),
        ("never", "6xx", RULES),
        ("never", ",".join(["404"] * 257), "at most 1024 characters"),
    ],
)
def test_a_refusal_of_retry_names_the_inner_field(name: str, value: Any, says: str) -> None:
    found = refusals({**BASE, "retry": {name: value}})
    assert list(found) == [f"retry.{name}"]
    assert says in found[f"retry.{name}"]


@pytest.mark.parametrize(
    ("rules", "normal"),
    [
        ("404", "404"),
        ("5xx", "5xx"),
        ("5XX", "5xx"),
        (" 404 , 429,5Xx ", "404,429,5xx"),
        ("100,599", "100,599"),
        (" 5XX, TimeoutError ,_Own", "5xx,TimeoutError,_Own"),
    ],
)
def test_status_rules_are_kept_in_one_spelling(rules: str, normal: str) -> None:
    retry = read({**BASE, "retry": {"on": rules, "never": rules}}).retry
    assert (retry.on, retry.never) == (normal, normal)


def test_an_unknown_field_is_told_the_known_ones() -> None:
    message = refusals({**BASE, "retires": 3})["retires"]
    assert message.startswith("unknown field; known are workflowName, kind, stepInvokeUrl, stepName,")
    assert message.endswith("onCancel, detached, continues, flow, singleton, debounce, paused, tags, hooks")


def test_an_unknown_field_of_retry_is_told_those_of_retry() -> None:
    message = refusals({**BASE, "retry": {"backoff": 1}})["retry.backoff"]
    known = "count, backOff, strategy, factor, maxBackOff, jitter, on, never, then"
    assert message == f"unknown field; known are {known}"


@pytest.mark.parametrize(
    ("members", "field", "known"),
    [
        (
            {"flow": [{"key": "k", "fare": 1}]},
            "flow.0.fare",
            "key, concurrency, rate, scope, priority, fair",
        ),
        ({"flow": [{"key": "k", "rate": {"limit": 1, "per": 1, "of": 1}}]}, "flow.0.rate.of", "limit, per"),
        ({"singleton": {"key": "k", "onbusy": "skip"}}, "singleton.onbusy", "key, onBusy"),
        ({"debounce": {"key": "k", "quiet": 1, "most": 2}}, "debounce.most", "key, quiet, max"),
    ],
)
def test_an_unknown_field_of_a_message_is_told_those_of_it(
    members: dict[str, Any], field: str, known: str
) -> None:
    assert refusals({**BASE, **members})[field] == f"unknown field; known are {known}"


@pytest.mark.parametrize("members", [101, 20_000])
def test_an_object_of_many_unknown_fields_is_refused_as_a_whole(members: int) -> None:
    many = {f"k{number}": 1 for number in range(members)}
    told = {"body": "an object of more than 100 members; see /docs for those it has"}
    assert refusals({**BASE, **many}) == told
    assert refusals({**BASE, "retry": many}) == told
    assert read({**BASE, "payload": many}).payload == many


@pytest.mark.parametrize("name", ["workflow_name", "step_invoke_url", "WorkflowName"])
def test_names_are_camel_case_only(name: str) -> None:
    assert "unknown field" in refusals({**BASE, name: "x"})[name]


def test_all_errors_are_reported_at_once() -> None:
    found = refusals({"stepInvokeUrl": "x", "retry": {"count": -1, "no": 1}, "timeout": "1"})
    assert set(found) == {"workflowName", "stepInvokeUrl", "retry.count", "retry.no", "timeout"}


def test_an_answer_stays_small_whatever_is_sent() -> None:
    body = json.dumps({f"unknown{number}" + "x" * 1000: 0 for number in range(900)}).encode()
    with pytest.raises(Problem) as caught:
        read_message(StartRequest, body)
    assert len(json.dumps(caught.value.document())) < 64 * 1024


def test_an_answer_does_not_repeat_a_long_name() -> None:
    with pytest.raises(Problem) as caught:
        read_message(StartRequest, json.dumps({**BASE, "n" * 500_000: 0}).encode())
    assert len(json.dumps(caught.value.document())) < 4096


def test_a_payload_may_be_as_deep_as_json_may() -> None:
    def nested(levels: int) -> bytes:
        start = json.dumps(BASE).encode()[:-1]
        return start + b',"payload":' + b"[" * levels + b"]" * levels + b"}"

    assert read_message(StartRequest, nested(64)).payload
    with pytest.raises(Problem, match="deeper than 64 levels; flatten it"):
        read_message(StartRequest, nested(65))


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "body: not JSON"),
        (b"{", "body: not JSON"),
        (b"[]", "body: send a JSON object"),
        (b"null", "body: send a JSON object"),
        (b'"x"', "body: send a JSON object"),
        (b'{"workflowName":"a","workflowName":"b"}', "'workflowName' appears twice"),
        (b'{"payload":NaN}', "NaN is not JSON"),
        (b'{"payload":"\\ud800"}', "surrogate"),
        (b"\xff", "not UTF-8 at byte 0"),
    ],
)
def test_a_body_that_is_no_object_of_json(body: bytes, says: str) -> None:
    with pytest.raises(Problem, match=says) as caught:
        read_message(StartRequest, body)
    assert caught.value.type.status == 400
    assert caught.value.document()["errors"][0]["field"] == "body"


@pytest.mark.parametrize("kind", ["timer", "event", "value"])
def test_a_kind_without_a_url_calls_nothing(kind: str) -> None:
    assert read({**TIMER, "kind": kind}).step_invoke_url is None
    found = refusals({**TIMER, "kind": kind, "stepInvokeUrl": "https://app.example/"})
    assert found == {"stepInvokeUrl": f"a step of kind {kind} calls nothing; leave it out"}


@pytest.mark.parametrize("kind", ["timer", "event", "value"])
def test_a_kind_without_a_url_has_a_name(kind: str) -> None:
    body = {**TIMER, "kind": kind}
    del body["stepName"]
    assert refusals(body) == {"stepName": f"a step of kind {kind} needs a name"}


@pytest.mark.parametrize("kind", ["timer", "value"])
def test_a_timer_and_a_value_are_steps_of_a_handler(kind: str) -> None:
    body = {name: value for name, value in TIMER.items() if name != "parent"} | {"kind": kind}
    cure = f"name the step whose handler posts it; a {kind} is no workflow"
    assert refusals(body) == {"parent": cure}
    assert read({**body, "kind": "event"}).parent is None


@pytest.mark.parametrize("member", ["retry", "timeout", "delay", "deadline", "attemptTimeout"])
def test_a_value_has_nothing_to_wait_for(member: str) -> None:
    body = {**TIMER, "kind": "value", "payload": [1, "a"]}
    assert read(body).payload == [1, "a"]
    cure = "a value has its outcome when it is posted; leave it out"
    assert refusals({**body, member: {} if member == "retry" else 1}) == {member: cure}


def test_a_message_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        read(BASE).timeout = 1  # type: ignore[misc]  # a type checker refuses it as well


@pytest.mark.parametrize(
    "conditions",
    [{"workflowName": "w"}, {"keyPrefix": "k"}, {"createdAfter": "2026-01-01T00:00:00Z"},
     {"workflowName": "w", "keyPrefix": None}],
)  # fmt: skip
def test_a_bulk_redrive_has_a_condition(conditions: dict[str, Any]) -> None:
    body = json.dumps({"filter": conditions}).encode()
    assert read_message(RedriveRequest, body).filter.model_dump(by_alias=True, exclude_none=True)


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ({}, {"filter": "Field required"}),
        ({"filter": {}}, {"filter": "give at least one condition"}),
        ({"filter": {"workflowName": None}}, {"filter": "give at least one condition"}),
        (
            {"filter": {"status": "failed"}},
            {
                "filter.status": "unknown field; known are workflowName, keyPrefix, createdAfter, "
                "createdBefore, failedBefore, tag"
            },
        ),
        ({"all": True, "filter": {"keyPrefix": "k"}}, {"all": "unknown field; known are filter, cursor"}),
    ],
)
def test_a_bulk_redrive_without_a_condition_is_refused(body: Any, found: dict[str, str]) -> None:
    assert refusals(body, RedriveRequest) == found


@pytest.mark.parametrize("model", [StartRequest, EventRequest, AnswerRequest])
def test_no_default_is_copied_for_each_request(model: Any) -> None:
    """pydantic calls `deepcopy` for each default without a hash: a fifth of the work on a start."""
    for name, field in model.model_fields.items():
        assert isinstance(field.default, Hashable), f"{name}: use default_factory"
