"""Files and directories that are refused at the start, and that a refusal changes nothing."""

import asyncio
import os
from pathlib import Path

import apsw
import pytest

from atomic.adapters.sqlite import database, log
from atomic.adapters.sqlite.database import DatabaseRefused, open_database, require_sqlite
from atomic.adapters.sqlite.lock import DataDirInUse, DataDirLock
from atomic.adapters.sqlite.schema import STEPS
from atomic.adapters.sqlite.store import SqliteStepStore
from contract.builders import a_root, a_spec


def fill(path: Path) -> None:
    """Write a store with 60 runs, and close it in an orderly way."""

    async def body() -> None:
        store = await SqliteStepStore.open(path, on_fatal=pytest.fail)
        await asyncio.gather(*(store.create(a_root(a_spec(key=f"k{n}"))) for n in range(60)))
        await store.close()

    asyncio.run(body())


def refusal(path: Path) -> str:
    """The reason why the file is refused; asserts that its bytes do not change."""
    before = path.read_bytes()
    with pytest.raises(DatabaseRefused) as refused:
        asyncio.run(SqliteStepStore.open(path, on_fatal=pytest.fail))
    assert path.read_bytes() == before
    assert str(path) in str(refused.value)
    return str(refused.value)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "atomic.db"


def test_the_log_is_empty_after_an_orderly_end(path: Path) -> None:
    fill(path)
    assert path.stat().st_mode & 0o777 == 0o600
    log = Path(f"{path}-wal")
    assert not log.exists() or log.stat().st_size == 0


@pytest.mark.parametrize("first_page", [1, 3])
def test_a_damaged_file_is_refused(path: Path, first_page: int) -> None:
    fill(path)
    with path.open("r+b") as file:
        file.seek(4096 * first_page)
        file.write(b"\xa5" * 4096 * 5)
    message = refusal(path)
    assert "is damaged" in message
    assert "Restore the file from a copy" in message


def test_the_pages_of_a_large_file_are_checked_beside_the_service(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(path)
    monkeypatch.setattr(database, "_COMPARED_MAX_BYTES", 0)

    async def damage() -> str | None:
        told = asyncio.get_running_loop().create_future()
        store = await SqliteStepStore.open(path, on_fatal=told.set_result)
        await asyncio.wait([told], timeout=1)
        await store.close()
        return str(told.result()) if told.done() else None

    assert asyncio.run(damage()) is None
    with path.open("r+b") as file:
        file.seek(4096 * 8)
        file.write(b"\xa5" * 4096 * 5)
    assert "is damaged" in str(asyncio.run(damage()))


def test_a_store_may_be_closed_while_its_pages_are_checked(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(path)
    monkeypatch.setattr(database, "_COMPARED_MAX_BYTES", 0)

    async def body() -> None:
        store = await SqliteStepStore.open(path, on_fatal=pytest.fail)
        await store.close()

    asyncio.run(body())


def test_a_cut_off_file_is_refused(path: Path) -> None:
    fill(path)
    os.truncate(path, path.stat().st_size // 2)
    assert "is damaged" in refusal(path)


def test_something_that_is_no_database_is_refused(path: Path) -> None:
    path.write_bytes(b"not a database, but longer than the header of one " * 100)
    assert "is damaged" in refusal(path)


def test_the_file_of_a_newer_version_is_refused(path: Path) -> None:
    fill(path)
    connection = apsw.Connection(str(path))
    connection.pragma("user_version", len(STEPS.migrations) + 1)
    connection.close()
    assert "newer Atomic" in refusal(path)


def test_another_programs_database_is_refused(path: Path) -> None:
    connection = apsw.Connection(str(path))
    connection.execute("CREATE TABLE notes (text)")
    connection.close()
    assert "another program's database" in refusal(path)


def test_a_directory_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatabaseRefused, match="nowhere"):
        open_database(tmp_path / "nowhere" / "atomic.db", STEPS)


def test_a_sqlite_that_can_damage_files_is_refused() -> None:
    require_sqlite("3.51.3")
    require_sqlite("4.0.0")
    with pytest.raises(DatabaseRefused, match="install apsw"):
        require_sqlite("3.51.2")


def test_a_data_directory_has_one_server(tmp_path: Path) -> None:
    directory = tmp_path / "a" / "b"
    with DataDirLock(directory):
        assert directory.stat().st_mode & 0o777 == 0o700
        with pytest.raises(DataDirInUse) as refused, DataDirLock(directory):
            pass
        assert str(refused.value) == (
            f"another atomic server (pid {os.getpid()}) uses {directory}; "
            "stop it or choose another --data-dir"
        )
    with DataDirLock(directory):
        assert (directory / "lock").read_text() == f"{os.getpid()}\n"


@pytest.mark.parametrize("left", [b"", b"x" * 31])
def test_a_log_that_is_emptied_while_it_is_looked_at_is_not_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left: bytes
) -> None:
    """Another process copies the log into the database in between."""
    path = tmp_path / "atomic.db-wal"
    path.write_bytes(bytes(100))
    monkeypatch.setattr(log, "_header", lambda _: left)
    assert not log.is_damaged(path, 4096, lambda: 0)
