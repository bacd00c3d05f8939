"""The commands in the header of an example, and a terminal for them."""

import ast
import io
import shutil
import time
import tokenize
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from atomic import Client
from docs.terminal import Terminal, commands_of, terminal

EXAMPLES = Path(__file__).parents[2] / "examples"


def commands_in(name: str) -> list[str]:
    """The commands in an example's header, without the installation."""
    header = ast.get_docstring(ast.parse((EXAMPLES / name).read_text())) or ""
    indented = [line for line in header.splitlines() if line.startswith("    ")]
    return [command for command in commands_of("\n".join(indented)) if not command.startswith("pip ")]


@contextmanager
def open_terminal(folder: Path) -> Iterator[Terminal]:
    """A terminal in a folder that holds only the examples."""
    for source in EXAMPLES.glob("*.py"):
        shutil.copy(source, folder)
    with terminal(folder) as opened:
        yield opened


def client_of(typed: Terminal, client_id: str = "dev") -> Client:
    """A client of the server that runs in a terminal."""
    return Client(typed.moved("http://127.0.0.1:8787"), client_id=client_id)


def wait_until(is_met: Callable[[], bool], within_s: float = 30) -> None:
    """Wait for a condition."""
    until = time.monotonic() + within_s
    while not is_met():
        assert time.monotonic() < until
        time.sleep(0.05)


def code_lines(source: str) -> int:
    """The lines of code of a module: not those that are empty, and no comments or docstrings."""
    documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.string.strip() and token.type != tokenize.COMMENT:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, documented) and ast.get_docstring(node) is not None:
            lines.difference_update(range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1))
    return len(lines)
