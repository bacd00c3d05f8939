"""Endpoints on Flask: `Endpoints(app, "/orders")`, or `@app.post(…)` above `@workflow` or `@step`."""

from collections.abc import Callable
from typing import Any

from flask import Blueprint, Flask, Response, request

from atomic.sdk._calls.call import Call
from atomic.sdk._endpoints.endpoint import Endpoint
from atomic.sdk._endpoints.endpoints import Decorator, MountedEndpoints, named_view
from atomic.sdk._endpoints.serving import THREADS, of_environ
from atomic.sdk._endpoints.serving import Request as EndpointRequest
from atomic.sdk.async_context import AsyncContext
from atomic.sdk.context import Context

__all__ = ["AsyncContext", "Call", "Context", "Endpoints", "step", "workflow"]

View = Callable[..., Response]


def _view(endpoint: Endpoint) -> View:
    # The values of a route's variables are in `call.url`.
    def view(**_variables: Any) -> Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        with THREADS.serving(request.environ, is_workflow=endpoint.is_workflow) as wait_s:
            asked = EndpointRequest(
                origin=f"{request.scheme}://{request.host}",
                at=of_environ(request.environ),
                headers=headers,
                body=request.get_data(),
                wait_s=wait_s,
            )
            answer = endpoint.answer(asked)
        return Response(answer.body, answer.status, dict(answer.headers))

    return view


workflow: Decorator[View] = Decorator(_view, is_workflow=True)
step: Decorator[View] = Decorator(_view, is_workflow=False)


class Endpoints(MountedEndpoints[Flask | Blueprint]):
    """Serves functions on Flask: POST {prefix}/{name of the function}.

    - `app`: the Flask application or the Blueprint.
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
        self._app.add_url_rule(f"/{path}", path, named_view(_view, endpoint), methods=["POST"])
