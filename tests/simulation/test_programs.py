"""A share of 1,000 random programs with light faults has exactly the effects of the model."""

from typing import Final

import pytest

from shares import slices
from simulation.interleave import LawBroken
from simulation.programs import COMMANDS_MAX, commands_of, model_of, play_program, program_of
from simulation.regressions import PROGRAMS as FOUND
from simulation.scenario import Node

PROGRAMS: Final = 1_000
SLICE: Final = 250


@pytest.mark.parametrize("first", slices(PROGRAMS, SLICE))
def test_programs_have_exactly_their_effects(first: int) -> None:
    for seed in range(first, first + SLICE):
        play_program(seed)


@pytest.mark.parametrize("seed", FOUND)
def test_seeds_that_once_failed_pass(seed: int) -> None:
    play_program(seed)


def test_every_command_is_used() -> None:
    roots = [program_of(seed).runs[0].root for seed in range(PROGRAMS)]
    commands = [child for root in roots for child in _all(root)]

    assert {model_of(root).end for root in roots} == {"succeeded", "failed", "cancelled"}
    assert max(commands_of(root) for root in roots) > COMMANDS_MAX // 2
    assert all(commands_of(root) <= COMMANDS_MAX for root in roots)
    for count in (
        sum(bool(command.stages) for command in commands),
        sum(command.cancels for command in commands),
        sum(command.broken for command in commands),
        sum(command.kind == "timer" for command in commands),
        sum(len(stage) > 1 for command in roots for stage in command.stages),
    ):
        assert count > 50


def test_a_wrong_model_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simulation.programs._walk", lambda node, effects, beside: "succeeded")
    with pytest.raises(LawBroken, match="too much"):
        play_program(0)


def _all(root: Node) -> list[Node]:
    return [node for stage in root.stages for child in stage for node in (child, *_all(child))]
