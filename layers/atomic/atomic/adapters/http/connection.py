"""HTTP/1.1 connections: one request at a time on each, within bounds; and the pool of the idle ones."""

import asyncio
import ssl
import time
from collections.abc import Callable
from itertools import takewhile
from typing import Final, NamedTuple, cast

from httptools import HttpParserError, HttpResponseParser

from atomic.domain.outcomes import EndpointResponse, StepError
from atomic.protocol.constants import NAMED_MAX, RESPONSE_MAX_BYTES
from atomic.protocol.error_kinds import ErrorKind
from atomic.protocol.keys import STEP_ID_CHARS

# Servers and proxies accept 8 to 16 KiB of headers from a client. An answer needs no more, apart from the
# ids of the steps that a handler waits for.
_HEAD_MAX_BYTES: Final = 16 * 1024 + NAMED_MAX * (STEP_ID_CHARS + len(", "))
_HEADERS_MAX: Final = 100
# `100 Continue`, `102 Processing` and `103 Early Hints` may come before the answer.
_INTERIM_MAX: Final = 10
# A body in chunks of one byte is six times its size on the wire; longer ones are an attack.
_WIRE_MAX_BYTES: Final = 8 * RESPONSE_MAX_BYTES
_ERROR_MAX_CHARS: Final = 290
_WITHOUT_BODY: Final = frozenset({204, 304})

UNWANTED: Final = EndpointResponse(error=StepError(ErrorKind.CANCELLED_BEFORE_CALL))
BROKEN_OFF: Final = EndpointResponse(
    error=StepError(ErrorKind.NETWORK, "the connection was closed before a whole answer came")
)
# Servers close idle connections after 5 s (uvicorn, Node) and a call sent into the closing one fails, so
# ours are closed before that.
IDLE_S: Final = 4.0
_SWEEP_MIN_S: Final = 0.05


class _Stop(Exception):
    """Stops the parser from inside a callback, after the result of the request has been set."""


def timed_out(timeout_ms: int) -> EndpointResponse:
    """The result of an attempt without a complete answer in time."""
    return EndpointResponse(error=StepError(ErrorKind.TIMED_OUT, str(timeout_ms)))


