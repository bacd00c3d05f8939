"""The lock that allows one server for each data directory."""

import fcntl
import os
from pathlib import Path
from typing import Self


class DataDirInUse(OSError):
    """Another server uses the data directory; stop it or choose another one."""


class DataDirUnusable(OSError):
    """The data directory cannot be created or written; change its permissions, or choose another one."""


class DataDirLock:
    """A context manager that holds `<directory>/lock`; it creates a missing directory (mode 0700).

    The kernel releases the lock at any end of the process. Raises DataDirInUse or DataDirUnusable on
    entering.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._file = -1

    def __enter__(self) -> Self:
        self._file = self._open()
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = os.pread(self._file, 20, 0).decode().strip() or "unknown"
            os.close(self._file)
            raise DataDirInUse(
                f"another atomic server (pid {pid}) uses {self._directory}; "
                "stop it or choose another --data-dir"
            ) from None
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, f"{os.getpid()}\n".encode(), 0)
        return self

    def _open(self) -> int:
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            return os.open(self._directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise DataDirUnusable(
                f"cannot write to the data directory {self._directory} ({error.strerror}); give the server "
                "write permission, or choose another --data-dir"
            ) from None

    def __exit__(self, *_: object) -> None:
        os.close(self._file)
