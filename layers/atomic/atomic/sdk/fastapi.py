"""Endpoints on FastAPI (or Starlette): `@app.post("/order")` above `@workflow` or `@step`."""

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response

from atomic.sdk import _handler
from atomic.sdk._handler import Decorator, Endpoint

View = Callable[[Request], Awaitable[Response]]


def _view(endpoint: Endpoint) -> View:
    async def view(request: Request) -> Response:
        asked = _handler.Request(url=str(request.url), headers=request.headers, body=await request.body())
        answer = await endpoint.answer_async(asked)
        return Response(answer.body, answer.status, dict(answer.headers))

    return view


workflow: Decorator[View] = Decorator(_view, is_workflow=True)
step: Decorator[View] = Decorator(_view, is_workflow=False)
