"""The TypeScript package, and how its tools are run."""

import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

PACKAGE: Final = Path(__file__).parents[2] / "typescript"
TOOLS: Final = PACKAGE / "node_modules"
NEEDS_TOOLS: Final = [
    pytest.mark.skipif(shutil.which("npm") is None, reason="no Node here: install Node 20.9 or newer"),
    pytest.mark.skipif(
        not TOOLS.is_dir(), reason="`make typescript/node_modules/installed` installs the tools"
    ),
]


def run(*command: str, folder: Path = PACKAGE) -> str:
    """The output of a command, which must succeed."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
