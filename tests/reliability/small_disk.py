"""A disk of a few megabytes that a test can fill, enlarge and make read-only."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


class SmallDisk:
    """A tmpfs."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def remount(self, *options: str) -> None:
        """Change options such as `size=64m` or `ro`."""
        _run("mount", "-o", ",".join(["remount", *options]), str(self.directory))

    @classmethod
    @contextmanager
    def mounted(cls, directory: Path, size: str) -> Iterator["SmallDisk"]:
        """Mount the disk. Skips the test where that is not possible."""
        if os.geteuid() != 0:
            pytest.skip("only root can mount a small disk")
        directory.mkdir()
        try:
            _run("mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "none", str(directory))
        except (OSError, subprocess.CalledProcessError) as refused:
            pytest.skip(f"a small disk cannot be mounted here: {refused}")
        try:
            yield cls(directory)
        finally:
            _run("umount", "--lazy", str(directory))


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, timeout=10)
