"""One HTTP/1.1 connection: sends one request at a time and reads its answer, within bounds."""

import asyncio
import ssl
from collections.abc import Callable
from typing import Final, cast

from httptools import HttpParserError, HttpResponseParser

from atomic.domain.outcomes import EndpointResponse
from atomic.domain.step_errors import StepError
from atomic.protocol.constants import RESPONSE_MAX_BYTES, WAITING_FOR_MAX
from atomic.protocol.error_kinds import ErrorKind
from atomic.protocol.keys import STEP_ID_CHARS

# Servers and proxies accept 8 to 16 KiB of headers from a client. An answer needs no more, apart from the
# ids of the steps that a handler waits for.
_HEAD_MAX_BYTES: Final = 16 * 1024 + WAITING_FOR_MAX * (STEP_ID_CHARS + len(", "))
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


class _Stop(Exception):
    """Stops the parser from inside a callback, after the result of the request has been set."""


def timed_out(timeout_ms: int) -> EndpointResponse:
    """The result of an attempt without a complete answer in time."""
    return EndpointResponse(error=StepError(ErrorKind.TIMED_OUT, str(timeout_ms)))


class Connection(asyncio.Protocol):
    """A connection that an event loop has opened; both loops set TCP_NODELAY themselves.

    `on_lost` is called once when it ends. `lost` is done by then.
    """

    def __init__(self, on_lost: Callable[["Connection"], None]) -> None:
        self._on_lost = on_lost
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
        if status not in _WITHOUT_BODY and int(length) > RESPONSE_MAX_BYTES:
            self._end_as_too_large()

    def on_body(self, body: bytes) -> None:
        """Parser: a part of the body."""
        self._size += len(body)
        if self._size > RESPONSE_MAX_BYTES:
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
