"""Reads that may be long, in a thread of their own."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import apsw

from atomic.adapters.sqlite.database import open_reader
from atomic.application.ports import StoreUnavailable

T = TypeVar("T")


class Reader:
    """A connection that can only read, and its thread: one read after the other.

    `name` is the thread's. Close it before the database.
    """

    def __init__(self, path: Path, name: str) -> None:
        self._connection = open_reader(path)
        self._thread = ThreadPoolExecutor(1, name)

    async def do(self, read: Callable[[apsw.Connection], T]) -> T:
        """What `read` makes of the connection. Raises what it raises, and StoreUnavailable when closed."""
        try:
            reading = self._thread.submit(read, self._connection)
        except RuntimeError:
            raise StoreUnavailable("the store is closed") from None
        return await asyncio.wrap_future(reading)

    def close(self) -> None:
        """Wait for the reads that have begun, and close."""
        self._thread.shutdown()
        self._connection.close()
