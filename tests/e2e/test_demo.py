"""`atomic demo` without a terminal: the example application on a real server, every call shown."""

import re
import subprocess
import sys


def test_the_demo_runs_the_workflow_and_ends_well() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "atomic.cli", "demo"], capture_output=True, text=True, timeout=60
    )
    assert run.returncode == 0, run.stdout + run.stderr
    calls = re.findall(r"Atomic → app +(\w+) +(\d+) +(\d+)", run.stdout)
    assert [call for call in calls if call[0] == "sendAnalytics"] == [
        ("sendAnalytics", "1", "404"),
        ("sendAnalytics", "2", "404"),
        ("sendAnalytics", "3", "404"),
        ("sendAnalytics", "4", "200"),
    ]
    assert {call for call in calls if call[0] != "sendAnalytics"} == {
        ("index", "1", "200"),
        ("createUser", "1", "200"),
        ("sendEmail", "1", "200"),
    }
    assert "Idempotency-Replayed: true" in run.stdout
    assert "1 user, 1 mail, 1 analytics event" in run.stdout
    assert "\x1b" not in run.stdout
