"""Both clients on a scripted server: what they send, retry and raise."""

import asyncio
from typing import Any
from urllib.parse import parse_qs, unquote

import pytest

from atomic import (
    AsyncClient,
    AtomicError,
    CancelledError,
    Client,
    InvalidRequestError,
    NoAnswerError,
    NotAnOpenEventError,
    NotFinishedError,
    NotFoundError,
    NotRedrivableError,
    PayloadMismatchError,
    RefusedError,
    Retry,
    StepFailedError,
    TooLargeError,
    TooManyRequestsError,
    UnauthorizedError,
    UnavailableError,
    UrlNotAllowedError,
)
from sdk.fake_api import DROP, FakeApi, fake_api

STEP = "run_" + "0" * 32 + "-root"
DONE = {
    "id": STEP,
    "runId": STEP[:-5],
    "parent": None,
    "kind": "http",
    "workflowName": "w",
    "stepName": None,
    "stepInvokeUrl": "https://app.example/w",
    "idempotencyKey": "k",
    "status": "succeeded",
    "generation": 1,
    "attempts": 1,
    "error": None,
    "errorKind": None,
    "errorExcerpt": None,
    "createdAt": "2026-11-23T07:38:00.000Z",
    "dueAt": None,
    "finishedAt": "2026-11-23T07:38:01.000Z",
    "response": {"ok": True},
    "responseStatus": 200,
}
POLICY = {
    "count": 3,
    "backOff": 1000,
    "strategy": "exponential",
    "factor": 2.0,
    "maxBackOff": 1000,
    "jitter": "full",
    "on": None,
    "never": None,
}
WHOLE = {
    **DONE,
    "payload": 1,
    "deadlineAt": None,
    "attemptTimeout": 20000,
    "retriesUsed": 0,
    "retry": POLICY,
    "waitingFor": [],
    "traceId": "0" * 32,
    "endpointKey": "k",
    "attemptLog": [],
}
OK: tuple[int, dict[str, str], Any] = (200, {}, DONE)
NOT_FINISHED: tuple[int, dict[str, str], Any] = (
    504,
    {"Retry-After": "1"},
    {"type": "urn:atomic:problem:not-finished", "id": STEP, "detail": "goes on"},
)


