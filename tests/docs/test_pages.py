"""Every page with code is executed by `pages.play`."""

import re
import shutil
from pathlib import Path

import click
import pytest

from atomic.cli.main import main
from docs.pages import DOCS, blocks_of, play
from docs.terminal import terminal

PLAYED = (
    "bulk.md",
    "cli.md",
    "encryption.md",
    "errors.md",
    "flow.md",
    "hooks.md",
    "idempotency.md",
    "locked.md",
    "operations.md",
    "protocol.md",
    "python.md",
    "quickstart-http.md",
    "quickstart.md",
    "schedules.md",
    "testing.md",
    "tracing.md",
    "without-sdk.md",
)

# Their programs need Node: tests/typescript plays them.
PLAYED_ELSEWHERE = (
    "large-payloads.md",
    "migrating.md",
    "nested.md",
    "quickstart-typescript.md",
    "retries.md",
    "typescript.md",
    "versions.md",
    "waiting.md",
)


@pytest.mark.skipif(shutil.which("curl") is None, reason="the pages' commands use curl")
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.long] if name == "python.md" else []) for name in PLAYED]
)
def test_a_page_runs_as_shown(name: str, tmp_path: Path) -> None:
    with terminal(tmp_path) as opened:
        assert play(DOCS / name, opened) > 0


def test_every_page_with_code_is_executed() -> None:
    unrun = {
        f"{page.name}: {block.text[:60]}"
        for page in DOCS.rglob("*.md")
        if page.name not in {*PLAYED, *PLAYED_ELSEWHERE}
        for block in blocks_of(page)
        if block.is_run
    }
    assert unrun == set()


def test_every_command_is_on_its_page() -> None:
    said = set(re.findall(r"^\| `atomic ([a-z-]+)", (DOCS / "cli.md").read_text(), re.MULTILINE))
    assert said == set(main.list_commands(click.Context(main)))
