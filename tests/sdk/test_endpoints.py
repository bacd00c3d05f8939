"""The settings and names of `Endpoints`, and their effect on each framework."""

from typing import Any

import pytest
import requests
from fastapi import APIRouter, FastAPI
from flask import Blueprint, Flask

from atomic.protocol.signatures import encode_secret
from atomic.sdk import AsyncClient, AsyncContext, Client, aws_lambda, fastapi, flask
from sdk.calls import Unhashable
from sdk.cases.signing import BODY, NEW, OLD, signed
from sdk.threads import asgi_server, wsgi_server


def echo(payload: Any) -> Any:
    return payload


def other(payload: Any) -> Any:
    return payload


async def later(ctx: AsyncContext) -> None:
    await ctx.sleep(1)


def event(path: str, headers: dict[str, str]) -> dict[str, Any]:
    context = {"domainName": "app.example"}
    return {"rawPath": path, "requestContext": context, "headers": headers, "body": BODY.decode()}


def test_settings_are_given_once_and_a_decorator_may_have_its_own() -> None:
    handler = aws_lambda.Endpoints(steps=[echo], secrets=[encode_secret(NEW)])
    handler.step(name="old", secrets=[encode_secret(OLD)])(other)
    for path, secret, status in (("/echo", NEW, 200), ("/echo", OLD, 401), ("/old", OLD, 200)):
        headers = signed(secret, url=f"https://app.example{path}")
        assert handler(event(path, headers), None)["statusCode"] == status


def test_an_option_that_does_not_exist_is_refused_at_the_start() -> None:
    # If such a misspelt option were ignored, calls would not be verified.
    misspelled: dict[str, Any] = {"secret": [encode_secret(NEW)]}
    with pytest.raises(
        TypeError, match=r"^echo: secret: there is no such option; there are client, secrets"
    ):
        aws_lambda.Endpoints(steps=[echo], **misspelled)
    with pytest.raises(TypeError, match=r"^echo: secret: there is no such option"):
        aws_lambda.step(**misspelled)(echo)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"secrets": encode_secret(NEW)}, TypeError, "secrets: give a list"),
        ({"secrets": ["s3cret"]}, ValueError, "a signing secret is whsec_"),
        (
            {"base_url": "app.example"},
            ValueError,
            "base_url 'app.example' is not the URL of a server: write",
        ),
        ({"wait": "soon"}, ValueError, "wait: use seconds or a timedelta, 0 or more, not 'soon'"),
        ({"wait": -1}, ValueError, "wait: use seconds"),
    ],
)
def test_settings_that_no_call_could_use_are_refused_at_the_start(
    options: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        aws_lambda.Endpoints(steps=[echo], **options)


@pytest.mark.parametrize(
    ("api_key", "secret", "said"), [("k", "", 1), ("", "", 0), ("k", encode_secret(NEW), 0)]
)
def test_a_key_without_a_signing_secret_is_warned_about(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    api_key: str,
    secret: str,
    said: int,
) -> None:
    monkeypatch.setenv("ATOMIC_API_KEY", api_key)
    monkeypatch.setenv("ATOMIC_SIGNING_SECRET", secret)
    handler = aws_lambda.Endpoints(steps=[echo])
    for _ in range(2):
        handler(event("/echo", {}), None)
    assert [record.getMessage() for record in caplog.records] == [
        "echo takes calls from anybody; set ATOMIC_SIGNING_SECRET"
    ] * said


def test_a_client_fits_only_def_or_async_def_workflows() -> None:
    async_ones = aws_lambda.Endpoints(steps=[echo], client=AsyncClient())
    assert async_ones.workflow(later) is later
    with pytest.raises(TypeError, match="a Client to `def` workflows"):
        aws_lambda.Endpoints(client=Client()).workflow(later)


@pytest.mark.parametrize("path", ["/users/echo", "/prod/users/echo"])
def test_a_lambda_function_finds_its_endpoint_below_any_stage(path: str) -> None:
    handler = aws_lambda.Endpoints("/users", steps=[echo])
    assert handler(event(path, {}), None)["statusCode"] == 200


@pytest.mark.parametrize("path", ["/echo", "/users/other", "/users/", "/abusers/echo", "/users/echo/x"])
def test_a_lambda_function_serves_nothing_else(path: str) -> None:
    handler = aws_lambda.Endpoints("users/", steps=[echo])
    answer = handler(event(path, {}), None)
    assert (answer["statusCode"], path in answer["body"]) == (404, True)


def test_names_are_one_segment_and_each_its_own() -> None:
    served = aws_lambda.Endpoints("/users", steps=[echo])
    with pytest.raises(ValueError, match=r"<lambda>.*give .* a name="):
        served.step(lambda payload: payload)
    with pytest.raises(ValueError, match="'a/b' is not a segment"):
        served.step(name="a/b")(other)
    with pytest.raises(ValueError, match="'echo' is served already"):
        served.step(name="echo")(other)
    with pytest.raises(TypeError, match=r"cannot be served: it has no hash; give its class a __hash__"):
        served.step(name="unhashable")(Unhashable())
    with pytest.raises(ValueError, match="'again' is served already"):
        served.workflow(name="again")(echo)


def test_a_router_and_a_blueprint_serve_below_their_own_prefix() -> None:
    router, blueprint = APIRouter(prefix="/v1"), Blueprint("v1", "v1", url_prefix="/v1")
    fastapi.Endpoints(router, "/users", steps=[echo])
    flask.Endpoints(blueprint, "/users", steps=[echo])
    on_fastapi, on_flask = FastAPI(), Flask("case")
    on_fastapi.include_router(router)
    on_flask.register_blueprint(blueprint)
    with asgi_server(on_fastapi) as one, wsgi_server(on_flask) as two:
        for url in (one, two):
            assert requests.post(f"{url}/v1/users/echo", data=BODY, timeout=10).json() == "hello"
            assert requests.get(f"{url}/v1/users/echo", timeout=10).status_code == 405


def test_routes_have_names_that_frameworks_find() -> None:
    app = Flask("case")
    flask.Endpoints(app, "/users", steps=[echo])
    flask.Endpoints(app, "/orders", steps=[echo])
    with app.test_request_context():
        assert app.url_for("orders/echo") == "/orders/echo"
    served = FastAPI()
    fastapi.Endpoints(served, "/users", steps=[echo])
    assert served.url_path_for("users/echo") == "/users/echo"


def fail(payload: Any) -> None:
    raise KeyError("no such user")


def test_the_log_says_which_function_failed_and_in_which_attempt(caplog: pytest.LogCaptureFixture) -> None:
    handler = aws_lambda.Endpoints(steps=[fail])
    told = handler(event("/fail", {"Atomic-Step-Id": "run_1-root", "Atomic-Attempt": "3"}), None)
    assert told["statusCode"] == 500
    [record] = caplog.records
    assert record.getMessage() == "fail (attempt 3 of step run_1-root) failed"
    assert record.exc_info
