"""Every case on Lambda functions: a gateway of a few lines turns requests into HTTP API events (2.0)."""

import base64
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from werkzeug.wrappers import Request, Response

from atomic.sdk.aws_lambda import Endpoints, step, workflow
from sdk.matrix import Case, every_case, run
from sdk.threads import wsgi_server
from sdk.world import Route, Serve, served_by

Handler = Callable[[Mapping[str, Any], Any], dict[str, Any]]


class Gateway:
    """Calls the function of a path."""

    def __init__(self, functions: Mapping[str, Handler]) -> None:
        self._functions = functions

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        request = Request(environ)
        answer = self._functions[request.path](event_of(request), None)
        return Response(answer["body"], answer["statusCode"], answer["headers"])(environ, start_response)


def event_of(request: Request) -> dict[str, Any]:
    """As API Gateway writes it; it encodes what it does not take for text."""
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": request.path,
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
            # The gateway has no TLS, and a function cannot know that.
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
