"""What a schedule does next, compared with a brute force that goes through every slot."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from atomic.domain import schedules
from atomic.domain.cadence import AnyOf, At, Cadence, Cron, Every, spread_of
from atomic.domain.schedules import (
    ON_TIME_MS,
    Due,
    Missed,
    Plan,
    Schedule,
    at_moment,
    at_ms,
    judged,
    key_of,
    looked_at,
    moved,
    must_pause,
    paused,
    positioned,
    queued,
    replaced,
    resumed,
    started,
    what_is_due,
)
from atomic.protocol.enums import CATCH_UPS
from simulation.scenario import CLIENT, Node, RunPlan

T = 1_767_225_600_000
MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
_RUN = RunPlan(workflow="digest", key="digest", root=Node(name="digest"), manners=(), wait_ms=0)
SPEC = _RUN.spec(_RUN.root, None)


def schedule(cadence: Cadence | int = 1000, **members: Any) -> Schedule:
    """A schedule that was put at T; a number is a period in milliseconds."""
    times = Every(timedelta(milliseconds=cadence), at_moment(0)) if isinstance(cadence, int) else cadence
    names = Plan.__dataclass_fields__.keys() & members.keys()
    plan = Plan(cadence=times, **{name: members.pop(name) for name in names})
    base = Schedule(
        client_id=CLIENT, name="digest", plan=plan, start=SPEC, created_at_ms=T, updated_at_ms=T
    )
    return positioned(replace(base, **members), T)


def is_over(row: Schedule) -> bool:
    """Whether the schedule starts nothing any more."""
    return row.next_slot_ms is None and row.queued_ms is None


def at(*moments_ms: int) -> At:
    """These moments."""
    return At(tuple(at_moment(ms) for ms in moments_ms))


def every_slot(plan: Plan, after_ms: int, until_ms: int) -> list[int]:
    """The slots of a plan, by a look at each half second."""
    end_ms = until_ms if plan.until_ms is None else min(until_ms, plan.until_ms)
    halves_ms = range(after_ms - after_ms % 500 + 500, end_ms + 1, 500)
    match plan.cadence:
        case Every(period, anchor):
            period_ms, phase_ms = period // timedelta(milliseconds=1), at_ms(anchor)
            found = [ms for ms in halves_ms if (ms - phase_ms) % period_ms == 0]
        case At(instants):
            moments = {at_ms(each) for each in instants}
            found = [ms for ms in halves_ms if ms in moments]
        case _:
            found = [ms for ms in halves_ms if ms % MINUTE == 0]
    return found


def expected(plan: Plan, next_ms: int, now_ms: int, left: int | None) -> tuple[list[int], int]:
    """The slots that a schedule without spread starts when it wakes up now, and how many it misses."""
    passed = every_slot(plan, next_ms - 1, now_ms)
    late = [slot for slot in passed if slot < now_ms - ON_TIME_MS - plan.spread_ms]
    on_time = passed[len(late) :]
    in_window = [slot for slot in late if slot >= now_ms - plan.catch_up_window_ms]
    match plan.catch_up:
        case "all":
            made_up = in_window
        case "last":
            made_up = [] if on_time else in_window[-1:] if late[-1:] == in_window[-1:] else []
        case _:
            made_up = []
    kept = made_up + on_time
    if left is None or len(kept) < left:
        return kept, len(passed) - len(kept)
    # Nothing is decided any more once the last run is started.
    kept = kept[:left]
    return kept, len([slot for slot in passed if slot <= kept[-1]]) - len(kept)


def decided(before: Schedule, now_ms: int) -> tuple[list[int], Schedule]:
    """What a wake-up starts, and the row after it."""
    kept: list[int] = []
    while True:
        due = what_is_due(before, now_ms)
        match due:
            case None:
                return kept, before
            case Due(slot_ms):
                kept.append(slot_ms)
                after = started(before, slot_ms, f"run_{slot_ms}")
            case Missed(up_to_ms, count):
                after = moved(before, up_to_ms, missed=before.missed + count)
        assert after.version == before.version + 1
        assert (after.last_slot_ms or 0) > (before.last_slot_ms or 0)
        assert after.next_slot_ms is None or after.next_slot_ms > (after.last_slot_ms or 0)
        before = after


halves = some.integers(0, 600).map(lambda halves: T + 500 * halves)
cadences = some.one_of(
    some.builds(
        lambda period, phase: Every(timedelta(milliseconds=500 * period), at_moment(500 * phase)),
        some.integers(2, 400),
        some.integers(0, 400),
    ),
    some.lists(halves, min_size=1, max_size=6).map(lambda moments: at(*moments)),
    some.just(Cron("* * * * *")),
    some.just(AnyOf((Cron("* * * * *"), Cron("*/2 * * * *")))),
)
plans = some.builds(
    Plan,
    cadence=cadences,
    catch_up=some.sampled_from(CATCH_UPS),
    catch_up_window_ms=some.sampled_from([0, 500, 30_000, MINUTE, 90_000, 2 * MINUTE, HOUR, DAY]),
    until_ms=some.none() | halves,
    limit=some.none() | some.integers(1, 9),
)


@settings(deadline=None)
@given(plan=plans, now_ms=some.lists(halves, min_size=1, max_size=5))
def test_each_slot_is_started_or_missed_as_a_brute_force_says(plan: Plan, now_ms: list[int]) -> None:
    row = replace(schedule(), plan=plan)
    row = positioned(row, T)
    for now in sorted(now_ms):
        next_ms, before = row.next_slot_ms, row
        left = None if plan.limit is None else plan.limit - row.started
        wanted = ([], 0) if next_ms is None else expected(plan, next_ms, now, left)
        kept, row = decided(row, now)
        assert (kept, row.missed - before.missed) == wanted


@settings(deadline=None)
@given(plan=plans, spread_ms=some.sampled_from([1, 999, 5_000, HOUR]), name=some.text("ab", min_size=1))
def test_a_spread_is_stable_and_ends_before_the_next_slot(plan: Plan, spread_ms: int, name: str) -> None:
    row = positioned(replace(schedule(), plan=replace(plan, spread_ms=spread_ms), name=name), T)
    if row.next_slot_ms is None or row.due_at_ms is None:
        assert every_slot(plan, T, T + 5 * MINUTE) == []
        return
    following = every_slot(plan, row.next_slot_ms, row.next_slot_ms + 5 * MINUTE)
    share_ms = spread_of(row.id, timedelta(milliseconds=spread_ms)) // timedelta(milliseconds=1)
    assert 0 <= share_ms < spread_ms
    assert row.due_at_ms == min(row.next_slot_ms + share_ms, *following[:1], T + DAY)


@settings(deadline=None)
@given(
    plan=plans, other=plans, now_ms=halves, later_ms=some.integers(-400, 400), was_paused=some.booleans()
)
def test_an_edit_loses_no_slot_and_decides_none_again(
    plan: Plan, other: Plan, now_ms: int, later_ms: int, was_paused: bool
) -> None:
    _, row = decided(positioned(replace(schedule(), plan=plan), T), now_ms)
    before = paused(row, "", now_ms) if was_paused else row
    # A negative time is a clock that was set back.
    then_ms = now_ms + 500 * later_ms
    after = replaced(before, replace(schedule(), plan=other), then_ms)
    assert after.version == before.version + 1
    assert (after.started, after.missed, after.last_slot_ms) == (row.started, row.missed, row.last_slot_ms)
    assert after.next_slot_ms is None or after.next_slot_ms > (row.last_slot_ms or 0)
    if other.cadence != plan.cadence or was_paused:
        from_ms = max(then_ms, row.last_slot_ms or 0)
        if other.cadence == plan.cadence:
            # Nothing before its next slot is undecided, also when the clock was set back.
            from_ms = max(from_ms, (row.next_slot_ms or 0) - 1)
        wanted = every_slot(other, from_ms, T + 10 * MINUTE)
        if other.limit is not None and row.started >= other.limit:
            wanted = []
        assert ([] if after.next_slot_ms is None else [after.next_slot_ms]) == wanted[:1]
    same = replaced(before, replace(schedule(), plan=plan, paused=was_paused), then_ms)
    if row.next_slot_ms is not None:
        assert same.next_slot_ms == row.next_slot_ms


@settings(deadline=None)
@given(plan=plans, now_ms=halves, later_ms=some.integers(-400, 400))
def test_a_schedule_is_resumed_from_now_on(plan: Plan, now_ms: int, later_ms: int) -> None:
    _, row = decided(positioned(replace(schedule(), plan=plan), T), now_ms)
    then_ms = now_ms + 500 * later_ms
    still = paused(row, "holidays", now_ms)
    assert (still.due_at_ms, what_is_due(still, then_ms + DAY)) == (None, None)
    after = resumed(still, then_ms)
    assert (after.paused, after.note, after.failures) == (False, "", 0)
    assert after.next_slot_ms is None or after.next_slot_ms > max(then_ms, row.last_slot_ms or 0)
    assert (after.started, after.skipped, after.missed) == (row.started, row.skipped, row.missed)


def test_the_last_moment_of_all_is_made_up() -> None:
    row = schedule(at(T + MINUTE, T + 2 * MINUTE))
    assert decided(row, T + HOUR)[0] == [T + 2 * MINUTE]
    assert decided(replace(row, plan=replace(row.plan, catch_up="none")), T + HOUR)[0] == []


def test_the_last_slot_before_the_end_is_made_up() -> None:
    row = schedule(MINUTE, until_ms=T + 10 * MINUTE)
    kept, after = decided(row, T + HOUR)
    assert (kept, after.missed, is_over(after)) == ([T + 10 * MINUTE], 9, True)


def test_a_small_window_leaves_out_nothing_that_is_on_time() -> None:
    row = schedule(10_000, catch_up="all", catch_up_window_ms=0)
    kept, after = decided(row, T + 100_000)
    assert (kept, after.missed) == ([T + 10_000 * n for n in range(4, 11)], 3)


def test_an_end_of_long_ago_is_counted_as_missed_at_least() -> None:
    kept, after = decided(schedule(1_000, catch_up="none"), T + 100 * DAY)
    assert (kept[0], after.missed) == (T + 100 * DAY - MINUTE, 10_000)


def test_a_paused_or_replaced_schedule_drops_its_queued_slot_and_counts_it() -> None:
    row = queued(schedule(), T + 1000)
    for after in (paused(row, "", T), replaced(row, replace(schedule(), paused=True), T)):
        assert (after.queued_ms, after.skipped, after.due_at_ms) == (None, 1, None)
    assert replaced(row, schedule(), T).queued_ms == T + 1000


def test_a_queued_slot_behind_the_last_one_stays_due() -> None:
    row = queued(schedule(limit=1, until_ms=T + 1000), T + 1000)
    assert (row.next_slot_ms, row.due_at_ms, is_over(row)) == (None, T + 1000, False)
    assert what_is_due(row, T + HOUR) is None
    again = looked_at(row, T + MINUTE)
    assert (again.due_at_ms, again.version) == (T + MINUTE, row.version + 1)
    after = started(again, T + 1000, "run_1")
    assert (after.due_at_ms, after.started, is_over(after)) == (None, 1, True)


def test_failures_in_a_row_pause() -> None:
    row = schedule(pause_after_failures=2)
    one = judged(row, "run_1", has_failed=True)
    assert judged(one, "run_1", has_failed=True) is one
    assert not must_pause(one)
    assert not must_pause(judged(judged(one, "run_2", has_failed=False), "run_3", has_failed=True))
    two = judged(one, "run_2", has_failed=True)
    assert must_pause(two)
    assert not must_pause(schedule())
    still = paused(two, "", T)
    for after in (resumed(still, T), replaced(still, row, T)):
        assert (after.failures, after.paused) == (0, False)
    # A deployment that changes nothing of it forgets no failure.
    assert replaced(one, row, T).failures == 1


@pytest.mark.parametrize(
    ("slot_ms", "key"),
    [
        (T, "digest@2026-01-01T00:00:00Z"),
        (T + 500, "digest@2026-01-01T00:00:00.500Z"),
        (-1, "digest@1969-12-31T23:59:59.999Z"),
    ],
)
def test_a_slot_has_a_key_of_its_own(slot_ms: int, key: str) -> None:
    assert key_of(schedule(), slot_ms) == key
    assert schedules.run_spec(schedule(), key, slot_ms).idempotency_key == key


def test_the_start_of_a_queued_slot_leaves_the_next_one_as_it_is() -> None:
    """The times were edited while the slot was queued: those before the edit are not decided again."""
    waits = replace(
        schedule(1000), last_slot_ms=1_000, queued_ms=1_000, next_slot_ms=50_000, due_at_ms=50_000
    )
    after = schedules.started(waits, 1_000, "run_" + 32 * "a")
    assert (after.next_slot_ms, after.due_at_ms, after.queued_ms, after.started) == (
        50_000,
        50_000,
        None,
        1,
    )
    over = schedules.started(replace(waits, next_slot_ms=None), 1_000, "run_" + 32 * "a")
    assert (over.next_slot_ms, over.due_at_ms) == (None, None)
