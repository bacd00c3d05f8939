"""Opening a database file, with the checks that precede its first statement."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

import apsw

from atomic.adapters.sqlite import log

# Earlier ones can lose committed pages when one connection resets the log while another one checkpoints.
_OLDEST_SQLITE: Final = 3_051_003
_BUSY_TIMEOUT_MS: Final = 5_000
# Up to this size pages and indexes are checked before the first statement (4 s a GiB). Larger
# files would delay the start: they are checked while the server runs (`damage_of_pages`, 1 to 3 s a GiB).
_COMPARED_MAX_BYTES: Final = 64 * 1024 * 1024
_PRAGMAS: Final = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA fullfsync = 1",
    "PRAGMA checkpoint_fullfsync = 1",
    "PRAGMA mmap_size = 0",
    # The log is copied into the database at 16 MiB, so that pages that change often are copied once.
    "PRAGMA wal_autocheckpoint = 4000",
    "PRAGMA journal_size_limit = 67108864",
    "PRAGMA cache_size = -12288",
    # What is deleted or replaced is overwritten by zeros: an erased payload is not found in the file.
    "PRAGMA secure_delete = ON",
)


class DatabaseRefused(OSError):
    """The file cannot be used and was not changed. The message names the file and the cure."""


@dataclass(frozen=True, slots=True)
class Schema:
    """The schema of a file: `migrations[n]` is the SQL that upgrades version n to n + 1."""

    name: str
    migrations: tuple[str, ...]


def open_database(path: Path, schema: Schema) -> apsw.Connection:
    """Open or create the file (mode 0600), check it, and bring it to the newest version.

    Raises DatabaseRefused for a file that is damaged, newer than this program, or of another program.
    """
    _create(path)
    connection = _connect(path)
    with _refusing(connection, path):
        version = _checked_version(connection, path, schema)
        for pragma in _PRAGMAS:
            connection.execute(pragma).fetchall()
        _migrate(connection, schema, version)
    return connection


def open_unchanged(path: Path, schema: Schema, *, is_used: bool = True) -> apsw.Connection:
    """Open an existing file read-only and check it. Raises DatabaseRefused."""
    connection = _connect(path) if is_used else open_immutable(path)
    with _refusing(connection, path):
        _checked_version(connection, path, schema)
    return connection


def open_immutable(path: Path) -> apsw.Connection:
    """A connection to a file that nobody writes; it leaves no log beside it. Raises DatabaseRefused."""
    try:
        return apsw.Connection(
            f"file:{quote(str(path))}?immutable=1", flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
        )
    except apsw.Error as error:
        raise _unopened(path, error) from error


def is_checked_at_start(path: Path) -> bool:
    """Whether `open_database` checks the whole file; if not, call `damage_of_pages`."""
    return path.stat().st_size <= _COMPARED_MAX_BYTES


def damage_of_pages(reader: apsw.Connection, path: Path) -> str | None:
    """What is wrong with the pages of the file, as a message; None if nothing is."""
    try:
        problems = reader.execute("PRAGMA quick_check(3)").fetchall()
    except (apsw.CorruptError, apsw.NotADBError, apsw.IOError) as error:
        return _damaged(path, str(error))
    return None if problems == [("ok",)] else _damaged(path, _listed(problems))


def open_reader(path: Path) -> apsw.Connection:
    """A read-only connection to a file that `open_database` has opened."""
    reader = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    reader.set_busy_timeout(_BUSY_TIMEOUT_MS)
    reader.execute("PRAGMA cache_size = -4096").fetchall()
    return reader


def close_database(connection: apsw.Connection) -> None:
    """Copy the log into the database and close it; close the readers before."""
    # If the log cannot be copied, the next start reads it: it is part of the database.
    with suppress(apsw.Error):
        connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    connection.close(force=True)


def require_sqlite(version: str) -> None:
    """Raise DatabaseRefused when this SQLite can damage a database that several connections use."""
    major, minor, patch = (int(part) for part in version.split(".")[:3])
    if major * 1_000_000 + minor * 1_000 + patch < _OLDEST_SQLITE:
        raise DatabaseRefused(
            f"SQLite {version} can damage a database in WAL mode; install apsw 3.51.3 or newer"
        )


def _connect(path: Path) -> apsw.Connection:
    require_sqlite(apsw.sqlite_lib_version())
    try:
        connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
    except apsw.Error as error:
        raise _unopened(path, error) from error
    connection.set_busy_timeout(_BUSY_TIMEOUT_MS)
    # Closing a refused file must not write to it; `close_database` makes the checkpoint.
    connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
    return connection


def _create(path: Path) -> None:
    # SQLite gives its log and index the mode of the database. One that exists is not opened here: closing
    # it would drop the locks that this process's other connections hold (POSIX).
    try:
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    except OSError as error:
        raise _unopened(path, error) from error


@contextmanager
def _refusing(connection: apsw.Connection, path: Path) -> Iterator[None]:
    """Close a connection whose file cannot be used, and say why."""
    try:
        yield
    except BaseException as error:
        connection.close()
        if isinstance(error, apsw.CorruptError | apsw.NotADBError):
            raise DatabaseRefused(_damaged(path, str(error))) from error
        if isinstance(error, apsw.Error):
            raise DatabaseRefused(
                f"cannot use {path}: {error}; make sure that no other program uses it"
            ) from error
        raise


def _checked_version(connection: apsw.Connection, path: Path, schema: Schema) -> int:
    version = int(connection.pragma("user_version"))
    if version > len(schema.migrations):
        raise DatabaseRefused(
            f"{path} was written by a newer Atomic ({schema.name} schema {version}, this one knows "
            f"{len(schema.migrations)}); start that version, or choose another data directory"
        )
    if version == 0 and connection.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchall():
        raise DatabaseRefused(f"{path} is another program's database; choose another data directory")
    _check(connection, path)
    return version


def _check(connection: apsw.Connection, path: Path) -> None:
    if is_checked_at_start(path):
        problems = connection.execute("PRAGMA integrity_check(3)").fetchall()
        if problems != [("ok",)]:
            raise DatabaseRefused(_damaged(path, _listed(problems)))
    wal = Path(f"{path}-wal")
    if log.is_damaged(wal, int(connection.pragma("page_size")), lambda: _valid_frames(connection)):
        raise DatabaseRefused(_damaged(wal, "commits after a damaged position could not be read"))


def _valid_frames(connection: apsw.Connection) -> int:
    frames, _ = connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_NOOP)
    return frames


def _listed(problems: Sequence[tuple[object, ...]]) -> str:
    return "; ".join(str(problem) for (problem,) in problems)


def _unopened(path: Path, error: Exception) -> DatabaseRefused:
    return DatabaseRefused(f"cannot open {path}: {error}; check the directory and its permissions")


def _damaged(path: Path, problem: str) -> str:
    return (
        f"{path} is damaged: {problem}. Restore the file from a copy, together with its -wal file if the "
        f"copy has one, or move it away to start with an empty one; nothing was changed"
    )


def _migrate(connection: apsw.Connection, schema: Schema, version: int) -> None:
    if version == len(schema.migrations):
        return
    connection.execute("BEGIN IMMEDIATE")
    # Another process may have been faster.
    for script in schema.migrations[int(connection.pragma("user_version")) :]:
        connection.execute(script)
    connection.execute(f"PRAGMA user_version = {len(schema.migrations)}")
    connection.execute("COMMIT")
