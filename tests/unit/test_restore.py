"""`atomic restore`: whole or refused, and what a server says to a data directory that is not whole."""

import asyncio
import os
import shutil
import signal
import sys
from collections import Counter
from contextlib import AsyncExitStack, closing
from pathlib import Path
from types import FrameType

import apsw
import pytest
from click.testing import CliRunner, Result

from atomic.adapters.secret_files import KEY_PEPPER
from atomic.adapters.sqlite.database import open_immutable
from atomic.adapters.sqlite.lock import DataDirLock
from atomic.adapters.sqlite.store import SqliteStepStore
from atomic.adapters.sqlite.store_id import UNFINISHED, forget_id, require_steps
from atomic.cli.main import main
from atomic.entrypoints.embedded import client_admin
from atomic.entrypoints.embedded import restore as embedded_restore
from atomic.entrypoints.embedded.backends import open_backend
from atomic.entrypoints.embedded.backup import back_up
from atomic.entrypoints.embedded.settings import ServerSettings
from atomic.entrypoints.embedded.wiring import wired
from contract.builders import a_root, a_spec, settled

DATABASES = ("atomic.db", "clients.db")


def served(directory: Path, *, dev: bool = False) -> None:
    """Start and stop a server. Raises what `atomic serve` prints."""

    async def serve() -> None:
        settings = ServerSettings(data_dir=directory, dev=dev)
        async with AsyncExitStack() as opened:
            backend = await opened.enter_async_context(open_backend(settings, on_fatal=pytest.fail))
            await opened.enter_async_context(wired(settings, backend))

    asyncio.run(serve())


def made(directory: Path, *ids: str) -> Path:
    """A data directory with these clients."""
    with client_admin.admin(directory) as admin:
        for client_id in ids:
            admin.create(client_id, base_urls=["https://app.example/"])
    return directory


def restored(backup: Path, data_dir: Path, *options: str, code: int = 0) -> Result:
    result = CliRunner().invoke(main, ["restore", str(backup), "--data-dir", str(data_dir), *options])
    assert result.exit_code == code, result.output
    return result


def run_in(directory: Path) -> None:
    """Put a run that has ended into a data directory."""

    async def write() -> None:
        store = await SqliteStepStore.open(directory / "atomic.db", on_fatal=pytest.fail)
        root = a_root(a_spec(key="one"))
        await store.create(root)
        await store.replace(settled(root, 2_000), 1)
        await store.close()

    asyncio.run(write())


def ids(directory: Path) -> list[int]:
    found = []
    for name in DATABASES:
        connection = apsw.Connection(str(directory / name), flags=apsw.SQLITE_OPEN_READONLY)
        found.append(int(connection.pragma("application_id")))
        connection.close()
    return found


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    data_dir = made(tmp_path / "data", "acme", "globex")
    served(data_dir)
    return data_dir


@pytest.fixture
def backup(tmp_path: Path, data_dir: Path) -> Path:
    back_up(data_dir, tmp_path / "backup")
    return tmp_path / "backup"


def test_the_first_start_gives_both_databases_one_id_which_they_keep(data_dir: Path) -> None:
    first = ids(data_dir)
    assert first[0] == first[1] > 0
    served(data_dir)
    served(data_dir, dev=True)
    assert ids(data_dir) == first


def test_clients_may_be_made_before_the_first_start_and_after_one_with_dev(tmp_path: Path) -> None:
    served(tmp_path / "data", dev=True)
    made(tmp_path / "data", "acme")
    assert ids(tmp_path / "data") == [0, 0]
    served(tmp_path / "data")
    assert ids(tmp_path / "data")[0] > 0


@pytest.mark.parametrize("dev", [False, True])
def test_a_server_does_not_start_without_the_runs_of_its_clients(backup: Path, *, dev: bool) -> None:
    (backup / "atomic.db").unlink()
    with pytest.raises(OSError, match=r"atomic\.db is missing, which has the runs .*`atomic restore"):
        served(backup, dev=dev)
    assert not (backup / "atomic.db").exists()


def test_a_server_does_not_start_without_the_clients_of_its_runs(backup: Path) -> None:
    (backup / "clients.db").unlink()
    with pytest.raises(OSError, match=r"clients\.db is missing, which has the clients .*`atomic restore"):
        served(backup)
    # Nor are clients made beside the runs of others.
    with pytest.raises(OSError, match=r"clients\.db is missing"):
        made(backup, "another")
    assert not (backup / "clients.db").exists()


