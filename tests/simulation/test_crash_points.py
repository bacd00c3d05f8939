"""A crash at every single await leaves nothing lost. All pairs: `make crash-pairs`."""

import pytest

from simulation.crash_points import WORKLOADS, crash, points_of, singles


@pytest.mark.parametrize(("name", "home"), WORKLOADS)
def test_a_crash_at_every_await(name: str, home: str) -> None:
    for crashes in singles(name, home):
        crash(name, home, crashes)


@pytest.mark.parametrize(("name", "home"), WORKLOADS)
def test_the_points_are_reached(name: str, home: str) -> None:
    assert points_of(name, home) >= (4 if name == "single" else 10)
    assert crash(name, home, ((2, "before"),)).faults.happened["crash"] == 1
