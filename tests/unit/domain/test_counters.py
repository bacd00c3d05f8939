"""Tallies of runs: their sums, and the durations that are read from them."""

import random
from dataclasses import replace
from math import ceil

from atomic.domain.counters import (
    BOUNDS_MS,
    HOUR_MS,
    Counter,
    Tally,
    hour_of,
    retries_of,
    tally_of,
    total,
    workflow_counts,
)
from atomic.domain.interventions import redriven
from atomic.protocol.enums import Status
from contract.builders import a_root, settled


def lasting(*durations_ms: int) -> Tally:
    """Runs that took so long."""
    return total(tally_of(settled(a_root(), 1_000 + lasted_ms)) for lasted_ms in durations_ms)


def test_an_hour_begins_with_itself() -> None:
    assert [hour_of(at_ms) for at_ms in (0, HOUR_MS - 1, HOUR_MS)] == [0, 0, HOUR_MS]


def test_a_share_of_the_durations_is_found_between_its_bounds() -> None:
    assert Tally().duration_ms_of(0.5) is None
    assert lasting(0).duration_ms_of(0.5) == 25
    # All in the bucket from 1 s to 2.5 s.
    assert lasting(*[2_000] * 100).duration_ms_of(0.5) == 1_750
    assert lasting(*[2_000] * 100).duration_ms_of(1.0) == 2_500
    assert lasting(*[40] * 94, *[9_000] * 6).duration_ms_of(0.95) == 5_833
    assert lasting(BOUNDS_MS[-1] + 1).duration_ms_of(0.5) == BOUNDS_MS[-1]


def test_a_share_is_in_the_bucket_of_the_exact_one() -> None:
    seed = random.randrange(2**32)
    print("seed", seed)
    draw = random.Random(seed)
    for _ in range(50):
        durations = sorted(int(draw.lognormvariate(8, 3)) for _ in range(draw.randint(1, 40)))
        for share in (0.5, 0.95, 1.0):
            exact = durations[ceil(share * len(durations)) - 1]
            found = lasting(*durations).duration_ms_of(share)
            assert found is not None
            at = sum(exact > bound for bound in BOUNDS_MS)
            least = BOUNDS_MS[at - 1] if at else 0
            assert least <= found <= BOUNDS_MS[min(at, len(BOUNDS_MS) - 1)]


def test_runs_add_up_by_what_became_of_them() -> None:
    ends = [
        settled(a_root(), 1_007, status) for status in (Status.SUCCEEDED, Status.FAILED, Status.CANCELLED)
    ]
    found = total([tally_of(a_root(), 2), *map(tally_of, ends)])
    assert (found.started, found.succeeded, found.failed, found.cancelled) == (4, 1, 1, 1)
    assert (found.live, found.retries, found.duration_ms_sum, found.last_started_ms) == (1, 2, 7, 1_000)
    assert sum(found.durations) == 1
    assert total([]) == Tally()


def test_retries_outlive_a_redrive() -> None:
    failed = replace(settled(a_root(), 2_000, Status.FAILED), retries_used=3)
    again = redriven(failed, 3_000)
    assert (again.retries_used, retries_of(again)) == (0, 3)


def test_workflows_are_sums_of_their_hours() -> None:
    counters = [
        Counter(hour * HOUR_MS, name, Tally(started=1, last_started_ms=hour))
        for hour, name in ((1, "b"), (2, "b"), (2, "a"))
    ]
    first, second = workflow_counts(counters, 2 * HOUR_MS)
    assert (first.name, first.kept, first.recent) == ("a", counters[2].tally, counters[2].tally)
    assert (second.name, second.kept.started, second.recent.started) == ("b", 2, 1)
