"""Executes a page of the documentation: saves its files, runs its commands, compares their output.

The words after the three backticks decide what happens to a block of code. Source code whose first line is
a comment with a file name is saved to that file, or appended to it if the comment ends with ", continued".
`sh` is run in a shell; `sh exit=N` must exit with that code. `json` and `text` directly below `sh` are the
expected output of its last command, in which `…` matches anything. A block with `norun` is only shown.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from docs.terminal import Terminal, commands_of

DOCS = Path(__file__).parents[2] / "docs"
_BLOCK = re.compile(r"^( *)```([^\n]*)\n(.*?)^\1```", re.DOTALL | re.MULTILINE)
_FILE = re.compile(r"(?:#|//) (\S+\.\w+)(, continued)?\n")


@dataclass(frozen=True)
class Block:
    """A block of code.

    `words` follow the backticks; `is_below` says that it directly follows another block.
    """

    language: str
    words: tuple[str, ...]
    text: str

    @property
    def is_run(self) -> bool:
        """Whether the block is executed: it has no `norun`, and is no `{…}`, a directive of the site."""
        return "norun" not in self.words and not self.language.startswith("{")

    @property
    def exit_code(self) -> int:
        """The exit code that its last command must have."""
        found = [word.partition("=")[2] for word in self.words if word.startswith("exit=")]
        return int(found[0]) if found else 0


def blocks_of(page: Path) -> Iterator[Block]:
    """The blocks of a page, in order."""
    for _, head, text in _BLOCK.findall(page.read_text()):
        language, *words = head.split() or [""]
        yield Block(language, tuple(words), text)


def file_on(page: Path, name: str) -> str:
    """All parts of a file that the page shows, in order."""
    parts = [
        block.text for block in blocks_of(page) if (shown := _FILE.match(block.text)) and shown[1] == name
    ]
    assert parts, f"{page.name} shows no {name}"
    return "".join(parts)


def play(page: Path, terminal: Terminal) -> int:
    """Execute the page; return how many outputs were compared."""
    printed: str | None = None
    compared = 0
    for block in blocks_of(page):
        if not block.is_run:
            printed = None
        elif block.language == "sh":
            printed = _typed(block, terminal)
        elif block.language in {"json", "text"}:
            assert printed is not None, f"{page.name}: nothing was run above\n{block.text}"
            _compare(block, printed, terminal)
            printed = None
            compared += 1
        else:
            _save(block, terminal)
            printed = None
    return compared


def _typed(block: Block, terminal: Terminal) -> str:
    *first, last = commands_of(block.text)
    for command in first:
        terminal.type(command)
    return terminal.type(last, exit_code=block.exit_code)


def _save(block: Block, terminal: Terminal) -> None:
    name = _FILE.match(block.text)
    assert name is not None, f"name the file in a comment, or say norun:\n{block.text}"
    terminal.save(name[1], block.text, appended=bool(name[2]))


def _compare(block: Block, printed: str, terminal: Terminal) -> None:
    shown = terminal.moved(block.text)
    if block.language == "json":
        assert_shown(json.loads(shown), json.loads(printed))
    else:
        assert_matches(_words(shown), _words(printed))


def _words(text: str) -> str:
    """The text without alignment and line breaks, since a page may wrap a long line."""
    return " ".join(text.split())


def assert_matches(shown: str, actual: str) -> None:
    """Assert that the texts are equal; an ellipsis matches anything."""
    assert re.fullmatch(".*".join(map(re.escape, shown.split("…"))), actual, re.DOTALL), actual


def assert_shown(shown: Any, actual: Any) -> None:
    """Assert that the documents are equal.

    An ellipsis in a string matches anything; a member `…` matches further members.
    """
    if isinstance(shown, dict):
        if "…" in shown:
            shown = {name: value for name, value in shown.items() if name != "…"}
            actual = {name: value for name, value in actual.items() if name in shown}
        assert list(shown) == list(actual)
        for name, value in shown.items():
            assert_shown(value, actual[name])
    elif isinstance(shown, list):
        assert len(shown) == len(actual)
        for item, other in zip(shown, actual, strict=True):
            assert_shown(item, other)
    elif isinstance(shown, str) and "…" in shown:
        assert_matches(shown, actual if isinstance(actual, str) else json.dumps(actual))
    else:
        assert shown == actual
