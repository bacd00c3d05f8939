"""uvicorn's HTTP/1.1, with bounds on the head of a request: uvicorn itself would keep one of any size."""

import asyncio
from typing import Any, Final, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from atomic.entrypoints.embedded.one_write import OneWrite

HEAD_MAX_BYTES: Final = 32 * 1024
HEADERS_MAX: Final = 100
# From the first byte to the end of the head, and from the connection to the first byte.
HEAD_S: Final = 15.0

_REFUSAL: Final = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
)


class _HeadTooLarge(Exception):
    """Stops the parser."""


class BoundedHttp(HttpToolsProtocol):
    """Ends connections whose head is too large or too slow, before anything of it is kept."""

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
        if not self._in_head or self.transport.is_closing():
            self._stop_timer()
            return
        # One header line may go on for ever without a callback.
        self._head_bytes += len(data)
        if self._head_bytes > HEAD_MAX_BYTES:
            self._refuse()
        elif self._timer is None or not was_in_head:
            self._start_timer()

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
        self._in_head = False
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """Uvicorn: the parser gave up; it says so of what a callback of ours refused as well."""
        if self._header_bytes > HEAD_MAX_BYTES or self._header_count > HEADERS_MAX:
            self._refuse()
        else:
            super().send_400_response(msg)

    def _count(self, size: int) -> None:
        self._header_bytes += size
        if self._header_bytes > HEAD_MAX_BYTES or self._header_count > HEADERS_MAX:
            raise _HeadTooLarge

    def _begin_head(self) -> None:
        self._in_head, self._head_bytes, self._header_bytes, self._header_count = True, 0, 0, 0
        self._timer: asyncio.TimerHandle | None = None
        self._start_timer()

    def _start_timer(self) -> None:
        self._stop_timer()
        self._timer = self.loop.call_later(HEAD_S, self._refuse)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _refuse(self, *_: Any) -> None:
        if not self.transport.is_closing():
            self.transport.write(_REFUSAL)
            self.transport.close()
