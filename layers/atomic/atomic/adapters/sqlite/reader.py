"""Runs reads that may take long in a thread."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

import apsw

from atomic.adapters.sqlite.database import open_reader
from atomic.application.ports import StoreUnavailable

T = TypeVar("T")

# A read may be several statements, and an interruption ends only those that have begun.
_INTERRUPT_EVERY_S: Final = 0.02


class Reader:
    """A read-only connection and its thread, which runs one read after the other.

    `name` is the thread's. Close it before the database.
    """

    def __init__(self, path: Path, name: str) -> None:
        self._connection = open_reader(path)
        self._thread = ThreadPoolExecutor(1, name)
        self._reading = threading.Lock()
        self._is_closed = False

    async def do(self, read: Callable[[apsw.Connection], T]) -> T:
        """The result of `read(connection)`. Raises what it raises, and StoreUnavailable after `close`."""
        try:
            reading = self._thread.submit(self._read, read)
        except RuntimeError:
            raise StoreUnavailable("the store is closed") from None
        try:
            return await asyncio.wrap_future(reading)
        except (asyncio.CancelledError, apsw.InterruptError):
            task = asyncio.current_task()
            if not self._is_closed or (task is not None and task.cancelling()):
                raise
            raise StoreUnavailable("the store is closed") from None

    def close(self) -> None:
        """Interrupt the running read, drop those that wait, and close."""
        self._is_closed = True
        self._thread.shutdown(wait=False, cancel_futures=True)
        while not self._reading.acquire(timeout=_INTERRUPT_EVERY_S):
            self._connection.interrupt()
        self._connection.close()
        self._reading.release()

    def _read(self, read: Callable[[apsw.Connection], T]) -> T:
        with self._reading:
            return read(self._connection)
