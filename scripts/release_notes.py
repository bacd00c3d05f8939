"""Prints what a release says of itself: the summary below its heading in CHANGELOG.md.

python scripts/release_notes.py 1.2.3
"""

import re
import sys
from pathlib import Path
from typing import Final

CHANGELOG: Final = Path(__file__).resolve().parents[1] / "CHANGELOG.md"


def notes(changelog: str, version: str) -> str:
    """The text between the version's heading and the next one. Raises ValueError if there is none."""
    found = re.search(
        rf"^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d\n(.*?)(?=^##|\Z)",
        changelog,
        re.DOTALL | re.MULTILINE,
    )
    if found is None or not found[1].strip():
        raise ValueError(f"CHANGELOG.md has no dated heading of {version} with a summary below it")
    return found[1].strip() + "\n"


if __name__ == "__main__":
    try:
        print(notes(CHANGELOG.read_text(), sys.argv[1]), end="")
    except ValueError as refused:
        sys.exit(f"no notes: {refused}")
