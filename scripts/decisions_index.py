"""Writes docs/decisions/README.md, the index of the decision files.

    python scripts/decisions_index.py

A decision is a file `NNNN-title.md`: a heading, its status and date, and the three sections of `SECTIONS`.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parents[1] / "docs" / "decisions"
SECTIONS: Final = ("Context", "Choice", "What would change it")
_HEAD: Final = re.compile(
    r"# (?P<title>[^\n]+)\n\n- Status: (?P<status>[^\n]+)\n- Date: (?P<date>\d{4}-\d\d-\d\d)\n"
)
_REPLACED: Final = re.compile(r"superseded by \[(\d{4})\]\((\S+)\)")
_INTRODUCTION: Final = """\
# Decisions

Why Atomic is as it is. Each file has one decision: its status, the date of its last change of substance,
its context, the choice, and what would change it. A decision that no longer holds names the one that
replaced it.

A new decision takes the next number. `make decisions` writes this page from the files, and a test compares
them.

| | decision | status | date |
|---|---|---|---|
"""


@dataclass(frozen=True)
class Decision:
    """One file of the folder. `status` is Markdown, since a superseded decision links to its successor."""

    name: str
    title: str
    status: str
    date: str
    sections: dict[str, str]

    @property
    def number(self) -> str:
        """Four digits."""
        return self.name[:4]

    @property
    def replaced_by(self) -> str | None:
        """The name of the file that replaced this decision; None if it still holds."""
        found = _REPLACED.fullmatch(self.status)
        return found[2] if found and found[2].startswith(f"{found[1]}-") else None


def decision(name: str, text: str) -> Decision:
    """Read the decision in a file. Raises ValueError if the file does not begin in the required form."""
    head = _HEAD.match(text)
    if head is None:
        raise ValueError(f"{name} does not begin with a heading, its status and its date")
    first, *others = re.split(r"^## ", text[head.end() :], flags=re.MULTILINE)
    if first.strip():
        raise ValueError(f"{name} has text above its first section")
    sections = {part.partition("\n")[0]: part.partition("\n")[2].strip() for part in others}
    return Decision(name, head["title"], head["status"], head["date"], sections)


def decisions(folder: Path = FOLDER) -> list[Decision]:
    """All decisions, by number."""
    return [decision(path.name, path.read_text()) for path in sorted(folder.glob("[0-9]*.md"))]


def index(entries: list[Decision]) -> str:
    """The page that lists them."""
    rows = [
        f"| {one.number} | [{one.title}]({one.name}) | {one.status} | {one.date} |\n" for one in entries
    ]
    return _INTRODUCTION + "".join(rows)


if __name__ == "__main__":
    (FOLDER / "README.md").write_text(index(decisions()))