@pytest.fixture(params=["Client", "AsyncClient"])
def variant(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def call(variant: str, api: FakeApi, method: str, *args: Any, **options: Any) -> Any:
    """Make the same call on either client."""
    settings = {"client_id": "me", "api_key": "secret", "patience": options.pop("patience", 5)}
    if variant == "Client":
        with Client(api.url, **settings) as client:
            return getattr(client, method)(*args, **options)

    async def main() -> Any:
        async with AsyncClient(api.url, **settings) as client:
            return await getattr(client, method)(*args, **options)

    return asyncio.run(main())


def start(variant: str, api: FakeApi, **options: Any) -> Any:
    return call(variant, api, "start", "w", "https://app.example/w", {"a": 1}, key="k", **options)


def test_a_start_is_one_post(variant: str) -> None:
    with fake_api(OK) as api:
        outcome = start(variant, api, retry=Retry(count=10, back_off=1), timeout=8, delay=0.5)
        assert (outcome.response, outcome.run_id) == ({"ok": True}, STEP[:-5])
        [(method, path, headers, body)] = api.seen
        assert (method, path, headers["authorization"]) == ("POST", "/me", "Bearer secret")
        assert body["payload"] == {"a": 1}
        assert (body["idempotencyKey"], body["stepInvokeUrl"]) == ("k", "https://app.example/w")
        assert (body["retry"]["count"], body["retry"]["backOff"], body["delay"]) == (10, 1000, 500)
        assert 7900 <= body["timeout"] <= 8000


@pytest.mark.parametrize("trouble", [(DROP, {}, None), (503, {}, {}), (429, {"Retry-After": "0"}, {})])
def test_a_failed_request_is_retried_with_the_same_key(variant: str, trouble: Any) -> None:
    with fake_api(trouble, trouble, OK) as api:
        assert start(variant, api).response == {"ok": True}
        assert [body["idempotencyKey"] for _, _, _, body in api.seen] == ["k"] * 3


def test_an_unfinished_start_attaches_again(variant: str) -> None:
    with fake_api(NOT_FINISHED, (202, {}, {**DONE, "status": "running"}), OK) as api:
        assert start(variant, api).response == {"ok": True}


def test_the_caller_s_limit_holds(variant: str) -> None:
    with fake_api(NOT_FINISHED, NOT_FINISHED) as api, pytest.raises(NotFinishedError) as late:
        start(variant, api, timeout=0.5)
    assert late.value.step_id == STEP


def test_without_waiting_the_present_state_is_returned(variant: str) -> None:
    with fake_api((202, {}, {**DONE, "status": "running", "response": None})) as api:
        assert start(variant, api, timeout=0).status == "running"
        assert api.seen[0][2]["prefer"] == "respond-async"


def going_on(step_id: str, following: str | None = None, **members: Any) -> tuple[int, dict[str, str], Any]:
    """The answer for a root that has succeeded, and goes on as `following`."""
    return 200, {}, {**WHOLE, "id": step_id, "continuedAs": following, **members}


SECOND, THIRD = STEP.replace("0" * 32, "1" * 32), STEP.replace("0" * 32, "2" * 32)


def test_the_outcome_of_a_run_that_goes_on_is_that_of_the_last_run(variant: str) -> None:
    for method in ("start", "wait"):
        chain = (going_on(STEP, SECOND), going_on(SECOND, THIRD), going_on(THIRD, response="last"))
        with fake_api(*chain) as api:
            outcome = start(variant, api) if method == "start" else call(variant, api, "wait", STEP)
            assert (outcome.id, outcome.response, outcome.continued_as) == (THIRD, "last", None)
            paths = [path.partition("?")[0] for _, path, _, _ in api.seen]
            assert paths[1:] == [f"/me/steps/{SECOND}", f"/me/steps/{THIRD}"]


def test_a_run_that_goes_on_is_followed_within_the_caller_s_limit(variant: str) -> None:
    with fake_api(going_on(STEP, SECOND)) as api:
        assert start(variant, api, timeout=0).continued_as == SECOND
    with fake_api(going_on(STEP, SECOND)) as api, pytest.raises(NotFinishedError) as late:
        call(variant, api, "wait", STEP, timeout=0)
    assert late.value.step_id == SECOND


def test_a_call_that_has_started_a_run_has_its_own_outcome(variant: str) -> None:
    with fake_api(going_on(STEP, SECOND, kind="run")) as api:
        assert call(variant, api, "wait", STEP).id == STEP


def test_what_a_failed_step_left_behind(variant: str) -> None:
    problem = {
        "type": "urn:atomic:problem:step-failed",
        "detail": "failed",
        "id": STEP,
        "lastStatus": 500,
        "lastError": "e",
        "attempts": 4,
        "response": 1,
    }
    with fake_api((424, {}, problem)) as api, pytest.raises(StepFailedError, match="failed") as failed:
        start(variant, api)
    error = failed.value
    assert (error.step_id, error.last_status, error.last_error) == (STEP, 500, "e")
    assert (error.attempts, error.response) == (4, 1)


@pytest.mark.parametrize(
    ("status", "name", "kind"),
    [
        (400, "invalid-request", InvalidRequestError),
        (401, "unauthorized", UnauthorizedError),
        (403, "url-not-allowed", UrlNotAllowedError),
        (403, "attempt-token-required", RefusedError),
        (404, "not-found", NotFoundError),
        (409, "cancelled", CancelledError),
        (409, "not-redrivable", NotRedrivableError),
        (409, "client-conflict", RefusedError),
        (413, "too-large", TooLargeError),
        (422, "payload-mismatch", PayloadMismatchError),
    ],
)
def test_refusals_are_raised_at_once_with_their_cure(
    variant: str, status: int, name: str, kind: type[AtomicError]
) -> None:
    problem = {"type": f"urn:atomic:problem:{name}", "detail": "what is wrong."}
    with fake_api((status, {}, problem)) as api, pytest.raises(kind) as refused:
        start(variant, api)
    assert type(refused.value) is kind
    assert str(refused.value).startswith("what is wrong. ")
    assert len(str(refused.value)) > 30


def test_a_result_for_what_is_no_open_event(variant: str) -> None:
    problem = {"type": "urn:atomic:problem:not-an-open-event", "detail": "It is a timer."}
    with fake_api((409, {}, problem)) as api, pytest.raises(NotAnOpenEventError):
        call(variant, api, "complete", STEP, {"yes": True})


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ((DROP, {}, None), NoAnswerError),
        ((429, {"Retry-After": "60"}, {}), TooManyRequestsError),
        ((503, {"Retry-After": "60"}, {}), UnavailableError),
    ],
)
def test_patience_ends(variant: str, answer: Any, kind: type[AtomicError]) -> None:
    with fake_api(answer) as api, pytest.raises(kind):
        start(variant, api, patience=0)


