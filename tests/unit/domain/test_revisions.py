"""Revisions of runs name every step that changed, and few others."""

import random
import re
from dataclasses import dataclass, replace

import pytest

from atomic.domain.revisions import changed_since, read_revision, revision_of


@dataclass(frozen=True)
class Row:
    id: str
    version: int = 1


def test_every_step_that_changed_is_named() -> None:
    dice = random.Random(11)
    rows = [Row(f"run_1-{number:032x}") for number in range(1000)]
    for _ in range(50):
        revision = read_revision(revision_of(7, rows).as_text())
        assert revision.created_at_ms == 7
        assert changed_since(revision, revision_of(7, rows), rows) == []
        written = {dice.randrange(len(rows)) for _ in range(dice.randrange(1, 6))}
        rows = [
            replace(row, version=row.version + dice.randrange(1, 4)) if at in written else row
            for at, row in enumerate(rows)
        ]
        rows.append(Row(f"run_1-{len(rows):032x}"))
        named = changed_since(revision, revision_of(7, rows), rows)
        assert {rows[at].id for at in written} | {rows[-1].id} <= set(named)
        assert len(named) < 60


def test_a_reader_without_steps_is_told_of_all() -> None:
    rows = [Row("run_1-a"), Row("run_1-b", 3)]
    now = revision_of(1, rows)
    assert changed_since(revision_of(1, []), now, rows) == ["run_1-a", "run_1-b"]
    assert len(now.as_text()) < 72


@pytest.mark.parametrize("text", ["x", "ä", "====", revision_of(1, []).as_text()[:-6], "eJwDAAAAAAE"])
def test_other_texts_are_no_revision(text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(text)):
        read_revision(text)