class Connection(asyncio.Protocol):
    """A connection that an event loop has opened; both loops set TCP_NODELAY themselves.

    `on_lost` is called once when it ends. `lost` is done by then. A larger body than `body_max_bytes` is
    not read.
    """

    def __init__(
        self, on_lost: Callable[["Connection"], None], body_max_bytes: int = RESPONSE_MAX_BYTES
    ) -> None:
        self._on_lost = on_lost
        self._body_max_bytes = body_max_bytes
        self._loop = asyncio.get_running_loop()
        self.lost: asyncio.Future[None] = self._loop.create_future()
        self._is_open = False
        self._waiter: asyncio.Future[EndpointResponse | None] | None = None
        self._parser = _parser(self)
        self._begin()

    @property
    def is_reusable(self) -> bool:
        """Whether another request may be sent: the last one is over, and both sides keep it open."""
        return (
            self._stays
            and self._is_open
            and self._waiter is None
            # An answer may come before all of the request is sent; the rest would precede the next request.
            and self._transport.get_write_buffer_size() == 0
        )

    def send(self, request: bytes) -> asyncio.Future[EndpointResponse | None]:
        """Send a whole request; one at a time.

        The future never has an exception. Its result is None if the connection ended before the first
        byte of an answer: it is unknown whether the request arrived.
        """
        waiter: asyncio.Future[EndpointResponse | None] = self._loop.create_future()
        if not self._is_open:
            waiter.set_result(None)
            return waiter
        self._begin()
        self._waiter = waiter
        self._transport.write(request)
        return waiter

    def expire(self, timeout_ms: int) -> None:
        """End the request as timed out after so many milliseconds, and the connection with it."""
        self._end(timed_out(timeout_ms))
        self.abort()

    def abort(self) -> None:
        """Close at once, without a TLS shutdown: there is nothing to flush."""
        self._is_open = False
        if not self.lost.done():
            self._transport.abort()

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Asyncio: the connection is open."""
        self._transport = cast("asyncio.Transport", transport)
        self._is_open = True

    def data_received(self, data: bytes) -> None:
        """Asyncio: bytes came."""
        if self._waiter is None:
            # Bytes without a request would be read as the next answer.
            self.abort()
            return
        self._received += len(data)
        try:
            self._parser.feed_data(data)
        except HttpParserError as failure:
            self._refuse(f"not HTTP: {failure}")
        # One header or chunk extension can be endless without a callback.
        if not self._status and self._received > _HEAD_MAX_BYTES:
            self._refuse(f"the head of the answer is over {_HEAD_MAX_BYTES} bytes")
        elif self._received > _WIRE_MAX_BYTES:
            self._refuse("the answer is mostly framing")

    def eof_received(self) -> None:
        """Asyncio: the other side is done, which ends a body without a length."""
        self._is_open = False
        is_framed = not self._headers.keys().isdisjoint({"content-length", "transfer-encoding"})
        if self._status and not is_framed and _is_said(self._transport):
            self._complete()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio has it
        """Asyncio: the connection is gone."""
        self._is_open = False
        self._end(BROKEN_OFF if self._received else None)
        # The parser holds this object's methods.
        del self._parser
        self.lost.set_result(None)
        self._on_lost(self)

    # What the parser calls.

    def on_message_begin(self) -> None:
        """Parser: the first byte of an answer, or of what follows one."""
        if self._waiter is None:
            raise _Stop

    def on_header(self, name: bytes, value: bytes) -> None:
        """Parser: a header line, or a trailer, which counts and is dropped."""
        self._header_count += 1
        self._head_bytes += len(name) + len(value)
        if self._header_count > _HEADERS_MAX or self._head_bytes > _HEAD_MAX_BYTES:
            self._refuse(f"over {_HEADERS_MAX} header lines or {_HEAD_MAX_BYTES} bytes of them")
            raise _Stop
        if self._status:
            return
        key = name.decode("latin-1").lower()
        text = value.strip(b" \t").decode("latin-1")
        before = self._headers.get(key)
        # Lines of one name are a list (RFC 9110, 5.3); proxies may repeat a header.
        self._headers[key] = text if before in {None, text} else f"{before}, {text}"

    def on_headers_complete(self) -> None:
        """Parser: the head is whole."""
        status = self._parser.get_status_code()
        if status < 200:
            self._skip_interim(status)
            return
        self._status = status
        length = self._headers.get("content-length", "0")
        if status not in _WITHOUT_BODY and int(length) > self._body_max_bytes:
            self._end_as_too_large()

    def on_body(self, body: bytes) -> None:
        """Parser: a part of the body."""
        self._size += len(body)
        if self._size > self._body_max_bytes:
            self._end_as_too_large()
        self._body.append(body)

    def on_message_complete(self) -> None:
        """Parser: the answer is whole."""
        if self._status:
            self._stays = self._parser.should_keep_alive()
            self._complete()

    def _begin(self) -> None:
        self._stays = False
        self._status = self._received = self._size = 0
        self._interim = self._header_count = self._head_bytes = 0
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []

    def _skip_interim(self, status: int) -> None:
        self._interim += 1
        # No other protocol was requested (101).
        if status < 100 or status == 101:
            self._refuse(f"not HTTP: status {status:03}")
            raise _Stop
        if self._interim > _INTERIM_MAX:
            self._refuse(f"over {_INTERIM_MAX} interim answers")
            raise _Stop
        self._headers = {}

    def _complete(self) -> None:
        self._end(EndpointResponse(status=self._status, headers=self._headers, body=b"".join(self._body)))

    def _end_as_too_large(self) -> None:
        # The rest must not be read, so the connection cannot be used again.
        self._body.clear()
        self._end(EndpointResponse(status=self._status, headers=self._headers, too_large=True))
        self.abort()
        raise _Stop

    def _refuse(self, text: str) -> None:
        """End the connection, and the request unless it is over; the first reason counts."""
        self._end(EndpointResponse(error=StepError(ErrorKind.NETWORK, text[:_ERROR_MAX_CHARS])))
        self.abort()

    def _end(self, answer: EndpointResponse | None) -> None:
        waiter, self._waiter = self._waiter, None
        # It is done when the caller was cancelled.
        if waiter is not None and not waiter.done():
            waiter.set_result(answer)


def _is_said(transport: asyncio.Transport) -> bool:
    """Whether the end of the connection ends the body. Over TLS, only a TLS shutdown can be trusted."""
    tls = transport.get_extra_info("ssl_object")
    try:
        return tls is None or not tls.read(1)
    except ssl.SSLError as failure:
        return isinstance(failure, ssl.SSLZeroReturnError)


def _parser(connection: Connection) -> HttpResponseParser:
    parser = HttpResponseParser(connection)
    # RFC 9112, 2.2 allows a bare LF as the end of a line, and small servers write it. Nothing can be
    # smuggled: an answer is followed by nothing, or the connection is not used again.
    parser.set_dangerous_leniencies(lenient_optional_cr_before_lf=True)
    return parser


class Origin(NamedTuple):
    """Where a connection leads; `host` is a name or an IP literal without brackets."""

    scheme: str
    host: str
    port: int


class Pool:
    """Hands out the idle connection that was used last, and closes those that are unused for 4 s.

    There is no limit: a workflow holds its connection while it waits for its steps, and a bounded pool
    would starve them.
    """

    def __init__(self) -> None:
        self._open: dict[Connection, Origin] = {}
        # By origin, in the order in which they became idle, each with that moment.
        self._idle: dict[Origin, dict[Connection, float]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._is_closed = False

    def adopt(self, connection: Connection, origin: Origin) -> None:
        """Add a connection that was just opened; it is in use."""
        if not connection.lost.done():
            self._open[connection] = origin

    def take(self, origin: Origin) -> Connection | None:
        """An idle connection, which is in use from now on; None when there is none."""
        idle = self._idle.get(origin)
        while idle:
            connection, since_s = idle.popitem()
            if connection.is_reusable and _is_fresh(since_s, time.time()):
                return connection
            connection.abort()
        return None

    def release(self, connection: Connection) -> None:
        """End its use: it becomes idle if it can serve again, and is closed if not."""
        origin = self._open.get(connection)
        if origin is None or self._is_closed or not connection.is_reusable:
            connection.abort()
            return
        self._idle.setdefault(origin, {})[connection] = time.time()
        if self._timer is None:
            self._sweep_in(IDLE_S)

    def forget(self, connection: Connection) -> None:
        """Remove a connection that has ended, idle or not."""
        origin = self._open.pop(connection, None)
        if origin is not None and origin in self._idle:
            self._idle[origin].pop(connection, None)

    async def close(self) -> None:
        """Close every connection, in use or not, and wait until they are gone."""
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        gone = [connection.lost for connection in self._open]
        for connection in self._open:
            connection.abort()
        if gone:
            await asyncio.wait(gone)

    def _sweep_in(self, delay_s: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(delay_s, self._sweep)

    def _sweep(self) -> None:
        now_s = time.time()
        for origin, idle in list(self._idle.items()):
            stale = list(takewhile(lambda item: not _is_fresh(item[1], now_s), idle.items()))
            for connection, _ in stale:
                del idle[connection]
                connection.abort()
            if not idle:
                del self._idle[origin]
        oldest_s = min((next(iter(idle.values())) for idle in self._idle.values()), default=None)
        self._timer = None
        if oldest_s is not None:
            self._sweep_in(max(_SWEEP_MIN_S, oldest_s + IDLE_S - now_s))


def _is_fresh(since_s: float, now_s: float) -> bool:
    # Wall clock: the loop's clock may stop while a Lambda environment is frozen. A negative time means that
    # the wall clock was set back.
    return 0 <= now_s - since_s < IDLE_S
