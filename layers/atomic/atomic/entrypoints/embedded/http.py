"""HTTP of the embedded server: bounds of each connection, and the API as an ASGI application.

By itself, uvicorn keeps heads of any size, and waits for ever to read and to write. It writes head and body
one after the other, and event loops send each write at once. This takes two system calls and two packets,
and wakes the caller twice.

No web framework is used (decision 0063).
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from ipaddress import ip_address, ip_network
from typing import Any, Final, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from atomic.adapters.prometheus.telemetry import CONTENT_TYPE, PrometheusTelemetry
from atomic.application.ports import StoreUnavailable
from atomic.entrypoints.embedded.browsers import BrowserCheck, wrong_host
from atomic.entrypoints.http_api import callbacks
from atomic.entrypoints.http_api.api import Api, unavailable
from atomic.entrypoints.http_api.http import ApiRequest, ApiResponse
from atomic.entrypoints.http_api.origins import allowed_origin
from atomic.entrypoints.http_api.routes import handle
from atomic.entrypoints.http_api.views import problem_response
from atomic.protocol.constants import BODY_MAX_BYTES
from atomic.protocol.problems import FOREIGN_CALLER, FOREIGN_ORIGIN, Problem

HEAD_MAX_BYTES: Final = 32 * 1024
HEADERS_MAX: Final = 100
# The time from the first byte to the end of the head, and from the connection to the first byte.
HEAD_S: Final = 15.0
# The time from the end of the head to the end of the body: 5 MiB at 175 KB a second.
BODY_S: Final = 30.0
# The time in which the caller must read an answer: the largest ones, some 3 MB, at 50 KB a second.
ANSWER_S: Final = 60.0
# A closing connection ends when its last answer is sent, but a caller may never read it.
LINGER_S: Final = 60.0
# Pipelined requests that wait for earlier answers. Few callers pipeline, and a packet can hold thousands.
PIPELINED_MAX: Final = 8

_REFUSAL: Final = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
)
_TOO_SLOW: Final = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
# Closing a connection with unread bytes resets it, and then the caller never sees the 413.
_DRAINED_MAX_BYTES: Final = 4 * BODY_MAX_BYTES
# Larger bodies are received so many at a time. Callers are not known yet, and could fill the memory.
SMALL_BYTES: Final = 256 * 1024
LARGE_AT_ONCE: Final = 64

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


class _Refused(Exception):
    """Stops the parser."""


class BoundedHttp(HttpToolsProtocol):
    """Ends connections whose head is too large or too slow, before any of it is kept.

    A body that comes too slowly also ends its connection, and so does an answer that is not read. The
    application limits the size of bodies. At uvicorn's `limit_concurrency`, new connections are refused.
    """

    _answer_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Asyncio: the connection is open."""
        self._one_write = OneWrite(cast("asyncio.Transport", transport), self.loop)
        super().connection_made(self._one_write)
        self._begin_head()
        if self.limit_concurrency is not None and len(self.connections) > self.limit_concurrency:
            self._one_write.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Asyncio: the connection is gone."""
        self._stop_timer()
        self._stop_answer_timer()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Asyncio: the caller does not read fast enough."""
        super().pause_writing()
        self._answer_timer = self.loop.call_later(ANSWER_S, self._one_write.abort)

    def resume_writing(self) -> None:
        """Asyncio: the caller has read nearly everything."""
        self._stop_answer_timer()
        super().resume_writing()

    def data_received(self, data: bytes) -> None:
        """Asyncio: bytes came."""
        was_in_head = self._in_head
        super().data_received(data)
        if self.transport.is_closing() or not (self._in_head or self._in_body):
            self._stop_timer()
        elif self._in_body:
            if self._timer is None or was_in_head:
                self._start_timer(BODY_S, _TOO_SLOW)
        else:
            self._in_head_still(len(data), was_in_head=was_in_head)

    def _in_head_still(self, size: int, *, was_in_head: bool) -> None:
        # The parser has no callback before the end of a header line, however long it is.
        self._head_bytes += size
        if self._head_bytes > HEAD_MAX_BYTES:
            self._refuse(_REFUSAL)
        elif self._timer is None or not was_in_head:
            self._start_timer(HEAD_S, _REFUSAL)

    def on_message_begin(self) -> None:
        """Parser: the first byte of a request."""
        self._in_head, self._head_bytes, self._header_bytes, self._header_count = True, 0, 0, 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Parser: a part of the request's target."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Parser: a header line or a trailer. A trailer counts, but is not a header (RFC 9110, 6.5.1)."""
        self._header_count += 1
        self._count(len(name) + len(value))
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Parser: the head is complete."""
        self._in_head, self._in_body = False, True
        if not self.url.startswith(b"/"):
            self._take_host_of_target()
        super().on_headers_complete()
        if len(self.pipeline) > PIPELINED_MAX:
            raise _Refused

    def on_message_complete(self) -> None:
        """Parser: the request is complete."""
        self._in_body = False
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Uvicorn: the parser failed. It also fails when one of our callbacks refuses the request."""
        if self._header_bytes > HEAD_MAX_BYTES or self._header_count > HEADERS_MAX or self._owes_answers():
            self._refuse(_REFUSAL)
        else:
            super().send_400_response(msg)

    def _take_host_of_target(self) -> None:
        """In `GET http://name/path`, the name replaces the `Host` header (RFC 9112, 3.2.2)."""
        _, is_absolute, rest = self.url.partition(b"://")
        indexes = [index for index, (name, _) in enumerate(self.headers) if name == b"host"]
        if is_absolute and len(indexes) == 1:
            authority = re.split(rb"[/?#]", rest, maxsplit=1)[0]
            self.headers[indexes[0]] = (b"host", authority.rpartition(b"@")[2])

    def _count(self, size: int) -> None:
        self._header_bytes += size
        if self._header_bytes > HEAD_MAX_BYTES or self._header_count > HEADERS_MAX:
            raise _Refused

    def _begin_head(self) -> None:
        self._in_head, self._head_bytes, self._header_bytes, self._header_count = True, 0, 0, 0
        self._in_body = False
        self._timer: asyncio.TimerHandle | None = None
        self._start_timer(HEAD_S, _REFUSAL)

    def _start_timer(self, delay_s: float, refusal: bytes) -> None:
        self._stop_timer()
        self._timer = self.loop.call_later(delay_s, self._refuse, refusal)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _stop_answer_timer(self) -> None:
        if self._answer_timer is not None:
            self._answer_timer.cancel()
            self._answer_timer = None

    def _refuse(self, refusal: bytes) -> None:
        if self.transport.is_closing():
            return
        if not self._owes_answers():
            self.transport.write(refusal)
        self.transport.close()

    def _owes_answers(self) -> bool:
        """Whether the caller would take a refusal for the answer to an earlier request."""
        is_answering = self.cycle is not None and not self.cycle.response_complete
        return bool(self.pipeline) or (self._in_head and is_answering)


