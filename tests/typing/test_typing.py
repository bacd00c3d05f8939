"""The types of the public API, checked by mypy and pyright."""

import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).parents[2]
USES = "tests/typing/api.py"


def checked(*command: str) -> None:
    found = subprocess.run(
        [sys.executable, "-m", *command], cwd=REPO, capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stdout + found.stderr


@pytest.mark.long
def test_mypy_agrees_with_the_uses_and_with_every_example() -> None:
    examples = map(str, sorted((REPO / "examples").glob("*.py")))
    checked("mypy", "--no-incremental", "--warn-unused-ignores", USES, *examples)


@pytest.mark.long
def test_pyright_agrees() -> None:
    checked("pyright", "--project", "tests/typing", "--pythonpath", sys.executable)
