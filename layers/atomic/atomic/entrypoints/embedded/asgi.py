"""The HTTP API as a bare ASGI application, without a web framework (decision 0063)."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

from atomic.adapters.prometheus.telemetry import CONTENT_TYPE, PrometheusTelemetry
from atomic.entrypoints.embedded.origin_check import BrowserCheck
from atomic.entrypoints.http_api.api import Api
from atomic.entrypoints.http_api.http import ApiRequest, ApiResponse, problem_response
from atomic.entrypoints.http_api.routes import handle, too_large
from atomic.protocol.constants import BODY_MAX_BYTES
from atomic.protocol.problems import Problem, invalid

# Closing a connection with unread bytes resets it, and then the caller never sees the 413.
_DRAINED_MAX_BYTES: Final = 16 * BODY_MAX_BYTES

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


class AsgiApp:
    """Serves `Api` over ASGI, and `/metrics`, which only this runtime has."""

    def __init__(self, api: Api, metrics: PrometheusTelemetry, browsers: BrowserCheck) -> None:
        self._api = api
        self._metrics = metrics
        self._browsers = browsers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        headers: dict[str, str] = {}
        hosts = 0
        for raw_name, raw_value in scope["headers"]:
            name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
            hosts += name == "host"
        body = await _read_body(headers.get("content-length", ""), receive)
        if body is None:
            await _send(send, problem_response(too_large()), {"connection": "close"})
            return
        if refusal := _wrong_host(scope, hosts) or self._browsers.refusal(headers):
            await _send(send, problem_response(refusal), {})
            return
        if scope["path"] == "/metrics" and scope["method"] in {"GET", "HEAD"}:
            metrics = ApiResponse(status=200, body=self._metrics.exposition())
            await _send(send, metrics, {"content-type": CONTENT_TYPE})
            return
        request = ApiRequest(
            method=scope["method"],
            path=scope["path"],
            query=scope["query_string"].decode("latin-1"),
            headers=headers,
            body=body,
        )
        await _send(send, await handle(self._api, request), {})


def _wrong_host(scope: Scope, hosts: int) -> Problem | None:
    """The problem for a wrong Host header (RFC 9112, 3.2). Health checks by HTTP/1.0 may have none."""
    if hosts == 1 or (hosts == 0 and scope["http_version"] == "1.0"):
        return None
    return invalid("Host", "HTTP/1.1 needs this header once; send the name or address that you connect to")


async def _read_body(content_length: str, receive: Receive) -> bytes | None:
    """The whole body; None when it is too large, or when the caller disconnected before its end."""
    if content_length.isdigit() and int(content_length) > _DRAINED_MAX_BYTES:
        return None
    # Joined at the end: otherwise a body that comes byte by byte would be copied for each byte.
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        chunk: bytes = message.get("body", b"")
        size += len(chunk)
        if size <= BODY_MAX_BYTES:
            parts.append(chunk)
        if not message.get("more_body", False):
            return b"".join(parts) if size <= BODY_MAX_BYTES else None
        if size > _DRAINED_MAX_BYTES:
            return None


async def _send(send: Send, response: ApiResponse, extra: dict[str, str]) -> None:
    headers = [
        (name.encode("latin-1"), value.encode("latin-1"))
        for name, value in (*response.headers.items(), *extra.items())
    ]
    headers.append((b"content-length", str(len(response.body)).encode()))
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": response.body})
