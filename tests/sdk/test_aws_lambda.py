"""Every case on Lambda functions, behind a minimal gateway that turns requests into events (format 2.0)."""

import base64
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
from werkzeug.wrappers import Request, Response

from atomic.protocol.signatures import encode_secret
from atomic.sdk.aws_lambda import Call, Endpoints, step, workflow
from sdk.cases.signing import BODY, NEW, signed
from sdk.matrix import Case, every_case, run
from sdk.threads import wsgi_server
from sdk.world import Route, Serve, served_by

Handler = Callable[[Mapping[str, Any], Any], dict[str, Any]]


class Gateway:
    """Calls the function that serves a path."""

    def __init__(self, functions: Mapping[str, Handler]) -> None:
        self._functions = functions

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        request = Request(environ)
        answer = self._functions[request.path](event_of(request), None)
        return Response(answer["body"], answer["statusCode"], answer["headers"])(environ, start_response)


def event_of(request: Request) -> dict[str, Any]:
    """A request as an event of a function URL; a body that is not text is base64-encoded."""
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": request.environ["REQUEST_URI"].partition("?")[0],
        "rawQueryString": "",
        "headers": {name.lower(): value for name, value in request.headers.items()},
        "requestContext": {"domainName": request.host, "http": {"method": request.method}},
        "body": base64.b64encode(request.get_data()).decode(),
        "isBase64Encoded": True,
    }


@contextmanager
def decorated(routes: list[Route]) -> Iterator[str]:
    functions: dict[str, Handler] = {}
    with wsgi_server(Gateway(functions)) as url:
        for route in routes:
            decorator = workflow if route.is_workflow else step
            # The test gateway has no TLS, which the function cannot detect.
            functions[route.path] = decorator(**route.options, base_url=url)(route.function)
        yield url


@contextmanager
def mounted(routes: list[Route]) -> Iterator[str]:
    functions: dict[str, Handler] = {}

    def below(prefix: str) -> Endpoints:
        made = Endpoints(prefix, base_url=url)
        functions.update({route.path: made for route in routes if route.path.rpartition("/")[0] == prefix})
        return made

    with wsgi_server(Gateway(functions)) as url:
        served_by(routes, below)
        yield url


@every_case(decorated=[decorated], mounted=[mounted])
def test_aws_lambda(case: Case, serve: Serve, atomic_url: str) -> None:
    run(case, serve, atomic_url)


HOST = "app.example"
EVENTS: dict[str, dict[str, Any]] = {
    "HTTP API": {"version": "2.0", "rawPath": "/prod/Müller ☃/pay", "requestContext": {"domainName": HOST}},
    "function URL": {
        "version": "2.0",
        "rawPath": "/prod/M%C3%BCller%20%E2%98%83/pay",
        "requestContext": {"domainName": HOST},
    },
    "HTTP API, 1.0": {
        "version": "1.0",
        "path": "/prod/Müller ☃/pay",
        "requestContext": {"domainName": HOST, "path": "/prod/Müller ☃/pay"},
    },
    # This gateway omits the stage from the path, and may pass a header as a list of values.
    "REST API": {
        "path": "/M%C3%BCller%20%E2%98%83/pay",
        "requestContext": {
            "domainName": HOST,
            "stage": "prod",
            "path": "/prod/M%C3%BCller%20%E2%98%83/pay",
        },
    },
    "load balancer": {
        "path": "/prod/M%C3%BCller%20%E2%98%83/pay",
        "requestContext": {"elb": {"targetGroupArn": "arn:…"}},
        "host": HOST,
    },
}


@pytest.mark.parametrize("kind", EVENTS)
@pytest.mark.parametrize("many", [False, True])
def test_events_of_every_gateway(kind: str, many: bool) -> None:
    url = f"https://{HOST}/prod/M%C3%BCller%20%E2%98%83/pay"
    handler = Endpoints("Müller ☃")

    @handler.step
    def pay(payload: str, call: Call) -> list[str]:
        return [payload, call.url]

    for secrets in ([], [encode_secret(NEW)]):
        served = Endpoints("Müller ☃", secrets=secrets)
        served.step(pay)
        event = {**EVENTS[kind], "body": BODY.decode(), "isBase64Encoded": False}
        headers = {"Host": event.pop("host", "other.example"), **signed(NEW, url=url)}
        event["headers"] = None if many else headers
        if many:
            event["multiValueHeaders"] = {name: [value] for name, value in headers.items()}
        answer = served(event, None)
        assert (answer["statusCode"], json.loads(answer["body"])) == (200, ["hello", url])
        assert answer.get("multiValueHeaders") == ({"content-type": ["application/json"]} if many else None)


def test_other_events_are_refused_with_the_cure() -> None:
    handler = Endpoints(steps=[len])
    for event in ({"source": "warm-up"}, {"Records": []}, {}):
        for function in (handler, step(lambda payload: payload)):
            with pytest.raises(ValueError, match="not an HTTP request: call the function through"):
                function(event, None)
