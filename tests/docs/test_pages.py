"""Every page is played by `pages.play`, or is known to be run elsewhere."""

import shutil
from pathlib import Path

import pytest

from docs.pages import DOCS, blocks_of, play
from docs.terminal import terminal

PLAYED = ("errors.md", "idempotency.md", "protocol.md", "quickstart.md", "without-sdk.md")
# By tests/sdk/test_docs.py, inside its own process: which languages it runs on which page.
RUN_ELSEWHERE = {"python.md": {"python", "text"}, "cli.md": {"sh"}}


@pytest.mark.skipif(shutil.which("curl") is None, reason="the pages' commands use curl")
@pytest.mark.parametrize("name", PLAYED)
def test_a_page_is_true(name: str, tmp_path: Path) -> None:
    with terminal(tmp_path) as opened:
        assert play(DOCS / name, opened) > 0


def test_no_code_stands_on_a_page_that_nobody_runs() -> None:
    unrun = {
        f"{page.name}: {block.text[:60]}"
        for page in DOCS.glob("*.md")
        if page.name not in PLAYED
        for block in blocks_of(page)
        if block.is_run and block.language not in RUN_ELSEWHERE.get(page.name, ())
    }
    assert unrun == set()
