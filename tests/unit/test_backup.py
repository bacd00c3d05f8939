"""`atomic backup`: complete or absent, readable only by its owner, whatever happens meanwhile."""

import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from pwd import getpwuid

import apsw
import pytest
from click.testing import CliRunner, Result

from atomic.adapters.secret_files import SECRET_FILES
from atomic.adapters.sqlite import backup, database
from atomic.adapters.sqlite.database import open_database
from atomic.adapters.sqlite.schema import STEPS
from atomic.cli.main import main
from atomic.entrypoints.embedded import backup as embedded_backup
from atomic.entrypoints.embedded import client_admin
from atomic.entrypoints.embedded.wiring import dev_signing_secret

WRITES = 800


def backed_up(target: Path, data_dir: Path, *, code: int = 0) -> Result:
    result = CliRunner().invoke(main, ["backup", str(target), "--data-dir", str(data_dir)])
    assert result.exit_code == code, result.output
    return result


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """A directory with a client, and with 500 numbers in a test table, which are only in SQLite's log."""
    data_dir = tmp_path / "data"
    with client_admin.admin(data_dir) as admin:
        admin.create("acme", base_urls=["https://app.example/"])
    client_admin.rotate_pepper(data_dir)
    (data_dir / "lock").unlink()
    dev_signing_secret(data_dir)
    connection = open_database(data_dir / "atomic.db", STEPS)
    connection.execute("CREATE TABLE numbers (number INTEGER)")
    for number in range(500):
        connection.execute("INSERT INTO numbers VALUES (?)", (number,))
    connection.close()
    assert (data_dir / "atomic.db-wal").stat().st_size > 100_000
    return data_dir


def numbers(directory: Path) -> list[int]:
    connection = open_database(directory / "atomic.db", STEPS)
    found = [row[0] for row in connection.execute("SELECT number FROM numbers ORDER BY number")]
    connection.close()
    return found


def test_the_backup_has_everything_and_nothing_else(tmp_path: Path, data_dir: Path) -> None:
    (data_dir / "notes.txt").write_text("not ours")
    before = {path.name: path.read_bytes() for path in data_dir.iterdir() if path.suffix != ".db-shm"}
    target = tmp_path / "some" / "where"
    said = backed_up(target, data_dir)
    names = {"atomic.db", "clients.db", *SECRET_FILES}
    assert {path.name for path in target.iterdir()} == names
    assert {line.split()[0] for line in said.stdout.splitlines()} == {str(target / name) for name in names}
    assert target.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in target.iterdir()} == {0o600}
    for name in SECRET_FILES:
        assert (target / name).read_bytes() == before[name]
    assert {name: (data_dir / name).read_bytes() for name in before if "-shm" not in name} == {
        name: content for name, content in before.items() if "-shm" not in name
    }
    assert numbers(target) == list(range(500))
    with client_admin.admin(target) as admin:
        assert admin.known("acme").keys
    assert [path.name for path in (tmp_path / "some").iterdir()] == ["where"]


def test_writers_go_on_and_the_backup_is_consistent(tmp_path: Path, data_dir: Path) -> None:
    """Each transaction writes a pair, so half a pair would show a copy of two different times."""
    copying = threading.Event()
    written: list[int] = []

    def write() -> None:
        connection = open_database(data_dir / "atomic.db", STEPS)
        for number in range(1_000, 1_000 + WRITES, 2):
            with connection:
                connection.execute("INSERT INTO numbers VALUES (?), (?)", (number, number + 1))
            written.append(number)
            if number == 1_100:
                copying.set()
        connection.close()

    writer = threading.Thread(target=write)
    writer.start()
    copying.wait(20)
    known = len(written)
    backed_up(tmp_path / "copy", data_dir)
    during = len(written) - known
    writer.join()
    found = numbers(tmp_path / "copy")[500:]
    print(f"{during} transactions were written meanwhile")
    assert len(found) % 2 == 0
    assert found == list(range(1_000, 1_000 + len(found)))
    assert known * 2 <= len(found) <= WRITES


def test_a_directory_that_holds_something_is_refused(tmp_path: Path, data_dir: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("precious")
    (tmp_path / "file").write_text("precious")
    for name in ("full", "file"):
        assert "is not empty" in backed_up(tmp_path / name, data_dir, code=1).stderr
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["file"]
    (tmp_path / "empty").mkdir(mode=0o755)
    backed_up(tmp_path / "empty", data_dir)
    assert (tmp_path / "empty").stat().st_mode & 0o777 == 0o700


def test_a_symbolic_link_is_refused(tmp_path: Path, data_dir: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "nothing")
    assert (
        "is a symbolic link; name the directory itself"
        in backed_up(tmp_path / "link", data_dir, code=1).stderr
    )
    assert not (tmp_path / "nothing").exists()


def test_a_denied_target_names_the_directory_above_and_its_owner(
    tmp_path: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(**_: object) -> str:
        raise PermissionError(13, "Permission denied")

    # Root may write everywhere.
    monkeypatch.setattr(embedded_backup, "mkdtemp", denied)
    said = backed_up(tmp_path / "copy", data_dir, code=1).stderr
    owner = getpwuid(os.geteuid()).pw_name
    assert f"cannot write to {tmp_path}, which belongs to {owner}; " in said
    assert f"install -d -o {owner} -m 0700 DIRECTORY" in said


def test_a_missing_directory_is_refused_and_not_created(tmp_path: Path) -> None:
    said = backed_up(tmp_path / "copy", tmp_path / "nowhere", code=1).stderr
    assert "holds no atomic.db and no clients.db" in said
    assert "--data-dir" in said
    assert list(tmp_path.iterdir()) == []


def damage_pages(data_dir: Path) -> None:
    connection = open_database(data_dir / "atomic.db", STEPS)
    connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    connection.close()
    with (data_dir / "atomic.db").open("r+b") as file:
        file.seek(4096 * 2)
        file.write(b"\xa5" * 4096 * 3)


def damage_log(data_dir: Path) -> None:
    log = data_dir / "atomic.db-wal"
    content = bytearray(log.read_bytes())
    content[90_000] ^= 1
    log.write_bytes(content)


def make_newer(data_dir: Path) -> None:
    connection = open_database(data_dir / "atomic.db", STEPS)
    connection.pragma("user_version", len(STEPS.migrations) + 1)
    connection.close()


@pytest.mark.parametrize("is_large", [False, True])
@pytest.mark.parametrize(
    ("spoil", "words"),
    [(damage_pages, "is damaged"), (damage_log, "-wal is damaged"), (make_newer, "newer Atomic")],
)
def test_a_damaged_directory_is_not_backed_up(
    tmp_path: Path,
    data_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
    spoil: Callable[[Path], None],
    words: str,
    *,
    is_large: bool,
) -> None:
    spoil(data_dir)
    if is_large:
        monkeypatch.setattr(database, "_COMPARED_MAX_BYTES", 0)
    assert words in backed_up(tmp_path / "copy", data_dir, code=1).stderr
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_a_backup_onto_a_full_disk_leaves_nothing(
    tmp_path: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise apsw.FullError("not an error")

    monkeypatch.setattr(backup, "_copy", full)
    said = backed_up(tmp_path / "copy", data_dir, code=1).stderr
    assert "the disk is full; is there enough space?" in said
    assert "not an error" not in said
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_a_path_with_odd_characters(tmp_path: Path, data_dir: Path) -> None:
    odd = tmp_path / "a ?#%41 dir"
    shutil.copytree(data_dir, odd)
    backed_up(tmp_path / "b ?#%41 dir", odd)
    assert numbers(tmp_path / "b ?#%41 dir") == list(range(500))
