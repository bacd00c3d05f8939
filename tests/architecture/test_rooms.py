"""The import rules hold: imports point down only, pure folders do no I/O, and violations are found."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).parents[2]
LINT_IMPORTS = (
    "from importlinter.cli import lint_imports;"
    "raise SystemExit(lint_imports(config_filename='pyproject.toml', cache_dir='.import_linter_cache'))"
)


def run(*arguments: str, cwd: Path = REPO, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run a tool of this environment in a new process, because linters change `sys.path` and logging."""
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=cwd, input=stdin, capture_output=True, text=True, check=False)


def passes(found: subprocess.CompletedProcess[str]) -> None:
    assert found.returncode == 0, found.stdout + found.stderr


def test_imports_point_down_only() -> None:
    passes(run("-c", LINT_IMPORTS))


def test_ruff_finds_nothing() -> None:
    passes(run("-m", "ruff", "check", "--output-format", "concise", "."))


def test_the_format_is_ruff_s() -> None:
    passes(run("-m", "ruff", "format", "--check", "."))


@pytest.mark.long
def test_types_are_strict() -> None:
    passes(run("-m", "mypy"))


PURE = "layers/atomic/atomic/domain/planted.py"
USE_CASE = "layers/atomic/atomic/application/planted.py"
ADAPTER = "layers/atomic/atomic/adapters/planted.py"
IMPURE = {
    "random": "import random\n\nprint(random.random())\n",
    "secrets": "from secrets import token_hex\n\nprint(token_hex())\n",
    "uuid": "import uuid\n\nprint(uuid.uuid4())\n",
    "clock": "import time\n\nprint(time.time())\n",
    "clock by name": "from time import time\n\nprint(time())\n",
    "sleep": "import time\n\ntime.sleep(1)\n",
    "web": "import urllib.request\n\nprint(urllib.request.urlopen)\n",
    "now": "import datetime\n\nprint(datetime.datetime.now(datetime.UTC))\n",
    "now by name": "from datetime import UTC, datetime\n\nprint(datetime.now(UTC))\n",
}


def banned(source: str, path: str) -> bool:
    """Whether ruff, with the settings of this repository, rejects the source at that path."""
    found = run(
        "-m", "ruff", "check", "--output-format", "concise", "--stdin-filename", path, "-", stdin=source
    )
    assert found.returncode in {0, 1}, found.stderr
    return "TID251" in found.stdout


@pytest.mark.parametrize("path", [PURE, USE_CASE, "layers/atomic/atomic/protocol/planted.py"])
@pytest.mark.parametrize("source", IMPURE.values(), ids=IMPURE.keys())
def test_clock_and_randomness_are_banned_in_the_engine(path: str, source: str) -> None:
    assert banned(source, path)


@pytest.mark.parametrize("path", [PURE, USE_CASE, ADAPTER])
def test_an_ordinary_module_is_accepted(path: str) -> None:
    assert not banned('"""Nothing."""\n\nimport json\n\nprint(json.dumps(1))\n', path)


def test_adapters_may_read_the_clock() -> None:
    assert not banned(IMPURE["clock"], ADAPTER)


def lint_with(tmp_path: Path, planted: str, source: str) -> str:
    """The output of import-linter for a copy of the package with one more file, which it must reject."""
    package = tmp_path / "atomic"
    shutil.copytree(REPO / "layers/atomic/atomic", package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(REPO / "pyproject.toml", tmp_path)
    (package / planted).parent.mkdir(exist_ok=True)
    (package / planted).write_text(source)
    # The copy is imported instead of the installed package, because the working directory is first in
    # `sys.path`.
    found = run("-c", LINT_IMPORTS, cwd=tmp_path)
    assert found.returncode == 1, found.stdout + found.stderr
    return found.stdout


@pytest.mark.parametrize(
    ("room", "line", "contract"),
    [
        ("domain", "import atomic.application.ports", "imports point down only"),
        ("protocol", "import atomic.domain.steps", "imports point down only"),
        ("application", "import atomic.adapters", "imports point down only"),
        ("adapters/http", "import atomic.adapters.sqlite", "Adapters do not know each other"),
        ("entrypoints/embedded", "import atomic.adapters.aws.config", "Only what runs on AWS needs boto"),
        ("entrypoints/embedded", "import atomic.adapters.sqlite.store", "said in one place"),
        ("cli", "import atomic.adapters.sqlite.store", "said in one place"),
        ("runtime", "import atomic.adapters.sqlite.store", "The runtime does not know its store"),
        ("runtime", "import atomic.entrypoints.log_policy", "imports point down only"),
        ("entrypoints/http_api", "import atomic.entrypoints.embedded", "Inside the entrypoints"),
        ("protocol", "import os", "Pure rooms do no I/O"),
        ("domain", "from time import time", "Pure rooms do no I/O"),
        ("domain", "import asyncio", "Pure rooms do no I/O"),
        ("application", "import sqlite3", "Use cases reach the world through ports"),
        ("application", "from atomic.protocol.problems import Problem", "Use cases know nothing of HTTP"),
        ("cli", "import atomic.protocol.problems", "Use cases know nothing of HTTP"),
    ],
)
def test_a_planted_import_is_found(tmp_path: Path, room: str, line: str, contract: str) -> None:
    broken = lint_with(tmp_path, f"{room}/planted.py", f"{line}\n").partition("Broken contracts")[2]
    assert contract in broken
    assert f"atomic.{room}.planted".replace("/", ".") in broken


def test_a_folder_without_an_import_rule_is_found(tmp_path: Path) -> None:
    assert "helpers" in lint_with(tmp_path, "helpers/__init__.py", "")
