"""A paused run, and steps at rest."""

from dataclasses import replace

import pytest

from atomic.domain.events import (
    Cancelled,
    CancelRequested,
    Claimed,
    Deferred,
    MadeDue,
    OwnerLost,
    Paused,
    Released,
    Rescheduled,
    Rested,
    Resumed,
    WaiterAdded,
)
from atomic.domain.pauses import Pause, Rest
from atomic.domain.records import load_step, progress_record, spec_record
from atomic.domain.retry import RetryPolicy
from atomic.domain.steps import Step
from atomic.domain.transitions import SendWakeup, begin, effects_of, transition
from atomic.protocol import keys
from atomic.protocol.enums import Status
from unit.domain.test_transitions import STATES
from unit.strategies import NO_ROOM, NOW, OTHER, RETRYABLE, SUCCEEDED, ended, running, spec

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
LATER = NOW + MINUTE


def due() -> Step:
    return begin(spec(), keys.ROOT, NOW, None)


def at_rest(step: Step | None = None) -> Step:
    return transition(step or due(), Rested(), NOW)


def test_a_pause_changes_nothing_but_the_pause() -> None:
    step = running()
    paused = transition(step, Paused(note="why"), NOW)
    assert paused == replace(step, version=2, pause=Pause(since_ms=NOW, note="why"))
    assert effects_of(step, paused, NOW).after == ()
    assert transition(paused, Paused(), LATER) is paused
    until = transition(paused, Paused(until_ms=NOW + HOUR), LATER)
    assert until.pause == Pause(since_ms=NOW, until_ms=NOW + HOUR, note="why")
    assert transition(until, Resumed(), LATER).pause is None
    again = transition(until, Paused(), NOW + HOUR)
    assert again.pause == Pause(since_ms=NOW + HOUR)


def test_a_step_at_rest_is_due_when_it_looks_again_ever_less_often() -> None:
    step = at_rest()
    assert (step.rest, step.due_at_ms) == (Rest(since_ms=NOW), NOW + MINUTE)
    assert effects_of(due(), step, NOW).beside == SendWakeup(NOW + MINUTE)
    looks = []
    for _ in range(12):
        assert step.due_at_ms is not None
        looks.append((step.due_at_ms - NOW) // MINUTE)
        step = transition(step, Rested(), step.due_at_ms)
    assert looks == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048]
    assert transition(step, Rested(NOW + HOUR), NOW + 5).due_at_ms == NOW + HOUR


@pytest.mark.parametrize("until_ms", [None, NOW + HOUR])
def test_a_second_wakeup_leaves_a_step_at_rest_as_it_is(until_ms: int | None) -> None:
    step = transition(due(), Rested(until_ms), NOW)
    assert transition(step, Rested(until_ms), NOW + 5) is step
    assert transition(step, Rested(NOW + 2 * HOUR), NOW + 5).due_at_ms == NOW + 2 * HOUR


def test_what_rests_is_not_claimed_and_goes_on_at_once_when_it_is_released() -> None:
    step = at_rest()
    assert transition(step, Claimed("n9"), NOW + DAY) is step
    released = transition(step, Released(), LATER)
    assert (released.rest, released.due_at_ms, released.status) == (None, LATER, Status.PENDING)
    assert effects_of(step, released, LATER).after == (SendWakeup(LATER),)
    assert transition(released, Released(), LATER) is released


def test_a_look_at_the_very_moment_of_a_release_has_a_wakeup_of_its_own() -> None:
    step = at_rest()
    assert step.due_at_ms is not None
    released = transition(step, Released(), step.due_at_ms)
    assert released.due_at_ms == step.due_at_ms
    assert effects_of(step, released, step.due_at_ms).after == (SendWakeup(step.due_at_ms),)


def test_limits_hold_at_rest() -> None:
    step = at_rest(begin(spec(deadline_ms=5_000), keys.ROOT, NOW, None))
    assert step.due_at_ms == NOW + 5_000
    late = transition(step, Rested(), NOW + 5_000)
    assert (late.status, late.rest, str(late.error)) == (
        Status.FAILED,
        None,
        "the deadline of 5000 ms is over",
    )


def test_an_attempt_that_was_not_made_leaves_no_trace() -> None:
    step = running(fails_if_lost=True)
    rested = transition(step, Rested(nonce="n1"), NOW + 1)
    assert (rested.status, rested.attempt_count, rested.attempt_log) == (Status.PENDING, 0, ())
    assert (rested.nonce, rested.rest) == (None, Rest(since_ms=NOW + 1))
    # Another process has the attempt.
    assert transition(step, Rested(nonce="n0"), NOW + 1) is step


