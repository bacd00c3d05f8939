"""Long reads have a thread of their own, and shutdown does not wait for them."""

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw
import pytest

from atomic.adapters.sqlite.database import close_database, open_database
from atomic.adapters.sqlite.reader import Reader
from atomic.adapters.sqlite.schema import STEPS
from atomic.application.ports import StoreUnavailable

# A statement that takes minutes.
ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"


@contextmanager
def reader(path: Path) -> Iterator[Reader]:
    database = open_database(path / "atomic.db", STEPS)
    opened = Reader(path / "atomic.db", "reads")
    yield opened
    opened.close()
    close_database(database)


def test_closing_breaks_off_what_reads_and_drops_what_waits(tmp_path: Path) -> None:
    begun, made = threading.Event(), []

    def endless(connection: apsw.Connection) -> Any:
        begun.set()
        while True:
            connection.execute(ENDLESS).fetchall()

    async def body() -> None:
        with reader(tmp_path) as opened:
            reads = [asyncio.create_task(opened.do(endless))]
            await asyncio.to_thread(begun.wait, 10)
            reads += [asyncio.create_task(opened.do(made.append)) for _ in range(1_000)]
            await asyncio.sleep(0)
            began_s = time.monotonic()
            await asyncio.to_thread(opened.close)
            assert time.monotonic() - began_s < 2
            ends = await asyncio.gather(*reads, return_exceptions=True)
            assert {(type(end), str(end)) for end in ends} == {(StoreUnavailable, "the store is closed")}
            with pytest.raises(StoreUnavailable, match="the store is closed"):
                await opened.do(made.append)

    asyncio.run(body())
    assert made == []


def test_a_cancelled_read_is_cancelled(tmp_path: Path) -> None:
    async def body() -> None:
        with reader(tmp_path) as opened:
            release = threading.Event()
            waiting = asyncio.create_task(opened.do(lambda _: release.wait(10)))
            behind = asyncio.create_task(opened.do(lambda _: None))
            await asyncio.sleep(0.05)
            for task in (waiting, behind):
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            release.set()
            assert await opened.do(lambda connection: connection.execute("SELECT 7").get) == 7

    asyncio.run(body())
