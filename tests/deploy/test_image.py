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
import yaml

from deploy.tools import DEPLOY, checked, compose_program, program

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


def url_of(container: str, port: int = 8787) -> str:
    """Where this machine reaches it, which has to be its loopback address alone."""
    published = docker("port", container, str(port))
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


def test_its_health_check_asks_at_the_port_of_the_environment(image: str, made: Callable[..., str]) -> None:
    server = made("run", "-d", "-e", "ATOMIC_PORT=9999", "-v", DATA, "-p", "127.0.0.1::9999", image)
    until_healthy(server)
    assert urllib.request.urlopen(f"{url_of(server, 9999)}/health", timeout=5).status == 200


def test_what_it_imports_is_compiled(image: str, made: Callable[..., str]) -> None:
    """Its user cannot write beside Python's modules, so each start of Python would compile them again."""
    script = "import os, urllib.request as module; print(os.path.exists(module.__cached__))"
    assert made("run", "--entrypoint", "python", image, "-c", script) == "True"


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


def test_a_copy_is_restored_into_another_volume_as_the_page_says(
    image: str, made: Callable[..., str], tmp_path: Path
) -> None:
    page = (DEPLOY.parent / "docs" / "servers.md").read_text()
    blocks = re.findall(r"^```sh norun\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    [copies] = [block for block in blocks if "docker cp atomic:" in block]
    [restores] = [block for block in blocks if "docker run --rm --user 0 -v atomic-restored" in block]
    restores, _ = restores.split("docker run -d ")
    volume, other = made("volume", "create"), made("volume", "create")
    options = ("run", "-d", *LOCKED, "-p", "127.0.0.1::8787")
    server = made(*options, "-v", f"{volume}:{DATA}", image)
    until_healthy(server)

    def as_on_the_page(block: str) -> None:
        for old, new in (
            ("exec atomic ", f"exec {server} "), ("cp atomic:", f"cp {server}:"),
            ("stop atomic", f"stop {server}"), ("rm atomic", f"rm {server}"),
            ("atomic-restored:", f"{other}:"), ("--entrypoint sh atomic ", f"--entrypoint sh {image} "),
        ):  # fmt: skip
            block = block.replace(old, new)
        checked("sh", "-ec", block, cwd=tmp_path)

    created = docker("exec", server, "atomic", "clients", "create", "acme", "--json",
                     "--base-url", "https://app.example/")  # fmt: skip
    key = json.loads(created)["apiKey"]
    start = {"workflowName": "w", "stepInvokeUrl": "https://app.example/", "delay": 3_600_000}
    taken = asked(f"{url_of(server)}/acme", key=key, document={**start, "idempotencyKey": "k"})
    as_on_the_page(copies)
    as_on_the_page(restores)
    restored = made(*options, "-v", f"{other}:{DATA}", image)
    until_healthy(restored)
    repeated = asked(f"{url_of(restored)}/acme", key=key, document={**start, "idempotencyKey": "k"})
    assert (repeated["id"], repeated["createdAt"]) == (taken["id"], taken["createdAt"])


@pytest.fixture
def development(image: str, tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Runs Compose on server and example of compose.dev.yaml, with the image, in a network of its own."""
    document = yaml.safe_load((DEPLOY / "docker" / "compose.dev.yaml").read_text())
    subnet = f"172.30.{secrets.randbelow(250)}.0/24"
    services = {name: document["services"][name] for name in ("atomic", "app")}
    for service in services.values():
        del service["build"]
        service["image"] = image
    services["atomic"]["ports"] = ["127.0.0.1::8787"]
    services["atomic"]["environment"]["ATOMIC_DEV_NETWORK"] = subnet
    document["networks"]["default"]["ipam"]["config"] = [{"subnet": subnet}]
    # Compose 1 does not know `name`.
    del document["name"]
    file = tmp_path / "compose.yaml"
    file.write_text(yaml.safe_dump({**document, "services": services}))
    project = ("-p", f"atomic-test-{secrets.token_hex(4)}", "--project-directory", DEPLOY / "docker")
    command = (*compose_program(), *project, "-f", file)

    def compose(*arguments: str) -> str:
        return checked(*command, *arguments)

    yield compose
    compose("down", "-v")


def test_compose_runs_the_example_and_keeps_its_runs(development: Callable[..., str]) -> None:
    page = (DEPLOY.parent / "docs" / "servers.md").read_text()
    [command] = re.findall(r"compose.dev.yaml exec atomic (atomic start .+)$", page, re.MULTILINE)

    def run_is_there() -> None:
        [server] = development("ps", "-q", "atomic").split()
        until_healthy(server)
        assert " 2026-11\n" in docker("exec", server, "atomic", "runs", "list") + "\n"

    development("up", "-d")
    assert "November was a good month." in development("exec", "-T", "atomic", *shlex.split(command))
    run_is_there()
    development("restart")
    run_is_there()
    development("down")
    development("up", "-d")
    run_is_there()