def test_a_server_does_not_start_without_its_pepper(backup: Path) -> None:
    (backup / KEY_PEPPER).unlink()
    with pytest.raises(Exception, match=r"key-pepper is missing"):
        served(backup)


@pytest.mark.parametrize("name", DATABASES)
def test_a_server_does_not_start_with_files_of_two_servers(
    tmp_path: Path, data_dir: Path, backup: Path, name: str
) -> None:
    other = made(tmp_path / "other")
    served(other)
    back_up(other, tmp_path / "others")
    shutil.copy(backup / KEY_PEPPER, tmp_path / "others" / KEY_PEPPER)
    shutil.copy(tmp_path / "others" / name, backup / name)
    with pytest.raises(OSError, match=r"are of different servers"):
        served(backup)
    said = restored(backup, tmp_path / "target", code=1).stderr
    assert f"{backup} has atomic.db and clients.db of different servers" in said
    assert not (tmp_path / "target").exists()


def test_a_start_that_was_cut_off_between_the_two_ids_is_finished(data_dir: Path) -> None:
    connection = apsw.Connection(str(data_dir / "atomic.db"))
    connection.pragma("application_id", 0)
    connection.close()
    served(data_dir)
    first, second = ids(data_dir)
    assert first == second > 0


def test_a_restore_copies_what_a_server_needs(tmp_path: Path, backup: Path) -> None:
    target = tmp_path / "some" / "where"
    before = sorted(path.name for path in backup.iterdir())
    said = restored(backup, target)
    assert said.stdout == f"{target}  0 runs  2 clients\n"
    assert sorted(path.name for path in backup.iterdir()) == before
    assert target.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in target.iterdir()} == {0o600}
    assert (target / KEY_PEPPER).read_bytes() == (backup / KEY_PEPPER).read_bytes()
    assert ids(target) == ids(backup)
    served(target)
    with client_admin.admin(target) as admin:
        assert admin.known("acme").keys


def test_a_restore_of_a_server_with_dev_needs_no_clients(tmp_path: Path) -> None:
    served(tmp_path / "data", dev=True)
    back_up(tmp_path / "data", tmp_path / "backup")
    assert "0 runs  0 clients" in restored(tmp_path / "backup", tmp_path / "target").stdout
    served(tmp_path / "target", dev=True)


def test_a_directory_that_was_not_served_is_backed_up_and_restored(tmp_path: Path) -> None:
    made(tmp_path / "data", "acme")
    back_up(tmp_path / "data", tmp_path / "backup")
    assert "0 runs  1 clients" in restored(tmp_path / "backup", tmp_path / "target").stdout
    served(tmp_path / "target")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("atomic.db", "lacks atomic.db"),
        ("clients.db", "lacks clients.db"),
        (KEY_PEPPER, "key-pepper is missing"),
    ],
)
def test_a_backup_that_lacks_a_file_is_restored_in_part_only(
    tmp_path: Path, backup: Path, name: str, words: str
) -> None:
    (backup / name).unlink()
    target = tmp_path / "target"
    said = restored(backup, target, code=1).stderr
    assert str(backup) in said
    assert words in said
    assert "--partial" in said
    assert not target.exists()
    restored(backup, target, "--partial")
    if name == KEY_PEPPER:
        with pytest.raises(Exception, match="atomic clients rotate"):
            served(target)
        with client_admin.admin(target) as admin:
            for client_id in ("acme", "globex"):
                admin.rotate_key(client_id, overlap_ms=0)
    served(target)
    first, second = ids(target)
    assert first == second > 0


@pytest.mark.parametrize("name", DATABASES)
def test_a_damaged_backup_is_not_restored(tmp_path: Path, backup: Path, name: str) -> None:
    with (backup / name).open("r+b") as file:
        file.seek(4096)
        file.write(b"\xa5" * ((backup / name).stat().st_size - 4096))
    (tmp_path / "target").mkdir()
    assert f"{backup / name} is damaged" in restored(backup, tmp_path / "target", code=1).stderr
    assert [path.name for path in (tmp_path / "target").iterdir()] == ["lock"]
    shutil.rmtree(backup)
    (tmp_path / "data").rename(backup)
    restored(backup, tmp_path / "target")


