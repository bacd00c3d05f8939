"""A transport that sends head and body of an answer in one piece.

uvicorn writes them one after the other and event loops send what they are given at once: two system calls,
two packets, and a caller who is woken twice.
"""

import asyncio
from typing import Any, Final

# A closed connection is gone when its last answer is sent; a caller may never take it.
LINGER_S: Final = 60.0


class OneWrite(asyncio.Transport):
    """Keeps a piece until the next one comes, and at most until the loop's next round."""

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
