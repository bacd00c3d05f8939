"""A consistent, checked and synced copy of a database that is in use."""

import os
from pathlib import Path

import apsw

from atomic.adapters.sqlite.database import (
    DatabaseRefused,
    Schema,
    damage_of_pages,
    open_immutable,
    open_unchanged,
)


def copy_database(path: Path, target: Path, schema: Schema, *, is_used: bool = True) -> None:
    """Copy a database, with everything committed so far, into a new file (mode 0600).

    Writers continue, but the write-ahead log cannot be emptied while the copy is made. A file that
    `is_used` by nobody is read without a log beside it. Raises DatabaseRefused for a file that cannot be
    used, OSError for a target that cannot be written.
    """
    os.close(os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    source = open_unchanged(path, schema, is_used=is_used)
    try:
        _copy(source, target)
    except apsw.Error as error:
        # SQLite's own text may be "not an error" then.
        problem = "the disk is full" if isinstance(error, apsw.FullError) else str(error)
        raise OSError(f"cannot copy {path} to {target}: {problem}; is there enough space?") from error
    finally:
        source.close()
    # Pages are copied with any damage, so check them. Immutable: no log is made beside the copy.
    copy = open_immutable(target)
    try:
        if damage := damage_of_pages(copy, path):
            raise DatabaseRefused(damage)
    finally:
        copy.close()


def _copy(source: apsw.Connection, target: Path) -> None:
    destination = apsw.Connection(str(target), flags=apsw.SQLITE_OPEN_READWRITE)
    try:
        with destination.backup("main", source, "main") as backup:
            # All at once: a copy in pieces restarts whenever another process has written.
            backup.step(-1)
    finally:
        destination.close()
