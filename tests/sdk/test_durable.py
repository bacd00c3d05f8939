"""What AWS's suite for durable execution checks, on Atomic in memory and on a server, in both handlers."""

import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

import sdk.durable
from atomic.sdk import StepOutcome
from sdk.durable.flows import VARIANTS
from sdk.durable.table import COUNTS, TABLE, InTypeScript
from sdk.matrix import Case, cases_named
from sdk.test_starlette import decorated
from sdk.world import World

CASES = list(cases_named("case_", sdk.durable))
PAGE = Path(__file__).parents[2] / "docs" / "conformance.md"
RUNTIMES = {"memory": "memory_url", "embedded": "atomic_url"}


class Observed(World):
    """A world that notes the paths of the workflows that are started."""

    def __init__(self, atomic_url: str) -> None:
        super().__init__(atomic_url, decorated)
        self.started: set[str] = set()

    def start(self, path: str, payload: Any = None, **options: Any) -> StepOutcome:
        """Start a workflow, and note its path."""
        self.started.add(path)
        return super().start(path, payload, **options)


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__.removeprefix("case_"))
def test_durable(case: Case, runtime: str, request: pytest.FixtureRequest) -> None:
    world = Observed(request.getfixturevalue(RUNTIMES[runtime]))
    try:
        case(world)
    finally:
        world.close()
    started = [{path for path in world.started if path.startswith(f"/{variant}/")} for variant in VARIANTS]
    blocking, asynchronous = ({path.split("/", 2)[2] for path in paths} for paths in started)
    assert blocking == asynchronous != set()
    assert set(chain(*started)) == world.started


def test_the_table_has_every_number_of_the_suite() -> None:
    assert [list(category.rows) for category in TABLE] == [[*range(1, count + 1)] for count in COUNTS]
    assert [category.number for category in TABLE] == [*range(1, len(COUNTS) + 1)]
    assert sum(COUNTS) == 155


def test_each_number_has_a_case_that_runs_or_a_reason() -> None:
    covering = [
        case for category in TABLE for _, case in category.rows.values() if not isinstance(case, str)
    ]
    assert {*covering} == {*CASES}
    assert all(why for category in TABLE for why in category.left_out.values())


def test_the_page_says_what_the_tables_say() -> None:
    page = PAGE.read_text()
    typescript = [InTypeScript.of(category) for category in TABLE]
    lines = [line for line in page.splitlines() if re.match(r"\| \d+ \| ", line)]
    assert lines == [category.summary(beside) for category, beside in zip(TABLE, typescript, strict=True)]
    _, in_python, in_typescript = page.split("## What is left out in ")
    for said, tables in ((in_python, TABLE), (in_typescript, typescript)):
        left_out = dict(chain(*(category.left_out.items() for category in tables)))
        assert dict(left_out_on(said)) == left_out
        assert f"{sum(COUNTS) - len(left_out)} of the {sum(COUNTS)}" in page


def left_out_on(page: str) -> Iterator[tuple[str, str]]:
    """The numbers that a list names, one by one or as "10-1 to 10-7", with the reasons."""
    for category, first, last, why in re.findall(
        r"^- (\d+)-(\d+)(?: to \d+-(\d+))?: (.*)\.$", page, re.MULTILINE
    ):
        for row in range(int(first), int(last or first) + 1):
            yield f"{category}-{row}", why
