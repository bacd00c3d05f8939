"""Installs what a release has into empty folders, and runs it there, without the checkout on the path."""

# ruff: noqa: S310, S603, TID251 - this module starts what it has installed, and waits for it
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

REPO: Final = Path(__file__).resolve().parents[1]
TOOLS: Final = REPO / "typescript" / "node_modules"
# What these variables name belongs to the checkout, or to the shell that called `make`.
_FOREIGN: Final = ("ATOMIC_", "COV_", "COVERAGE_", "NODE_", "PYTEST_", "PYTHON", "VIRTUAL_ENV", "npm_")
_READY_WITHIN_S: Final = 60.0
_END_WITHIN_S: Final = 20.0

Command = Sequence[str | Path]


class CheckError(Exception):
    """What was built is not as it should be; the text says what failed."""


def clean_environment(**more: str) -> dict[str, str]:
    """The environment of this process without what belongs to the checkout."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
    return kept | {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "NO_COLOR": "1"} | more


def run(
    *command: str | Path, folder: Path, env: Mapping[str, str] | None = None, within_s: float = 600
) -> str:
    """The output of a command. Raises CheckError with all of it when the command fails."""
    done = subprocess.run(
        command,
        cwd=folder,
        env=clean_environment() if env is None else env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=within_s,
        check=False,
    )
    if done.returncode != 0:
        shown = " ".join(map(str, command))
        raise CheckError(f"`{shown}` ended with {done.returncode}:\n{done.stdout}")
    return done.stdout


def new_environment(python: str | Path, folder: Path) -> Path:
    """Make an environment with nothing in it but pip; its interpreter."""
    run(python, "-m", "venv", folder, folder=folder.parent)
    return folder / "bin" / "python"


def pip_install(python: Path, *what: str | Path, folder: Path) -> None:
    """Install into the environment of this interpreter."""
    run(python, "-m", "pip", "install", "--quiet", *what, folder=folder)


def interpreter(version: str) -> str | None:
    """A Python of this version, such as 3.12, that starts: on PATH, in pyenv, or known to uv."""
    asked = "import sys; print('%d.%d' % sys.version_info[:2])"
    for candidate in _candidates(version):
        try:
            found = subprocess.run(
                [candidate, "-I", "-c", asked], capture_output=True, text=True, check=True
            ).stdout
        except (OSError, subprocess.CalledProcessError):
            continue  # a shim of pyenv stands for versions that are not chosen, too
        if found.strip() == version:
            return candidate
    return None


def _candidates(version: str) -> Iterator[str]:
    if f"{sys.version_info.major}.{sys.version_info.minor}" == version:
        yield sys.executable
    on_path = shutil.which(f"python{version}")
    if on_path:
        yield on_path
    for command in (["pyenv", "root"], ["uv", "python", "dir"]):
        if not shutil.which(command[0]):
            continue
        root = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
        pattern = f"versions/{version}.*" if command[0] == "pyenv" else f"cpython-{version}.*"
        yield from (str(each / "bin" / f"python{version}") for each in sorted(Path(root).glob(pattern)))


def free_port() -> int:
    """A port that nobody listens on at the moment."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def serving(command: Command, port: int, folder: Path, env: Mapping[str, str]) -> Iterator[None]:
    """Run a program that listens on the port of this machine, and end it and its children afterwards."""
    log = folder / f"{Path(command[0]).name}-{port}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # a group of its own: npx does not end what it has started
        )
    try:
        _wait_for(process, port, log)
        yield
    finally:
        _end(process)


def _end(process: "subprocess.Popen[bytes]") -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            break  # all of the group have ended
        try:
            process.wait(_END_WITHIN_S)
        except subprocess.TimeoutExpired:
            continue
    process.wait()


def _wait_for(process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    until_s = time.monotonic() + _READY_WITHIN_S
    while process.poll() is None and time.monotonic() < until_s:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.02)
    raise CheckError(f"nothing listens on port {port}:\n{log.read_text(errors='replace')}")


@contextmanager
def atomic_server(atomic: Path, folder: Path) -> Iterator[dict[str, str]]:
    """Run the server that is installed; the environment in which programs find it."""
    port = free_port()
    command = [atomic, "serve", "--dev", "--port", str(port), "--data-dir", folder / "data"]
    with serving(command, port, folder, clean_environment()):
        url = f"http://127.0.0.1:{port}"
        with urllib.request.urlopen(f"{url}/health") as answer:
            if json.load(answer)["status"] != "ok":
                raise CheckError("the server that was installed is not healthy")
        yield clean_environment(ATOMIC_URL=url, ATOMIC_CLIENT_ID="dev")
