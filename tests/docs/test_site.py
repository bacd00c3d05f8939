"""`make site` builds without a warning, and the site loads nothing from other hosts."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).parents[2]
BUILD = ["-m", "sphinx", "-q", "-W", "--keep-going", "-n", "-b", "html"]


def build(source: Path, target: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *BUILD, str(source), str(target)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.long
def test_the_site_is_built(tmp_path: Path) -> None:
    built = build(REPO / "docs", tmp_path)
    assert built.returncode == 0, built.stderr
    pages = {page.relative_to(REPO / "docs").with_suffix(".html") for page in (REPO / "docs").rglob("*.md")}
    assert pages <= {page.relative_to(tmp_path) for page in tmp_path.rglob("*.html")}
    for page in (*tmp_path.rglob("*.html"), *tmp_path.rglob("*.css")):
        text = page.read_text()
        fetched = re.findall(r'<(?:link|script|img)[^>]*(?:href|src)="https?://[^"]*"', text)
        assert fetched + re.findall(r"url\(['\"]?https?://|@import", text) == [], page.name


def test_a_broken_link_breaks_the_build(tmp_path: Path) -> None:
    source = tmp_path / "docs"
    source.mkdir()
    (source / "conf.py").write_text((REPO / "docs" / "conf.py").read_text())
    (source / "index.md").write_text("# Runtime\n\n[nowhere](missing.md) [part](#not-there)\n")
    built = build(source, tmp_path / "site")
    assert built.returncode != 0
    assert "missing.md" in built.stderr
    assert "not-there" in built.stderr


def test_the_pages_stand_under_the_five_kinds() -> None:
    index = (REPO / "docs" / "index.md").read_text()
    captions = re.findall(r"^:caption: (.+)$", index, re.MULTILINE)
    assert captions == ["Tutorials", "How-to guides", "Operations", "Reference", "Explanation"]


def test_the_make_target_is_as_strict() -> None:
    makefile = (REPO / "Makefile").read_text()
    assert "sphinx -q -W --keep-going -n -b html docs" in makefile
