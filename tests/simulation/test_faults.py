"""A share of 10,000 seeds with random faults, each checked against the laws of `laws.py`."""

from collections import Counter
from typing import Final

import pytest

from atomic.domain.hooks import OF_START
from atomic.protocol.enums import HOOK_EVENTS
from shares import slices
from simulation.faults import RATES
from simulation.regressions import ADAPTING as FOUND_ADAPTING
from simulation.regressions import FAULTS
from simulation.regressions import PAUSING as FOUND_PAUSING
from simulation.regressions import STARTING_RUNS as FOUND_WITH_RUNS
from simulation.simulate import play

SEEDS: Final = 10_000
SLICE: Final = 250
CROWDED: Final = 1_000
REMEMBERING: Final = 2_000
ANSWERING: Final = 2_000
AT_MOST_ONCE: Final = 1_000
STARTING_RUNS: Final = 1_000
MAKING_DUE: Final = 1_000
ADAPTING: Final = 200
PAUSING: Final = 1_000
HOOKING: Final = 150
PAUSING_WORKFLOWS: Final = 300


@pytest.mark.parametrize("first", slices(SEEDS, SLICE))
def test_no_seed_breaks_a_law(first: int) -> None:
    for seed in range(first, first + SLICE):
        play(seed)


@pytest.mark.parametrize("seed", [50, 81, 109, 144])
def test_a_seed_decides_everything(seed: int) -> None:
    """Seeds with crashes of processes that have several tasks, whose order must not depend on addresses."""
    played, kept = [], []
    for number in range(8):
        played.append(play(seed, pauses=True, starts_runs=seed % 2 == 0))
        # Other addresses for the next play.
        kept += [bytearray(100 + number) for _ in range(1_000)][::2]
    assert all(each == played[0] for each in played[1:])


@pytest.mark.parametrize("first", slices(CROWDED, SLICE))
def test_no_seed_breaks_a_law_where_destinations_are_full(first: int) -> None:
    happened: Counter[str] = Counter()
    for seed in range(first, first + SLICE):
        happened += play(seed, crowded=True).happened
    assert happened["no place"] > SLICE


@pytest.mark.parametrize("first", slices(REMEMBERING, SLICE))
def test_nor_does_one_whose_handlers_remember(first: int) -> None:
    remembered: Counter[str] = Counter()
    for seed in range(first, first + SLICE):
        remembered += play(seed, remembers=True).remembered
    assert all(remembered[name] > SLICE for name in ("values", "read", "used"))
    assert remembered["outdated"] > 0


@pytest.mark.parametrize("first", slices(ANSWERING, SLICE))
def test_nor_does_one_whose_endpoints_answer_later(first: int) -> None:
    answers: Counter[str] = Counter()
    for seed in range(first, first + SLICE):
        answers += play(seed, answers_later=True).answers
    assert answers["taken"] > SLICE
    assert answers["refused"] > 0


@pytest.mark.parametrize("first", slices(AT_MOST_ONCE, SLICE))
def test_nor_does_one_whose_steps_are_called_at_most_once(first: int) -> None:
    for seed in range(first, first + SLICE):
        play(seed, at_most_once=True)


@pytest.mark.parametrize("first", slices(STARTING_RUNS, SLICE))
def test_nor_does_one_whose_steps_are_runs_of_their_own(first: int) -> None:
    for seed in range(first, first + SLICE):
        play(seed, starts_runs=True)


@pytest.mark.parametrize("first", slices(MAKING_DUE, SLICE))
def test_nor_does_one_whose_steps_are_made_due(first: int) -> None:
    due: Counter[str] = Counter()
    for seed in range(first, first + SLICE):
        due += play(seed, makes_due=True).due
    assert due["made"] > SLICE
    assert due["refused"] > SLICE


@pytest.mark.parametrize("starts_runs", [False, True])
def test_nor_does_one_that_adapts_to_a_small_server(starts_runs: bool) -> None:
    adapted: Counter[str] = Counter()
    for seed in range(ADAPTING):
        adapted += play(seed, adapts=True, starts_runs=starts_runs).adapted
    assert all(adapted[name] > 20 for name in ("refused", "unanswered", "waited"))


@pytest.mark.parametrize("first", slices(PAUSING, SLICE))
def test_nor_does_one_whose_runs_are_paused(first: int) -> None:
    pauses: Counter[str] = Counter()
    for seed in range(first, first + SLICE):
        pauses += play(seed, pauses=True, starts_runs=seed % 2 == 0).pauses
    assert pauses["made"] > SLICE
    assert pauses["rested"] > SLICE
    assert pauses["exhausted"] > 0


def test_nor_does_one_whose_workflows_are_paused() -> None:
    pauses: Counter[str] = Counter()
    for seed in range(PAUSING_WORKFLOWS):
        manner = {"pauses": seed % 3 == 0, "starts_runs": seed % 2 == 0}
        pauses += play(seed, pauses_workflows=True, **manner).pauses
    assert pauses["workflows"] > PAUSING_WORKFLOWS
    assert pauses["kept"] > PAUSING_WORKFLOWS


def test_nor_does_one_whose_runs_are_paused_at_a_small_server() -> None:
    seen: Counter[str] = Counter()
    for seed in range(ADAPTING):
        played = play(seed, adapts=True, pauses=True, starts_runs=seed % 2 == 0)
        seen += played.adapted + played.pauses
    assert all(seen[name] > 20 for name in ("refused", "waited", "made", "rested"))


def test_nor_does_one_whose_client_is_told_by_hooks() -> None:
    told: Counter[str] = Counter()
    for seed in range(HOOKING):
        told += play(seed, hooks=True, pauses=seed % 3 == 0, starts_runs=seed % 2 == 0).hooks
    assert told.keys() == {*HOOK_EVENTS, OF_START} - {"schedule.missed"}
    assert all(number > 5 for number in told.values())


@pytest.mark.parametrize("seed", FAULTS)
def test_seeds_that_once_failed_pass(seed: int) -> None:
    play(seed)


@pytest.mark.parametrize("seed", FOUND_WITH_RUNS)
def test_nor_do_those_that_failed_with_runs_of_their_own(seed: int) -> None:
    play(seed, starts_runs=True)


@pytest.mark.parametrize("seed", FOUND_ADAPTING)
def test_nor_do_those_that_failed_while_they_adapted(seed: int) -> None:
    play(seed, adapts=True)


@pytest.mark.parametrize("seed", FOUND_PAUSING)
def test_nor_do_those_that_failed_while_runs_were_paused(seed: int) -> None:
    play(seed, pauses=True, starts_runs=seed % 2 == 0)


def test_a_seed_is_reproducible() -> None:
    assert play(5) == play(5)


def test_each_fault_happens() -> None:
    happened = sum((play(seed).happened for seed in range(1, 200)), play(0).happened)

    assert {name for name, times in happened.items() if times >= 5} == {*RATES, "skew", "cut off"}
