"""uvicorn's HTTP/1.1 with bounds on a request: by itself it keeps heads of any size and waits for ever."""

import asyncio
from typing import Final, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from atomic.entrypoints.embedded.one_write import OneWrite

HEAD_MAX_BYTES: Final = 32 * 1024
HEADERS_MAX: Final = 100
# From the first byte to the end of the head, and from the connection to the first byte.
HEAD_S: Final = 15.0
# From the end of the head to the end of the body: 1 MiB at 35 KB a second.
BODY_S: Final = 30.0

_REFUSAL: Final = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
)
_TOO_SLOW: Final = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


class _HeadTooLarge(Exception):
    """Stops the parser."""


class BoundedHttp(HttpToolsProtocol):
    """Ends connections whose head is too large or too slow, before anything of it is kept.

    A body that comes too slowly ends its connection too; its size is the application's business.
    """

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Asyncio: the connection is open."""
        super().connection_made(OneWrite(cast("asyncio.Transport", transport), self.loop))
        self._begin_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Asyncio: the connection is gone."""
        self._stop_timer()
        super().connection_lost(exc)

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
        # One header line may go on for ever without a callback.
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
        """Parser: a header line, or a trailer."""
        self._header_count += 1
        self._count(len(name) + len(value))
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Parser: the head is whole."""
        self._in_head, self._in_body = False, True
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Parser: the request is whole."""
        self._in_body = False
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Uvicorn: the parser gave up; it says so of what a callback of ours refused as well."""
        if self._header_bytes > HEAD_MAX_BYTES or self._header_count > HEADERS_MAX:
            self._refuse(_REFUSAL)
        else:
            super().send_400_response(msg)

    def _count(self, size: int) -> None:
        self._header_bytes += size
        if self._header_bytes > HEAD_MAX_BYTES or self._header_count > HEADERS_MAX:
            raise _HeadTooLarge

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

    def _refuse(self, refusal: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(refusal)
            self.transport.close()
