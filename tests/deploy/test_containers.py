"""Dockerfile and compose files, as far as they can be checked without a registry.

`test_image.py` builds the image and runs it.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from atomic.entrypoints.embedded.settings import ServerSettings
from deploy.tools import DEPLOY, checked, compose_program, program
from scenarios.embedded_runtime import AtomicServer, free_port

REPO: Final = DEPLOY.parent
DOCKER: Final = DEPLOY / "docker"
DOCKERFILE: Final = DOCKER / "Dockerfile"
# `make deploy-check` installs it; it is a program of its own, and no package of Debian.
HADOLINT: Final = REPO / ".venv-hadolint" / "bin" / "hadolint"


def compose(name: str) -> dict[str, Any]:
    return dict(yaml.safe_load((DOCKER / name).read_text()))


def test_hadolint_finds_no_fault() -> None:
    found = str(HADOLINT) if HADOLINT.exists() else shutil.which("hadolint")
    if found is None:
        pytest.skip("hadolint is not installed: make deploy-check")
    checked(found, DOCKERFILE)


def test_what_the_image_copies_is_there_and_not_ignored() -> None:
    allowed = set(re.findall(r"^!(\S+)$", (DOCKER / "Dockerfile.dockerignore").read_text(), re.MULTILINE))
    copied = [
        line.split()[1:-1]
        for line in re.findall(r"^COPY (?!--from).*$", DOCKERFILE.read_text(), re.MULTILINE)
    ]
    names = {name for names in copied for name in names}
    assert names == allowed
    for name in names:
        assert (REPO / name).exists(), name
    text = DOCKERFILE.read_text()
    # The last user is one without rights, by number, so that Kubernetes can tell.
    assert re.findall(r"^USER (.+)$", text, re.MULTILINE) == ["10001:10001"]
    settings = {setting.variable for setting in ServerSettings.settings()}
    assert set(re.findall(r"\b(ATOMIC_\w+)=", text)) <= settings


@pytest.mark.parametrize("name", ["compose.yaml", "compose.dev.yaml"])
def test_compose_files_name_files_and_settings_that_exist(name: str) -> None:
    document = compose(name)
    settings = {setting.variable for setting in ServerSettings.settings()}
    for service in document["services"].values():
        for mounted in service.get("volumes", []):
            source = mounted.split(":")[0]
            if source.startswith("."):
                assert (DOCKER / source).is_file(), source
            else:
                assert source in document["volumes"]
        build = service.get("build")
        assert build is None or (DOCKER / build["context"] / build["dockerfile"]).resolve() == DOCKERFILE
    atomic = document["services"]["atomic"]
    assert set(atomic["environment"]) <= settings
    grace_s = int(atomic["stop_grace_period"].removesuffix("s"))
    assert grace_s > ServerSettings.model_fields["drain_s"].default + 10


@pytest.mark.parametrize("name", ["compose.yaml", "compose.dev.yaml"])
def test_services_come_back_after_a_restart_of_the_machine(name: str) -> None:
    """Which ends them with 0: `on-failure` would leave them down."""
    for service, options in compose(name)["services"].items():
        assert options["restart"] == "unless-stopped", service


@pytest.mark.parametrize("name", ["servers.md", "upgrades.md"])
def test_a_container_of_a_page_comes_back_ends_by_itself_and_is_not_published(name: str) -> None:
    page = (REPO / "docs" / name).read_text()
    runs = re.findall(r"^docker run (?!--rm ).*$", page, re.MULTILINE)
    assert len(runs) == 2
    for run in runs:
        assert " --restart unless-stopped " in run
        # Docker's own grace is 10 s, and attempts get 25 s.
        [grace_s] = re.findall(r" --stop-timeout (\d+) ", run)
        assert int(grace_s) > ServerSettings.model_fields["drain_s"].default + 10
        assert re.findall(r" -p (\S+)", run) == ["127.0.0.1:8787:8787"]


def test_the_pages_promise_no_more_of_a_network_without_keys_than_holds() -> None:
    """The gateway belongs to the network, and callers over IPv6 come from it."""
    for name in ("servers.md", "security.md"):
        page = (REPO / "docs" / name).read_text()
        assert re.search(r"127\.0\.0\.1 only, always", page), name
        assert "nobody else" not in page


def test_the_health_check_asks_at_the_port_of_the_environment(tmp_path: Path) -> None:
    [said] = re.findall(r"^HEALTHCHECK [^\n]*\n +CMD (\[.+\])$", DOCKERFILE.read_text(), re.MULTILINE)
    _, *arguments = json.loads(said)
    server = AtomicServer(tmp_path / "data")
    server.start()
    port = str(server.port)

    def check(**environ: str) -> int:
        command = [sys.executable, *arguments]
        return subprocess.run(command, env=environ, stderr=subprocess.DEVNULL, check=False).returncode

    assert check(ATOMIC_PORT=port) == 0
    server.stop()
    assert check(ATOMIC_PORT=port) != 0
    assert f"or '{ServerSettings.model_fields['port'].default}'" in arguments[-1]


@pytest.mark.parametrize("name", ["compose.yaml", "compose.dev.yaml"])
def test_docker_compose_reads_the_files(tmp_path: Path, name: str) -> None:
    """By Compose 2 if it is there. Compose 1, the one of Debian 12, refuses `name` and takes the rest."""
    command, file = compose_program(), DOCKER / name
    if command[0] != "docker":
        file = tmp_path / name
        file.write_text(re.sub(r"^name: .*$", "", (DOCKER / name).read_text(), flags=re.MULTILINE))
    environ = ["env", "ATOMIC_NAME=atomic.example.com"]
    said = checked(*environ, *command, "--project-directory", DOCKER, "-f", file, "config")
    services = yaml.safe_load(said)["services"]
    assert set(services) == set(compose(name)["services"])
    assert services["atomic"]["build"]["dockerfile"] == "deploy/docker/Dockerfile"
    assert Path(services["atomic"]["build"]["context"]) == REPO


def test_the_server_without_keys_is_reached_from_this_machine_alone() -> None:
    document = compose("compose.dev.yaml")
    for service in document["services"].values():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
    atomic = document["services"]["atomic"]
    [subnet] = [each["subnet"] for each in document["networks"]["default"]["ipam"]["config"]]
    assert atomic["environment"]["ATOMIC_DEV_NETWORK"] == subnet
    assert atomic["command"] == ["serve", "--dev"]
    # The endpoints and Prometheus call it by the name of its service.
    assert atomic["environment"]["ATOMIC_ALLOW_HOST"] == "atomic"


@pytest.fixture
def app() -> Iterator[Callable[[dict[str, str], Path], None]]:
    """Starts the service `app` of the development's compose file as a process. It ends with the test."""
    options, processes = compose("compose.dev.yaml")["services"]["app"], []

    def start(moved: dict[str, str], folder: Path) -> None:
        [mounted] = options["volumes"]
        source, inside, _ = mounted.split(":")
        assert options["entrypoint"] == ["python", inside]
        environ = {name: moved.get(value, value) for name, value in options["environment"].items()}
        command = [sys.executable, DOCKER / source]
        processes.append(subprocess.Popen(command, cwd=folder, env=environ))

    yield start
    for process in processes:
        process.kill()
        process.wait(10)


