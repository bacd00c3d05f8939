"""The programs of Debian which read and run what `deploy/` has."""

import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

# The packages of programs that have another name.
_PACKAGES: Final = {
    "docker": "docker.io",
    "promtool": "prometheus",
    "systemd-analyze": "systemd",
    "systemd-nspawn": "systemd-container",
}
DEPLOY: Final = Path(__file__).parents[2] / "deploy"


def program(name: str) -> str:
    """The path of a program. Skips the test where it is not installed."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    if found is None:
        pytest.skip(f"{name} is not installed: apt-get install {_PACKAGES.get(name, name)}")
    return found


def compose_program() -> list[str]:
    """Compose 2 if it is there, else Compose 1, which Debian 12 has. Skips the test without both."""
    if shutil.which("docker") is not None:
        asked = subprocess.run(
            ["docker", "compose", "version"], capture_output=True, check=False, timeout=60
        )
        if asked.returncode == 0:
            return ["docker", "compose"]
    if shutil.which("docker-compose") is None:
        pytest.skip("docker compose is not installed: apt-get install docker-compose")
    return ["docker-compose"]


def checked(*command: str | Path, cwd: Path | None = None) -> str:
    """The output of a program that has to succeed."""
    done = subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, check=False, timeout=60, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr
