"""The line counts in docs/compare.md are right, and Atomic's program in it runs."""

import ast
import importlib
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from atomic import Client
from docs.pages import DOCS, blocks_of
from scenarios.embedded_runtime import AtomicServer
from sdk.threads import asgi_server

# How the workflow begins in each of the TypeScript programs.
HEAD = re.compile(r"async (?:function (?:create|run)\b.*|\((?:ctx|\{ event).*\) =>) \{$")
PROGRAMS = Path(__file__).parents[2] / "benchmarks" / "line_by_line"
TYPESCRIPT = PROGRAMS / "typescript"


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


def body_in_typescript(path: Path) -> int:
    """The lines of the workflow, from the one after its head to its result."""
    lines = [line for line in path.read_text().splitlines() if line.strip()]
    [head] = [at for at, line in enumerate(lines) if HEAD.search(line)]
    end = next(at for at in range(head, len(lines)) if lines[at].startswith("  return "))
    return end - head


@pytest.mark.parametrize(
    ("part", "programs", "body"),
    [(0, PROGRAMS.glob("with_*.py"), body_of), (1, TYPESCRIPT.glob("with_*.ts"), body_in_typescript)],
    ids=["Python", "TypeScript"],
)
def test_the_table_has_the_line_counts_of_the_files(
    part: int, programs: Iterator[Path], body: Callable[[Path], int]
) -> None:
    text = (DOCS / "compare.md").read_text().split("## In TypeScript")[part]
    rows = re.findall(r"^\| (\w+)[^|]*\| (\d+) \| (\d+) \|", text, re.MULTILINE)
    said = {name.lower(): (int(lines), int(own)) for name, lines, own in rows}
    counted = {path.stem.removeprefix("with_"): (lines_of(path), body(path)) for path in programs}
    assert len(said) >= 5
    assert said == counted


def test_the_packages_are_those_that_were_checked() -> None:
    pinned = json.loads((TYPESCRIPT / "package.json").read_text())["dependencies"]
    text = (DOCS / "compare.md").read_text().split("## In TypeScript")[1]
    named = dict(re.findall(r"^\| \w+ \((\S+) ([\d.]+)\)", text, re.MULTILINE))
    assert len(named) == 5
    assert named.items() <= pinned.items()


def test_the_readme_has_the_same_line_counts() -> None:
    lines = {path.stem: lines_of(path) for path in PROGRAMS.glob("with_*.py")}
    assert lines.pop("with_atomic") == 10
    said = f"[Ten lines where others take {min(lines.values())} to {max(lines.values())}]"
    assert said in (DOCS.parent / "README.md").read_text()


def test_our_program_is_shown() -> None:
    program = (PROGRAMS / "with_atomic.py").read_text()
    [shown] = [block.text for block in blocks_of(DOCS / "compare.md") if "Endpoints(app" in block.text]
    assert program.endswith(shown)


def test_our_program_in_typescript_is_shown() -> None:
    program = (TYPESCRIPT / "with_atomic.ts").read_text()
    [shown] = [block.text for block in blocks_of(DOCS / "compare.md") if block.language == "ts"]
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
