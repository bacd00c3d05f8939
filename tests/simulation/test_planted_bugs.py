"""The laws work: each planted bug is found within 1,000 seeds."""

import pytest

from simulation.interleave import LawBroken
from simulation.planted import PLANTED
from simulation.simulate import play

FOUND_WITHIN = 1_000


@pytest.mark.parametrize("planted", PLANTED)
def test_a_planted_bug_is_found(planted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patching:
        for owner, name, bug in PLANTED[planted]:
            patching.setattr(owner, name, bug)
        seed, failure = _first_broken()
    print(f"{planted}: seed {seed}: {str(failure).splitlines()[1]}")

    # The control: without the bug, the seed breaks no law.
    play(seed)


def _first_broken() -> tuple[int, LawBroken]:
    for seed in range(FOUND_WITHIN):
        try:
            play(seed)
        except LawBroken as failure:
            return seed, failure
    pytest.fail(f"{FOUND_WITHIN} seeds did not find it")
