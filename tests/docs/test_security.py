"""Each threat of docs/security.md names tests that exist."""

import re
from itertools import product
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROWS = [
    [cell.strip() for cell in line.strip("|").split(" | ")]
    for line in (ROOT / "docs/security.md")
    .read_text()
    .partition("\n## Callers and their keys\n")[2]
    .splitlines()
    if line.startswith("| ") and not line.startswith("| threat ")
]


def paths_in(text: str) -> set[str]:
    """The paths of tests in a text; `{a,b}` in one stands for both."""
    found: set[str] = set()
    for path in re.findall(r"`(tests/[^`]+)`", text):
        parts = [part.strip("{}").split(",") for part in re.split(r"(\{[^}]+\})", path)]
        found |= {"".join(choice) for choice in product(*parts)}
    return found


def test_every_threat_has_a_test() -> None:
    assert len(ROWS) > 30
    assert {row[0] for row in ROWS if not paths_in(row[2])} == set()


def test_the_tests_exist() -> None:
    named = {path for row in ROWS for path in paths_in(row[2])}
    assert {path for path in named if not (ROOT / path).is_file()} == set()
