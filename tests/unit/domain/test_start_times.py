"""When a step starts, by when it has to, and what an operator makes of it."""

from dataclasses import replace
from typing import Any

import pytest

from atomic.domain.events import (
    CancelRequested,
    Claimed,
    Deferred,
    MadeDue,
    NotAdmitted,
    OwnerLost,
    Redriven,
)
from atomic.domain.outcomes import NOTHING
from atomic.domain.redating import redated_due_ms
from atomic.domain.retry import RetryPolicy
from atomic.domain.start_times import waits_for_a_moment
from atomic.domain.steps import Step
from atomic.domain.transitions import begin, transition
from atomic.protocol import keys
from atomic.protocol.enums import LIVE, Status
from atomic.protocol.error_kinds import ErrorKind
from atomic.protocol.wire import to_rfc3339
from unit.strategies import NO_ROOM, NOW, RETRYABLE, ended, running, spec

HOUR = 3_600_000
POSITION = "0" * 32


def step(nonce: str | None = None, **members: Any) -> Step:
    return begin(spec(**members), keys.ROOT, NOW, nonce)


def timer(**members: Any) -> Step:
    return begin(spec(kind="timer", url="", **members), POSITION, NOW, None)


class TestStartAt:
    def test_a_step_is_due_at_the_very_moment(self) -> None:
        later = step("n1", start_at_ms=NOW + HOUR)
        assert (later.status, later.due_at_ms, later.attempt_count) == (Status.PENDING, NOW + HOUR, 0)
        assert transition(later, Claimed("n2"), NOW + HOUR - 1) is later
        assert transition(later, Claimed("n2"), NOW + HOUR).status is Status.RUNNING

    @pytest.mark.parametrize("past_ms", [0, 1, 400 * 24 * HOUR])
    def test_a_step_whose_moment_is_past_runs_at_once(self, past_ms: int) -> None:
        now = step("n1", start_at_ms=NOW - past_ms)
        assert (now.status, now.attempt_count, now.due_at_ms) == (Status.RUNNING, 1, running().due_at_ms)

    def test_a_timer_is_done_then(self) -> None:
        assert timer(start_at_ms=NOW + HOUR).due_at_ms == NOW + HOUR
        past = timer(start_at_ms=NOW - HOUR)
        assert (past.due_at_ms, transition(past, Claimed("n"), NOW).response) == (NOW, NOTHING)

    def test_the_deadline_may_be_earlier(self) -> None:
        assert step(start_at_ms=NOW + HOUR, deadline_ms=1000).due_at_ms == NOW + 1000

    def test_it_does_not_depend_on_the_clock_that_wrote_the_row(self) -> None:
        # A clock that was an hour ahead; with a delay, the step would be due an hour earlier.
        for made in (step(start_at_ms=NOW + HOUR), timer(start_at_ms=NOW + HOUR)):
            assert redated_due_ms(made, NOW - HOUR) is None
        assert redated_due_ms(step(delay_ms=HOUR), NOW - HOUR) == NOW

    def test_a_redriven_timer_does_not_sleep_once_more(self) -> None:
        late = transition(timer(start_at_ms=NOW + HOUR, deadline_ms=1000), Claimed("n"), NOW + 1000)
        again = transition(late, Redriven(1), NOW + 2 * HOUR)
        assert (again.status, again.due_at_ms) == (Status.PENDING, NOW + 2 * HOUR)


class TestStartBy:
    def test_a_step_whose_first_attempt_has_not_begun_fails(self) -> None:
        late = step(start_by_ms=NOW + 1000)
        assert transition(late, NotAdmitted(NOW + HOUR), NOW).due_at_ms == NOW + 1000
        failed = transition(late, Claimed("n1"), NOW + 1000)
        assert (failed.status, failed.attempt_count, failed.is_dead_letter) == (Status.FAILED, 0, True)
        assert failed.error is not None
        assert (failed.error.kind, failed.error.last) == (ErrorKind.START_EXPIRED, None)
        assert str(failed.error) == f"its first attempt had not begun by {to_rfc3339(NOW + 1000)}"

    def test_an_attempt_that_begins_before_counts(self) -> None:
        assert transition(step(start_by_ms=NOW + 1000), Claimed("n1"), NOW + 999).status is Status.RUNNING
        assert step("n1", start_by_ms=NOW + 1).status is Status.RUNNING

    def test_once_it_has_begun_it_has_the_time_it_needs(self) -> None:
        begun = step("n1", start_by_ms=NOW + 1000)
        retried = ended(begun, RETRYABLE, NOW + 500)
        assert retried.due_at_ms == NOW + 1500
        assert transition(retried, Claimed("n2"), NOW + HOUR).status is Status.RUNNING
        lost = transition(begun, OwnerLost(), NOW + HOUR)
        assert transition(lost, Claimed("n2"), NOW + HOUR).attempt_count == 2

    def test_an_attempt_that_atomic_did_not_make_has_not_begun(self) -> None:
        deferred = transition(step("n1", start_by_ms=NOW + 1000), Deferred("n1", NO_ROOM, NOW + HOUR), NOW)
        assert (deferred.due_at_ms, deferred.attempt_count) == (NOW + 1000, 0)
        failed = transition(deferred, Claimed("n2"), NOW + 1000)
        assert failed.error is not None
        assert (failed.error.kind, failed.error.last) == (ErrorKind.START_EXPIRED, NO_ROOM)

    def test_a_step_that_is_not_admitted_in_time_fails_then(self) -> None:
        assert transition(step(start_by_ms=NOW), NotAdmitted(NOW + 1), NOW).status is Status.FAILED

    def test_a_step_that_is_posted_too_late_is_never_called(self) -> None:
        for by_ms in (NOW, NOW - HOUR):
            late = step("n1", start_by_ms=by_ms)
            assert (late.status, late.due_at_ms) == (Status.PENDING, NOW)
            assert transition(late, Claimed("n2"), NOW).status is Status.FAILED

    def test_it_fails_then_even_if_its_start_is_later(self) -> None:
        late = step(delay_ms=HOUR, start_by_ms=NOW + 1000)
        assert late.due_at_ms == NOW + 1000
        assert transition(late, Claimed("n1"), NOW + 1000).status is Status.FAILED

    def test_a_redrive_asks_for_the_attempt_however_late_it_is(self) -> None:
        failed = transition(step(start_by_ms=NOW + 1), Claimed("n1"), NOW + 1)
        again = transition(failed, Redriven(1), NOW + HOUR)
        assert transition(again, Claimed("n2"), NOW + HOUR).attempt_count == 1
        assert transition(again, NotAdmitted(NOW + 2 * HOUR), NOW + HOUR).due_at_ms == NOW + 2 * HOUR

    def test_a_deadline_that_is_over_is_the_error(self) -> None:
        both = transition(step(deadline_ms=1000, start_by_ms=NOW + 1000), Claimed("n1"), NOW + 1000)
        assert both.error is not None
        assert both.error.kind is ErrorKind.DEADLINE_OVER