def test_a_lost_attempt_rests_as_lost() -> None:
    lost = replace(running(), due_at_ms=NOW)
    rested = transition(lost, Rested(), NOW)
    assert (rested.status, rested.consecutive_lost, rested.nonce) == (Status.PENDING, 1, None)
    once = replace(running(fails_if_lost=True), due_at_ms=NOW)
    assert transition(once, Rested(), NOW).status is Status.FAILED


@pytest.mark.parametrize("name", ["delayed", "running", "later", "waiting", "succeeded", "failed"])
def test_what_is_not_due_or_calls_nothing_does_not_rest(name: str) -> None:
    step = STATES[name]()
    assert transition(step, Rested(), NOW + 1) is step


def test_what_happens_to_a_step_at_rest_happens_and_it_rests_on() -> None:
    step = at_rest()
    later = transition(step, MadeDue(NOW + HOUR), LATER)
    assert later.rest == Rest(since_ms=NOW, due_ms=NOW + HOUR)
    assert later.due_at_ms == step.due_at_ms
    assert transition(later, Released(), LATER).due_at_ms == NOW + HOUR
    assert transition(step, WaiterAdded(OTHER), LATER).rest == step.rest
    assert transition(step, OwnerLost(), LATER) is step
    assert transition(step, Cancelled(), LATER).status is Status.CANCELLED
    told = transition(at_rest(_called()), CancelRequested(LATER, is_handler=True), NOW)
    assert (told.cancelling, told.rest is not None, told.due_at_ms) == ("recall", True, LATER)
    moved = transition(step, Rescheduled(step.due_at_ms, NOW + 1), NOW)
    assert (moved.due_at_ms, moved.rest) == (NOW + 1, step.rest)


def _called() -> Step:
    return replace(transition(running(), Deferred("n1", NO_ROOM, NOW), NOW), attempt_count=1, due_at_ms=NOW)


def test_a_link_rests_before_it_is_due() -> None:
    link = begin(spec(kind="run", parent=OTHER, child_name="c", child_key="k"), "0" * 32, NOW, None)
    rested = transition(link, Rested(), NOW + 1)
    assert rested.rest == Rest(since_ms=NOW + 1, due_ms=link.due_at_ms or 0)
    assert transition(rested, Released(), NOW + 2).due_at_ms == link.due_at_ms
    off = transition(rested, Cancelled(), NOW + 2)
    assert (off.rest, off.due_at_ms, off.is_settled) == (None, NOW + 2, False)


def test_without_a_retry_left_a_run_is_paused_and_a_resume_gives_a_fresh_budget() -> None:
    policy = RetryPolicy(count=0, then_pauses=True)
    root = ended(running(retry=policy), RETRYABLE, LATER)
    assert (root.status, root.error, root.response_status) == (Status.RETRYING, RETRYABLE.error, 503)
    assert (root.rest, root.pause) == (
        Rest(since_ms=LATER, exhausted=True),
        Pause(since_ms=LATER, by=root.id),
    )
    child = replace(running(retry=policy), id=OTHER)
    after = ended(child, RETRYABLE, LATER)
    assert (after.pause, after.rest is not None and after.rest.exhausted) == (None, True)
    assert "pause run" in effects_of(child, after, LATER).after
    again = transition(root, Resumed(), LATER + 1)
    assert (again.status, again.generation, again.retries_used, again.error) == (Status.PENDING, 2, 0, None)
    assert (again.pause, again.rest, again.due_at_ms) == (None, None, LATER + 1)


def test_rows_keep_pause_and_rest() -> None:
    paused = transition(due(), Paused(until_ms=NOW + HOUR, note="n", by=OTHER), NOW)
    for step in (
        at_rest(paused),
        ended(running(retry=RetryPolicy(count=0, then_pauses=True)), RETRYABLE, NOW),
    ):
        assert load_step(spec_record(step), bytes(step.spec.payload), progress_record(step), None) == step
    assert not {"pause", "rest"} & progress_record(due()).keys()


def test_a_run_that_has_ended_stays_paused_for_its_other_steps() -> None:
    paused = transition(running(), Paused(), NOW)
    done = ended(paused, SUCCEEDED, LATER)
    assert (done.status, done.pause) == (Status.SUCCEEDED, paused.pause)
    assert transition(done, Paused(note="n"), LATER) is done
    assert transition(done, Resumed(), LATER).pause is None


def test_without_a_retry_left_a_step_of_a_run_that_has_ended_fails() -> None:
    spent = ended(running(retry=RetryPolicy(count=0, then_pauses=True)), RETRYABLE, NOW)
    assert (spent.status, spent.rest) == (Status.RETRYING, Rest(since_ms=NOW, exhausted=True))
    after = transition(spent, Rested(run_over=True), LATER)
    assert (after.status, after.rest, after.error) == (Status.FAILED, None, spent.error)
    assert after.is_dead_letter
    # One that has retries left is not concerned.
    assert transition(at_rest(), Rested(run_over=True), LATER).status is Status.PENDING
