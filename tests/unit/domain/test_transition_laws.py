"""Invariants that hold after any events in any order, whatever the clock does."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from atomic.domain import events
from atomic.domain.outcomes import Outcome, StepError, StoredBody, timed_out
from atomic.domain.retry import RetryPolicy
from atomic.domain.steps import ATTEMPTS_KEPT, Step, StepSpec, Watch
from atomic.domain.transitions import CONSECUTIVE_LOST_MAX, begin, transition
from atomic.protocol.enums import LIVE, SETTLED, OutcomeKind, Status
from atomic.protocol.error_kinds import ErrorKind
from unit.strategies import NO_ROOM, NOW, RETENTION, examples, spec

DOWN = StepError(ErrorKind.NETWORK, "down")
ids = st.sampled_from(["a", "b", "c"])
outcomes = st.builds(
    Outcome,
    kind=st.sampled_from(OutcomeKind) | st.just(OutcomeKind.RETRYABLE),
    waiting_for=st.sampled_from([(), ("a",), ("a", "b")]),
    status=st.sampled_from([None, 200, 404, 503]),
    error=st.sampled_from([None, DOWN, StepError(ErrorKind.TIMED_OUT, "20000")]),
    wake=st.sampled_from([None, None, "all", "settled"]),
    response=st.just(StoredBody(b"1", "json")),
    retry_after_ms=st.sampled_from([None, 0, 5000, 10**9]),
).map(lambda drawn: drawn if drawn.kind is OutcomeKind.SUSPENDED else replace(drawn, wake=None))
# "held" is replaced by the nonce of the attempt that runs at that time.
ends = st.builds(
    events.Ended,
    nonce=st.sampled_from(["held", "held", "held", "stale", ""]),
    outcome=outcomes,
    jitter=st.floats(0, 1, exclude_max=True),
)
others = st.one_of(
    st.builds(events.AnsweredLate, st.integers(0, 5), st.just("note")),
    st.builds(events.WaiterAdded, ids),
    st.builds(events.Woken, st.just("") | ids, st.booleans()),
    st.builds(events.ChildFailed, ids),
    st.builds(events.WaitOver, st.integers(0, 4)),
    st.builds(events.WatchAdded, st.builds(Watch, ids, st.integers(0, 4), ids)),
    st.builds(events.Rechecked, st.integers(0, 4), st.sampled_from([(), ("a",), ("b", "c")]), st.just(0.5)),
    st.builds(
        events.ToldUnfinished, ids, st.sampled_from([NOW, NOW + 10**9]), st.none() | st.integers(1, 3)
    ),
    st.builds(
        events.Deferred,
        st.sampled_from(["held", "stale"]),
        st.just(NO_ROOM),
        st.sampled_from([NOW, NOW + 10**6]),
    ),
    st.builds(events.NotAdmitted, st.integers(0, 10**6)),
    st.builds(events.InLine, st.just("openai"), st.integers(0, 9)),
    st.builds(events.Paced, st.integers(NOW, NOW + 10**6)),
    st.just(events.OwnerLost()),
    st.builds(events.AnswersLater, st.just("held"), st.sampled_from([1, 1000, 10**8])),
    # The time of the step is filled in.
    st.builds(events.AnswerOverdue, st.just(0), st.just(0.5)),
    st.builds(events.ResultPosted, st.just(StoredBody(b"2", "json"))),
    st.just(events.Cancelled()),
    st.builds(events.MadeDue, st.none() | st.integers(NOW - 10, NOW + 10**6)),
    # The step's due time is filled in; only an event may have none.
    st.builds(events.Rescheduled, st.just(0), st.none() | st.integers(NOW, NOW + 10**6)),
    st.builds(events.Redriven, st.integers(1, 3)),
    st.builds(events.Superseded, ids, st.none() | st.integers(1, 6)),
)
claims = st.builds(events.Claimed, st.just("fresh"))
# The time since the last event: "due" means the time at which the step is due; a negative value sets the
# clock back.
pauses = st.sampled_from(["due", "due", 0, 1, 1000, 100_000, 10**8, -5000])
moments = st.tuples(claims | ends | others | claims | ends, pauses)
specs = st.builds(
    lambda kind, **fields: spec(kind=kind, url="https://a.example/" if kind == "http" else "", **fields),
    st.sampled_from(["http", "http", "http", "timer", "event", "value"]),
    retry=st.builds(
        RetryPolicy, count=st.integers(0, 4), back_off_ms=st.sampled_from([0, 1000]), factor=st.just(2.0)
    ),
    delay_ms=st.sampled_from([0, 0, 5000]),
    attempt_timeout_ms=st.sampled_from([1, 20_000]),
    deadline_ms=st.sampled_from([None, None, 1, 30_000, 10**8]),
    start_by_ms=st.sampled_from([None, None, NOW - 1, NOW + 3000, NOW + 10**6]),
)


def history(
    asked: StepSpec, story: Sequence[tuple[events.Event, Any]]
) -> list[tuple[Step, Any, Step, int]]:
    """For each event: the step before it, the event, the step after it, and the time."""
    now_ms = NOW
    step = begin(asked, "root", now_ms, "first")
    seen = [(step, None, step, now_ms)]
    for number, (drawn, pause) in enumerate(story):
        event = _with_nonce(drawn, step, number)
        now_ms = max(now_ms, step.due_at_ms or 0) if pause == "due" else now_ms + pause
        after = transition(step, event, now_ms)
        seen.append((step, event, after, now_ms))
        step = after
    return seen


def _with_nonce(event: events.Event, step: Step, number: int) -> events.Event:
    match event:
        case events.Claimed():
            return events.Claimed(f"n{number}", step.cancelling)
        case events.AnswerOverdue():
            return replace(event, by_ms=step.answer_by_ms or 0)
        case events.Ended(nonce="held") | events.Deferred(nonce="held") | events.AnswersLater():
            return replace(event, nonce=step.nonce or "none")
        case events.Rescheduled():
            has_time = step.spec.kind != "event" or step.deadline_at_ms is not None
            keeps = (event.due_at_ms is None and step.spec.kind != "event") or not has_time
            return events.Rescheduled(step.due_at_ms, step.due_at_ms if keeps else event.due_at_ms)
        case _:
            return event


stories = st.lists(moments, max_size=30)


@examples(250)
@given(specs, stories)
def test_a_row_is_always_sound(asked: StepSpec, story: Any) -> None:
    for _, _, step, _ in history(asked, story):
        check_live(step) if step.status in LIVE else check_settled(step)
        assert (step.status is Status.RUNNING) == (step.nonce is not None)
        assert step.status is Status.WAITING or step.waiting_for == ()
        assert (
            step.waiting_for or step.status is not Status.WAITING or timed_out(step.attempt_log[-1].error)
        )
        assert step.answer_by_ms is None or (step.status is Status.RUNNING and step.due_at_ms is not None)
        assert step.told is None or step.status is Status.RUNNING
        assert 0 <= step.retries_used <= asked.retry.count
        assert len(step.attempt_log) <= ATTEMPTS_KEPT
        numbers = [attempt.number for attempt in step.attempt_log]
        assert numbers == list(range(step.attempt_count - len(numbers) + 1, step.attempt_count + 1))
        assert len(set(step.waiters)) == len(step.waiters)
        assert len(set(step.watches)) == len(step.watches)
        assert step.wake is None or step.status is Status.WAITING
        assert not step.failed_meanwhile or step.status is Status.RUNNING or step.wake is not None
        assert (step.spec, step.position, step.created_at_ms) == (asked, "root", NOW)
        assert asked.kind == "http" or (step.attempt_count == 0 and step.status is not Status.RUNNING)


def check_live(step: Step) -> None:
    assert step.finished_at_ms is None
    assert step.expires_at_ms is None
    assert step.response is None
    assert step.consecutive_lost <= CONSECUTIVE_LOST_MAX
    if step.spec.kind == "event":
        assert step.due_at_ms in {step.deadline_at_ms, None}
    else:
        assert step.due_at_ms is not None or step.in_line
    if step.status is Status.RUNNING:
        assert step.attempt_log[-1].outcome is None
        assert step.attempt_log[-1].generation == step.generation


def check_settled(step: Step) -> None:
    assert step.due_at_ms is None
    assert step.finished_at_ms is not None
    assert step.expires_at_ms == step.finished_at_ms + RETENTION
    assert step.woken is False
    assert (step.error is None) == (step.status is Status.SUCCEEDED) or step.status is Status.FAILED
    assert step.status is not Status.SUCCEEDED or step.response is not None


@examples(150)
@given(specs, stories)
def test_what_is_settled_changes_by_redrive_of_a_failure_alone(asked: StepSpec, story: Any) -> None:
    for before, event, after, _ in history(asked, story):
        if before.status not in SETTLED or after is before:
            continue
        if isinstance(event, events.Redriven):
            assert before.status is Status.FAILED
            assert after.generation == before.generation + 1
        else:
            assert isinstance(event, events.AnsweredLate)
            assert after == replace(before, version=after.version, attempt_log=after.attempt_log)
            bare = [replace(attempt, late=None) for attempt in after.attempt_log]
            assert bare == [replace(attempt, late=None) for attempt in before.attempt_log]


@examples(150)
@given(specs, stories)
def test_a_version_counts_changes(asked: StepSpec, story: Any) -> None:
    for before, event, after, _ in history(asked, story)[1:]:
        assert after is before or after.version == before.version + 1
        assert after is before or replace(after, version=before.version) != before
        assert after.generation == before.generation + (
            isinstance(event, events.Redriven) and after is not before
        )
        # The number of an attempt that was not made is used again.
        undone = isinstance(event, events.Deferred) and after is not before
        assert before.attempt_count - undone <= after.attempt_count <= before.attempt_count + 1 - 2 * undone


@examples(120)
@given(specs, stories)
def test_the_same_event_makes_the_same_step(asked: StepSpec, story: Any) -> None:
    for before, event, after, now_ms in history(asked, story)[1:]:
        untouched = replace(before)
        assert transition(before, event, now_ms) == after
        assert before == untouched


@examples(150)
@given(specs, stories)
def test_a_stale_nonce_never_changes_anything(asked: StepSpec, story: Any) -> None:
    for before, event, after, _ in history(asked, story)[1:]:
        if isinstance(event, events.Ended | events.Deferred) and event.nonce != before.nonce:
            assert after is before


@examples(150)
@given(
    specs,
    stories,
    st.sampled_from([events.Cancelled(), events.Redriven(1), events.Woken(), events.OwnerLost()]),
)
def test_twice_is_once(asked: StepSpec, story: Any, event: events.Event) -> None:
    for _, _, step, now_ms in history(asked, story):
        once = transition(step, event, now_ms)
        assert transition(once, event, now_ms) is once


@examples(120)
@given(specs, stories)
def test_a_wakeup_before_its_time_changes_nothing(asked: StepSpec, story: Any) -> None:
    for _, _, step, _ in history(asked, story):
        if step.in_line:
            # It may be handed a slot at any time.
            continue
        early_ms = NOW if step.due_at_ms is None else step.due_at_ms - 1
        assert transition(step, events.Claimed("early"), early_ms) is step


@examples(120)
@given(specs, stories)
def test_a_step_that_was_deferred_may_be_claimed_before_its_time(asked: StepSpec, story: Any) -> None:
    """The claim is the one that would be made at that time, and none if the step is due at another one."""
    for _, _, step, now_ms in history(asked, story):
        until_ms = step.due_at_ms
        if until_ms is None or until_ms <= now_ms or step.spec.kind != "http" or step.in_line:
            continue
        other = events.Claimed("early", step.cancelling, until_ms + 1)
        assert transition(step, other, now_ms) is step
        early = transition(step, events.Claimed("early", step.cancelling, until_ms), now_ms)
        in_time = transition(step, events.Claimed("early", step.cancelling), until_ms)
        assert (early is step) is (in_time is step)
        # At its time, the deadline may be over.
        assert early.status is in_time.status or in_time.is_settled
        if early.status is Status.RUNNING and early is not step:
            assert (early.nonce, early.attempt_log[-1].started_at_ms) == ("early", now_ms)


@examples(120)
@given(specs.filter(lambda asked: asked.kind != "event"), stories)
def test_following_the_wakeups_settles_a_step(asked: StepSpec, story: Any) -> None:
    """From any state, a step settles after nothing but ends of waits, claims and failures."""
    step = history(asked, story)[-1][2]
    failure = Outcome(kind=OutcomeKind.RETRYABLE, error=DOWN)
    for turn in range(100):
        if step.is_settled:
            break
        now_ms = step.due_at_ms or 0
        if step.status is Status.WAITING:
            over = events.Woken() if step.wake is None else events.WaitOver(step.attempt_count)
            step = transition(step, over, now_ms)
        step = transition(step, events.Claimed(f"end{turn}", step.cancelling), now_ms)
        step = transition(step, events.Ended(nonce=step.nonce or "", outcome=failure, jitter=0.5), now_ms)
    assert step.is_settled
