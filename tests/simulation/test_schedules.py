"""The laws of schedules hold under every fault, and each planted bug breaks one within 1,000 seeds."""

import os
from collections import Counter

import pytest

from simulation.faults import RATES
from simulation.interleave import LawBroken
from simulation.planted_in_schedules import PLANTED_IN_SCHEDULES
from simulation.planting import plant
from simulation.play_schedules import play_schedules
from simulation.scheduling import HOOK

SEEDS = int(os.environ.get("SCHEDULE_SEEDS", "500"))
FOUND_WITHIN = 1_000
# Faults of handlers and callers, which schedules do not have.
_OTHERS = {"endpoint fails", "endpoint waits", "retry after", "forbids retry", "caller goes away"} | {
    "posts twice",
    "other payload",
    "handler fails",
}


def test_each_slot_has_one_run() -> None:
    happened: Counter[str] = Counter()
    runs = gaps = 0
    for seed in range(SEEDS):
        world = play_schedules(seed)
        happened += world.faults.happened
        runs += len(world.truth.fired)
        gaps += sum(row.spec.hook == HOOK.name for row in world.truth.rows.values())
    assert runs > SEEDS
    assert gaps > SEEDS / 50
    assert happened.keys() >= RATES.keys() - _OTHERS


@pytest.mark.parametrize("planted", PLANTED_IN_SCHEDULES)
def test_a_planted_bug_is_found(planted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patching:
        for patch in PLANTED_IN_SCHEDULES[planted]:
            plant(patching, *patch)
        seed, failure = _first_broken()
    print(f"{planted}: seed {seed}: {str(failure).splitlines()[1]}")

    # The control: without the bug, the seed breaks no law.
    play_schedules(seed)


def _first_broken() -> tuple[int, LawBroken]:
    for seed in range(FOUND_WITHIN):
        try:
            play_schedules(seed)
        except LawBroken as failure:
            return seed, failure
    pytest.fail(f"{FOUND_WITHIN} seeds did not find it")
