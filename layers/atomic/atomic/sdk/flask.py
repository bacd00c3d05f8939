"""Endpoints on Flask: `@app.post("/order")` above `@workflow` or `@step`."""

from collections.abc import Callable

from flask import Response, request

from atomic.sdk import _handler
from atomic.sdk._handler import Decorator, Endpoint

View = Callable[[], Response]


def _view(endpoint: Endpoint) -> View:
    def view() -> Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        asked = _handler.Request(url=request.url, headers=headers, body=request.get_data())
        answer = endpoint.answer(asked)
        return Response(answer.body, answer.status, dict(answer.headers))

    return view


workflow: Decorator[View] = Decorator(_view, is_workflow=True)
step: Decorator[View] = Decorator(_view, is_workflow=False)
