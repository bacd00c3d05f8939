"""Installs the peers in their folders, pinned by lock files, by the user's own pip and npm."""

import subprocess
import sys
from pathlib import Path

from processes import HERE

PEERS = HERE / "peers"
WITHIN_S = 300


class CannotInstallError(Exception):
    """The peer cannot be installed; the message says why."""


def python_of(folder: str) -> Path:
    """The interpreter of a peer's own environment, made from its requirements.lock when that is newer."""
    runtime, lock = PEERS / folder / ".venv", PEERS / folder / "requirements.lock"
    done = runtime / "installed"
    if not done.exists() or done.stat().st_mtime < lock.stat().st_mtime:
        _run([sys.executable, "-m", "venv", "--clear", str(runtime)], runtime.parent)
        _run(
            [str(runtime / "bin/pip"), "install", "--quiet", "--require-hashes", "-r", str(lock)],
            runtime.parent,
        )
        done.touch()
    return runtime / "bin/python"


def node_modules_of(folder: str) -> Path:
    """The folder node_modules, installed from package-lock.json. No package's install script is run."""
    runtime = PEERS / folder / "node_modules"
    done, lock = runtime / ".package-lock.json", PEERS / folder / "package-lock.json"
    if not done.exists() or done.stat().st_mtime < lock.stat().st_mtime:
        _run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], runtime.parent)
        done.touch()
    return runtime


def _run(command: list[str], folder: Path) -> None:
    try:
        subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True, timeout=WITHIN_S)
    except subprocess.CalledProcessError as error:
        said = (error.stderr or error.stdout).strip().splitlines() or [f"ended with {error.returncode}"]
        raise CannotInstallError(f"{command[0]}: {said[-1]}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CannotInstallError(str(error)) from error
