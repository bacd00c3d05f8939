"""Endpoints on Django: `Endpoints("orders").urlpatterns`, or `@workflow` or `@step` above a view.

An `async def` view runs on the loop under ASGI; Django itself bridges the other combinations.
"""

from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.urls import URLPattern, path
from django.views.decorators.csrf import csrf_exempt

from atomic.sdk._calls.call import Call
from atomic.sdk._endpoints.endpoint import Endpoint
from atomic.sdk._endpoints.endpoints import BaseEndpoints, Decorator, named_view
from atomic.sdk._endpoints.serving import OWN_S, THREADS, of_environ, of_scope
from atomic.sdk._endpoints.serving import Request as EndpointRequest
from atomic.sdk._wire.answers import HandlerResponse
from atomic.sdk.async_context import AsyncContext
from atomic.sdk.context import Context

__all__ = ["AsyncContext", "Call", "Context", "Endpoints", "step", "workflow"]

View = Callable[..., HttpResponse] | Callable[..., Coroutine[Any, Any, HttpResponse]]


def _view(endpoint: Endpoint) -> View:
    # The values of a route's variables are in `call.url`.
    def view(request: HttpRequest, *_groups: Any, **_variables: Any) -> HttpResponse:
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        with _waiting(request, endpoint) as wait_s:
            return _answered(endpoint.answer(_asked(request, wait_s)))

    async def async_view(request: HttpRequest, *_groups: Any, **_variables: Any) -> HttpResponse:
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        with _waiting(request, endpoint) as wait_s:
            return _answered(await endpoint.answer_async(_asked(request, wait_s)))

    # Calls are authenticated by their signature, not by a cookie.
    return csrf_exempt(async_view) if endpoint.is_async else csrf_exempt(view)


def _waiting(request: HttpRequest, endpoint: Endpoint) -> AbstractContextManager[float]:
    if isinstance(request, ASGIRequest):
        # Each call has its own thread or task.
        return nullcontext(OWN_S)
    # An `async def` view is also called in one of the server's threads, with its own loop.
    return THREADS.serving(request.META, is_workflow=endpoint.is_workflow)


def _asked(request: HttpRequest, wait_s: float) -> EndpointRequest:
    headers = {name.lower(): value for name, value in request.headers.items()}
    # Django decodes these values, which WSGI gives as bytes in latin-1.
    at = of_scope(request.scope) if isinstance(request, ASGIRequest) else of_environ(request.META, "utf-8")
    return EndpointRequest(
        origin=f"{request.scheme}://{request.get_host()}",
        at=at,
        headers=headers,
        body=request.body,
        wait_s=wait_s,
    )


def _answered(answer: HandlerResponse) -> HttpResponse:
    return HttpResponse(answer.body, status=answer.status, headers=dict(answer.headers))


workflow: Decorator[View] = Decorator(_view, is_workflow=True)
step: Decorator[View] = Decorator(_view, is_workflow=False)


class Endpoints(BaseEndpoints):
    """Serves functions on Django: `urlpatterns` has a POST {prefix}/{name of the function} for each.

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

    @property
    def urlpatterns(self) -> list[URLPattern]:
        """The URL patterns of all functions so far. Add them to a `urlpatterns` of the project."""
        return [
            path(own, named_view(_view, endpoint), name=own) for own, endpoint in self._endpoints.items()
        ]
