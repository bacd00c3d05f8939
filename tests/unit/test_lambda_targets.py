"""Lambda functions as endpoints: the event that they get, and how what they answer is read."""

import asyncio
import base64
import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from atomic.adapters.functions.signing import lambda_invoker
from atomic.adapters.http.addresses import is_public_or_private
from atomic.adapters.http.invoker import HttpInvoker
from atomic.application.destinations import destination_of
from atomic.application.ports import EndpointRequest
from atomic.domain.outcomes import EndpointResponse, NotMade, StepError, classify
from atomic.domain.retry import RetryPolicy
from atomic.protocol.enums import OutcomeKind
from atomic.protocol.error_kinds import ErrorKind
from atomic.testing import LocalAtomic, run
from contract.builders import a_spec
from fake_lambda import ENVIRONMENT, FakeLambda, Refusal, fake_lambda
from scenarios.starts import assert_problem

ARN = "arn:aws:lambda:eu-central-1:123456789012:function:shop:prod"


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, FakeLambda]]:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    with fake_lambda() as served:
        yield served


def post(at: str, url: str, **more: Any) -> EndpointResponse:
    """One attempt."""
    request = EndpointRequest(
        client_id="acme",
        url=url,
        headers={"Content-Type": "application/json", "Atomic-Attempt": "3", "webhook-timestamp": "5"},
        body='{"payload":"Grüße"}'.encode(),
        timeout_ms=5_000,
        **more,
    )

    async def main() -> EndpointResponse:
        endpoints, api = HttpInvoker(), HttpInvoker(allows=is_public_or_private)
        invoker = lambda_invoker(endpoints, api, {**ENVIRONMENT, "AWS_ENDPOINT_URL": at})
        try:
            return await invoker.post(request)
        finally:
            await endpoints.close()
            await api.close()

    return asyncio.run(main())


def test_the_event_is_that_of_an_http_api(aws: tuple[str, FakeLambda]) -> None:
    at, fake = aws
    fake.functions = {"shop": lambda *_: None, ARN: lambda *_: None}

    post(at, "lambda:shop/orders/pay?x=1")
    post(at, f"lambda:{ARN}")

    [(name, event), (arn, other)] = fake.events
    assert (name, arn) == ("shop", ARN)
    assert (event["version"], event["rawPath"], event["rawQueryString"]) == ("2.0", "/orders/pay", "x=1")
    assert (event["body"], event["isBase64Encoded"]) == ('{"payload":"Grüße"}', False)
    assert event["headers"]["atomic-attempt"] == "3"
    assert event["requestContext"]["http"]["method"] == "POST"
    assert event["requestContext"]["timeEpoch"] == 5000
    assert other["rawPath"] == "/"


@pytest.mark.parametrize(
    ("answered", "status", "body"),
    [
        ({"paid": True}, 200, b'{"paid": true}'),
        (None, 200, b""),
        ("text", 200, b'"text"'),
        ({"statusCode": 201, "headers": {"X-Made": "yes"}, "body": "made"}, 201, b"made"),
        ({"statusCode": "404"}, 404, b""),
        (
            {"statusCode": 200, "body": base64.b64encode(b"\0\1").decode(), "isBase64Encoded": True},
            200,
            b"\0\1",
        ),
        ({"statusCode": "fine", "body": ""}, 502, None),
        ({"statusCode": 200, "body": 7}, 502, None),
        ({"statusCode": 200, "headers": []}, 200, b""),
        ({"statusCode": 200, "headers": 1}, 502, None),
        ({"statusCode": 200, "body": "x", "isBase64Encoded": True}, 502, None),
        ({"statusCode": 99}, 502, None),
    ],
)
def test_an_answer_is_that_of_a_gateway_or_plain_json(
    aws: tuple[str, FakeLambda], answered: Any, status: int, body: bytes | None
) -> None:
    at, fake = aws
    fake.functions["shop"] = lambda *_: answered
    answer = post(at, "lambda:shop")
    assert answer.status == status
    if body is None:
        assert b"no valid statusCode" in answer.body
    else:
        assert answer.body == body
    assert ("x-made" in answer.headers) is (status == 201)


@pytest.mark.parametrize(
    "answered", [{"paid": math.nan}, {"statusCode": 500, "body": "", "took": math.inf}, "\ud800"]
)
def test_an_answer_that_is_not_json_is_no_success(aws: tuple[str, FakeLambda], answered: Any) -> None:
    at, fake = aws
    # Python's encoder, which Lambda's runtime uses, writes NaN, Infinity and half of a surrogate pair.
    fake.functions["shop"] = lambda *_: answered
    outcome = classify(post(at, "lambda:shop"), RetryPolicy(), 0)
    assert outcome.error is not None
    assert (outcome.kind, outcome.error.kind) == (OutcomeKind.PERMANENT, ErrorKind.RESPONSE_NOT_STORABLE)