def test_a_target_that_holds_something_is_refused_and_stays_as_it_is(
    tmp_path: Path, data_dir: Path, backup: Path
) -> None:
    before = {path.name: path.read_bytes() for path in data_dir.iterdir()}
    assert "is not empty; move it away" in restored(backup, data_dir, code=1).stderr
    with DataDirLock(data_dir):
        said = restored(backup, data_dir, code=1).stderr
    assert f"another atomic server (pid {os.getpid()}) uses {data_dir}" in said
    assert {path.name: path.read_bytes() for path in data_dir.iterdir()} | {"lock": b""} == before | {
        "lock": b""
    }
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").write_text("precious")
    assert "is not empty" in restored(backup, tmp_path / "other", code=1).stderr
    assert [path.name for path in (tmp_path / "other").iterdir()] == ["file"]


def killed_at(number: int, backup: Path, target: Path, *, is_partial: bool) -> bool:
    """Restore in a process that kills itself after so many calls in `restore.py`; whether it did."""
    child = os.fork()
    if child == 0:
        returned = 0

        def count(frame: FrameType, event: str, _: object) -> None:
            nonlocal returned
            own = frame if event == "c_return" else frame.f_back
            is_step = event in {"return", "c_return"} and own is not None
            if is_step and own.f_code.co_filename == embedded_restore.__file__:
                returned += 1
                if returned == number:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.setprofile(count)
        embedded_restore.restore(backup, target, is_partial=is_partial)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


def has_all(target: Path) -> bool:
    with closing(open_immutable(target / "atomic.db")) as connection:
        runs = connection.execute("SELECT count(*) FROM steps").get
    with client_admin.admin(target) as admin:
        return bool(runs == 1 and admin.known("acme").keys and admin.known("globex").keys)


@pytest.mark.parametrize("has_ids", [True, False])
@pytest.mark.parametrize("is_partial", [False, True])
def test_a_restore_that_is_killed_anywhere_is_whole_or_not_served(
    tmp_path: Path, data_dir: Path, is_partial: bool, has_ids: bool
) -> None:
    run_in(data_dir)
    backup = tmp_path / "backup"
    back_up(data_dir, backup)
    if not has_ids:
        for name in DATABASES:
            forget_id(backup / name)
    states, number = Counter[str](), 1
    while killed_at(number, backup, target := tmp_path / f"target-{number}", is_partial=is_partial):
        number += 1
        names = {path.name for path in target.iterdir()} if target.exists() else set()
        if names <= {"lock"}:
            states["nothing yet"] += 1
        elif UNFINISHED in names:
            states["a part"] += 1
            if number % 5 == 0:
                with pytest.raises(OSError, match=r"a restore was cut off: run `atomic restore BACKUP"):
                    served(target, dev=number % 2 == 0)
            with pytest.raises(OSError, match="a restore was cut off"):
                require_steps(target)
            with pytest.raises(OSError, match="a restore was cut off"):
                made(target, "another")
            assert {path.name for path in target.iterdir()} == names
        else:
            states["all"] += 1
            assert has_all(target)
            served(target)
        if number % 7 == 0 and "all" not in states:
            restored(backup, target, *(["--partial"] if is_partial else []))
            assert has_all(target)
    assert has_all(target)
    assert states["a part"] > 30
    assert states["all"] >= 1


def test_remains_are_replaced_when_they_are_of_a_restore_alone(tmp_path: Path, backup: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    for name in (UNFINISHED, "atomic.db", "atomic.db-journal", "dev-signing-secret", "lock"):
        (target / name).write_text("a part")
    with pytest.raises(OSError, match="a restore was cut off"):
        back_up(target, tmp_path / "copy")
    assert "a restore was cut off" in restored(target, tmp_path / "copy", code=1).stderr
    assert not (tmp_path / "copy").exists()
    (target / "notes.txt").write_text("precious")
    assert "is not empty" in restored(backup, target, code=1).stderr
    assert (target / "notes.txt").read_text() == "precious"
    (target / "notes.txt").unlink()
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "clients.db").write_bytes((backup / "clients.db").read_bytes())
    assert "lacks atomic.db" in restored(tmp_path / "empty", target, code=1).stderr
    # What was there is gone, and still no server starts without the runs.
    assert {path.name for path in target.iterdir()} == {UNFINISHED, "lock"}
    with pytest.raises(OSError, match="a restore was cut off"):
        served(target)
    restored(backup, target)
    served(target)


def test_what_is_no_backup_is_refused(tmp_path: Path) -> None:
    said = restored(tmp_path / "nowhere", tmp_path / "target", code=1).stderr
    assert "nowhere holds no backup; name a directory that `atomic backup` made" in said
    assert list(tmp_path.iterdir()) == []
