"""The laws work: each planted bug is found within 1,000 seeds."""

import re
from pathlib import Path
from typing import Final

import pytest

from atomic.domain import transitions
from simulation.interleave import LawBroken
from simulation.planted import PLANTED, PLANTED_IN_ANSWERS, PLANTED_IN_LOSSES, PLANTED_IN_MEMORY, Patch
from simulation.planted_in_adaptive import PLANTED_IN_ADAPTIVE
from simulation.planted_in_due import PLANTED_IN_DUE
from simulation.planted_in_hooks import PLANTED_IN_HOOKS
from simulation.planted_in_links import PLANTED_IN_LINKS
from simulation.planted_in_pauses import PLANTED_IN_PAUSES
from simulation.planted_in_workflow_pauses import PLANTED_IN_WORKFLOW_PAUSES
from simulation.planting import plant
from simulation.simulate import play

FOUND_WITHIN: Final = 1_000
PAGE: Final = Path(__file__).parents[2] / "docs" / "reliability.md"


@pytest.mark.parametrize("planted", PLANTED)
def test_a_planted_bug_is_found(planted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _find(planted, PLANTED[planted], monkeypatch)


@pytest.mark.parametrize("planted", PLANTED_IN_MEMORY)
def test_one_in_what_handlers_remember_is_found(planted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _find(planted, PLANTED_IN_MEMORY[planted], monkeypatch, remembers=True)


@pytest.mark.parametrize("planted", PLANTED_IN_ANSWERS)
def test_one_in_answers_that_come_later_is_found(planted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _find(planted, PLANTED_IN_ANSWERS[planted], monkeypatch, answers_later=True)


@pytest.mark.parametrize("planted", PLANTED_IN_LOSSES)
def test_one_in_calls_at_most_once_is_found(planted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _find(planted, PLANTED_IN_LOSSES[planted], monkeypatch, at_most_once=True)


@pytest.mark.parametrize("planted", PLANTED_IN_LINKS)
def test_one_in_child_runs_is_found(planted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _find(planted, PLANTED_IN_LINKS[planted], monkeypatch, starts_runs=True)


@pytest.mark.parametrize("planted", PLANTED_IN_DUE)
def test_one_in_start_times_is_found(planted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _find(planted, PLANTED_IN_DUE[planted], monkeypatch, makes_due=True)


@pytest.mark.parametrize("planted", PLANTED_IN_ADAPTIVE)
def test_one_in_adaptive_limits_is_found(planted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _find(planted, PLANTED_IN_ADAPTIVE[planted], monkeypatch, adapts=True)


@pytest.mark.parametrize("planted", PLANTED_IN_PAUSES)
def test_one_in_pauses_is_found(planted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _find(planted, PLANTED_IN_PAUSES[planted], monkeypatch, pauses=True)


@pytest.mark.parametrize("planted", PLANTED_IN_WORKFLOW_PAUSES)
def test_one_in_pauses_of_workflows_is_found(planted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _find(planted, PLANTED_IN_WORKFLOW_PAUSES[planted], monkeypatch, pauses_workflows=True)


@pytest.mark.parametrize("planted", PLANTED_IN_HOOKS)
def test_one_in_hooks_is_found(planted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _find(planted, PLANTED_IN_HOOKS[planted], monkeypatch, hooks=True)


def test_a_bug_that_cannot_be_called_like_its_function_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TypeError, match="too many positional arguments"):
        plant(monkeypatch, transitions, "woken", lambda step, now_ms: step)


def test_the_page_lists_all_of_them() -> None:
    page = PAGE.read_text()
    listed = page[page.index("| bug | ") : page.index("## What it found")]
    planted = PLANTED | PLANTED_IN_MEMORY | PLANTED_IN_ANSWERS | PLANTED_IN_LOSSES | PLANTED_IN_LINKS
    planted |= PLANTED_IN_DUE | PLANTED_IN_ADAPTIVE | PLANTED_IN_PAUSES
    planted |= PLANTED_IN_WORKFLOW_PAUSES | PLANTED_IN_HOOKS
    assert re.findall(r"^\| (.*) \| \d+ \|$", listed, re.MULTILINE) == list(planted)
    told = f"{len(PLANTED_IN_LINKS)} of them in child runs, {len(PLANTED_IN_DUE)} in start times, "
    told += f"{len(PLANTED_IN_ADAPTIVE)} in adaptive limits, {len(PLANTED_IN_PAUSES)} in pauses of runs, "
    told += f"{len(PLANTED_IN_WORKFLOW_PAUSES)} in those of workflows and {len(PLANTED_IN_HOOKS)} in hooks"
    assert f"{len(planted)} bugs, {told}" in page


def _find(planted: str, patches: list[Patch], monkeypatch: pytest.MonkeyPatch, **manner: bool) -> None:
    with monkeypatch.context() as patching:
        for patch in patches:
            plant(patching, *patch)
        seed, failure = _first_broken(**manner)
    print(f"{planted}: seed {seed}: {str(failure).splitlines()[1]}")

    # The control: without the bug, the seed breaks no law.
    play(seed, **manner)


def _first_broken(**manner: bool) -> tuple[int, LawBroken]:
    for seed in range(FOUND_WITHIN):
        try:
            play(seed, **manner)
        except LawBroken as failure:
            return seed, failure
    pytest.fail(f"{FOUND_WITHIN} seeds did not find it")
