"""Endpoints on Starlette: `Endpoints(app, "/orders")`, or a Route to what `@workflow` or `@step` makes."""

from collections.abc import Awaitable, Callable
from functools import lru_cache

from starlette.applications import Starlette
from starlette.datastructures import URL
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Router

from atomic.sdk._calls.call import Call
from atomic.sdk._endpoints.endpoint import Endpoint
from atomic.sdk._endpoints.endpoints import Decorator, MountedEndpoints, named_view
from atomic.sdk._endpoints.serving import Request as EndpointRequest
from atomic.sdk._endpoints.serving import of_scope
from atomic.sdk.async_context import AsyncContext
from atomic.sdk.context import Context

__all__ = ["AsyncContext", "Call", "Context", "Endpoints", "step", "workflow"]

View = Callable[[Request], Awaitable[Response]]


def view_of(endpoint: Endpoint) -> View:
    """An endpoint as a Starlette view."""

    async def view(request: Request) -> Response:
        scope = request.scope
        # Starlette's own object goes through all lines for each name. Of several lines, the first counts.
        headers = {
            name.decode("latin-1"): text.decode("latin-1") for name, text in reversed(scope["headers"])
        }
        asked = EndpointRequest(
            origin=_origin(scope["scheme"], headers.get("host", ""), tuple(scope.get("server") or ())),
            at=of_scope(scope),
            headers=headers,
            body=await request.body(),
        )
        answer = await endpoint.answer_async(asked)
        return Response(answer.body, answer.status, dict(answer.headers))

    return view


# An application has few names, and Starlette builds a whole URL to tell one.
@lru_cache(maxsize=256)
def _origin(scheme: str, host: str, server: tuple[str, int] | tuple[()]) -> str:
    """Scheme, host and port of a request, as Starlette reads them."""
    lines = [(b"host", host.encode("latin-1"))] if host else []
    url = URL(scope={"scheme": scheme, "server": server or None, "path": "/", "headers": lines})
    return f"{url.scheme}://{url.netloc}"


workflow: Decorator[View] = Decorator(view_of, is_workflow=True)
step: Decorator[View] = Decorator(view_of, is_workflow=False)


class Endpoints(MountedEndpoints[Starlette | Router]):
    """Serves functions on Starlette: POST {prefix}/{name of the function}.

    - `app`: the Starlette application or the Router.
    - `prefix`: the part of the path before the names of the functions (default: empty).
    - `steps`: functions from elsewhere that are served as steps, too (default: none).
    - `client`: the `Client` (of `def` workflows) or `AsyncClient` (of `async def` ones) that posts the
      steps of a workflow (default: one that takes its settings from the environment).
    - `secrets`: signing secrets (`whsec_…`) or public keys (`whpk_…`), one of which must have signed a call
      (default: ATOMIC_SIGNING_SECRET; without any, calls are not checked).
    - `base_url`: where Atomic reaches this application (default: ATOMIC_BASE_URL, else the URL that Atomic
      signed, else what the request shows).
    - `wait`: seconds, or a timedelta, that one call of a workflow waits for its steps before it is
      suspended (default: 15 on an event loop, 0.25 or nothing in a thread of a WSGI server, 1 on Lambda).
    - `build`: which build of the application this is, as its commit; up to 64 characters (default:
      ATOMIC_BUILD, else none).
    - `hooks`: objects that are told of calls, operations and attempts, as `Hooks` (default: none).
    - `codec`: a `Codec` for payloads, results and values (default: that of `client`, else none).

    A decorator may give one function other options. The constructor raises the errors of `step`.
    """

    def _add(self, path: str, endpoint: Endpoint) -> None:
        self._app.add_route(f"/{path}", named_view(view_of, endpoint), methods=["POST"], name=path)
