"""Limits of size: 400 lines for a module, 60 for a function."""

import ast
from pathlib import Path

import pytest

REPO = Path(__file__).parents[2]
MODULE_MAX, FUNCTION_MAX = 400, 60


SOURCES = [
    path for root in ("layers/atomic/atomic", "examples") for path in sorted((REPO / root).rglob("*.py"))
]


def too_long(source: str) -> list[str]:
    """What is longer than the limits allow: the module, and functions by name and line."""
    found = []
    lines = source.count("\n")
    if lines > MODULE_MAX:
        found.append(f"module: {lines} lines")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > FUNCTION_MAX:
                found.append(f"{node.name} in line {node.lineno}: {length} lines")
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(REPO)))
def test_modules_and_functions_are_within_the_limits(path: Path) -> None:
    assert too_long(path.read_text()) == []


def function(lines: int, head: str = "def f") -> str:
    """The source of a function with that many lines."""
    return f"{head}():\n" + "    x = 1\n" * (lines - 1)


@pytest.mark.parametrize("head", ["def f", "async def f"])
def test_a_function_ends_at_sixty_lines(head: str) -> None:
    assert too_long(function(60, head)) == []
    assert too_long(function(61, head)) == ["f in line 1: 61 lines"]


def test_a_method_counts_and_so_does_a_function_in_a_function() -> None:
    method = "class C:\n    " + function(61).replace("\n    ", "\n        ")
    assert too_long(method) == ["f in line 2: 61 lines"]
    inner = "def g():\n    " + function(61).replace("\n    ", "\n        ")
    assert {line.split()[0] for line in too_long(inner)} == {"f", "g"}


def test_a_module_ends_at_four_hundred_lines() -> None:
    assert too_long("x = 1\n" * 400) == []
    assert too_long("x = 1\n" * 401) == ["module: 401 lines"]


def test_files_are_found() -> None:
    assert len(SOURCES) > 20
