"""The requests of clients as spans: around the application of a server that makes spans."""

from typing import TYPE_CHECKING, Any, Final

from atomic.entrypoints.embedded.http import Application, Receive, Scope, Send
from atomic.entrypoints.http_api.routes import TABLE
from atomic.protocol import headers

if TYPE_CHECKING:
    # OpenTelemetry is an extra, which this room does not import.
    from atomic.adapters.otel.opening import ServerTracing

# What only reads has no span: the dashboard asks again and again.
_READS: Final = frozenset({"GET", "HEAD", "OPTIONS"})


class TracedApp:
    """Passes requests on to the application, and makes a span of each one that starts something or acts."""

    def __init__(self, app: Application, tracing: "ServerTracing") -> None:
        self._app = app
        self._tracing = tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        route = None if scope["method"] in _READS else _route_of(scope["method"], scope["path"])
        if route is None:
            await self._app(scope, receive, send)
            return
        status: int | None = None
        body = b""

        async def send_and_note(message: dict[str, Any]) -> None:
            nonlocal status, body
            status = message.get("status", status)
            body = message.get("body", body)
            await send(message)

        with self._tracing.answering(scope["method"], route, _traceparent(scope)) as request:
            try:
                await self._app(scope, receive, send_and_note)
            finally:
                request.ends(status, body)


def _route_of(method: str, path: str) -> str | None:
    """The template of the route that answers; None where there is none."""
    return next((route.template for route, _ in TABLE.owners(path) if route.method == method), None)


def _traceparent(scope: Scope) -> str:
    given = [value for name, value in scope["headers"] if name == headers.TRACEPARENT.encode()]
    return given[0].decode("latin-1") if len(given) == 1 else ""
