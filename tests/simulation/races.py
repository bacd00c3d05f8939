"""Races: a few requests at once on a store that takes its time, each seed checked against one law."""

from collections.abc import Awaitable, Callable, Iterator
from typing import Final, TypeVar

from atomic.domain.steps import Step
from atomic.testing import LocalAtomic, run
from simulation.interleave import LawBroken, SlowStore

# A recheck, which would hide a lost wake-up, comes after 60 s.
WITHIN_S: Final = 2.0
OF_THE_RUN: Final = {"workflowName": "w", "idempotencyKey": "k"}
Played = TypeVar("Played")


def check_all(
    play: Callable[[LocalAtomic, int], Awaitable[Played]],
    broken: Callable[[Played], Iterator[str]],
    seeds: int,
) -> list[Played]:
    """Play the seeds from 0 on and check each. `broken` yields a line for a violation. Raises LawBroken."""

    async def body(seed: int) -> Played:
        async with LocalAtomic(seed=seed, store=SlowStore(seed)) as atomic:
            return await play(atomic, seed)

    all_played = []
    for seed in range(seeds):
        played = run(body(seed))
        if lines := list(broken(played)):
            raise LawBroken("\n".join([f"seed {seed}", *lines, str(played)]))
        all_played.append(played)
    return all_played


def is_always_the_same(step: Step, posted: object) -> bool:
    """Planted: any result counts as the one that the event has."""
    return True
