"""Cancels on a real server that are interrupted, or race with a post. `make cancels` runs more of them."""

import asyncio
import random
from pathlib import Path

from reliability import cancels

CUT_OFF = 10
POSTS = 100


def test_a_cancel_that_is_cut_off_leaves_nothing_that_goes_on(tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    cut, problems = asyncio.run(cancels.cut_off(tmp_path, cancels=CUT_OFF, seed=seed))
    assert cut >= CUT_OFF
    assert problems == []


def test_a_step_that_is_posted_beside_a_cancel_is_not_called_after_its_answer(tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    assert asyncio.run(cancels.beside_posts(tmp_path, posts=POSTS, seed=seed)) == []
