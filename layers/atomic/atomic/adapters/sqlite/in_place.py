"""Whether the files that a server has open still stand in its data directory.

A file that was removed or replaced goes on to take writes for as long as it is open, and is gone with the
process: what is acknowledged then, nobody finds again. Without its lock a second server may start, too.
"""

import os
from collections.abc import Iterable
from pathlib import Path

_Identity = tuple[int, int] | None


class FilesInPlace:
    """Notes which files stand at the paths now; what does not exist is left out."""

    def __init__(self, paths: Iterable[Path]) -> None:
        found = {path: _identity(path) for path in paths}
        self._opened = {path: identity for path, identity in found.items() if identity is not None}

    def displaced(self) -> Path | None:
        """A path at which another file stands by now, or none. Takes microseconds."""
        return next((path for path, opened in self._opened.items() if _identity(path) != opened), None)


def _identity(path: Path) -> _Identity:
    try:
        found = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_dev, found.st_ino