def test_a_proxy_s_page_is_no_problem_document(variant: str) -> None:
    with fake_api((404, {}, "<html>")) as api, pytest.raises(RefusedError, match="not like Atomic") as told:
        start(variant, api)
    assert not told.value.is_permanent


def test_waiting_for_a_step_is_a_long_poll(variant: str) -> None:
    with fake_api((200, {}, {**WHOLE, "status": "running"}), (200, {}, WHOLE)) as api:
        assert call(variant, api, "wait", STEP).response == {"ok": True}
        assert api.seen[0][1].startswith(f"/me/steps/{STEP}?wait=25000")


@pytest.mark.parametrize(("status", "kind"), [("failed", StepFailedError), ("cancelled", CancelledError)])
def test_waiting_for_a_step_that_ends_badly(variant: str, status: str, kind: type[AtomicError]) -> None:
    with fake_api((200, {}, {**WHOLE, "status": status})) as api, pytest.raises(kind):
        call(variant, api, "wait", STEP)


def test_waiting_ends_at_the_limit(variant: str) -> None:
    with fake_api((200, {}, {**WHOLE, "status": "running"})) as api, pytest.raises(NotFinishedError):
        call(variant, api, "wait", STEP, timeout=0)


def test_a_run_comes_with_all_pages_of_its_steps(variant: str) -> None:
    run = {"run": DONE, "root": WHOLE, "revision": None, "isPartial": False, "estimatedCostUsd": None}
    first = {**run, "steps": [WHOLE], "next": "/me/more?x=1"}
    last = {**first, "next": None}
    with fake_api((200, {}, first), (200, {}, last)) as api:
        assert len(call(variant, api, "get", STEP[:-5]).steps) == 2
        assert [path for _, path, _, _ in api.seen] == [f"/me/runs/{STEP[:-5]}", "/me/more?x=1"]


