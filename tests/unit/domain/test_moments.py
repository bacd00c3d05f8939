"""When a step has to be looked at, where its row alone does not say."""

import pytest

from atomic.domain.leftovers import is_left_over
from atomic.domain.moments import redated_due_ms, resumed_at_ms
from atomic.domain.steps import Kind, Status, Step
from atomic.domain.transitions import begin
from unit.strategies import NOW, RETRYABLE, ended, running, spec

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
    assert resumed_at_ms(event(deadline_ms), now_ms) == expected


def test_what_was_written_by_a_clock_ahead_waits_no_longer_than_it_was_meant_to() -> None:
    retrying = ended(running(), RETRYABLE, NOW)
    timer = begin(spec(kind="timer", url="", delay_ms=7_000), "0" * 32, NOW, None)
    for step, waits_ms in ((retrying, 1_000), (timer, 7_000), (event(9_000), 9_000)):
        for ahead_ms in (1, HOUR, 400 * 24 * HOUR):
            assert redated_due_ms(step, NOW - ahead_ms) == NOW - ahead_ms + waits_ms


def test_a_row_of_the_past_is_right_as_it_is() -> None:
    for step in (running(), ended(running(), RETRYABLE, NOW), event(9_000), event(None)):
        for now_ms in (NOW, NOW + 1, NOW + HOUR):
            assert redated_due_ms(step, now_ms) is None
    assert redated_due_ms(event(None), NOW - HOUR) is None


@pytest.mark.parametrize("kind", ["http", "timer", "event"])
def test_what_ends_with_its_run(kind: Kind) -> None:
    is_call = kind == "http"
    ends = {root for root in (*Status, None) if is_left_over(kind, root)}
    assert ends == {Status.CANCELLED} | (set() if is_call else {Status.SUCCEEDED, None})
