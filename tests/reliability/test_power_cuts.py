"""A power cut loses nothing that was acknowledged; without syncs it does."""

import random
from pathlib import Path

import pytest

from reliability.power_cuts import CONTROL, FULL, campaign, lives

CUTS = 60
CONTROL_CUTS = 20
# Seeds that once failed are always run (this one found only mistakes of the test itself).
KEPT_SEEDS = [1]


def test_no_cut_loses_an_acknowledged_row(tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    found = campaign(CUTS, seed, tmp_path, FULL)
    assert found.failures == []
    assert found.acknowledged > 10 * CUTS


def test_without_syncs_most_cuts_lose_acknowledged_rows(tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    found = campaign(CONTROL_CUTS, seed, tmp_path, CONTROL)
    assert found.lost_in >= 0.9 * CONTROL_CUTS


@pytest.mark.parametrize("seed", KEPT_SEEDS)
def test_seeds_that_once_failed(seed: int, tmp_path: Path) -> None:
    assert [result.wrong for result in lives(seed, tmp_path, FULL) if result.wrong] == []
