"""The README runs as shown, the commands that it names exist, and no document has a broken link."""

import re
import shutil
from pathlib import Path

import pytest

from docs.pages import play
from docs.terminal import terminal

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


@pytest.mark.skipif(shutil.which("curl") is None, reason="the README's commands use curl")
def test_the_readme_runs_as_shown(tmp_path: Path) -> None:
    with terminal(tmp_path) as opened:
        assert play(ROOT / "README.md", opened) == 3


def test_commands_of_the_project_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"\bmake ([a-z-]+)", README))
    assert named <= targets
    assert {"demo", "test", "serve"} <= named


def test_links_inside_the_project_are_not_broken() -> None:
    for document in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")):
        prose = re.sub(r"^```.*?^```", "", document.read_text(), flags=re.DOTALL | re.MULTILINE)
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", prose):
            # One with brackets in its name is in angle brackets.
            named = target.removeprefix("<").removesuffix(">")
            assert (document.parent / named).exists(), f"{document.name}: {target}"
