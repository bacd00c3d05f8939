"""`atomic backup`: copies what a server needs of a data directory, also while the server runs."""

import os
import shutil
from pathlib import Path
from pwd import getpwuid
from tempfile import mkdtemp
from typing import Final

from atomic.adapters.secret_files import SECRET_FILES
from atomic.adapters.sqlite.backup import copy_database
from atomic.adapters.sqlite.client_store import CLIENTS
from atomic.adapters.sqlite.row_check import require_whole_rows
from atomic.adapters.sqlite.schema import STEPS
from atomic.adapters.sqlite.store_id import require_clients, require_steps

# In this order, so that the copy has the client of each copied step, and the pepper of each copied key.
_DATABASES: Final = (("atomic.db", STEPS), ("clients.db", CLIENTS))


class BackupRefusedError(Exception):
    """There is nothing to back up, or the target cannot be used; the message says what to change."""


def back_up(data_dir: Path, target: Path) -> list[Path]:
    """Copy a data directory into a new one (mode 0700), completely or not at all; the copied files.

    Raises BackupRefusedError, and OSError for a file that cannot be read or written.
    """
    if not any((data_dir / name).exists() for name, _ in _DATABASES):
        raise BackupRefusedError(
            f"{data_dir} holds no atomic.db and no clients.db; name the server's --data-dir"
        )
    require_steps(data_dir)
    require_clients(data_dir)
    if target.is_symlink():
        raise BackupRefusedError(f"{target} is a symbolic link; name the directory itself")
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise BackupRefusedError(f"{target} is not empty; name a directory that does not exist yet")
    unfinished = _made_beside(target)
    try:
        names = _copy_all(data_dir, unfinished)
        sync_directory(unfinished)
        unfinished.rename(target)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    sync_directory(target.parent)
    return [target / name for name in names]


def _made_beside(target: Path) -> Path:
    """A new directory beside the target, which is renamed when it is complete."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        return Path(mkdtemp(dir=target.parent, prefix=f".{target.name}-"))
    except PermissionError:
        denied = next(parent for parent in target.absolute().parents if parent.exists())
        owner = _name_of(denied.stat().st_uid)
        raise BackupRefusedError(
            f"cannot write to {denied}, which belongs to {owner}; let its owner make a directory "
            f"for backups first: install -d -o {_name_of(os.geteuid())} -m 0700 DIRECTORY"
        ) from None


def _name_of(user_id: int) -> str:
    # A container may run as a user without a name.
    try:
        return getpwuid(user_id).pw_name
    except KeyError:
        return str(user_id)


def _copy_all(data_dir: Path, target: Path) -> list[str]:
    names = []
    for name, schema in _DATABASES:
        if (data_dir / name).exists():
            copy_database(data_dir / name, target / name, schema)
            if schema is STEPS:
                require_whole_rows(target / name, data_dir / name)
            names.append(name)
    for name in SECRET_FILES:
        if (data_dir / name).exists():
            write_file(target / name, (data_dir / name).read_bytes())
            names.append(name)
    return names


def write_file(path: Path, content: bytes) -> None:
    """Write a new file (mode 0600), durably."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def sync_directory(directory: Path) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
