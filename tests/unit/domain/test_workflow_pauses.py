"""Pauses of workflows: what a client keeps, and when a kept step looks again."""

from dataclasses import replace
from typing import Final

import pytest

from atomic.domain.workflow_pauses import (
    WORKFLOW_PAUSES_MAX,
    TooManyWorkflowPauses,
    WorkflowPause,
    load_workflow_pauses,
    pause_of,
    with_pause,
    without_pause,
)

MINUTE_MS: Final = 60_000
PAUSE: Final = WorkflowPause(workflow_name="import", since_ms=1_000, note="why")


def test_a_second_pause_changes_what_it_gives() -> None:
    [again] = with_pause([PAUSE], WorkflowPause(workflow_name="import", since_ms=2_000, until_ms=9_000))
    assert again == replace(PAUSE, until_ms=9_000)
    [noted] = with_pause([again], WorkflowPause(workflow_name="import", since_ms=3_000, note="worse"))
    assert noted == replace(again, note="worse")
    # The pause of before is over by itself.
    later = WorkflowPause(workflow_name="import", since_ms=9_000)
    assert with_pause([noted], later) == (later,)


def test_a_pause_is_over_at_its_moment() -> None:
    ends = replace(PAUSE, until_ms=9_000)
    assert pause_of([ends], "import", 8_999) == ends
    assert pause_of([ends], "import", 9_000) is None
    assert pause_of([ends], "other", 2_000) is None


def test_pauses_are_kept_by_name_and_are_bounded() -> None:
    many: tuple[WorkflowPause, ...] = ()
    for number in reversed(range(WORKFLOW_PAUSES_MAX)):
        many = with_pause(many, WorkflowPause(workflow_name=f"w{number:02}", since_ms=0, until_ms=500))
    assert [each.workflow_name for each in many] == sorted(each.workflow_name for each in many)
    one_more = WorkflowPause(workflow_name="more", since_ms=499)
    with pytest.raises(TooManyWorkflowPauses):
        with_pause(many, one_more)
    assert with_pause(many, replace(one_more, since_ms=500)) == (replace(one_more, since_ms=500),)
    assert len(without_pause(many, "w07")) == WORKFLOW_PAUSES_MAX - 1
    assert without_pause(many, "other") == many


def test_records_are_read_as_they_were_written() -> None:
    record = {"workflow_name": "import", "since_ms": 1_000, "until_ms": None, "note": "why"}
    assert load_workflow_pauses([record]) == (PAUSE,)


@pytest.mark.parametrize(
    ("paused_ms", "least_ms", "most_ms"),
    [
        (0, 5_000, 7_000),
        (MINUTE_MS, MINUTE_MS, 1.4 * MINUTE_MS),
        (60 * MINUTE_MS, 10 * MINUTE_MS, 14 * MINUTE_MS),
    ],
)
def test_a_kept_step_looks_again_after_as_long_as_the_pause_has_lasted(
    paused_ms: int, least_ms: int, most_ms: int
) -> None:
    now_ms = PAUSE.since_ms + paused_ms
    looks_ms = [PAUSE.look_at_ms(f"run_{number}", now_ms) - now_ms for number in range(500)]
    assert least_ms <= min(looks_ms) < least_ms + (most_ms - least_ms) / 50
    assert most_ms - (most_ms - least_ms) / 50 < max(looks_ms) <= most_ms
    # A clock that was set back makes no step look in the past.
    assert PAUSE.look_at_ms("run_1", 0) > 0


def test_runs_go_on_one_after_the_other_when_a_pause_ends_by_itself() -> None:
    ends = replace(PAUSE, until_ms=30 * MINUTE_MS)
    now_ms = 25 * MINUTE_MS
    looks_ms = {ends.look_at_ms(f"run_{number}", now_ms) for number in range(500)}
    assert min(looks_ms) >= 30 * MINUTE_MS
    assert max(looks_ms) <= 34 * MINUTE_MS
    assert len(looks_ms) > 450
