"""The syntax tree of a program, and its source as Python."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

_INDENT: Final = "    "
ENTRY: Final = "main"


@dataclass(frozen=True, slots=True)
class Line:
    """One statement on one line."""

    text: str


@dataclass(frozen=True, slots=True)
class Block:
    """A compound statement: its clauses, each a header and a body."""

    clauses: tuple[tuple[str, "Body"], ...]


Statement = Line | Block
Body = tuple[Statement, ...]


@dataclass(frozen=True, slots=True)
class Function:
    """A workflow."""

    name: str
    is_async: bool
    body: Body

    def lines(self) -> Iterator[str]:
        """Its source."""
        yield f"{'async ' if self.is_async else ''}def {self.name}(ctx, n: int):"
        yield from _lines(self.body, 1)


@dataclass(frozen=True, slots=True)
class Program:
    """Workflows that call each other. `main` is started with `payload`."""

    functions: tuple[Function, ...]
    payload: int

    @property
    def source(self) -> str:
        """The program as a module."""
        lines = ["from programs.library import *"]
        for function in self.functions:
            lines += ["", "", *function.lines()]
        return "\n".join([*lines, ""])

    def smaller(self) -> Iterator["Program"]:
        """The programs with one part of this one left out, largest parts first.

        A function stays as long as another one names it: otherwise the program fails with a NameError.
        """
        for number, function in enumerate(self.functions):
            others = (*self.functions[:number], *self.functions[number + 1 :])
            is_named = any(function.name in line for other in others for line in other.lines())
            if function.name != ENTRY and not is_named:
                yield replace(self, functions=others)
        for number, function in enumerate(self.functions):
            for body in _smaller(function.body):
                changed = replace(function, body=body)
                functions = (*self.functions[:number], changed, *self.functions[number + 1 :])
                yield replace(self, functions=functions)
        for payload in range(self.payload):
            yield replace(self, payload=payload)


def _lines(body: Body, depth: int) -> Iterator[str]:
    for statement in body or (Line("pass"),):
        if isinstance(statement, Line):
            yield _INDENT * depth + statement.text
        else:
            for header, inner in statement.clauses:
                yield _INDENT * depth + header
                yield from _lines(inner, depth + 1)


def _smaller(body: Body) -> Iterator[Body]:
    for number, statement in enumerate(body):
        before, after = body[:number], body[number + 1 :]
        yield (*before, *after)
        if isinstance(statement, Block):
            for instead in _simpler(statement):
                yield (*before, *instead, *after)


def _simpler(block: Block) -> Iterator[Body]:
    """What can replace a block: one of its bodies, or the block with less in it."""
    for number, (header, body) in enumerate(block.clauses):
        before, after = block.clauses[:number], block.clauses[number + 1 :]
        yield body
        if len(block.clauses) > 1:
            yield (Block((*before, *after)),)
        for inner in _smaller(body):
            yield (Block((*before, (header, inner), *after)),)