def failing(error: BaseException) -> Any:
    """A function that raises this."""

    def handler(_event: Mapping[str, Any], _context: Any) -> Any:
        raise error

    return handler


def test_an_error_of_the_function_is_a_failed_attempt_with_its_name(aws: tuple[str, FakeLambda]) -> None:
    at, fake = aws
    fake.functions["shop"] = failing(KeyError("no such cake"))

    answer = post(at, "lambda:shop")
    retried = classify(answer, RetryPolicy(), 0)
    never = classify(answer, RetryPolicy(never="KeyError"), 0)

    assert (retried.kind, never.kind) == (OutcomeKind.RETRYABLE, OutcomeKind.PERMANENT)
    assert retried.error == StepError(ErrorKind.FUNCTION_FAILED, "", "'no such cake'", "KeyError")
    assert str(retried.error) == "the function failed: 'no such cake'"


def test_a_function_that_runs_out_of_time_has_timed_out(aws: tuple[str, FakeLambda]) -> None:
    at, fake = aws
    fake.functions["shop"] = failing(TimeoutError())
    assert post(at, "lambda:shop") == EndpointResponse(error=StepError(ErrorKind.TIMED_OUT, "3000"))


@pytest.mark.parametrize(
    "said", ["Task timed out after 5 seconds", f"Task timed out after {'9' * 400} seconds"]
)
def test_an_error_that_speaks_of_a_time_out_is_an_error(aws: tuple[str, FakeLambda], said: str) -> None:
    at, fake = aws
    fake.functions["shop"] = failing(RuntimeError(said))
    answer = post(at, "lambda:shop")
    assert (answer.status, answer.headers["atomic-error-type"]) == (502, "RuntimeError")


@pytest.mark.parametrize(("given", "again_ms"), [({"Retry-After": "7"}, 7_000), ({}, 1_000)])
def test_a_throttled_function_was_not_called(
    aws: tuple[str, FakeLambda], given: dict[str, str], again_ms: int
) -> None:
    at, fake = aws
    fake.functions["shop"] = failing(Refusal(429, "TooManyRequestsException", **given))
    answer = post(at, "lambda:shop")
    throttled = StepError(ErrorKind.RESOURCES_EXHAUSTED, "Lambda throttles the function")
    assert answer == EndpointResponse(not_made=NotMade(throttled, again_ms))


@pytest.mark.parametrize(
    ("status", "name"),
    [(403, "AccessDeniedException"), (404, "ResourceNotFoundException"), (500, "ServiceException")],
)
def test_what_lambda_refuses_is_a_failed_attempt(
    aws: tuple[str, FakeLambda], status: int, name: str
) -> None:
    at, fake = aws
    fake.functions["shop"] = failing(Refusal(status, name))
    outcome = classify(post(at, "lambda:shop"), RetryPolicy(), 0)
    assert outcome.kind is OutcomeKind.RETRYABLE
    assert outcome.error == StepError(ErrorKind.LAMBDA_REFUSED, f"{status} {name}")


def test_without_credentials_no_attempt_is_made(
    aws: tuple[str, FakeLambda], monkeypatch: pytest.MonkeyPatch
) -> None:
    at, fake = aws
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    answer = post(at, "lambda:shop")
    assert answer.not_made is not None
    assert "no credentials" in answer.not_made.error.detail
    assert fake.events == []


def test_other_urls_go_to_their_servers(aws: tuple[str, FakeLambda]) -> None:
    at, fake = aws
    # This one is private, which only the calls of Lambda itself may reach.
    answer = post(at, f"{at}/2015-03-31/functions/shop/invocations")
    assert answer.error is not None
    assert answer.error.kind is ErrorKind.ADDRESS_NOT_ALLOWED
    assert fake.events == []


def test_without_lambda_targets_no_function_is_called() -> None:
    async def main() -> EndpointResponse:
        invoker = HttpInvoker()
        request = EndpointRequest(client_id="a", url="lambda:shop", headers={}, body=b"", timeout_ms=100)
        try:
            return await invoker.post(request)
        finally:
            await invoker.close()

    assert asyncio.run(main()) == EndpointResponse(
        error=StepError(ErrorKind.NETWORK, "this server calls no Lambda functions")
    )


def test_a_server_without_them_refuses_the_start() -> None:
    async def main() -> None:
        async with LocalAtomic() as atomic:
            wanted = {"workflowName": "w", "stepInvokeUrl": "lambda:shop/pay", "idempotencyKey": "k"}
            refused = await atomic.post("/me", wanted)
            assert_problem(refused, 400, "invalid-request")
            assert refused.json["detail"].startswith("stepInvokeUrl: this server calls no Lambda functions")

    run(main())


def test_all_paths_of_a_function_are_one_destination() -> None:
    specs = [replace(a_spec(), url=f"lambda:{name}") for name in ("shop/a", "shop/b", "shop:prod/a", ARN)]
    same, also, *others = map(destination_of, specs)
    assert same == also
    assert len({same, *others}) == 3
