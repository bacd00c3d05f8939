"""The unit of systemd: read by systemd itself, and the server's side of `Type=notify`."""

import re
import socket
from pathlib import Path
from typing import Final

import pytest

from atomic.entrypoints.embedded.settings import ServerSettings
from deploy.tools import DEPLOY, checked, program
from scenarios.embedded_runtime import AtomicServer

UNIT: Final = DEPLOY / "systemd" / "atomic.service"
# Of 10, by `systemd-analyze security`: how much of the system the service can reach.
EXPOSURE_MAX: Final = 20


def test_systemd_finds_no_fault(tmp_path: Path) -> None:
    command = tmp_path / "atomic"
    command.write_text("#!/bin/sh\n")
    command.chmod(0o755)
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("/opt/atomic/bin/atomic", str(command)))
    assert checked(program("systemd-analyze"), "verify", unit) == ""


def test_the_service_reaches_little_of_the_system() -> None:
    checked(program("systemd-analyze"), "security", "--offline=true", f"--threshold={EXPOSURE_MAX}", UNIT)


def test_it_is_stopped_later_than_the_server_ends_by_itself() -> None:
    [stop_s] = re.findall(r"^TimeoutStopSec=(\d+)$", UNIT.read_text(), re.MULTILINE)
    assert int(stop_s) > ServerSettings.model_fields["drain_s"].default + 10


@pytest.mark.parametrize("is_abstract", [False, True])
def test_the_supervisor_is_told_of_the_start_and_the_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_abstract: bool
) -> None:
    name = f"@atomic-{tmp_path.name}-{id(tmp_path)}" if is_abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(name.replace("@", "\0"))
        listening.settimeout(20)
        monkeypatch.setenv("NOTIFY_SOCKET", name)
        server = AtomicServer(tmp_path / "data")
        server.start()
        assert listening.recv(100) == b"READY=1"
        assert server.stop() == 0
        assert listening.recv(100) == b"STOPPING=1"


def test_a_supervisor_that_is_gone_stops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nothing"))
    server = AtomicServer(tmp_path / "data")
    server.start()
    assert server.stop() == 0
    assert "the supervisor cannot be told" in server.log()
