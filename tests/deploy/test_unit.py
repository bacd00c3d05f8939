"""The unit, started by a real systemd within a container of systemd-nspawn: `make unit-check`.

`UNIT_ROOT` is the directory of a Debian with systemd, and with Atomic in /opt/atomic. It is not changed.
For example `debootstrap --include=systemd,systemd-sysv,dbus,python3-venv,ca-certificates bookworm ROOT`,
then `python3 -m venv /opt/atomic` and the `pip install` of docs/servers.md under `chroot ROOT`.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest

from deploy.tools import DEPLOY, program

ROOT: Final = os.environ.get("UNIT_ROOT")
SYSTEMD: Final = DEPLOY / "systemd"
CHECK: Final = Path(__file__).with_name("unit_check.py")
UPGRADES: Final = DEPLOY.parent / "docs" / "upgrades.md"
# RestartSec, and what the start takes.
RESTARTED_WITHIN_S: Final = 20
CHECK_UNIT: Final = """
[Unit]
After=multi-user.target
[Service]
Type=oneshot
ExecStart=/opt/atomic/bin/python /check/unit_check.py /check/result.json
ExecStopPost=/bin/systemctl exit --no-block
"""

pytestmark = pytest.mark.skipif(
    ROOT is None, reason="boots a Debian: make unit-check ROOT=/path/to/its/root, as root"
)


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What `unit_check.py` saw."""
    shared = tmp_path_factory.mktemp("check")
    shutil.copy(CHECK, shared)
    shutil.copy(UPGRADES, shared)
    (shared / "check.service").write_text(CHECK_UNIT)
    (shared / "atomic.env").write_text("ATOMIC_ALLOW_PRIVATE=true\n")
    units = "/etc/systemd/system"
    bound = {
        SYSTEMD / "atomic.service": f"{units}/atomic.service",
        SYSTEMD / "atomic-backup.service": f"{units}/atomic-backup.service",
        SYSTEMD / "atomic.sysusers": "/etc/sysusers.d/atomic.conf",
        shared / "check.service": f"{units}/check.service",
        shared / "atomic.env": "/etc/atomic/atomic.env",
    }
    command = [
        program("systemd-nspawn"), "--quiet", f"--directory={ROOT}", "--volatile=overlay", "--boot",
        "--register=no", "--keep-unit", "--private-network", "--console=pipe", f"--bind={shared}:/check",
        *(f"--bind-ro={source}:{target}" for source, target in bound.items()),
        "--", "systemd.wants=check.service",
    ]  # fmt: skip
    booted = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=180, stdin=subprocess.DEVNULL
    )
    result = shared / "result.json"
    assert result.exists(), booted.stdout + booted.stderr
    found: dict[str, Any] = json.loads(result.read_text())
    assert "failure" not in found, found["failure"]
    return found


def test_it_answers_when_its_start_returns_and_has_no_rights(seen: dict[str, Any]) -> None:
    assert seen["health at once"] == 200
    assert (seen["CapEff"], seen["CapBnd"], seen["NoNewPrivs"]) == ("0" * 16, "0" * 16, "1")


def test_its_filter_of_system_calls_lets_a_run_through(seen: dict[str, Any]) -> None:
    assert seen["Seccomp"] == "2"
    assert seen["answer"] == {"call": 1}
    assert seen["copied"] == seen["copied at night"] == ["atomic.db", "clients.db", "key-pepper"]


def test_it_is_started_again_after_kill_9_and_keeps_the_answer(seen: dict[str, Any]) -> None:
    print(f"restarted after {seen['restarted after s']:.1f} s")
    assert seen["restarts"] == "1"
    assert seen["restarted after s"] < RESTARTED_WITHIN_S
    assert seen["answer after kill -9"] == seen["answer"]


def test_it_stops_without_a_fault(seen: dict[str, Any]) -> None:
    assert (seen["ActiveState"], seen["Result"], seen["ExecMainStatus"]) == ("inactive", "success", "0")
    assert '"message": "stopping"' in seen["log"]
