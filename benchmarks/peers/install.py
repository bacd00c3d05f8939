"""Installs the peers in their folders, pinned by lock files, by the user's own pip and npm."""

import subprocess
import sys
from pathlib import Path

from processes import HERE

PEERS = HERE / "peers"
ROOT = HERE.parent
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


def typescript_app() -> Path:
    """The application by Atomic's TypeScript SDK, whose package is built from this tree."""
    package = ROOT / "typescript"
    node_modules_in(package)
    _run(["npm", "run", "--silent", "build"], package)
    return PEERS / "typescript/app.mjs"


def bun() -> str:
    """The program of Bun, as the tests of other runtimes pin it."""
    installed = node_modules_in(ROOT / "tests/typescript/runtimes")
    found = next(installed.glob("@oven/bun-*/bin/bun"), None)
    if found is None:
        raise CannotInstallError("Bun has no program for this machine")
    return str(found)


def node_modules_of(folder: str) -> Path:
    """The folder node_modules of a peer."""
    return node_modules_in(PEERS / folder)


def node_modules_in(folder: Path) -> Path:
    """The folder node_modules, installed from package-lock.json. No package's install script is run."""
    runtime = folder / "node_modules"
    done, lock = runtime / ".package-lock.json", folder / "package-lock.json"
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
