"""Group commit: shared commits, failing disks, and when callers get the result."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import apsw
import pytest

from atomic.adapters.sqlite.store import SqliteStepStore
from atomic.adapters.sqlite.writer import Writer
from atomic.application.ports import StoreUnavailable
from atomic.application.run_query import RunQuery
from contract.builders import a_root, a_spec
from contract.store_suite import put

KIB_64 = b'"' + b"x" * 65_534 + b'"'


@asynccontextmanager
async def opened(
    directory: Path, on_fatal: Callable[[str], None] = pytest.fail
) -> AsyncIterator[SqliteStepStore]:
    store = await SqliteStepStore.open(directory / "atomic.db", on_fatal=on_fatal)
    try:
        yield store
    finally:
        await store.close()


def test_concurrent_writes_share_commits(tmp_path: Path) -> None:
    async def body() -> int:
        async with opened(tmp_path) as store:
            commits: list[int] = []
            store._connection.set_wal_hook(lambda *_: commits.append(1) or apsw.SQLITE_OK)
            roots = [a_root(a_spec(key=f"k{number}")) for number in range(200)]
            assert set(await asyncio.gather(*map(store.create, roots))) == {None}
            return len(commits)

    assert asyncio.run(body()) <= 4


def test_one_wrong_value_fails_alone(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(tmp_path) as store:
            good, beyond_64_bit = a_root(a_spec(key="good")), a_root(a_spec(key="bad"), at_ms=2**70)
            answers = await asyncio.gather(
                store.create(good), store.create(beyond_64_bit), return_exceptions=True
            )
            assert answers[0] is None
            assert isinstance(answers[1], Exception)
            assert await store.get(good.id) == good
            assert await store.get(beyond_64_bit.id) is None

    asyncio.run(body())


def test_a_full_disk_refuses_writes_until_there_is_space(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(tmp_path) as store:
            pages = store._connection.pragma("page_count")
            store._connection.pragma("max_page_count", pages + 8)
            large = [a_root(a_spec(key=f"k{number}", payload=KIB_64)) for number in range(3)]
            answers = await asyncio.gather(*(put(store, step) for step in large), return_exceptions=True)
            assert [isinstance(answer, StoreUnavailable) and answer.kind for answer in answers] == [
                "FullError"
            ] * 3
            assert [await store.get(step.id) for step in large] == [None] * 3
            small = a_root(a_spec(key="small"))
            assert await store.create(small) is None
            store._connection.pragma("max_page_count", 1_000_000)
            await put(store, *large)

    asyncio.run(body())


def test_waiting_for_another_processs_lock_does_not_block_the_loop(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(tmp_path) as store:
            other = apsw.Connection(str(tmp_path / "atomic.db"))
            other.execute("BEGIN IMMEDIATE")
            write = asyncio.ensure_future(store.create(a_root()))
            for _ in range(20):
                await asyncio.sleep(0.005)  # the loop goes on
            assert not write.done()
            other.execute("ROLLBACK")
            other.close()
            assert await write is None

    asyncio.run(body())


def test_a_damaged_page_ends_the_service(tmp_path: Path) -> None:
    async def body(fatal: list[str]) -> None:
        store = await SqliteStepStore.open(tmp_path / "atomic.db", on_fatal=fatal.append)
        roots = [a_root(a_spec(key=f"k{number}")) for number in range(50)]
        await asyncio.gather(*map(store.create, roots))
        store._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        with (tmp_path / "atomic.db").open("r+b") as file:
            file.seek(4096)
            file.write(b"\xff" * 4096 * 40)
        for refused in (
            lambda: store.get(roots[0].id),
            lambda: store.create(a_root(a_spec(key="later"))),
            lambda: store.list(RunQuery(client_id="acme")),
        ):
            with pytest.raises(StoreUnavailable):
                await refused()
        await asyncio.sleep(0)
        await store.close()

    fatal: list[str] = []
    asyncio.run(body(fatal))
    assert len(fatal) == 1
    assert "CorruptError" in fatal[0]


def test_a_closed_store_refuses(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(tmp_path) as store:
            waiting = asyncio.ensure_future(store.create(a_root()))
            await asyncio.sleep(0)
            await store.close()
            assert await waiting is None  # earlier writes are finished
            for refused in (
                lambda: store.create(a_root()),
                lambda: store.get(a_root().id),
                lambda: store.due(1, 1),
            ):
                with pytest.raises(StoreUnavailable):
                    await refused()

    asyncio.run(body())


class FailingDisk:
    """A connection whose statements fail on request."""

    def __init__(self, **failures: Exception) -> None:
        self.failures = failures
        self.statements: list[str] = []
        self.in_transaction = False

    def set_busy_timeout(self, _: int) -> None: ...

    def execute(self, statement: str) -> None:
        verb = statement.split()[0].lower()
        self.statements.append(verb)
        if verb in self.failures:
            raise self.failures[verb]
        self.in_transaction = verb == "begin"


def on_disk(disk: FailingDisk, body: Callable[[Writer], Any]) -> list[str]:
    """The errors reported as fatal while `body` used a writer on the disk."""

    async def run() -> None:
        # it has only the used methods
        writer = Writer(disk, on_fatal=fatal.append)  # type: ignore[arg-type]
        await body(writer)
        await writer.close()

    fatal: list[str] = []
    asyncio.run(run())
    return fatal


def test_a_commit_that_finds_no_space_is_rolled_back_and_the_service_goes_on() -> None:
    disk = FailingDisk(commit=apsw.FullError("full"))

    async def body(writer: Writer) -> None:
        results = await asyncio.gather(*(writer.submit(int) for _ in range(3)), return_exceptions=True)
        assert [str(result) for result in results] == ["FullError: full"] * 3
        del disk.failures["commit"]
        assert await writer.submit(int, "7") == 7

    assert on_disk(disk, body) == []
    assert disk.statements == ["begin", "commit", "rollback", "begin", "commit"]


def test_a_failed_fsync_is_fatal_once_for_present_and_later_writes() -> None:
    disk = FailingDisk(commit=apsw.IOError("disk I/O error"))

    async def body(writer: Writer) -> None:
        many = [writer.submit(int) for _ in range(600)]  # more than one transaction takes
        results = await asyncio.gather(*many, return_exceptions=True)
        assert {type(result) for result in results} == {StoreUnavailable}
        with pytest.raises(StoreUnavailable, match="disk I/O error"):
            writer.submit(int)

    assert on_disk(disk, body) == ["IOError: disk I/O error"]
    assert disk.statements == ["begin", "commit", "rollback"]


def test_a_write_is_not_acknowledged_before_it_is_durable() -> None:
    synced = threading.Event()

    class SlowDisk(FailingDisk):
        def execute(self, statement: str) -> None:
            super().execute(statement)
            if statement == "COMMIT":
                synced.wait(10)

    async def body(writer: Writer) -> None:
        write = writer.submit(int, "1")
        await asyncio.sleep(0.05)
        assert disk.statements == ["begin", "commit"]
        assert not write.done()
        synced.set()
        assert await write == 1

    disk = SlowDisk()
    assert on_disk(disk, body) == []


def test_a_cancelled_caller_does_not_disturb_the_others() -> None:
    async def body(writer: Writer) -> None:
        gone, stays = writer.submit(int, "1"), writer.submit(int, "2")
        gone.cancel()
        assert await stays == 2

    assert on_disk(FailingDisk(), body) == []
