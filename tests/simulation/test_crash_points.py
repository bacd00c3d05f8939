"""A crash at any single await loses nothing. `make crash-pairs` tests all pairs."""

import pytest

import atomic.application.leftovers as leftovers
import atomic.application.sweep as sweeping
from atomic.application.engine import Engine
from atomic.domain.steps import Step
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


def _crash_everywhere(name: str) -> None:
    for crashes in singles(name, "embedded"):
        crash(name, "embedded", crashes)
