"""Whether the files that a server has open are still in its data directory.

A file that was removed or replaced accepts writes as long as it is open, and disappears with the process:
steps that are acknowledged then are lost. Without its lock file a second server may start, too.
"""

import os
from collections.abc import Iterable
from pathlib import Path

_Identity = tuple[int, int] | None


class FilesInPlace:
    """Remembers which files are at the paths now; paths without a file are left out."""

    def __init__(self, paths: Iterable[Path]) -> None:
        found = {path: _identity(path) for path in paths}
        self._opened = {path: identity for path, identity in found.items() if identity is not None}

    def displaced(self) -> Path | None:
        """A path whose file was replaced or removed; None if there is none. Takes microseconds."""
        return next((path for path, opened in self._opened.items() if _identity(path) != opened), None)


def _identity(path: Path) -> _Identity:
    try:
        found = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_dev, found.st_ino
