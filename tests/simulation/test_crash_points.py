"""A crash at any single await loses nothing. `make crash-pairs` tests all pairs."""

from typing import Any

import pytest

import atomic.application.graceful_cancel as graceful_cancel
import atomic.application.leftovers as leftovers
import atomic.application.process_wakeup as process_wakeup
import atomic.application.sweep as sweeping
import atomic.domain.transitions as transitions
from atomic.application.engine import Engine
from atomic.domain.events import Cancelled, CancelRequested
from atomic.domain.graceful_cancel import cancel_requested
from atomic.domain.steps import Step
from atomic.domain.transitions import transition
from atomic.protocol.enums import Status
from simulation.crash_points import WORKLOADS, crash, points_of, singles
from simulation.interleave import LawBroken


@pytest.mark.parametrize(("name", "runtime"), WORKLOADS)
def test_a_crash_at_every_await(name: str, runtime: str) -> None:
    for crashes in singles(name, runtime):
        crash(name, runtime, crashes)


@pytest.mark.parametrize(("name", "runtime"), WORKLOADS)
def test_the_points_are_reached(name: str, runtime: str) -> None:
    assert points_of(name, runtime) >= (4 if name == "single" else 10)
    assert crash(name, runtime, ((2, "before"),)).faults.happened["crash"] == 1


async def _end_nothing(engine: Engine, step: Step) -> Step:
    return step


def test_a_cancel_that_is_cut_off_and_left_alone_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (leftovers, sweeping):
        monkeypatch.setattr(module, "end_if_left_over", _end_nothing)

    with pytest.raises(LawBroken, match="is still"):
        _crash_everywhere("cancel what waits")


def _broken_off(step: Step, event: CancelRequested, now_ms: int) -> Step:
    """Running attempts end as cancelled at once, as by a hard cancel."""
    if step.status is Status.RUNNING and not event.is_handler:
        return transition(step, Cancelled(), now_ms)
    return cancel_requested(step, event, now_ms)


async def _request_nothing(engine: Engine, handler: Step) -> None:
    pass


async def _never_over(engine: Engine, due: Step, now_ms: int) -> bool:
    return False


@pytest.mark.parametrize(
    ("name", "owner", "function", "planted", "law"),
    [
        ("graceful", transitions, "cancel_requested", _broken_off, "after its undo began"),
        ("graceful", graceful_cancel, "request_cancel_below", _request_nothing, "was cancelled hard"),
        ("graceful for too long", process_wakeup, "go_on_cancelling", _never_over, "is still|was to end"),
    ],
)
def test_a_bug_of_the_graceful_cancel_is_found(
    name: str, owner: Any, function: str, planted: Any, law: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owner, function, planted)

    with pytest.raises(LawBroken, match=law):
        _crash_everywhere(name)


def _crash_everywhere(name: str) -> None:
    for crashes in singles(name, "embedded"):
        crash(name, "embedded", crashes)
