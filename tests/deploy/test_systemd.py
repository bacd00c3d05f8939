"""The unit of systemd: read by systemd itself, and the server's side of `Type=notify`."""

import re
import socket
import sys
from pathlib import Path
from typing import Final

import pytest

from atomic.entrypoints.embedded.restore import restore
from atomic.entrypoints.embedded.settings import ServerSettings
from deploy.tools import DEPLOY, checked, program
from deploy.unit_check import backup_lines
from scenarios.embedded_runtime import AtomicServer, create_client

UNIT: Final = DEPLOY / "systemd" / "atomic.service"
# Of 10, by `systemd-analyze security`: how much of the system the service can reach.
EXPOSURE_MAX: Final = 20


def test_systemd_finds_no_fault(tmp_path: Path) -> None:
    command = tmp_path / "program"
    command.write_text("#!/bin/sh\n")
    command.chmod(0o755)
    units = []
    for source in sorted((*UNIT.parent.glob("*.service"), *UNIT.parent.glob("*.timer"))):
        units.append(tmp_path / source.name)
        units[-1].write_text(re.sub(r"/opt/\w+/bin/\w+", str(command), source.read_text()))
    assert [unit.name for unit in units] == [
        "atomic-backup.service", "atomic-backup.timer", "atomic.service", "litestream.service"
    ]  # fmt: skip
    assert checked(program("systemd-analyze"), "verify", *units) == ""


@pytest.mark.parametrize("name", ["atomic", "atomic-backup", "litestream"])
def test_the_services_reach_little_of_the_system(name: str) -> None:
    unit = UNIT.with_stem(name)
    checked(program("systemd-analyze"), "security", "--offline=true", f"--threshold={EXPOSURE_MAX}", unit)


def nightly(tmp_path: Path, data_dir: Path) -> list[str]:
    """Run the commands of the backup's unit as systemd would, with other directories; what is kept."""
    text = UNIT.with_stem("atomic-backup").read_text()
    [keep] = re.findall(r"^Environment=KEEP=(\d+)$", text, re.MULTILINE)
    atomic = Path(sys.executable).with_name("atomic")
    for shell in re.findall(r"^ExecStart\w*=/bin/sh -c '(.*)'$", text, re.MULTILINE):
        command = shell.replace("${KEEP}", keep).replace("$$", "$").replace("%%", "%")
        command = command.replace("/opt/atomic/bin/atomic", str(atomic))
        command = command.replace("/var/backups/atomic", str(tmp_path / "backups"))
        checked("/bin/sh", "-c", command.replace("/var/lib/atomic", str(data_dir)))
    return sorted(path.name for path in (tmp_path / "backups").iterdir())


def test_a_nightly_backup_has_its_date_and_the_oldest_go(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    create_client(data_dir, "acme", "--base-url", "http://127.0.0.1:1/")
    for day in range(1, 19):
        (tmp_path / "backups" / f"nightly-2025-01-{day:02}T023000Z").mkdir(parents=True)
    (tmp_path / "backups" / "before").mkdir()
    (tmp_path / "backups" / ".nightly-2025-01-19T023000Z-abc").mkdir()
    own, *old, new = nightly(tmp_path, data_dir)
    assert own == "before"
    assert old == [f"nightly-2025-01-{day:02}T023000Z" for day in range(17, 19)]
    assert re.fullmatch(r"nightly-20\d\d-\d\d-\d\dT\d{6}Z", new)
    assert restore(tmp_path / "backups" / new, tmp_path / "restored").clients == 1


def test_the_page_counts_the_backups_in_the_size_of_the_disk() -> None:
    [keep] = re.findall(
        r"^Environment=KEEP=(\d+)$", UNIT.with_stem("atomic-backup").read_text(), re.MULTILINE
    )
    page = (DEPLOY.parent / "docs" / "servers.md").read_text()
    assert f"The newest {keep} stay" in page
    # The data, those that stay, and the one that is made before the oldest goes.
    words = ["no", "one", "two", "three", "four", "five", "six", "seven"]
    assert f"plan {words[int(keep) + 2]} times as much: {words[int(keep)]} stay" in page


def pip_lines(name: str, opt: str) -> list[str]:
    page = (DEPLOY.parent / "docs" / name).read_text()
    return re.findall(rf"^sudo /opt/{opt}/bin/pip (install .*?)(?:\s+#.*)?$", page, re.MULTILINE)


def test_what_root_installs_is_pinned_and_has_hashes() -> None:
    servers, upgrades = pip_lines("servers.md", "atomic"), pip_lines("upgrades.md", "atomic")
    locked, package = servers
    assert upgrades == servers * 2  # the way there, and the way back
    assert package == "install --no-deps --no-build-isolation ."
    for line in (locked, *pip_lines("servers.md", "litestream")):
        assert line.startswith("install --require-hashes -r requirements-")
        for lock in re.findall(r"-r (\S+)", line):
            assert "--hash=sha256:" in (DEPLOY.parent / lock).read_text()


def test_the_directory_of_a_backup_is_made_before_it_for_its_user() -> None:
    pages = DEPLOY.parent / "docs"
    make, backup = backup_lines((pages / "upgrades.md").read_text())
    assert make == ["install", "-d", "-o", "atomic", "-g", "atomic", "-m", "0700", "/var/backups/atomic"]
    assert backup[:6] == ["runuser", "-u", "atomic", "--", "/opt/atomic/bin/atomic", "backup"]
    assert Path(backup[6]).parent == Path(make[-1])
    # The unit of the nightly backup uses the same one.
    assert f"ReadWritePaths={make[-1]}\n" in UNIT.with_stem("atomic-backup").read_text()
    assert f"sudo {' '.join(make)}\n" in (pages / "servers.md").read_text()


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
