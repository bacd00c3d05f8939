"""A copy of a database that others write to meanwhile: all of one moment, checked, on the disk."""

import os
from pathlib import Path
from urllib.parse import quote

import apsw

from atomic.adapters.sqlite.database import DatabaseRefused, Schema, damage_of_pages, open_unchanged


def copy_database(path: Path, target: Path, schema: Schema) -> None:
    """Copy a database into a file that is not there yet (mode 0600), with everything committed so far.

    Writers go on, but the log in front of the database cannot be emptied while the copy is made. Raises
    DatabaseRefused for a file that cannot be used, OSError for a target that cannot be written.
    """
    os.close(os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    source = open_unchanged(path, schema)
    try:
        _copy(source, target)
    except apsw.Error as error:
        raise OSError(f"cannot copy {path} to {target}: {error}; is there room?") from error
    finally:
        source.close()
    # Pages are copied as they are, and so is damage to them. Immutable: no log is put beside the copy.
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
            # All at once: a copy in pieces begins anew whenever another process has written.
            backup.step(-1)
    finally:
        destination.close()