def test_the_command_of_the_page_runs_the_example_of_the_compose_file(
    tmp_path: Path, app: Callable[[dict[str, str], Path], None]
) -> None:
    """As processes of this machine: `atomic` and `app` are 127.0.0.1 then, at other ports."""
    pattern = r"^(?:#   )?docker compose -f deploy/docker/compose.dev.yaml exec atomic (atomic start .+)$"
    page = (REPO / "docs" / "servers.md").read_text()
    [command] = re.findall(pattern, page, re.MULTILINE)
    assert re.findall(pattern, (DOCKER / "compose.dev.yaml").read_text(), re.MULTILINE) == [command]
    [said] = re.findall(r"^It prints `(.+?)`", page, re.MULTILINE)
    server, port = AtomicServer(tmp_path / "data"), str(free_port())
    server.start()
    app({"http://atomic:8787": server.url, "0.0.0.0": "127.0.0.1", "9000": port}, tmp_path)
    _, *arguments = shlex.split(command.replace("http://app:9000/", f"http://127.0.0.1:{port}/"))
    environ = {**os.environ, "ATOMIC_URL": server.url}
    done = subprocess.run(
        [sys.executable, "-m", "atomic.cli", *arguments],
        env=environ, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    server.stop()
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == json.loads(said)


def test_the_commands_of_the_page_copy_and_restore_a_server(tmp_path: Path) -> None:
    """What they run in containers, as processes of this machine, with other folders."""
    page = (REPO / "docs" / "servers.md").read_text()
    [backup] = re.findall(r"^docker exec atomic (atomic backup .+)$", page, re.MULTILINE)
    [restore] = set(re.findall(r"(atomic restore \S+ --data-dir \S+) && chown -R 10001:10001 ", page))
    server = AtomicServer(tmp_path / "data")
    server.start()

    def run(command: str, folders: dict[str, Path]) -> str:
        for old, new in folders.items():
            assert old in command
            command = command.replace(old, str(new))
        _, *arguments = shlex.split(command)
        environ = {**os.environ, "ATOMIC_URL": server.url, "ATOMIC_DATA_DIR": str(server.data_dir)}
        return checked("env", *(f"{name}={value}" for name, value in environ.items()),
                       sys.executable, "-m", "atomic.cli", *arguments)  # fmt: skip

    start = "atomic start w http://127.0.0.1:9/ --key k --delay 3600 --timeout 0"
    run(start, {})
    copied = Path(shlex.split(backup)[-1]).name
    run(backup, {"/var/lib/atomic": server.data_dir})
    restored = tmp_path / "restored"
    run(restore, {"/backup": server.data_dir / copied, "/var/lib/atomic": restored})
    server.stop()
    server.data_dir = restored
    server.start()
    assert " k\n" in run("atomic runs list", {})
    server.stop()


def test_the_locked_server_has_no_port_of_its_own_and_no_rights() -> None:
    services = compose("compose.yaml")["services"]
    assert "ports" not in services["atomic"]
    assert services["atomic"]["cap_drop"] == ["ALL"]
    assert services["atomic"]["read_only"] is True


def test_caddy_has_the_same_rules_in_a_container(tmp_path: Path) -> None:
    outside = (DEPLOY / "caddy" / "Caddyfile").read_text().replace(" Replace atomic.example.com.", "")
    inside = (DOCKER / "Caddyfile").read_text()
    same = outside.replace("127.0.0.1:8787", "atomic:8787").replace(
        "atomic.example.com {", "{$ATOMIC_NAME} {"
    )
    assert inside == same
    command = ["env", "ATOMIC_NAME=atomic.example.com", f"HOME={tmp_path}", f"PATH={os.defpath}"]
    said = checked(*command, program("caddy"), "adapt", "--config", DOCKER / "Caddyfile")
    assert '"host":["atomic.example.com"]' in said
    assert '"dial":"atomic:8787"' in said
