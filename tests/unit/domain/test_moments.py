"""When a step has to be checked, in cases that its row alone does not decide."""

from dataclasses import replace

import pytest

from atomic.domain.event_steps import limits_from_now
from atomic.domain.events import Deferred, LimitsGiven, NotAdmitted, Rechecked, Redriven, Rescheduled, Woken
from atomic.domain.leftovers import is_forgotten, is_left_over
from atomic.domain.redating import redated_due_ms
from atomic.domain.steps import Step
from atomic.domain.transitions import begin, transition
from atomic.protocol.enums import Status
from unit.strategies import (
    NO_ROOM,
    NOW,
    RETENTION,
    RETRYABLE,
    claimed,
    ended,
    failed,
    running,
    spec,
    waiting,
)

HOUR = 3_600_000


def event(deadline_ms: int | None) -> Step:
    return begin(spec(kind="event", url="", deadline_ms=deadline_ms), "0" * 32, NOW, None)


@pytest.mark.parametrize(
    ("deadline_ms", "now_ms", "expected"),
    [(None, NOW, None), (5, NOW, NOW + 5), (5, NOW + 4, NOW + 5), (5, NOW + 5, NOW + 10)],
)
def test_an_event_that_goes_on_has_its_deadline_or_a_fresh_one(
    deadline_ms: int | None, now_ms: int, expected: int | None
) -> None:
    assert limits_from_now(event(deadline_ms), now_ms)["due_at_ms"] == expected
    if deadline_ms is not None:
        given_later = transition(event(None), LimitsGiven(deadline_ms, None), NOW)
        assert limits_from_now(given_later, now_ms)["due_at_ms"] == expected


def test_the_heartbeat_of_an_event_that_goes_on_begins_anew() -> None:
    step = begin(spec(kind="event", url="", deadline_ms=9_000, heartbeat_ms=4_000), "0" * 32, NOW, None)
    resting = transition(step, Rescheduled(NOW + 4_000, None), NOW + 4_000)
    resumed = transition(resting, Rescheduled(None, NOW), NOW + 8_000)
    assert (resumed.deadline_at_ms, resumed.heartbeat_by_ms) == (NOW + 9_000, NOW + 12_000)
    assert (resting.due_at_ms, resumed.due_at_ms) == (None, NOW + 9_000)
    # A clock that was ahead wrote the row.
    redated = transition(step, Rescheduled(NOW + 4_000, redated_due_ms(step, NOW - HOUR)), NOW - HOUR)
    assert (redated.deadline_at_ms, redated.due_at_ms) == (NOW - HOUR + 9_000, NOW - HOUR + 4_000)


def retrying() -> Step:
    """A step whose retry is due after a second."""
    return ended(running(), RETRYABLE, NOW)


def timer() -> Step:
    return begin(spec(kind="timer", url="", delay_ms=7_000), "0" * 32, NOW, None)


def test_a_row_written_by_a_fast_clock_waits_no_longer_than_intended() -> None:
    woken = transition(waiting(), Woken(), NOW + 150)
    asked_for = ended(running(), replace(RETRYABLE, retry_after_ms=HOUR), NOW)
    deferred = transition(claimed(retrying()), Deferred("n2", NO_ROOM, NOW + 1_500), NOW + 1_200)
    not_admitted = transition(begin(spec(), "0" * 32, NOW, None), NotAdmitted(NOW + 400), NOW)
    waits = ((retrying(), 1_000), (asked_for, HOUR), (woken, 0), (timer(), 7_000), (event(9_000), 9_000))
    waits += ((deferred, 300), (not_admitted, 400))
    # The attempt ended by a clock that was behind, and its wait by one that was ahead.
    waits += ((transition(waiting(), Rechecked(1, (), 1.0), NOW + HOUR), 1_000),)
    waits += ((transition(failed(), Redriven(1), NOW + HOUR), 0),)
    for step, waits_ms in waits:
        # Once for each time that the clock is set back.
        for now_ms in (NOW - 1, NOW - HOUR, NOW - 400 * 24 * HOUR):
            due_at_ms = redated_due_ms(step, now_ms)
            assert due_at_ms == now_ms + waits_ms
            step = transition(step, Rescheduled(step.due_at_ms, due_at_ms), now_ms)
            assert all(redated_due_ms(step, now_ms + later_ms) is None for later_ms in (0, 1, HOUR))
            assert all((attempt.ended_at_ms or 0) <= now_ms for attempt in step.attempt_log)


def test_a_row_that_is_right_stays_as_it_is() -> None:
    for step in (running(), waiting(), retrying(), timer(), event(9_000), event(None)):
        for now_ms in (NOW + 100, NOW + HOUR):
            assert redated_due_ms(step, now_ms) is None


def test_waiting_and_settled_steps_are_left_unchanged() -> None:
    for step in (event(None), waiting(), failed(), running()):
        assert redated_due_ms(step, NOW - HOUR) is None


@pytest.mark.parametrize("calls", [True, False])
def test_what_ends_with_its_run(calls: bool) -> None:
    ends = {root for root in Status if is_left_over(root, calls=calls)}
    assert ends == {Status.CANCELLED} | (set() if calls else {Status.SUCCEEDED})


def test_a_step_without_a_root_is_treated_like_a_settled_one() -> None:
    for step, is_mortal in ((timer(), True), (event(None), True), (retrying(), False)):
        assert not is_forgotten(step, NOW + RETENTION - 1)
        assert is_forgotten(step, NOW + RETENTION) is is_mortal
