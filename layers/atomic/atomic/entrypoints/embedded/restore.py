"""`atomic restore`: puts a backup where a server will start, if it is whole."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from atomic.adapters.secret_files import KEY_PEPPER, SECRET_FILES
from atomic.adapters.sqlite.backup import copy_database
from atomic.adapters.sqlite.client_store import CLIENTS, SqliteClientStore
from atomic.adapters.sqlite.database import Schema, open_immutable
from atomic.adapters.sqlite.lock import DataDirLock
from atomic.adapters.sqlite.row_check import leave_out_damaged_runs, require_whole_rows
from atomic.adapters.sqlite.schema import STEPS
from atomic.adapters.sqlite.store_id import UNFINISHED, forget_id, id_of, is_one_store, require_restored
from atomic.entrypoints.embedded.backup import sync_directory, write_file
from atomic.entrypoints.embedded.client_admin import peppers_of_keys

_LOCK: Final = "lock"
_DATABASES: Final = ("atomic.db", "clients.db")
# What SQLite makes beside a database.
_BESIDE: Final = ("", "-journal", "-wal", "-shm")
_MADE: Final = frozenset(
    [UNFINISHED, *SECRET_FILES, *(f"{name}{beside}" for name in _DATABASES for beside in _BESIDE)]
)
_RUNS: Final = "SELECT count(*) FROM steps WHERE is_root = 1"


class RestoreRefusedError(Exception):
    """The backup or the target cannot be used; the message says what to change."""


@dataclass(frozen=True, slots=True)
class Restored:
    """How much was found."""

    runs: int
    clients: int
    # Ids of the runs that were left out, because a row of them is damaged.
    left_out: Sequence[str] = ()


def restore(backup: Path, data_dir: Path, *, is_partial: bool = False) -> Restored:
    """Copy a backup into a data directory that is new or empty, completely or not at all.

    The remains of a restore that was cut off are replaced. `is_partial` also takes a backup that lacks
    files, has those of two servers, or has damaged rows, whose runs are left out. Raises
    RestoreRefusedError, and OSError for a file that cannot be read or written, or is damaged.
    """
    if not any((backup / name).exists() for name in _DATABASES):
        raise RestoreRefusedError(f"{backup} holds no backup; name a directory that `atomic backup` made")
    require_restored(backup)
    with _filling(data_dir):
        steps = _copied(backup / "atomic.db", data_dir / "atomic.db", STEPS)
        for name in SECRET_FILES:
            if (backup / name).exists():
                write_file(data_dir / name, (backup / name).read_bytes())
        clients = _copied(backup / "clients.db", data_dir / "clients.db", CLIENTS)
        if not is_partial:
            _check(backup, steps, clients)
        left_out = [] if steps is None else _checked_rows(backup, steps, is_partial=is_partial)
        found_clients = 0 if clients is None else _clients(backup, data_dir, is_partial=is_partial)
        if is_partial:
            _forget_ids(data_dir)
        return Restored(runs=_runs(steps), clients=found_clients, left_out=left_out)


@contextmanager
def _filling(data_dir: Path) -> Iterator[None]:
    """Keep servers away from the directory until it is whole, and leave it as it was after an error."""
    is_new = not data_dir.exists()
    # Without the file of a lock no server runs there; the lock would make it.
    if not is_new and not (data_dir / _LOCK).exists():
        _require_empty(data_dir)
    with DataDirLock(data_dir):
        _require_empty(data_dir)
        data_dir.chmod(0o700)
        kept = {path.name for path in data_dir.iterdir()} & {_LOCK, UNFINISHED}
        if UNFINISHED not in kept:
            write_file(data_dir / UNFINISHED, b"")
            sync_directory(data_dir)
        _empty(data_dir, {_LOCK, UNFINISHED})
        try:
            yield
            # Whatever is below this name is durable before it goes.
            sync_directory(data_dir)
            (data_dir / UNFINISHED).unlink()
            sync_directory(data_dir)
        except BaseException:
            _empty(data_dir, {_LOCK, UNFINISHED})
            _empty(data_dir, set() if is_new else kept | {_LOCK})
            if is_new:
                data_dir.rmdir()
            raise
    sync_directory(data_dir.parent)


def _empty(data_dir: Path, kept: Collection[str]) -> None:
    for path in data_dir.iterdir():
        if path.name not in kept:
            path.unlink()


def _require_empty(data_dir: Path) -> None:
    names = {path.name for path in data_dir.iterdir()} if data_dir.is_dir() else {data_dir.name}
    # Remains of a restore that was cut off may be replaced.
    if names - {_LOCK} - (_MADE if UNFINISHED in names else frozenset()):
        raise RestoreRefusedError(
            f"{data_dir} is not empty; move it away, or name another --data-dir. Nothing was changed"
        )


def _copied(path: Path, target: Path, schema: Schema) -> Path | None:
    """Copy a database; None if there is none."""
    if not path.exists():
        return None
    # A data directory whose server has ended may have a log, a backup has none.
    log = path.with_name(f"{path.name}-wal")
    copy_database(path, target, schema, is_used=log.exists() and log.stat().st_size > 0)
    return target


def _check(backup: Path, steps: Path | None, clients: Path | None) -> None:
    """Raise RestoreRefusedError for a backup that is not whole."""
    steps_id = 0 if steps is None else id_of(steps)
    clients_id = 0 if clients is None else id_of(clients)
    problem = None
    if steps is None and clients_id:
        problem = "lacks atomic.db, so every run"
    elif clients is None and (steps_id or (backup / KEY_PEPPER).exists()):
        problem = "lacks clients.db, so every client"
    elif clients is not None and not is_one_store(steps_id, clients_id):
        problem = "has atomic.db and clients.db of different servers"
    if problem is not None:
        raise RestoreRefusedError(
            f"{backup} {problem}; take another backup, or restore what there is by --partial"
        )


def _checked_rows(backup: Path, steps: Path, *, is_partial: bool) -> list[str]:
    """The runs that were left out, because a row of them is damaged. Raises DatabaseRefused."""
    if is_partial:
        return leave_out_damaged_runs(steps)
    require_whole_rows(steps, backup / "atomic.db")
    return []


def _forget_ids(data_dir: Path) -> None:
    for name in _DATABASES:
        if (data_dir / name).exists():
            forget_id(data_dir / name)


def _runs(steps: Path | None) -> int:
    if steps is None:
        return 0
    with closing(open_immutable(steps)) as connection:
        return int(connection.execute(_RUNS).get)


def _clients(backup: Path, data_dir: Path, *, is_partial: bool) -> int:
    """The number of clients. Raises RestoreRefusedError where their keys have another pepper."""
    if not is_partial:
        try:
            peppers_of_keys(data_dir, lambda: _client_store(data_dir))
        except ValueError:
            raise RestoreRefusedError(
                f"{backup / KEY_PEPPER} is missing, damaged or another one, so API keys would be refused; "
                "take another backup, or use --partial and then make new keys by `atomic clients rotate ID "
                "--overlap-hours 0`"
            ) from None
    with _client_store(data_dir) as store:
        return len(store.ids())


def _client_store(data_dir: Path) -> "closing[SqliteClientStore]":
    # The directory is not whole yet, so the rest of the program refuses to open it.
    return closing(SqliteClientStore(data_dir / "clients.db"))
