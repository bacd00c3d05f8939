"""10,000 interleavings of settle and suspend, each held against the same law.

The run succeeds; no wake-up is lost; nothing is held against the workflow's retries; a step settles once.
"""

import itertools
from collections.abc import Callable
from typing import Any, Final

import pytest

import atomic.application.apply
import atomic.application.attempts
import atomic.application.drive
import atomic.application.start
from atomic.application.apply import apply
from atomic.application.engine import Engine
from atomic.domain.events import WaiterAdded
from atomic.domain.steps import Step
from simulation.interleave import LawBroken, simulate
from simulation.regressions import SETTLE_AND_SUSPEND

SEEDS: Final = 10_000
SLICE: Final = 2_500
FOUND_WITHIN: Final = 1_000


@pytest.mark.parametrize("first", range(0, SEEDS, SLICE))
def test_no_interleaving_breaks_the_law(first: int) -> None:
    for seed in range(first, first + SLICE):
        simulate(seed)


@pytest.mark.parametrize("seed", SETTLE_AND_SUSPEND)
def test_what_once_failed_holds(seed: int) -> None:
    simulate(seed)


async def _leave_no_waiter(engine: Engine, step: Step) -> Step:
    return step


async def _watch_nothing(engine: Engine, waiting: Step) -> None:
    return


async def _watch_without_looking_across(engine: Engine, waiting: Step) -> None:
    for step_id in waiting.waiting_for:
        needed = await engine.store.get(step_id)
        assert needed is not None
        await apply(engine, needed, WaiterAdded(waiting.id))


async def _wake_nobody(engine: Engine, settled: Step) -> None:
    return


async def _see_no_waiter(engine: Engine, step: Step, ids: object) -> bool:
    return False


def _never_soon(engine: Engine, due_at_ms: int) -> bool:
    return False


_APPLY, _ATTEMPTS = atomic.application.apply, atomic.application.attempts
_DRIVE, _START = atomic.application.drive, atomic.application.start
PLANTED: Final[dict[str, list[tuple[object, str, Callable[..., Any]]]]] = {
    "a 504 leaves no waiter": [(_START, "leave_waiter", _leave_no_waiter)],
    "suspending asks nobody for a wake-up": [
        (_ATTEMPTS, "watch", _watch_nothing),
        (_DRIVE, "watch", _watch_nothing),
    ],
    "suspending does not look across": [
        (_ATTEMPTS, "watch", _watch_without_looking_across),
        (_DRIVE, "watch", _watch_without_looking_across),
    ],
    "settling wakes nobody": [(_APPLY, "wake_waiters", _wake_nobody)],
    "the end of an attempt overtakes a wake-up": [(_ATTEMPTS, "_any_waited_for", _see_no_waiter)],
    "a hint goes out before its row": [(_APPLY, "is_soon", _never_soon)],
}


@pytest.mark.parametrize("planted", PLANTED)
def test_a_planted_fault_is_found(planted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name, broken in PLANTED[planted]:
        monkeypatch.setattr(module, name, broken)

    seed, failure = _first_broken()

    assert f"seed {seed}" in str(failure)


def _first_broken() -> tuple[int, LawBroken]:
    for seed in itertools.islice(itertools.count(), FOUND_WITHIN):
        try:
            simulate(seed)
        except LawBroken as failure:
            return seed, failure
    pytest.fail(f"{FOUND_WITHIN} seeds did not find it")
