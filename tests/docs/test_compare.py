"""The line counts in docs/compare.md are right, and Atomic's program in it runs."""

import ast
import importlib
import re
from pathlib import Path
from typing import Any

import pytest

from atomic import Client
from docs.pages import DOCS, blocks_of
from scenarios.embedded_runtime import AtomicServer
from sdk.threads import asgi_server

PROGRAMS = Path(__file__).parents[2] / "benchmarks" / "line_by_line"


def lines_of(path: Path) -> int:
    """Lines that are not blank."""
    return sum(bool(line.strip()) for line in path.read_text().splitlines())


def body_of(path: Path) -> int:
    """The lines of the workflow, without its decorators and its `def`."""
    [create] = [
        node
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    return (create.end_lineno or 0) - create.lineno


def test_the_table_has_the_line_counts_of_the_files() -> None:
    rows = re.findall(
        r"^\| (\w+)[^|]*\| (\d+) \| (\d+) \|", (DOCS / "compare.md").read_text(), re.MULTILINE
    )
    said = {name.lower(): (int(lines), int(body)) for name, lines, body in rows}
    counted = {
        path.stem.removeprefix("with_"): (lines_of(path), body_of(path))
        for path in PROGRAMS.glob("with_*.py")
    }
    assert said == counted


def test_the_readme_has_the_same_line_counts() -> None:
    lines = {path.stem: lines_of(path) for path in PROGRAMS.glob("with_*.py")}
    assert lines.pop("with_atomic") == 10
    said = f"[Ten lines where others take {min(lines.values())} to {max(lines.values())}]"
    assert said in (DOCS.parent / "README.md").read_text()


@pytest.mark.parametrize(
    "page", [DOCS / "compare.md", DOCS.parent / "README.md"], ids=lambda page: page.name
)
def test_our_program_is_shown(page: Path) -> None:
    program = (PROGRAMS / "with_atomic.py").read_text()
    [shown] = [block.text for block in blocks_of(page) if "Endpoints(app" in block.text]
    assert program.endswith(shown)


def test_our_program_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(PROGRAMS)
    server = AtomicServer(tmp_path / "data")
    server.start()
    monkeypatch.setenv("ATOMIC_URL", server.url)
    program: Any = importlib.import_module("with_atomic")
    try:
        with asgi_server(program.app) as url, Client() as client:
            outcome = client.start("createUser", f"{url}/users/create", "ada", key="ada-1")
    finally:
        server.stop()
    assert outcome.response == {"user": {"id": 1, "name": "ada"}, "mail": "mail to ada"}