def test_lists_follow_their_pages_up_to_the_limit(variant: str) -> None:
    page = {"runs": [DONE, DONE], "next": "/me/runs?cursor=c"}
    with fake_api((200, {}, page), (200, {}, page)) as api:
        assert len(call(variant, api, "runs", status="failed", workflow_name="w", limit=3)) == 3
        assert api.seen[0][1] == "/me/runs?status=failed&workflowName=w&limit=3"
    last = {**page, "next": None}
    with fake_api((200, {}, last), (200, {}, last)) as api:
        call(variant, api, "runs", tag=["customer:c-17", "env:é"], key_prefix="k")
        query = parse_qs(api.seen[0][1].partition("?")[2])
        assert query == {"tag": ["customer:c-17", "env:é"], "keyPrefix": ["k"], "limit": ["100"]}
        call(
            variant,
            api,
            "runs",
            waits_for="event",
            key_contains="k",
            error_kind="network",
            response_status=503,
        )
        assert api.seen[1][1] == (
            "/me/runs?waitsFor=event&keyContains=k&errorKind=network&responseStatus=503&limit=100"
        )
        with pytest.raises(InvalidRequestError, match="waits_for"):
            call(variant, api, "dead_letters", waits_for="event")
    letter = {**DONE, "responseStatus": 500, "notRedrivableReason": "handled"}
    page = {"deadLetters": [letter, letter], "next": "/me/dead-letters?cursor=c"}
    with fake_api((200, {}, page), (200, {}, page)) as api:
        found = call(variant, api, "dead_letters", key_prefix="k", tag=["a:b", "c:d"], limit=3)
        assert [one.not_redrivable_reason for one in found] == ["handled"] * 3
        assert unquote(api.seen[0][1]) == "/me/dead-letters?keyPrefix=k&tag=a:b&tag=c:d&limit=3"


def test_actions(variant: str) -> None:
    bulk = {"redriven": 1, "steps": [STEP], "more": True}
    with fake_api(OK, OK, (200, {}, WHOLE), (200, {}, bulk), (200, {}, {**bulk, "more": False})) as api:
        call(variant, api, "cancel", STEP[:-5])
        call(variant, api, "redrive", STEP)
        assert call(variant, api, "step", STEP).payload == 1
        assert call(variant, api, "redrive_all", workflow_name="w") == [STEP, STEP]
        paths = [path for _, path, _, _ in api.seen]
        assert paths[:2] == [f"/me/runs/{STEP[:-5]}/cancel", f"/me/steps/{STEP}/redrive"]
        assert api.seen[3][3] == {"filter": {"workflowName": "w"}}


def test_a_redrive_by_tags_goes_on_from_its_cursor(variant: str) -> None:
    short = {"redriven": 0, "steps": [], "more": True, "next": "c"}
    last = {"redriven": 1, "steps": [STEP], "more": False, "next": None}
    with fake_api((200, {}, short), (200, {}, last)) as api:
        assert call(variant, api, "redrive_all", tag="a:b") == [STEP]
        wanted = {"filter": {"tag": ["a:b"]}}
        assert [document for *_, document in api.seen] == [wanted, {**wanted, "cursor": "c"}]


def test_a_start_token(variant: str) -> None:
    made = {"token": "ast_x", "expiresAt": "2026-11-23T07:38:00.000Z", "keyPrefix": "u:", "steps": True}
    made["workflows"] = {"w": "https://app.example/w"}
    with fake_api((200, {}, made), (200, {}, made)) as api:
        asked = {"key_prefix": "u:", "expires_in": 60, "steps": True}
        token = call(variant, api, "start_token", made["workflows"], **asked)
        call(variant, api, "start_token", made["workflows"])
        assert (token.token, token.key_prefix) == ("ast_x", "u:")
        [(method, path, _, body), (_, _, _, least)] = api.seen
        assert (method, path) == ("POST", "/me/start-tokens")
        assert body == {**least, "keyPrefix": "u:", "expiresIn": 60_000, "steps": True}
        assert least == {"workflows": made["workflows"], "steps": False}


def test_the_environment_says_where_atomic_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATOMIC_URL", "https://atomic.example/")
    monkeypatch.setenv("ATOMIC_CLIENT_ID", "acme")
    monkeypatch.setenv("ATOMIC_API_KEY", "atm_1")
    for client in (Client(), AsyncClient()):
        found = client.connection
        assert (found.url, found.client_id, found.api_key) == ("https://atomic.example", "acme", "atm_1")
    assert Client(client_id="other").client_id == "other"


def test_a_url_without_a_scheme_is_told(variant: str) -> None:
    with pytest.raises(ValueError, match="ATOMIC_URL"):
        start(variant, FakeApi([], url="localhost"))
