"""Flow control on AWS, request by request: its laws, and the planted faults that they must find."""

import pytest

from simulation.flow_races import race
from simulation.flow_world import play
from simulation.planted_in_flow_table import FOUND_BY, PLANTED
from simulation.planting import plant

SEEDS = range(12)
FOUND_WITHIN = range(40)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("strikes", [False, True], ids=["undisturbed", "failing"])
def test_steps_that_race_for_a_key_all_get_their_turn(seed: int, strikes: bool) -> None:
    assert race(seed, strikes=strikes).broken == []


@pytest.mark.parametrize("seed", [*range(5), 120])
def test_the_laws_of_flow_control_hold_on_the_table(seed: int) -> None:
    world = play(seed, on_table=True)
    assert world.broken == []
    assert world.calls > 20


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_fault_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch, *PLANTED[name])
    assert any(race(seed).broken for seed in (FOUND_BY.get(name, 1), *FOUND_WITHIN))


def test_steps_that_do_not_meet_cost_what_they_must() -> None:
    # 16 steps of three attempts each; many of them wait in line, and some requests are refused.
    assert race(0, strikes=False).table.requests < 16 * 3 * 16
