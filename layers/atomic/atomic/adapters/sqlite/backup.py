"""A consistent, checked and synced copy of a database that is in use."""

import os
from pathlib import Path
from urllib.parse import quote

import apsw

from atomic.adapters.sqlite.database import DatabaseRefused, Schema, damage_of_pages, open_unchanged


def copy_database(path: Path, target: Path, schema: Schema) -> None:
    """Copy a database, with everything committed so far, into a new file (mode 0600).

    Writers continue, but the write-ahead log cannot be emptied while the copy is made. Raises
    DatabaseRefused for a file that cannot be used, OSError for a target that cannot be written.
    """
    os.close(os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    source = open_unchanged(path, schema)
    try:
        _copy(source, target)
    except apsw.Error as error:
        raise OSError(f"cannot copy {path} to {target}: {error}; is there enough space?") from error
    finally:
        source.close()
    # Pages are copied with any damage, so check them. Immutable: no log is made beside the copy.
    copy = apsw.Connection(
        f"file:{quote(str(target))}?immutable=1", flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
    )
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
