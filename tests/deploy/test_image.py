"""The container image, built and run by Docker: `make image-check`, which needs Docker and a base image.

`IMAGE_BASE` names the base (deploy/docker/Dockerfile, `ARG BASE`), `BUILD_OPTIONS` are more options of
`docker build`. What a test makes in Docker bears the label `atomic.test`, and is removed.
"""

import json
import os
import re
import secrets
import shlex
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from deploy.tools import DEPLOY, program

DOCKERFILE: Final = DEPLOY / "docker" / "Dockerfile"
BASE: Final = os.environ.get("IMAGE_BASE")
# As compose.yaml has them.
LOCKED: Final = (
    "--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--security-opt", "no-new-privileges:true",
)  # fmt: skip
DATA: Final = "/var/lib/atomic"
HEALTHY_WITHIN_S: Final = 60
GET: Final = """
import sys, urllib.request, urllib.error
try: print(urllib.request.urlopen(sys.argv[1], timeout=5).status)
except urllib.error.HTTPError as refused: print(refused.code)
"""

pytestmark = pytest.mark.skipif(
    BASE is None, reason="builds an image: make image-check BASE=python:3.13-slim"
)


def docker(*arguments: str | Path, timeout_s: float = 120) -> str:
    """What a command of Docker said on standard output. It has to succeed."""
    environ = {**os.environ, "DOCKER_BUILDKIT": "1"}
    command = [program("docker"), *arguments]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=timeout_s, env=environ
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def image() -> Iterator[str]:
    """The image, built from this checkout."""
    if subprocess.run([program("docker"), "info"], capture_output=True, check=False, timeout=60).returncode:
        pytest.fail("no Docker daemon answers: `docker info` says why")
    name = f"atomic-test:{secrets.token_hex(4)}"
    options = shlex.split(os.environ.get("BUILD_OPTIONS", ""))
    built = ("build", *options, "--build-arg", f"BASE={BASE}", "-f", DOCKERFILE, "-t", name)
    docker(*built, DEPLOY.parent, timeout_s=900)
    yield name
    docker("image", "rm", "--force", name)


@pytest.fixture
def made() -> Iterator[Callable[..., str]]:
    """Makes a container, a volume or a network; all are removed afterwards."""
    label = f"atomic.test={secrets.token_hex(4)}"

    def make(*arguments: str) -> str:
        kind = 1 if arguments[0] == "run" else 2
        return docker(*arguments[:kind], "--label", label, *arguments[kind:])

    yield make
    removals = (("ps", "-aq"), ("rm", "-f", "-v")), (("volume", "ls", "-q"), ("volume", "rm")), (
        ("network", "ls", "-q"), ("network", "rm"),
    )  # fmt: skip
    for listed, removed in removals:
        if found := docker(*listed, "--filter", f"label={label}").split():
            docker(*removed, *found)


def until_healthy(container: str) -> None:
    """Wait until Docker's own check of the container succeeds."""
    deadline = time.monotonic() + HEALTHY_WITHIN_S
    while (state := docker("inspect", "-f", "{{.State.Health.Status}}", container)) != "healthy":
        assert time.monotonic() < deadline, f"{state}: {docker('logs', container)}"
        time.sleep(0.2)


def url_of(container: str) -> str:
    """Where this machine reaches it, which has to be its loopback address alone."""
    published = docker("port", container, "8787")
    assert re.fullmatch(r"127\.0\.0\.1:\d+", published), published
    return f"http://{published}"


def asked(url: str, *, key: str, document: object = None) -> Any:
    """The JSON that the API answers."""
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    headers["Prefer"] = "respond-async"
    body = None if document is None else json.dumps(document).encode()
    with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=20) as answer:
        return json.loads(answer.read())


def test_it_is_healthy_without_rights_and_ends_when_it_is_told(
    image: str, made: Callable[..., str]
) -> None:
    server = made("run", "-d", *LOCKED, "-v", DATA, "-p", "127.0.0.1::8787", image)
    until_healthy(server)
    assert urllib.request.urlopen(f"{url_of(server)}/health", timeout=5).status == 200
    assert docker("exec", server, "id", "-u") == "10001"
    status = docker("exec", server, "cat", "/proc/1/status")
    assert re.findall(r"^Cap(?:Prm|Eff|Bnd):\t(\w+)$", status, re.MULTILINE) == ["0" * 16] * 3
    assert docker("exec", server, "stat", "-c", "%a %u", DATA) == "700 10001"
    began = time.monotonic()
    docker("stop", "--time", "45", server)
    assert time.monotonic() - began < 10
    assert docker("inspect", "-f", "{{.State.ExitCode}}", server) == "0"


def test_its_volume_keeps_keys_and_runs(image: str, made: Callable[..., str]) -> None:
    volume = made("volume", "create")
    options = ("run", "-d", *LOCKED, "-v", f"{volume}:{DATA}", "-p", "127.0.0.1::8787", image)
    server = made(*options)
    until_healthy(server)
    said = docker(
        "exec", server, "atomic", "clients", "create", "acme", "--base-url", "https://app.example/"
    )
    [key] = re.findall(r"API key: +(\S+)", said)
    start = {"workflowName": "w", "stepInvokeUrl": "https://app.example/", "delay": 3_600_000}
    taken = asked(f"{url_of(server)}/acme", key=key, document={**start, "idempotencyKey": "k"})
    assert "key-pepper" in docker("exec", server, "atomic", "backup", f"{DATA}/before-upgrade")
    for end in ("restart", "kill"):
        docker(end, server)
        if end == "kill":
            server = made(*options)
        until_healthy(server)
        repeated = asked(f"{url_of(server)}/acme", key=key, document={**start, "idempotencyKey": "k"})
        assert repeated["id"] == taken["id"]
        assert repeated["createdAt"] == taken["createdAt"]


def test_without_keys_it_answers_its_own_network_alone(image: str, made: Callable[..., str]) -> None:
    subnet, name = f"172.31.{secrets.randbelow(250)}.0/24", f"atomic-test-{secrets.token_hex(4)}"
    inside = made("network", "create", "--subnet", subnet, name)
    outside = made("network", "create", f"{name}-outside")
    server = made(
        "run", "-d", "--network", inside, "--network-alias", "atomic", "-p", "127.0.0.1::8787",
        "-e", f"ATOMIC_DEV_NETWORK={subnet}", "-e", "ATOMIC_ALLOW_HOST=atomic", image, "serve", "--dev",
    )  # fmt: skip
    docker("network", "connect", "--alias", "atomic", outside, server)
    until_healthy(server)

    def status_from(network: str) -> str:
        url = "http://atomic:8787/acme/stats"
        return made("run", "--network", network, "--entrypoint", "python", image, "-c", GET, url)

    assert status_from(inside) == "200"
    assert status_from(outside) == "403"
    assert urllib.request.urlopen(f"{url_of(server)}/acme/stats", timeout=5).status == 200
