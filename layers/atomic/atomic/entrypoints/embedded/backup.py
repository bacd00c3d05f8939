"""`atomic backup`: copies what a server needs of a data directory, also while the server runs."""

import os
import shutil
from pathlib import Path
from tempfile import mkdtemp
from typing import Final

from atomic.adapters.secret_files import SECRET_FILES
from atomic.adapters.sqlite.backup import copy_database
from atomic.adapters.sqlite.client_store import CLIENTS
from atomic.adapters.sqlite.schema import STEPS

# In this order, so that the copy has the client of each copied step, and the pepper of each copied key.
_DATABASES: Final = (("atomic.db", STEPS), ("clients.db", CLIENTS))


class BackupRefusedError(Exception):
    """There is nothing to back up, or the target cannot be used; the message says what to change."""


def back_up(data_dir: Path, target: Path) -> list[Path]:
    """Copy a data directory into a new one (mode 0700), completely or not at all; the copied files.

    Raises BackupRefusedError, and OSError for a file that cannot be read or written.
    """
    if not (data_dir / "atomic.db").exists():
        raise BackupRefusedError(f"{data_dir} holds no atomic.db; name the server's --data-dir")
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise BackupRefusedError(f"{target} is not empty; name a directory that does not exist yet")
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(mkdtemp(dir=target.parent, prefix=f".{target.name}-"))
    try:
        names = _copy_all(data_dir, unfinished)
        _sync(unfinished)
        unfinished.rename(target)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    _sync(target.parent)
    return [target / name for name in names]


def _copy_all(data_dir: Path, target: Path) -> list[str]:
    names = []
    for name, schema in _DATABASES:
        if (data_dir / name).exists():
            copy_database(data_dir / name, target / name, schema)
            names.append(name)
    for name in SECRET_FILES:
        if (data_dir / name).exists():
            _write(target / name, (data_dir / name).read_bytes())
            names.append(name)
    return names


def _write(path: Path, content: bytes) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
