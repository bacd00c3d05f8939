"""Tallies of runs: their sums, and the durations that are read from them."""

import random
from dataclasses import replace
from itertools import pairwise
from math import ceil

from atomic.domain.counters import (
    HOUR_MS,
    Counter,
    Tally,
    hour_of,
    numbers_of,
    retries_of,
    tally_of,
    tally_of_numbers,
    total,
    workflow_counts,
)
from atomic.domain.histograms import BOUNDS_MS
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
    # All between 1.5 s and 2.2 s, the shortest and the longest are known.
    assert lasting(*[1_600, 1_800, 1_900, 2_000] * 25).duration_ms_of(0.5) == 1_800
    assert lasting(*[1_600, 1_800, 1_900, 2_000] * 25).duration_ms_of(1.0) == 2_000
    # 6.8 s to 9 s, of which a sixth is 0.37 s.
    assert lasting(*[40] * 94, *[9_000] * 6).duration_ms_of(0.95) == 7_167
    beyond = BOUNDS_MS[-1] + 1
    assert lasting(1, beyond, beyond + 8).duration_ms_of(1.0) == beyond + 8


def test_equal_durations_are_exact() -> None:
    for lasted_ms in (0, 1, 12_000, 12_345, BOUNDS_MS[-1], 10 * BOUNDS_MS[-1]):
        for number in (1, 2, 7):
            for share in (0.01, 0.5, 0.95, 1.0):
                assert lasting(*[lasted_ms] * number).duration_ms_of(share) == lasted_ms


def test_bounds_rise_by_half_at_most() -> None:
    assert all(low < high <= 1.5 * low for low, high in pairwise(BOUNDS_MS[1:]))
    assert (BOUNDS_MS[:2], BOUNDS_MS[-1]) == ((1, 2), 31 * 24 * HOUR_MS)
    assert len(BOUNDS_MS) == 58


def test_a_share_is_in_the_bucket_of_the_exact_one() -> None:
    seed = random.randrange(2**32)
    print("seed", seed)
    draw = random.Random(seed)
    for _ in range(50):
        durations = sorted(
            min(int(draw.lognormvariate(8, 3)), BOUNDS_MS[-1]) for _ in range(draw.randint(1, 40))
        )
        for share in (0.5, 0.95, 1.0):
            exact = durations[ceil(share * len(durations)) - 1]
            found = lasting(*durations).duration_ms_of(share)
            assert found is not None
            at = sum(exact > bound for bound in BOUNDS_MS)
            least = max(durations[0], BOUNDS_MS[at - 1] if at else 0)
            assert least <= found <= min(durations[-1], BOUNDS_MS[at])
            assert abs(found - exact) <= exact / 2


def test_a_tally_is_few_numbers() -> None:
    seed = random.randrange(2**32)
    print("seed", seed)
    draw = random.Random(seed)
    for number in range(50):
        tally = lasting(*(int(draw.lognormvariate(8, 3)) for _ in range(number)))
        assert tally_of_numbers(numbers_of(tally)) == tally
    assert numbers_of(Tally()) == []
    assert numbers_of(Tally(started=2)) == [2]
    # Nine members, the place of the only duration, and how many there are.
    assert len(numbers_of(lasting(12_000))) == 11


def test_a_sum_has_the_shortest_and_the_longest_of_runs_that_succeeded() -> None:
    failed = tally_of(settled(a_root(), 1_001, Status.FAILED))
    for tallies in ([lasting(50), failed, lasting(90)], [lasting(90), lasting(50)]):
        found = total(tallies)
        assert (found.duration_ms_min, found.duration_ms_max) == (50, 90)
    assert (total([failed]).duration_ms_min, total([failed]).duration_ms_max) == (0, 0)


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
    first, second = workflow_counts(counters, counters[1:])
    assert (first.name, first.live, first.last_started_ms, first.recent) == ("a", 1, 2, counters[2].tally)
    assert (second.name, second.live, second.recent.started) == ("b", 2, 1)
    [third] = workflow_counts(counters[:1], [])
    assert (third.live, third.recent) == (1, Tally())
