"""A share of 10,000 interleavings of settle and suspend, each checked against the same law.

The run succeeds, no wake-up is lost, the workflow uses no retry, and each step settles once.
"""

import itertools
from collections.abc import Callable
from typing import Any, Final

import pytest

import atomic.application.attempts
import atomic.application.commit
import atomic.application.rechecking
import atomic.application.start
from atomic.application.commit import commit
from atomic.application.engine import Engine
from atomic.domain import transitions
from atomic.domain.events import WaiterAdded
from atomic.domain.steps import Step
from shares import slices
from simulation.interleave import LawBroken, simulate
from simulation.planted import find_no_child, leave_no_waiter, wake_nobody, wake_only_who_waits
from simulation.planting import plant
from simulation.regressions import SETTLE_AND_SUSPEND

SEEDS: Final = 10_000
SLICE: Final = 1_000
FOUND_WITHIN: Final = 1_000


@pytest.mark.parametrize("first", slices(SEEDS, SLICE))
def test_no_interleaving_breaks_the_law(first: int) -> None:
    for seed in range(first, first + SLICE):
        simulate(seed)


@pytest.mark.parametrize("seed", SETTLE_AND_SUSPEND)
def test_seeds_that_once_failed_pass(seed: int) -> None:
    simulate(seed)


async def _leave_no_mark(engine: Engine, step: Step, *_: object) -> Step:
    after, _ = await commit(engine, step, WaiterAdded(step.spec.parent or ""))
    return after


async def _check_nothing(engine: Engine, waiting: Step, **_: object) -> Step:
    return waiting


async def _recheck_without_checking_steps(engine: Engine, waiting: Step, **_: object) -> Step:
    for step_id in waiting.waiting_for:
        needed = await engine.store.get(step_id)
        assert needed is not None
        await commit(engine, needed, WaiterAdded(waiting.id))
    return waiting


def _never_soon(due_at_ms: int, now_ms: int) -> bool:
    return False


_APPLY, _ATTEMPTS = atomic.application.commit, atomic.application.attempts
_START, _LOOKING = atomic.application.start, atomic.application.rechecking
PLANTED: Final[dict[str, list[tuple[object, str, Callable[..., Any]]]]] = {
    "a 504 leaves no waiter": [(_START, "register_waiter", leave_no_waiter)],
    "a 504 leaves no mark": [(_START, "register_waiter", _leave_no_mark)],
    "suspending asks nobody for a wake-up": [(_ATTEMPTS, "recheck", _check_nothing)],
    "suspending does not look across": [(_ATTEMPTS, "recheck", _recheck_without_checking_steps)],
    "running out of time finds no step": [(_LOOKING, "_own", find_no_child)],
    "settling wakes nobody": [(_APPLY, "wake_waiters", wake_nobody)],
    "a wake-up of a running handler is dropped": [(transitions, "woken", wake_only_who_waits)],
    "a wake-up goes out before its row": [(transitions, "is_soon", _never_soon)],
}


@pytest.mark.parametrize("planted", PLANTED)
def test_a_planted_fault_is_found(planted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for patch in PLANTED[planted]:
        plant(monkeypatch, *patch)

    seed, failure = _first_broken()

    assert f"seed {seed}" in str(failure)


def _first_broken() -> tuple[int, LawBroken]:
    for seed in itertools.islice(itertools.count(), FOUND_WITHIN):
        try:
            simulate(seed)
        except LawBroken as failure:
            return seed, failure
    pytest.fail(f"{FOUND_WITHIN} seeds did not find it")
