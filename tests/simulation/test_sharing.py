"""The laws of singletons and debounce under crashes, and the planted faults that they must find."""

import pytest

from simulation.planted_in_sharing import PLANTED
from simulation.planting import plant
from simulation.sharing_world import play

SEEDS = range(12)
# A planted fault is found within so many seeds.
FOUND_WITHIN = range(24)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_laws_hold(seed: int) -> None:
    assert play(seed).broken == []


def test_the_seeds_have_crashes_and_runs_that_give_way() -> None:
    worlds = [play(seed) for seed in SEEDS[:4]]
    assert min(sum(world.crashes for world in worlds), sum(world.gave_way for world in worlds)) > 0
    assert all(world.left_out and world.attached and len(world.called) > 10 for world in worlds)
    assert sum(len(world.restarted) for world in worlds) > 10


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_fault_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for owner, attribute, fault in PLANTED[name]:
        plant(monkeypatch, owner, attribute, fault)
    assert any(play(seed).broken for seed in FOUND_WITHIN)