class OneWrite(asyncio.Transport):
    """Joins writes: holds each until the next one comes, and at most until the loop's next round."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._transport = transport
        self._loop = loop
        self._kept = b""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Asyncio: send the data."""
        if self._kept:
            self._transport.write(self._kept + data)
            self._kept = b""
        else:
            self._kept = bytes(data)
            self._loop.call_soon(self._flush)

    def close(self) -> None:
        """Asyncio: close when everything is sent."""
        self._flush()
        self._transport.close()
        if self._transport.get_write_buffer_size():
            self._loop.call_later(LINGER_S, self._transport.abort)

    def abort(self) -> None:
        """Asyncio: close at once."""
        self._transport.abort()

    def is_closing(self) -> bool:
        """Asyncio: whether it is closed or about to be."""
        return self._transport.is_closing()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Asyncio: the addresses, the socket."""
        return self._transport.get_extra_info(name, default)

    def pause_reading(self) -> None:
        """Asyncio: receive nothing for now."""
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Asyncio: receive again."""
        self._transport.resume_reading()

    def _flush(self) -> None:
        if self._kept:
            self._transport.write(self._kept)
            self._kept = b""


class AsgiApp:
    """Serves `Api` over ASGI, and `/metrics`, which only this runtime has."""

    def __init__(
        self,
        api: Api,
        metrics: PrometheusTelemetry,
        browsers: BrowserCheck,
        networks: Sequence[str] = (),
    ) -> None:
        """`networks`: only callers from there and from this machine are answered; empty allows any."""
        self.api, self.metrics = api, metrics
        self._networks = [ip_network(network) for network in networks]
        self.answer: Callable[[Api, ApiRequest], Awaitable[ApiResponse]] = handle
        self._browsers = browsers
        self._known_host: str | None = None
        self._large_bodies = asyncio.Semaphore(LARGE_AT_ONCE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        headers, hosts = dict[str, str](), 0
        for raw_name, raw_value in scope["headers"]:
            name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
            hosts += name == "host"
        body = await read_body(headers.get("content-length", ""), receive, self._large_bodies)
        request = ApiRequest(
            method=scope["method"],
            path=scope["path"],
            query=scope["query_string"].decode("latin-1"),
            headers=headers,
            body=body or b"",
            is_cut=body is None,
            source=(scope.get("client") or ("",))[0],
        )
        extra = {"connection": "close"} if body is None else {}
        refusal = await self._refusal(scope, hosts, request)
        if refusal is not None:
            await _send(send, refusal, extra)
        elif scope["path"] == "/metrics" and scope["method"] in {"GET", "HEAD"}:
            metrics = ApiResponse(status=200, body=self.metrics.exposition())
            await _send(send, metrics, {"content-type": CONTENT_TYPE})
        else:
            await _send(send, await self.answer(self.api, request), extra)

    async def _refusal(self, scope: Scope, hosts: int, request: ApiRequest) -> ApiResponse | None:
        """The refusal of a request that comes by a wrong name or from a foreign page; None for others."""
        if self._networks and not self._is_near(request.source):
            return problem_response(
                Problem(FOREIGN_CALLER, "Without API keys, callers from --dev-network alone are answered.")
            )
        host = request.headers.get("host")
        # Nearly all requests come by the name of the one before, and from no web page.
        if hosts == 1 and host == self._known_host and "origin" not in request.headers:
            return None
        problem = wrong_host(scope, hosts)
        # The token of a callback URL is enough, whatever page or name the request comes from.
        if problem is None and not request.path.startswith(callbacks.PATH):
            problem = self._browsers.refusal(request.headers)
            if problem is None:
                self._known_host = host
        try:
            if problem is None or (
                problem.type is FOREIGN_ORIGIN
                and await allowed_origin(self.api.engine.clients, request) is not None
            ):
                return None
        except StoreUnavailable:
            return unavailable()
        return problem_response(problem)

    def _is_near(self, source: str) -> bool:
        caller = ip_address(source)
        # A socket of both versions names callers of version 4 in this way.
        caller = getattr(caller, "ipv4_mapped", None) or caller
        return caller.is_loopback or any(caller in network for network in self._networks)


async def read_body(content_length: str, receive: Receive, large: asyncio.Semaphore) -> bytes | None:
    """The whole body; None when it is too large, or when the caller disconnected before its end."""
    if content_length.isdigit() and int(content_length) > _DRAINED_MAX_BYTES:
        return None
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body", False):
        # Nearly all bodies come in one message.
        whole: bytes = message.get("body", b"")
        return whole if len(whole) <= BODY_MAX_BYTES else None
    return await _joined(message, receive, large)


async def _joined(message: dict[str, Any], receive: Receive, large: asyncio.Semaphore) -> bytes | None:
    """The same for a body that comes in several messages; this is the first of them."""
    # Joined at the end: otherwise a body that comes byte by byte would be copied for each byte.
    parts: list[bytes] = []
    size = 0
    async with AsyncExitStack() as turn:
        while message["type"] != "http.disconnect":
            chunk: bytes = message.get("body", b"")
            size += len(chunk)
            if size <= BODY_MAX_BYTES:
                parts.append(chunk)
            if not message.get("more_body", False):
                return b"".join(parts) if size <= BODY_MAX_BYTES else None
            if size > _DRAINED_MAX_BYTES:
                return None
            if size - len(chunk) <= SMALL_BYTES < size:
                await turn.enter_async_context(large)
            message = await receive()
    return None


async def _send(send: Send, response: ApiResponse, extra: dict[str, str]) -> None:
    headers = [
        (name.encode("latin-1"), value.encode("latin-1"))
        for name, value in (*response.headers.items(), *extra.items())
    ]
    headers.append((b"content-length", str(len(response.body)).encode()))
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": response.body})
