"""The TypeScript package, and how its tools are run."""

import os
import shutil
import stat
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


# Node runs TypeScript from 22.18 on. Before that, `node x.ts` of the page runs what esbuild makes of it
# and of the files beside it that it imports.
NODE: Final = """#!/bin/sh
case "$1" in
*.ts)
  program="${{1%.ts}}.mjs"
  "{tools}/.bin/esbuild" --log-level=warning --format=esm --bundle --packages=external \
    --platform=node "--outfile=$program" "$1"
  shift
  exec "{node}" "$program" "$@" ;;
esac
exec "{node}" "$@"
"""


def use_typescript(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `node x.ts` run in this test, whatever the version of Node."""
    shim = folder / "bin" / "node"
    shim.parent.mkdir()
    shim.write_text(NODE.format(tools=TOOLS, node=shutil.which("node")))
    shim.chmod(shim.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{shim.parent}:{os.environ['PATH']}")


def run(*command: str, folder: Path = PACKAGE, within_s: float = 120) -> str:
    """The output of a command, which must succeed."""
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=within_s, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
