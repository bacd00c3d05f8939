"""The laws of flow control under crashes, and the planted faults that they must find."""

import pytest

from simulation.flow_world import play
from simulation.planted_in_flow import PLANTED
from simulation.planting import plant
from simulation.regressions import FLOW

SEEDS = range(12)
# A planted fault is found within so many seeds.
FOUND_WITHIN = range(12)


@pytest.mark.parametrize("seed", [*SEEDS, *FLOW])
def test_the_laws_hold(seed: int) -> None:
    assert play(seed).broken == []


def test_the_seeds_have_crashes_and_calls() -> None:
    worlds = [play(seed) for seed in SEEDS[:4]]
    assert sum(world.crashes for world in worlds) > 0
    assert all(world.calls > 20 for world in worlds)


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_fault_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module, attribute, planted in PLANTED[name]:
        plant(monkeypatch, module, attribute, planted)
    assert any(play(seed).broken for seed in FOUND_WITHIN)
