"""The tests in `examples/testing`, run as their readers run them: by `atomic dev test`."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

TESTING: Final = Path(__file__).parents[2] / "examples" / "testing"


def run_tests(folder: Path, *command: str) -> str:
    """The output of the command, which must succeed."""
    copied = folder / "testing"
    shutil.copytree(TESTING, copied, ignore=shutil.ignore_patterns("__pycache__"))
    done = subprocess.run(
        [sys.executable, "-m", "atomic.cli", "dev", "test", "--", *command],
        cwd=copied,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_with_pytest_on_fastapi_flask_and_django(tmp_path: Path) -> None:
    said = run_tests(tmp_path, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider")
    assert "4 passed" in said


@pytest.mark.skipif(shutil.which("node") is None, reason="no Node here: install Node 20.9 or newer")
def test_with_node_and_plain_fetch(tmp_path: Path) -> None:
    said = run_tests(tmp_path, "node", "--test")
    assert "# pass 2" in said
    assert "# fail 0" in said
