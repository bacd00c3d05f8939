"""Endpoints on FastAPI: `Endpoints(app, "/orders")`, or `@app.post(…)` above `@workflow` or `@step`.

The decorators serve Starlette as well.
"""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response

from atomic.sdk._context import Call
from atomic.sdk._endpoints import Decorator, MountedEndpoints, named_view
from atomic.sdk._handler import Endpoint
from atomic.sdk._request import Request as EndpointRequest
from atomic.sdk._request import of_scope
from atomic.sdk.async_context import AsyncContext
from atomic.sdk.context import Context

if TYPE_CHECKING:
    # Starlette alone is enough for the decorators.
    from fastapi import APIRouter, FastAPI

    App = FastAPI | APIRouter

__all__ = ["AsyncContext", "Call", "Context", "Endpoints", "step", "workflow"]

View = Callable[[Request], Awaitable[Response]]


def _view(endpoint: Endpoint) -> View:
    async def view(request: Request) -> Response:
        asked = EndpointRequest(
            origin=f"{request.url.scheme}://{request.url.netloc}",
            at=of_scope(request.scope),
            headers=request.headers,
            body=await request.body(),
        )
        answer = await endpoint.answer_async(asked)
        return Response(answer.body, answer.status, dict(answer.headers))

    return view


workflow: Decorator[View] = Decorator(_view, is_workflow=True)
step: Decorator[View] = Decorator(_view, is_workflow=False)


class Endpoints(MountedEndpoints["App"]):
    """Functions as endpoints of an application (or an APIRouter): POST {prefix}/{name of the function}."""

    def _add(self, path: str, endpoint: Endpoint) -> None:
        self._app.add_api_route(f"/{path}", named_view(_view, endpoint), methods=["POST"], name=path)