class TestMadeDue:
    def test_the_next_attempt_is_now_and_nothing_is_used_up(self) -> None:
        retrying = ended(running(retry=RetryPolicy(back_off_ms=HOUR)), RETRYABLE, NOW + 1)
        for waits in (step(delay_ms=HOUR), step(start_at_ms=NOW + HOUR), retrying):
            now = transition(waits, MadeDue(), NOW + 5)
            moment = {"due_at_ms": NOW + 5, "made_due_ms": NOW + 5, "dated_at_ms": NOW + 5}
            assert now == replace(waits, version=waits.version + 1, **moment)
            assert transition(now, MadeDue(), NOW + 6) is now
            assert transition(now, Claimed("n9"), NOW + 5).attempt_count == waits.attempt_count + 1

    def test_a_sleep_is_over(self) -> None:
        for at_ms in (None, 0, NOW + 5):
            over = transition(timer(delay_ms=HOUR), MadeDue(at_ms), NOW + 5)
            assert (over.status, over.response, over.finished_at_ms) == (Status.SUCCEEDED, NOTHING, NOW + 5)
            assert transition(over, MadeDue(), NOW + 6) is over
            assert transition(over, Claimed("n"), NOW + 2 * HOUR) is over

    @pytest.mark.parametrize("at_ms", [NOW + 6, NOW + HOUR - 1, NOW + HOUR + 1, NOW + 10 * HOUR])
    def test_it_is_moved_to_any_moment(self, at_ms: int) -> None:
        for waits in (step(delay_ms=HOUR), timer(delay_ms=HOUR)):
            moved = transition(waits, MadeDue(at_ms), NOW + 5)
            assert (moved.status, moved.due_at_ms) == (Status.PENDING, at_ms)
            assert transition(moved, MadeDue(at_ms), NOW + 5) is moved
            assert transition(moved, Claimed("n"), at_ms - 1) is moved
            assert transition(moved, Claimed("n"), at_ms).status is not Status.PENDING
            # It does not depend on the clock that wrote it.
            assert redated_due_ms(moved, NOW - HOUR) is None

    def test_a_moment_that_is_past_is_now(self) -> None:
        assert transition(step(delay_ms=HOUR), MadeDue(NOW - HOUR), NOW + 5).due_at_ms == NOW + 5

    def test_an_overdue_step_may_be_moved_later(self) -> None:
        overdue = step(delay_ms=1)
        assert transition(overdue, MadeDue(), NOW + 5) is overdue
        assert transition(overdue, MadeDue(NOW + HOUR), NOW + 5).due_at_ms == NOW + HOUR

    def test_limits_stay(self) -> None:
        by = CancelRequested(NOW + 7, is_handler=True)
        told = transition(ended(running(), RETRYABLE, NOW + 1), by, NOW + 2)
        for waits, most_ms in (
            (step(delay_ms=HOUR, deadline_ms=2 * HOUR), NOW + 2 * HOUR),
            (step(delay_ms=HOUR, start_by_ms=NOW + 3 * HOUR), NOW + 3 * HOUR),
            (timer(delay_ms=HOUR, deadline_ms=2 * HOUR), NOW + 2 * HOUR),
            (told, NOW + 7),
        ):
            assert transition(waits, MadeDue(NOW + 99 * HOUR), NOW + 3).due_at_ms == most_ms
        late = timer(delay_ms=HOUR, deadline_ms=10)
        assert transition(late, MadeDue(), NOW + 10).status is Status.FAILED

    def test_a_clock_that_was_ahead_does_not_keep_a_step_that_is_due_now(self) -> None:
        now = transition(step(delay_ms=HOUR), MadeDue(), NOW + HOUR - 1)
        assert transition(now, MadeDue(), NOW).due_at_ms == NOW

    def test_what_waits_for_no_moment_stays(self) -> None:
        event = begin(spec(kind="event", url="", deadline_ms=HOUR), POSITION, NOW, None)
        link = begin(spec(kind="run", child_name="w", child_key="k"), POSITION, NOW, None)
        for other in (event, link, running(), replace(running(), status=Status.WAITING)):
            assert other.status in LIVE
            assert not waits_for_a_moment(other)
            assert transition(other, MadeDue(), NOW + 5) is other
            assert transition(other, MadeDue(NOW + 9), NOW + 5) is other
