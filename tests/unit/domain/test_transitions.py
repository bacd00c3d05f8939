"""The result of every event on a step in every state."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from atomic.domain import events
from atomic.domain.event_steps import EARLY_KEPT_MS, early, has_result, rejection
from atomic.domain.events import (
    AnsweredLate,
    AnswerOverdue,
    AnswersLater,
    Cancelled,
    CancelRequested,
    ChildFailed,
    Claimed,
    Deferred,
    DismissalUndone,
    Dismissed,
    Ended,
    HeartbeatPosted,
    InLine,
    LimitsGiven,
    LinkDue,
    LinkEnded,
    LinkMoved,
    MadeDue,
    NotAdmitted,
    Opened,
    OwnerLost,
    Paced,
    Paid,
    Paused,
    Rechecked,
    Redriven,
    Released,
    Rescheduled,
    Rested,
    ResultPosted,
    Resumed,
    Superseded,
    ToldUnfinished,
    WaiterAdded,
    WaitOver,
    WatchAdded,
    Woken,
)
from atomic.domain.flow import FlowEntry
from atomic.domain.outcomes import Outcome, StepError, StoredBody
from atomic.domain.outcomes import timed_out as is_timed_out
from atomic.domain.retry import RetryPolicy
from atomic.domain.slots import keeps_slot
from atomic.domain.steps import ATTEMPTS_KEPT, LEASE_MARGIN_MS, Step, Watch, attempt_timeout_ms
from atomic.domain.transitions import CONSECUTIVE_LOST_MAX, Effects, begin, effects_of, transition
from atomic.protocol import keys
from atomic.protocol.constants import EVERY_CHILD
from atomic.protocol.enums import OutcomeKind, Status, WakePolicy
from atomic.protocol.error_kinds import ErrorKind
from contract.builders import an_owed
from unit.strategies import (
    GONE,
    NO_ROOM,
    NOW,
    OTHER,
    PERMANENT,
    REFUSED,
    RETENTION,
    RETRYABLE,
    SUCCEEDED,
    SUSPENDED,
    TIMED_OUT,
    WAITED_FOR_NOTHING,
    claimed,
    ended,
    failed,
    loses,
    running,
    spec,
    waiting,
)

LATER = NOW + 10_000
MINUTE, HOUR = 60_000, 3_600_000
ONCE = RetryPolicy(count=0)
AT_MOST_ONCE: dict[str, Any] = {"fails_if_lost": True, "retry": RetryPolicy(count=3)}


def due() -> Step:
    """A step that was woken and is due."""
    return transition(waiting(), Woken(), NOW + 200)


def told(**changes: Any) -> Step:
    """A step whose attempt was told that OTHER is unfinished."""
    return transition(running(**changes), ToldUnfinished(OTHER, NOW), NOW + 1)


def timed_out(**changes: Any) -> Step:
    """A step whose attempt timed out, before its own steps were checked."""
    return ended(running(**changes), TIMED_OUT, NOW + 20_000)


def lost() -> Step:
    """A step whose attempt was lost: its lease has ended."""
    return replace(running(), due_at_ms=NOW + 100)


def later(within_ms: int = 200, **changes: Any) -> Step:
    """A step whose endpoint has postponed its answer."""
    return transition(running(**changes), AnswersLater("n1", within_ms), NOW)


# A step of kind http in each of its states. Overdue ones are due before LATER.
STATES: dict[str, Callable[[], Step]] = {
    "delayed": lambda: begin(spec(delay_ms=HOUR), keys.ROOT, NOW, "n1"),
    "due": due,
    "running": running,
    "lost": lost,
    "later": later,
    "retrying": lambda: ended(running(), RETRYABLE, LATER),
    "waiting": waiting,
    "succeeded": lambda: ended(running(), SUCCEEDED, NOW + 100),
    "failed": failed,
    "cancelled": lambda: transition(running(), Cancelled(), NOW + 100),
}
EVENTS: dict[str, events.Event] = {
    "Claimed": Claimed("n2"),
    "NotAdmitted": NotAdmitted(LATER + HOUR),
    "InLine": InLine("openai", 7),
    "Paced": Paced(LATER + HOUR),
    "Deferred": Deferred("n1", NO_ROOM, LATER + HOUR),
    "Told": ToldUnfinished(OTHER, NOW),
    "Succeeded": Ended(nonce="n1", outcome=SUCCEEDED, jitter=0.5),
    "Retryable": Ended(nonce="n1", outcome=RETRYABLE, jitter=0.5),
    "Permanent": Ended(nonce="n1", outcome=PERMANENT, jitter=0.5),
    "Suspended": Ended(nonce="n1", outcome=SUSPENDED, jitter=0.5),
    "TimedOut": Ended(nonce="n1", outcome=TIMED_OUT, jitter=0.5),
    "Refused": Ended(nonce="n1", outcome=REFUSED, jitter=0.5),
    "Stale": Ended(nonce="n0", outcome=SUCCEEDED, jitter=0.5),
    "Later": AnswersLater("n1", HOUR),
    "Overdue": AnswerOverdue(NOW + 200, 0.5),
    "Late": AnsweredLate(1, "succeeded 200"),
    "Unknown": AnsweredLate(7, "succeeded 200"),
    "Waiter": WaiterAdded(OTHER),
    "Watched": WatchAdded(Watch(OTHER, 1)),
    "Woken": Woken(),
    "Failed": ChildFailed(OTHER),
    "Over": WaitOver(1),
    "OverBefore": WaitOver(0),
    "Rechecked": Rechecked(1, (OTHER,), 0.5),
    "Nothing": Rechecked(1, (), 0.5),
    "OwnerLost": OwnerLost(),
    "Result": ResultPosted(StoredBody(b"1", "json")),
    "Opened": Opened(HOUR),
    "Limits": LimitsGiven(HOUR, HOUR),
    "Heartbeat": HeartbeatPosted(),
    "Cancelled": Cancelled(),
    "Superseded": Superseded(OTHER),
    "CancelLeaf": CancelRequested(LATER + HOUR, is_handler=False),
    "CancelTold": CancelRequested(LATER + HOUR, is_handler=True),
    "DueNow": MadeDue(),
    "DueLater": MadeDue(LATER + MINUTE),
    "Rescheduled": Rescheduled(NOW + 200, LATER),
    "LinkEnded": LinkEnded(1, Status.SUCCEEDED),
    "LinkMoved": LinkMoved(1, OTHER, OTHER),
    "LinkDue": LinkDue(LATER),
    "Paused": Paused(),
    "Resumed": Resumed(),
    "Rested": Rested(),
    "Released": Released(),
    "Redriven": Redriven(1),
    "Paid": Paid((an_owed(),)),
    "Dismissed": Dismissed("known"),
    "Undone": DismissalUndone(),
}
# `=` means the same object; `~` means the same status with other changes.
TABLE = """
            delayed   due       running   lost      later     retrying  waiting   succeeded failed    cancelled
Claimed     =         running   =         running   =         =         =         =         =         =
NotAdmitted =         ~         =         ~         =         =         =         =         =         =
InLine      =         ~         =         ~         =         =         =         =         =         =
Paced       =         ~         =         ~         =         =         =         =         =         =
Deferred    =         =         pending   pending   pending   =         =         =         =         =
Told        =         =         ~         ~         ~         =         =         =         =         =
Succeeded   =         =         succeeded succeeded succeeded =         =         =         =         =
Retryable   =         =         retrying  retrying  retrying  =         =         =         =         =
Permanent   =         =         failed    failed    failed    =         =         =         =         =
Suspended   =         =         waiting   waiting   waiting   =         =         =         =         =
TimedOut    =         =         waiting   waiting   waiting   =         =         =         =         =
Refused     =         =         pending   pending   pending   =         =         =         =         =
Stale       =         =         =         =         =         =         =         =         =         =
Later       =         =         ~         ~         ~         =         =         =         =         =
Overdue     =         =         =         =         retrying  =         =         =         =         =
Late        =         ~         ~         ~         ~         ~         ~         ~         ~         ~
Unknown     =         =         =         =         =         =         =         =         =         =
Waiter      ~         ~         ~         ~         ~         ~         ~         =         =         =
Watched     ~         ~         ~         ~         ~         ~         ~         =         =         =
Woken       =         =         ~         ~         ~         =         pending   =         =         =
Failed      =         =         ~         ~         ~         =         =         =         =         =
Over        =         =         =         =         =         =         pending   =         =         =
OverBefore  =         =         =         =         =         =         =         =         =         =
Rechecked   =         =         =         =         =         =         =         =         =         =
Nothing     =         =         =         =         =         =         retrying  =         =         =
OwnerLost   =         =         pending   pending   =         =         ~         =         =         =
Result      =         =         =         =         =         =         =         =         =         =
Opened      =         =         =         =         =         =         =         =         =         =
Limits      =         =         =         =         =         =         =         =         =         =
Heartbeat   =         =         =         =         =         =         =         =         =         =
Cancelled   cancelled cancelled cancelled cancelled cancelled cancelled cancelled =         =         =
Superseded  cancelled =         =         =         =         =         =         =         =         =
CancelLeaf  cancelled cancelled ~         ~         cancelled cancelled pending   =         =         =
CancelTold  cancelled pending   ~         ~         pending   pending   pending   =         =         =
DueNow      ~         =         =         =         =         ~         =         =         =         =
DueLater    ~         ~         =         =         =         ~         =         =         =         =
Rescheduled =         ~         =         =         ~         =         =         =         =         =
LinkEnded   =         =         =         =         =         =         =         =         =         =
LinkMoved   =         =         =         =         =         =         =         =         =         =
LinkDue     =         =         =         =         =         =         =         =         =         =
Paused      ~         ~         ~         ~         ~         ~         ~         =         =         =
Resumed     =         =         =         =         =         =         =         =         =         =
Rested      =         ~         =         pending   =         =         =         =         =         =
Released    =         =         =         =         =         =         =         =         =         =
Redriven    =         =         =         =         =         =         =         =         pending   =
Paid        =         =         =         =         =         =         =         =         =         =
Dismissed   =         =         =         =         =         =         =         =         ~         =
Undone      =         =         =         =         =         =         =         =         =         =
"""  # noqa: E501 - one column a state
ROWS = [line.split() for line in TABLE.strip().splitlines()[1:]]


def test_the_table_names_every_event_and_state() -> None:
    assert TABLE.split()[: len(STATES)] == list(STATES)
    assert [row[0] for row in ROWS] == list(EVENTS)
    assert {type(event) for event in EVENTS.values()} == set(events.Event.__args__)
    assert {STATES[name]().status for name in STATES} == set(Status)


@pytest.mark.parametrize(
    ("name", "event", "expected"),
    [(name, row[0], cell) for row in ROWS for name, cell in zip(STATES, row[1:], strict=True)],
)
def test_what_an_event_makes_of_a_state(name: str, event: str, expected: str) -> None:
    before = STATES[name]()
    after = transition(before, EVENTS[event], LATER)
    if expected == "=":
        assert after is before
        return
    assert after.version == before.version + 1
    assert after.status == (before.status if expected == "~" else expected)
    assert replace(after, version=before.version) != before


class TestBegin:
    def test_a_step_that_starts_at_once_is_created_claimed(self) -> None:
        step = running()
        assert (step.status, step.nonce, step.attempt_count, step.version) == (Status.RUNNING, "n1", 1, 1)
        assert (step.generation, step.created_at_ms, step.position) == (1, NOW, "root")
        assert step.due_at_ms == NOW + 20_000 + LEASE_MARGIN_MS
        (attempt,) = step.attempt_log
        assert (attempt.number, attempt.generation, attempt.started_at_ms) == (1, 1, NOW)
        assert (attempt.ended_at_ms, attempt.outcome) == (None, None)

    def test_a_delayed_step_is_pending_until_its_time(self) -> None:
        step = STATES["delayed"]()
        assert (step.status, step.nonce, step.attempt_count, step.version) == (Status.PENDING, None, 0, 1)
        assert step.due_at_ms == NOW + HOUR
        assert transition(step, Claimed("n2"), NOW + HOUR - 1) is step
        assert transition(step, Claimed("n2"), NOW + HOUR).status is Status.RUNNING

    def test_ids_and_parents(self) -> None:
        root = running()
        child = begin(spec(parent=root.id), "0" * 32, NOW, "n1")
        grandchild = begin(spec(parent=OTHER), "1" * 32, NOW, "n1")
        assert (root.id, root.is_root, root.spec.parent) == (keys.root_of(root.spec.run_id), True, None)
        assert (child.id, child.is_root, child.spec.parent) == (OTHER, False, root.id)
        assert grandchild.spec.parent == OTHER


class TestSettling:
    def test_success_keeps_the_answer(self) -> None:
        step = STATES["succeeded"]()
        assert (step.response, step.response_status, step.error) == (SUCCEEDED.response, 200, None)
        assert (step.finished_at_ms, step.expires_at_ms) == (NOW + 100, NOW + 100 + RETENTION)
        assert (step.due_at_ms, step.nonce) == (None, None)
        assert (step.attempt_log[0].ended_at_ms, step.attempt_log[0].outcome) == (
            NOW + 100,
            OutcomeKind.SUCCEEDED,
        )

    def test_success_after_failures_has_no_error(self) -> None:
        step = ended(claimed(STATES["retrying"]()), SUCCEEDED, NOW + HOUR)
        assert (step.error, step.response_status, step.attempt_count) == (None, 200, 2)
        assert [attempt.error for attempt in step.attempt_log] == [RETRYABLE.error, None]

    def test_a_permanent_answer_fails_at_once_and_keeps_the_body(self) -> None:
        step = failed()
        assert (step.status, step.error, step.retries_used) == (Status.FAILED, GONE, 0)
        assert (step.response, step.response_status) == (PERMANENT.response, 410)
        assert step.expires_at_ms == NOW + 100 + RETENTION

    def test_a_permanent_answer_fails_whatever_else_is_live(self) -> None:
        woken = transition(told(), Woken(), NOW + 1)
        step = ended(woken, PERMANENT, NOW + 100)
        assert (step.status, step.waiting_for, step.woken, step.told) == (Status.FAILED, (), False, None)

    def test_success_counts_even_after_the_deadline(self) -> None:
        step = ended(running(deadline_ms=1000), SUCCEEDED, NOW + 5000)
        assert step.status is Status.SUCCEEDED

    def test_a_cancelled_step_says_so(self) -> None:
        step = transition(waiting(), Cancelled(), LATER)
        assert (step.status, str(step.error), step.waiting_for) == (Status.CANCELLED, "cancelled", ())
        assert (step.finished_at_ms, step.expires_at_ms) == (LATER, LATER + RETENTION)

    def test_cancel_twice_is_cancel_once(self) -> None:
        step = transition(running(), Cancelled(), LATER)
        assert transition(step, Cancelled(), LATER + 1) is step

    def test_what_is_left_over_is_remembered_as_long_as_its_run(self) -> None:
        step = transition(waiting(), Cancelled(StepError(ErrorKind.RUN_ENDED), LATER + 7), LATER)
        assert (step.status, str(step.error)) == (Status.CANCELLED, "its run has ended")
        assert (step.finished_at_ms, step.expires_at_ms) == (LATER, LATER + 7)

    def test_waiters_stay_so_that_they_can_be_woken(self) -> None:
        step = transition(running(), WaiterAdded(OTHER), NOW)
        assert ended(step, SUCCEEDED, NOW + 1).waiters == (OTHER,)
        assert ended(step, PERMANENT, NOW + 1).waiters == (OTHER,)
        assert transition(step, Cancelled(), NOW + 1).waiters == (OTHER,)

    def test_a_waiter_is_kept_once(self) -> None:
        step = transition(running(), WaiterAdded(OTHER), NOW)
        assert transition(step, WaiterAdded(OTHER), NOW) is step
        assert transition(step, WaiterAdded("another"), NOW).waiters == (OTHER, "another")


class TestRetries:
    def test_count_counts_retries_after_the_first_attempt(self) -> None:
        step, seen = running(retry=RetryPolicy(count=3, back_off_ms=10, jitter="none")), []
        while not step.is_settled:
            step = ended(step, RETRYABLE, step.attempt_log[-1].started_at_ms + 5)
            seen.append((step.status.value, step.retries_used, step.attempt_count))
            step = claimed(step) if not step.is_settled else step
        assert seen == [("retrying", 1, 1), ("retrying", 2, 2), ("retrying", 3, 3), ("failed", 3, 4)]
        assert step.error == RETRYABLE.error
        assert step.response_status == 503

    def test_count_zero_is_one_attempt(self) -> None:
        assert ended(running(retry=RetryPolicy(count=0)), RETRYABLE, NOW).status is Status.FAILED

    def test_a_retry_is_due_after_its_delay(self) -> None:
        policy = RetryPolicy(back_off_ms=1000, jitter="full")
        step = ended(running(retry=policy), RETRYABLE, LATER, jitter=0.25)
        assert (step.status, step.due_at_ms, step.nonce) == (Status.RETRYING, LATER + 250, None)
        assert (step.error, step.response_status) == (RETRYABLE.error, 503)
        assert transition(step, Claimed("n2"), LATER + 249) is step
        assert transition(step, Claimed("n2"), LATER + 250).attempt_count == 2

    def test_retry_after_moves_the_retry(self) -> None:
        step = ended(running(), replace(RETRYABLE, retry_after_ms=MINUTE), LATER)
        assert step.due_at_ms == LATER + MINUTE

    def test_attempts_beyond_fifty_drop_the_oldest(self) -> None:
        step = running(retry=RetryPolicy(count=1000, back_off_ms=0))
        for _ in range(120):
            step = claimed(ended(step, RETRYABLE, NOW))
        assert len(step.attempt_log) == ATTEMPTS_KEPT == 50
        assert [attempt.number for attempt in step.attempt_log] == list(range(72, 122))
        assert transition(step, AnsweredLate(71, "x"), NOW) is step

    def test_a_retry_after_the_deadline_is_not_scheduled(self) -> None:
        step = ended(running(deadline_ms=1000), RETRYABLE, NOW + 500)
        assert step.status is Status.FAILED
        assert str(step.error) == (
            f"no time for another attempt within the deadline of 1000 ms; last: {RETRYABLE.error}"
        )


class TestFencing:
    @pytest.mark.parametrize("nonce", ["", "n0", "n2", "N1"])
    @pytest.mark.parametrize("outcome", [SUCCEEDED, RETRYABLE, PERMANENT, SUSPENDED])
    def test_a_stale_nonce_changes_nothing(self, nonce: str, outcome: Outcome) -> None:
        step = running()
        assert transition(step, Ended(nonce=nonce, outcome=outcome, jitter=0), LATER) is step
        assert transition(step, Deferred(nonce, NO_ROOM, LATER + HOUR), LATER) is step

    def test_the_old_nonce_is_stale_after_another_claim(self) -> None:
        step = claimed(lost(), "n2")
        assert transition(step, Ended(nonce="n1", outcome=SUCCEEDED, jitter=0), LATER) is step
        assert ended(step, SUCCEEDED, LATER).status is Status.SUCCEEDED

    def test_an_answer_after_the_lease_counts_until_the_next_claim(self) -> None:
        """The lease has ended, but the step was not claimed again, so the answer still counts."""
        step = running()
        assert ended(step, SUCCEEDED, NOW + HOUR).status is Status.SUCCEEDED

    @pytest.mark.parametrize("name", ["succeeded", "failed", "cancelled"])
    def test_a_late_answer_is_noted_once_and_changes_nothing_else(self, name: str) -> None:
        before = STATES[name]()
        after = transition(before, AnsweredLate(1, "succeeded 200"), LATER)
        (attempt,) = after.attempt_log
        assert attempt == replace(before.attempt_log[0], late="succeeded 200")
        assert after == replace(before, version=before.version + 1, attempt_log=(attempt,))
        assert transition(after, AnsweredLate(1, "again"), LATER) is after


class TestAnswersLater:
    def test_the_lease_lasts_until_the_answer_is_overdue(self) -> None:
        step = later(HOUR)
        assert (step.status, step.nonce, step.attempt_count) == (Status.RUNNING, "n1", 1)
        assert (step.answer_by_ms, step.due_at_ms) == (NOW + HOUR, NOW + HOUR)
        for event in (Claimed("n2"), OwnerLost(), NotAdmitted(NOW + 2 * HOUR)):
            assert transition(step, event, NOW + HOUR) is step

    def test_the_answer_ends_the_attempt_like_one_that_comes_at_once(self) -> None:
        for outcome in (SUCCEEDED, RETRYABLE, PERMANENT, SUSPENDED, REFUSED):
            at_once = ended(running(), outcome, LATER)
            posted = ended(later(HOUR), outcome, LATER)
            assert posted == replace(at_once, version=at_once.version + 1)

    def test_without_an_answer_the_attempt_has_timed_out_and_counts(self) -> None:
        step = later(HOUR)
        assert transition(step, AnswerOverdue(NOW + HOUR, 0.5), NOW + HOUR - 1) is step
        over = transition(step, AnswerOverdue(NOW + HOUR, 0.5), NOW + HOUR)
        assert (over.status, over.retries_used, over.answer_by_ms) == (Status.RETRYING, 1, None)
        assert str(over.error) == f"timeout: no answer was posted within {HOUR} ms"
        assert claimed(over).attempt_count == 2
        last = transition(later(HOUR, retry=ONCE), AnswerOverdue(NOW + HOUR, 0.5), NOW + HOUR)
        assert last.status is Status.FAILED

    def test_it_may_be_postponed_again(self) -> None:
        step = transition(later(HOUR), AnswersLater("n1", HOUR), NOW + MINUTE)
        assert step.due_at_ms == NOW + MINUTE + HOUR
        assert transition(step, AnswerOverdue(NOW + HOUR, 0.5), NOW + 2 * HOUR) is step

    def test_the_deadline_comes_first(self) -> None:
        step = later(HOUR, deadline_ms=MINUTE)
        assert step.due_at_ms == step.answer_by_ms == NOW + MINUTE
        over = transition(step, AnswerOverdue(NOW + MINUTE, 0.5), NOW + MINUTE)
        assert over.status is Status.FAILED
        assert str(over.error).startswith(f"the deadline of {MINUTE} ms is over; last: timeout")
        assert over.attempt_log[-1].outcome is OutcomeKind.RETRYABLE

    def test_an_attempt_that_was_lost_meanwhile_cannot_postpone_it(self) -> None:
        step = claimed(lost(), "n2")
        assert transition(step, AnswersLater("n1", HOUR), LATER) is step

    def test_a_header_that_is_wrong_is_a_failure_though_a_step_is_unfinished(self) -> None:
        error = StepError(ErrorKind.INVALID_ANSWER_WITHIN, "'soon'")
        step = ended(told(), Outcome(kind=OutcomeKind.RETRYABLE, status=202, error=error), LATER)
        assert (step.status, step.retries_used, step.error) == (Status.RETRYING, 1, error)


class TestAtMostOnce:
    """A lost attempt is not repeated, for it may have been made."""

    @pytest.mark.parametrize(
        "event",
        [Claimed("n2"), OwnerLost(), NotAdmitted(NOW + HOUR)],
        ids=lambda event: type(event).__name__,
    )
    @pytest.mark.parametrize("deadline_ms", [None, 100])
    def test_a_lost_attempt_is_the_last_one(self, event: events.Event, deadline_ms: int | None) -> None:
        step = running(**AT_MOST_ONCE, deadline_ms=deadline_ms)
        lost_ms = step.due_at_ms or 0
        after = transition(step, event, lost_ms)
        assert (after.status, after.attempt_count, after.due_at_ms) == (Status.FAILED, 1, None)
        assert after.error == StepError(ErrorKind.LOST)
        assert after.attempt_log[-1].outcome is OutcomeKind.NO_ANSWER
        late = transition(after, AnsweredLate(1, "succeeded 200"), lost_ms + 1)
        assert (late.status, late.attempt_log[0].late) == (Status.FAILED, "succeeded 200")

    def test_what_is_answered_is_retried_as_ever(self) -> None:
        step = ended(running(**AT_MOST_ONCE), RETRYABLE, LATER)
        assert step.status is Status.RETRYING
        assert transition(step, OwnerLost(), LATER) is step
        assert claimed(step).status is Status.RUNNING
        assert ended(running(**AT_MOST_ONCE), SUSPENDED, LATER).status is Status.WAITING

    def test_an_answer_that_comes_later_is_not_lost(self) -> None:
        step = later(HOUR, **AT_MOST_ONCE)
        assert transition(step, OwnerLost(), LATER) is step
        over = transition(step, AnswerOverdue(NOW + HOUR, 0.5), NOW + HOUR)
        assert over.status is Status.RETRYING

    def test_a_redrive_is_an_operators_decision(self) -> None:
        dead = transition(running(**AT_MOST_ONCE), OwnerLost(), LATER)
        step = claimed(transition(dead, Redriven(1), LATER))
        assert (step.status, step.attempt_count, step.consecutive_lost) == (Status.RUNNING, 2, 0)


class TestLeases:
    def test_a_lease_ends_some_time_after_the_attempt_must_have_ended(self) -> None:
        step = running(attempt_timeout_ms=5000)
        due_at_ms = NOW + 5000 + LEASE_MARGIN_MS
        assert step.due_at_ms == due_at_ms
        assert transition(step, Claimed("n2"), due_at_ms - 1) is step
        taken = transition(step, Claimed("n2"), due_at_ms)
        assert (taken.status, taken.nonce, taken.attempt_count) == (Status.RUNNING, "n2", 2)
        assert taken.attempt_log[0].outcome is OutcomeKind.NO_ANSWER
        assert taken.attempt_log[0].ended_at_ms == due_at_ms

    def test_a_lost_attempt_costs_no_retry(self) -> None:
        step = loses(running(retry=RetryPolicy(count=0)), 3)
        assert (step.status, step.attempt_count, step.retries_used, step.consecutive_lost) == (
            Status.RUNNING,
            4,
            0,
            3,
        )

    def test_attempts_that_are_always_lost_end(self) -> None:
        step = loses(running(), CONSECUTIVE_LOST_MAX)
        assert (step.status, step.consecutive_lost) == (Status.RUNNING, CONSECUTIVE_LOST_MAX)
        step = claimed(step)
        assert step.status is Status.FAILED
        assert str(step.error) == "11 attempts in a row ended without a recorded answer"
        assert step.attempt_count == CONSECUTIVE_LOST_MAX + 1

    def test_an_answer_in_between_starts_the_count_again(self) -> None:
        step = loses(running(), CONSECUTIVE_LOST_MAX)
        step = ended(step, RETRYABLE, step.attempt_log[-1].started_at_ms)
        assert step.consecutive_lost == 0
        step = loses(claimed(step), CONSECUTIVE_LOST_MAX)
        assert step.status is Status.RUNNING

    @pytest.mark.parametrize("name", ["running", "waiting"])
    def test_a_step_whose_owner_is_lost_is_due_at_once(self, name: str) -> None:
        step = transition(STATES[name](), OwnerLost(), LATER)
        assert step.due_at_ms == LATER
        assert transition(step, OwnerLost(), LATER) is step

    def test_an_attempt_that_answers_after_its_lease_but_before_the_next_claim_counts(self) -> None:
        assert ended(lost(), SUCCEEDED, LATER).status is Status.SUCCEEDED

    def test_a_step_whose_owner_is_lost_does_not_count_the_attempt(self) -> None:
        step = transition(running(), OwnerLost(), LATER)
        assert (step.status, step.nonce, step.consecutive_lost) == (Status.PENDING, None, 0)
        assert step.attempt_log[-1].outcome is OutcomeKind.NO_ANSWER
        assert transition(step, Ended(nonce="n1", outcome=SUCCEEDED, jitter=0), LATER) is step


class TestDeadline:
    def test_it_counts_from_the_start(self) -> None:
        assert running(deadline_ms=5000).deadline_at_ms == NOW + 5000
        assert running().deadline_at_ms is None

    @pytest.mark.parametrize(
        ("deadline_ms", "now_ms", "left_ms"),
        [(None, NOW, 20_000), (HOUR, NOW, 20_000), (5000, NOW, 5000), (5000, NOW + 4999, 1),
         (5000, NOW + 5000, 1), (5000, NOW + HOUR, 1)],
    )  # fmt: skip
    def test_an_attempt_gets_what_is_left_of_it(self, deadline_ms: Any, now_ms: int, left_ms: int) -> None:
        step = running(deadline_ms=deadline_ms)
        assert attempt_timeout_ms(step.spec, step.deadline_at_ms, now_ms) == left_ms

    @pytest.mark.parametrize("off_ms", [0, 1, HOUR])
    def test_no_attempt_begins_after_it(self, off_ms: int) -> None:
        pending = transition(waiting(deadline_ms=MINUTE), Woken(), NOW + 200)
        step = transition(pending, Claimed("n2"), NOW + MINUTE + off_ms)
        assert (step.status, step.attempt_count) == (Status.FAILED, 1)
        assert str(step.error) == "the deadline of 60000 ms is over"
        assert transition(pending, Claimed("n2"), NOW + MINUTE - 1).status is Status.RUNNING

    def test_a_lost_attempt_ends_by_it(self) -> None:
        step = claimed(running(deadline_ms=1000))
        assert step.status is Status.FAILED
        assert step.attempt_log[0].outcome is OutcomeKind.NO_ANSWER

    def test_waiting_ends_at_it(self) -> None:
        step = waiting(deadline_ms=MINUTE)
        assert step.due_at_ms == NOW + MINUTE
        over = transition(step, Rechecked(1, (OTHER,), 0.5), NOW + MINUTE)
        assert (over.status, over.waiting_for) == (Status.FAILED, ())

    def test_redrive_gives_a_new_one(self) -> None:
        step = claimed(running(deadline_ms=1000))
        again = transition(step, Redriven(1), NOW + HOUR)
        assert again.deadline_at_ms == NOW + HOUR + 1000
        assert transition(again, Claimed("n3"), NOW + HOUR).status is Status.RUNNING


ALL_OF_BOTH = replace(SUSPENDED, waiting_for=(OTHER, "another"), wake="all")


class TestWaitingForSeveral:
    @pytest.mark.parametrize("wake", ["all", "settled"])
    def test_a_success_wakes_nobody_who_waits_for_all(self, wake: WakePolicy) -> None:
        step = ended(running(), replace(ALL_OF_BOTH, wake=wake), NOW + 1)
        assert (step.status, step.wake, step.waiting_for) == (Status.WAITING, wake, (OTHER, "another"))
        assert transition(step, Woken(OTHER), LATER) is step
        over = transition(step, WaitOver(1), LATER)
        assert (over.status, over.wake, over.waiting_for) == (Status.PENDING, None, ())

    def test_a_failure_wakes_who_waits_for_success_and_named_the_step(self) -> None:
        step = ended(running(), ALL_OF_BOTH, NOW + 1)
        assert transition(step, Woken(OTHER, failed=True), LATER).status is Status.PENDING
        assert transition(step, Woken("a third", failed=True), LATER) is step
        patient = ended(running(), replace(ALL_OF_BOTH, wake="settled"), NOW + 1)
        assert transition(patient, Woken(OTHER, failed=True), LATER) is patient

    def test_who_waits_for_every_child_is_woken_by_its_own_alone(self) -> None:
        step = ended(running(), replace(ALL_OF_BOTH, waiting_for=(EVERY_CHILD,)), NOW + 1)
        run = keys.run_of(step.id)
        child = keys.step_id(run, keys.identity("me", "w", step.id, "u", "", "k"))
        strange = keys.step_id(run, keys.identity("me", "w", child, "u", "", "k"))
        assert transition(step, Woken(child, failed=True), LATER).status is Status.PENDING
        assert transition(step, Woken(strange, failed=True), LATER) is step

    def test_a_wake_up_during_the_attempt_does_not_end_the_wait(self) -> None:
        woken = transition(running(), Woken(OTHER), NOW)
        step = ended(woken, ALL_OF_BOTH, NOW + 1)
        assert (step.status, step.woken, step.failed_meanwhile) == (Status.WAITING, False, False)

    @pytest.mark.parametrize("event", [Woken(OTHER, failed=True), ChildFailed(OTHER)])
    def test_a_failure_during_the_attempt_is_kept_for_the_look(self, event: events.Event) -> None:
        marked = transition(running(), event, NOW)
        assert (marked.failed_meanwhile, marked.woken) == (True, isinstance(event, Woken))
        assert transition(marked, event, NOW) is marked
        step = ended(marked, ALL_OF_BOTH, NOW + 1)
        assert (step.status, step.failed_meanwhile) == (Status.WAITING, True)
        assert not ended(marked, SUSPENDED, NOW + 1).failed_meanwhile
        called = transition(step, event, LATER)
        assert (called.status, called.failed_meanwhile) == (Status.PENDING, False)

    def test_a_child_that_failed_unasked_wakes_nobody_who_waits_for_any(self) -> None:
        step = waiting()
        assert transition(step, ChildFailed(OTHER), LATER) is step

    def test_a_look_keeps_the_names(self) -> None:
        step = ended(running(), ALL_OF_BOTH, NOW + 1)
        assert transition(step, Rechecked(1, step.waiting_for, 0.5), LATER) is step
        due = transition(step, Rechecked(1, step.waiting_for, 0.5), NOW + HOUR)
        assert (due.waiting_for, due.wake, due.rechecks) == (step.waiting_for, "all", 1)
        nothing = transition(step, Rechecked(1, (), 0.5), LATER)
        assert (nothing.status, nothing.wake, nothing.error) == (Status.RETRYING, None, WAITED_FOR_NOTHING)

    def test_a_wrong_value_is_a_failure_even_of_who_was_told_of_a_step(self) -> None:
        error = StepError(ErrorKind.UNKNOWN_WAKE, "'both'")
        step = ended(told(), replace(RETRYABLE, error=error), NOW + 1)
        assert (step.status, step.retries_used, step.error) == (Status.RETRYING, 1, error)

    def test_a_watch_of_an_earlier_attempt_is_replaced(self) -> None:
        step = transition(running(), WatchAdded(Watch(OTHER, 1, "x")), NOW)
        step = transition(step, WatchAdded(Watch("another", 1)), NOW)
        assert transition(step, WatchAdded(Watch(OTHER, 1, "x")), NOW) is step
        step = transition(step, WatchAdded(Watch(OTHER, 2)), NOW)
        assert step.watches == (Watch("another", 1), Watch(OTHER, 2))
        again = transition(ended(step, PERMANENT, NOW), Redriven(1), LATER)
        assert (again.watches, again.waiters) == ((), ())


class TestWaiting:
    @pytest.mark.parametrize(
        ("before", "outcome"), [(running, SUSPENDED), (told, RETRYABLE), (told, SUSPENDED)]
    )
    def test_an_attempt_that_names_steps_or_was_told_of_one_waits_without_a_retry(
        self, before: Callable[..., Step], outcome: Outcome
    ) -> None:
        step = ended(before(retry=ONCE), outcome, NOW + 100)
        assert (step.status, step.waiting_for, step.retries_used) == (Status.WAITING, (OTHER,), 0)
        assert (step.due_at_ms, step.nonce, step.told) == (NOW + 100 + MINUTE, None, None)
        woken = transition(step, Woken(), LATER)
        assert (woken.status, woken.due_at_ms, woken.waiting_for) == (Status.PENDING, LATER, ())
        assert transition(woken, Woken(), LATER) is woken
        again = transition(woken, Claimed("n2"), LATER)
        assert (again.status, again.attempt_count, again.retries_used) == (Status.RUNNING, 2, 0)

    def test_a_failure_of_its_own_counts_whatever_wakes_it(self) -> None:
        """The attempt was not told of any step, so a settled step does not affect it."""
        woken = transition(running(), Woken(), NOW + 1)
        for step in (running(), woken):
            after = ended(step, replace(RETRYABLE, retry_after_ms=MINUTE), LATER)
            assert (after.status, after.retries_used, after.error) == (Status.RETRYING, 1, RETRYABLE.error)
            assert after.due_at_ms == LATER + MINUTE
        assert ended(running(retry=ONCE), RETRYABLE, LATER).status is Status.FAILED

    def test_the_first_told_step_of_an_attempt_is_kept_until_the_next_attempt(self) -> None:
        step = told()
        assert step.told == OTHER
        assert transition(step, ToldUnfinished("another", NOW), LATER) is step
        again = claimed(transition(ended(step, RETRYABLE, LATER), Woken(), LATER))
        assert (again.attempt_count, again.told) == (2, None)
        assert ended(again, RETRYABLE, LATER).status is Status.RETRYING
        for gone in (claimed(step), transition(step, OwnerLost(), LATER)):
            assert gone.told is None

    def test_what_an_earlier_attempt_asked_for_is_not_told_to_this_one(self) -> None:
        step = claimed(lost())
        began_ms = step.attempt_log[-1].started_at_ms
        assert transition(step, ToldUnfinished(OTHER, began_ms - 1_001), LATER) is step
        # The clocks of processes differ.
        assert transition(step, ToldUnfinished(OTHER, began_ms - 1_000), LATER).told == OTHER

    def test_a_token_tells_which_attempt_was_told(self) -> None:
        """A late answer to the attempt before comes at any time; the clocks of processes differ by any."""
        step = claimed(lost())
        began_ms = step.attempt_log[-1].started_at_ms
        assert transition(step, ToldUnfinished(OTHER, began_ms, attempt=1), LATER) is step
        assert transition(step, ToldUnfinished(OTHER, began_ms - HOUR, attempt=2), LATER).told == OTHER

    def test_a_wakeup_does_not_start_what_waits(self) -> None:
        step = waiting()
        assert transition(step, Claimed("n2"), NOW + HOUR) is step

    def test_rechecks_become_less_frequent_up_to_once_a_day(self) -> None:
        step, gaps = waiting(), []
        for _ in range(14):
            now_ms = step.due_at_ms or 0
            step = transition(step, Rechecked(1, (OTHER,), 0.5), now_ms)
            gaps.append(((step.due_at_ms or 0) - now_ms) // MINUTE)
        assert gaps == [2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 1440, 1440, 1440, 1440]

    def test_a_step_that_waits_only_for_an_event_is_rechecked_once_a_day(self) -> None:
        rechecked = Rechecked(1, (OTHER,), 0.5, idle_until_ms=2**53)
        step = transition(waiting(), rechecked, NOW + 200)
        assert (step.status, step.due_at_ms) == (Status.WAITING, NOW + 200 + 24 * HOUR)
        assert transition(step, rechecked, NOW + 300) is step
        again = transition(step, rechecked, step.due_at_ms or 0)
        assert again.due_at_ms == (step.due_at_ms or 0) + 24 * HOUR
        # After a time-out the step is called again, and soon.
        assert transition(timed_out(), rechecked, NOW + 20_000).due_at_ms == NOW + 20_000 + MINUTE

    @pytest.mark.parametrize("due_ms", [NOW + HOUR, NOW + 3 * MINUTE])
    def test_a_step_that_waits_for_a_timer_is_rechecked_when_that_is_overdue(self, due_ms: int) -> None:
        step = transition(waiting(), Rechecked(1, (OTHER,), 0.5, idle_until_ms=due_ms), NOW + 200)
        assert step.due_at_ms == due_ms + MINUTE
        # The timer is overdue, by an unknown time.
        late = Rechecked(1, (OTHER,), 0.5, idle_until_ms=due_ms)
        assert transition(step, late, due_ms + MINUTE).due_at_ms == due_ms + 3 * MINUTE

    def test_a_timer_that_is_due_soon_changes_nothing(self) -> None:
        step = waiting()
        assert transition(step, Rechecked(1, (OTHER,), 0.5, idle_until_ms=NOW + 30_000), NOW + 200) is step

    def test_an_early_recheck_only_drops_settled_steps(self) -> None:
        step = waiting()
        early_ms = (step.due_at_ms or 0) - 1
        assert transition(step, Rechecked(1, (OTHER,), 0.5), early_ms) is step
        fewer = transition(step, Rechecked(1, ("another",), 0.5), early_ms)
        assert fewer == replace(step, version=step.version + 1, waiting_for=("another",))

    def test_a_recheck_of_an_earlier_wait_changes_nothing(self) -> None:
        step = ended(claimed(transition(waiting(), Woken(), LATER)), SUSPENDED, LATER)
        assert transition(step, Rechecked(1, (), 0.5), LATER) is step
        assert transition(step, Rechecked(2, (), 0.5), LATER).status is Status.RETRYING

    def test_an_old_generation_is_not_redriven_again(self) -> None:
        again = transition(failed(), Redriven(1), LATER)
        step = ended(claimed(again), PERMANENT, LATER)
        assert (step.status, step.generation) == (Status.FAILED, 2)
        assert transition(step, Redriven(1), LATER) is step

    def test_waiting_again_begins_with_short_gaps(self) -> None:
        step = transition(waiting(), Rechecked(1, (OTHER,), 0.5), NOW + HOUR)
        step = transition(step, Woken(), NOW + HOUR)
        step = ended(claimed(step), SUSPENDED, NOW + HOUR)
        assert step.due_at_ms == NOW + HOUR + MINUTE

    @pytest.mark.parametrize(
        ("before", "outcome"), [(running, SUSPENDED), (told, RETRYABLE), (running, TIMED_OUT)]
    )
    def test_a_step_woken_while_running_is_called_again_at_once(
        self, before: Callable[..., Step], outcome: Outcome
    ) -> None:
        step = transition(before(retry=ONCE), Woken(), NOW + 1)
        assert (step.status, step.woken) == (Status.RUNNING, True)
        assert transition(step, Woken(), NOW + 2) is step
        after = ended(step, outcome, LATER)
        assert (after.status, after.due_at_ms, after.woken) == (Status.PENDING, LATER, False)
        assert after.retries_used == 0

    def test_a_step_woken_while_running_that_succeeds_is_done(self) -> None:
        step = ended(transition(running(), Woken(), NOW + 1), SUCCEEDED, LATER)
        assert (step.status, step.woken) == (Status.SUCCEEDED, False)

    def test_a_wake_up_does_not_outlive_its_attempt(self) -> None:
        step = claimed(transition(transition(running(), Woken(), NOW + 1), OwnerLost(), NOW + 2))
        assert (step.status, step.woken) == (Status.RUNNING, False)

    def test_to_suspend_for_nothing_costs_a_retry(self) -> None:
        """Otherwise an endpoint that names no live step would be called in an endless loop."""
        policy = RetryPolicy(count=1, back_off_ms=1000, jitter="full")
        found = transition(waiting(retry=policy), Rechecked(1, (), 0.25), LATER)
        named = ended(running(retry=policy), replace(SUSPENDED, waiting_for=()), LATER, jitter=0.25)
        for step in (found, named):
            assert (step.status, step.retries_used, step.error) == (Status.RETRYING, 1, WAITED_FOR_NOTHING)
            assert (step.due_at_ms, step.response_status) == (LATER + 250, 202)
            assert (step.attempt_log[-1].outcome, step.attempt_log[-1].error) == (
                "retryable",
                WAITED_FOR_NOTHING,
            )
            last = transition(ended(claimed(step), SUSPENDED, LATER), Rechecked(2, (), 0.5), LATER)
            assert (last.status, last.error, last.waiting_for) == (Status.FAILED, WAITED_FOR_NOTHING, ())


class TestTimeOuts:
    def test_until_a_recheck_it_waits_with_the_wakeup_of_its_lease(self) -> None:
        step = timed_out(retry=ONCE)
        assert (step.status, step.waiting_for, step.retries_used) == (Status.WAITING, (), 0)
        assert (step.due_at_ms, step.nonce) == (running().due_at_ms, None)
        assert is_timed_out(step.attempt_log[-1].error)

    def test_with_steps_of_its_own_it_waits_for_them(self) -> None:
        step = transition(timed_out(retry=ONCE), Rechecked(1, (OTHER,), 0.5), NOW + 20_000)
        assert (step.status, step.waiting_for) == (Status.WAITING, (OTHER,))
        assert step.due_at_ms == NOW + 20_000 + MINUTE
        assert transition(step, Woken(), LATER).status is Status.PENDING

    def test_without_any_it_is_a_failure(self) -> None:
        step = transition(timed_out(), Rechecked(1, (), 0.5), NOW + 20_000)
        assert (step.status, step.retries_used) == (Status.RETRYING, 1)
        assert (step.error, step.due_at_ms) == (TIMED_OUT.error, NOW + 21_000)
        assert transition(timed_out(retry=ONCE), Rechecked(1, (), 0.5), LATER).status is Status.FAILED

    def test_each_recheck_calls_it_again_after_a_longer_time(self) -> None:
        """It may have been waiting for something else, and would otherwise never be called again."""
        step, gaps = timed_out(retry=ONCE), []
        for number in range(1, 7):
            now_ms = step.attempt_log[-1].ended_at_ms or 0
            step = transition(step, Rechecked(number, (OTHER,), 0.5), now_ms)
            gaps.append(((step.due_at_ms or 0) - now_ms) // MINUTE)
            step = transition(step, Rechecked(number, (OTHER,), 0.5), step.due_at_ms or 0)
            assert (step.status, step.waiting_for) == (Status.PENDING, ())
            step = ended(claimed(step), TIMED_OUT, step.due_at_ms or 0)
        assert (gaps, step.retries_used) == ([1, 2, 4, 8, 16, 32], 0)
        step = transition(transition(step, Rechecked(7, (OTHER,), 0.5), LATER), Woken(), LATER)
        assert step.rechecks == 0


class TestDeferring:
    def test_an_attempt_that_was_not_made_never_was(self) -> None:
        before = transition(STATES["retrying"](), Claimed("n2"), LATER + HOUR)
        step = transition(before, Deferred("n2", NO_ROOM, LATER + 2 * HOUR), LATER + HOUR)
        assert (step.status, step.attempt_count, step.retries_used) == (Status.RETRYING, 1, 1)
        assert (step.due_at_ms, step.error, step.nonce) == (LATER + 2 * HOUR, NO_ROOM, None)
        assert step.attempt_log == STATES["retrying"]().attempt_log
        again = claimed(step, "n3")
        assert (again.attempt_count, again.attempt_log[-1].number) == (2, 2)

    def test_the_first_one_too(self) -> None:
        step = transition(told(), Deferred("n1", NO_ROOM, LATER), NOW + 1)
        assert (step.status, step.attempt_count, step.attempt_log, step.told) == (
            Status.PENDING,
            0,
            (),
            None,
        )

    def test_lost_attempts_in_a_row_stay_lost(self) -> None:
        lost_twice = loses(running(), 2)
        step = transition(lost_twice, Deferred(lost_twice.nonce or "", NO_ROOM, LATER), LATER)
        assert (step.attempt_count, step.consecutive_lost) == (2, 2)

    def test_no_further_than_to_the_deadline(self) -> None:
        step = transition(running(deadline_ms=MINUTE), Deferred("n1", NO_ROOM, NOW + HOUR), LATER)
        assert step.due_at_ms == NOW + MINUTE
        over = claimed(step)
        assert (over.status, str(over.error)) == (Status.FAILED, f"the deadline of {MINUTE} ms is over")

    def test_a_step_whose_posts_are_refused_is_called_again_later_without_a_retry(self) -> None:
        step, delays = running(retry=ONCE), []
        for _ in range(8):
            step = ended(step, REFUSED, LATER, jitter=0.0)
            delays.append((step.due_at_ms or 0) - LATER)
            assert (step.status, step.retries_used, step.error) == (Status.PENDING, 0, REFUSED.error)
            step = claimed(step)
        assert delays == [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]
        assert [attempt.outcome for attempt in step.attempt_log[:-1]] == ["deferred"] * 8
        assert ended(step, REFUSED, LATER, jitter=1.0).due_at_ms == LATER + MINUTE

    def test_an_answer_in_between_begins_with_short_delays_again(self) -> None:
        step = claimed(ended(claimed(ended(running(), REFUSED, LATER)), RETRYABLE, LATER))
        step = ended(step, REFUSED, LATER, jitter=0.0)
        assert (step.status, step.retries_used, step.due_at_ms) == (Status.RETRYING, 1, LATER + 500)

    def test_retry_after_is_kept(self) -> None:
        step = ended(running(), replace(REFUSED, retry_after_ms=HOUR), LATER)
        assert step.due_at_ms == LATER + HOUR


class TestRescheduled:
    def test_only_a_step_that_is_due_as_it_was_seen_is_moved(self) -> None:
        step = STATES["retrying"]()
        seen_ms = step.due_at_ms
        moved = transition(step, Rescheduled(seen_ms, LATER), LATER)
        assert moved == replace(step, version=step.version + 1, due_at_ms=LATER)
        for event in (Rescheduled(seen_ms, LATER), Rescheduled(None, LATER), Rescheduled(LATER, LATER)):
            assert transition(moved, event, LATER) is moved

    def test_an_event_rests_and_is_looked_at_again_for_its_deadline(self) -> None:
        step = begin(spec(kind="event", url="", deadline_ms=1000), "0" * 32, NOW, None)
        resting = transition(step, Rescheduled(NOW + 1000, None), LATER)
        assert (resting.status, resting.due_at_ms) == (Status.PENDING, None)
        again = transition(resting, Rescheduled(None, LATER + 1000), LATER)
        assert (again.due_at_ms, again.deadline_at_ms) == (LATER + 1000, LATER + 1000)
        assert transition(again, Claimed("n"), LATER + 1000).status is Status.FAILED
        given = transition(resting, ResultPosted(StoredBody(b"1", "json")), LATER)
        assert given.status is Status.SUCCEEDED


class TestRedrive:
    def test_a_dead_letter_gets_a_fresh_budget(self) -> None:
        dead = ended(claimed(ended(running(retry=RetryPolicy(count=1)), RETRYABLE, NOW)), RETRYABLE, LATER)
        assert dead.status is Status.FAILED
        step = transition(replace(dead, waiters=(OTHER,)), Redriven(1), LATER)
        assert (step.status, step.due_at_ms, step.generation) == (Status.PENDING, LATER, 2)
        assert (step.retries_used, step.attempt_count, len(step.attempt_log)) == (0, 2, 2)
        assert (step.error, step.response, step.response_status) == (None, None, None)
        assert (step.finished_at_ms, step.expires_at_ms, step.waiters) == (None, None, ())
        again = transition(step, Claimed("n3"), LATER)
        assert (again.attempt_count, again.attempt_log[-1].generation) == (3, 2)
        assert ended(again, RETRYABLE, LATER).status is Status.RETRYING

    def test_twice_is_once(self) -> None:
        step = transition(failed(), Redriven(1), LATER)
        assert transition(step, Redriven(1), LATER + 1) is step

    def test_an_answer_of_the_old_generation_is_stale(self) -> None:
        step = claimed(
            transition(claimed(loses(running(), CONSECUTIVE_LOST_MAX)), Redriven(1), LATER), "fresh"
        )
        assert transition(step, Ended(nonce="lost9", outcome=SUCCEEDED, jitter=0), LATER) is step
        assert step.consecutive_lost == 0

    @pytest.mark.parametrize("name", [name for name in STATES if name != "failed"])
    def test_only_what_failed(self, name: str) -> None:
        step = STATES[name]()
        assert transition(step, Redriven(1), LATER) is step


TIMER: dict[str, Any] = {"kind": "timer", "url": "", "step_name": "nap"}
EVENT: dict[str, Any] = {"kind": "event", "url": "", "step_name": "approval"}
RESULT = StoredBody(b'{"ok":true}', "json", "application/json")


class TestTimers:
    def test_it_succeeds_when_its_time_has_come(self) -> None:
        step = running(**TIMER, delay_ms=5000)
        assert (step.status, step.due_at_ms) == (Status.PENDING, NOW + 5000)
        assert transition(step, Claimed("n"), NOW + 4999) is step
        rung = transition(step, Claimed("n"), NOW + 5000)
        assert (rung.status, rung.response, rung.attempt_log) == (
            Status.SUCCEEDED,
            StoredBody(b"null", "json"),
            (),
        )
        assert (rung.attempt_count, rung.nonce, rung.finished_at_ms) == (0, None, NOW + 5000)

    def test_no_time_at_all_is_due_at_once(self) -> None:
        step = running(**TIMER)
        assert (step.status, step.due_at_ms) == (Status.PENDING, NOW)
        assert claimed(step).status is Status.SUCCEEDED

    def test_it_takes_no_result(self) -> None:
        step = running(**TIMER, delay_ms=5000)
        assert transition(step, ResultPosted(RESULT), LATER) is step

    def test_it_can_be_cancelled(self) -> None:
        step = transition(running(**TIMER, delay_ms=5000), Cancelled(), LATER)
        assert transition(step, Claimed("n"), LATER) is step


class TestValues:
    def test_what_is_posted_is_the_outcome(self) -> None:
        asked = spec(kind="value", url="", step_name="now", payload=b'{"at":17}')
        step = begin(asked, "0" * 32, NOW, "nonce", awaited=True)
        assert (step.status, step.response) == (Status.SUCCEEDED, StoredBody(b'{"at":17}', "json"))
        assert (step.due_at_ms, step.nonce, step.attempt_log, step.awaited) == (None, None, (), False)
        assert (step.finished_at_ms, step.expires_at_ms) == (NOW, NOW + asked.retention_ms)
        # It is stored once: a row has room for one value of the largest size, not for two.
        assert step.spec == replace(asked, payload=b"null")

    @pytest.mark.parametrize(
        "event",
        [Claimed("n"), ResultPosted(RESULT), Cancelled(), Redriven(1), WaiterAdded("run_x-root"), Woken()],
    )
    def test_nothing_changes_it(self, event: Any) -> None:
        step = begin(spec(kind="value", url="", step_name="now"), "0" * 32, NOW, None)
        assert transition(step, event, LATER) is step


class TestEventSteps:
    def test_it_waits_for_a_result_and_is_never_due(self) -> None:
        step = running(**EVENT)
        assert (step.status, step.due_at_ms, step.attempt_count) == (Status.PENDING, None, 0)
        assert transition(step, Claimed("n"), NOW + HOUR) is step
        done = transition(step, ResultPosted(RESULT), LATER)
        assert (done.status, done.response, done.response_status) == (Status.SUCCEEDED, RESULT, None)
        assert done.finished_at_ms == LATER

    def test_the_first_result_stands(self) -> None:
        done = transition(running(**EVENT), ResultPosted(RESULT), LATER)
        assert transition(done, ResultPosted(StoredBody(b"2", "json")), LATER) is done

    def test_it_fails_at_its_deadline(self) -> None:
        step = running(**EVENT, deadline_ms=5000)
        assert step.due_at_ms == NOW + 5000
        assert transition(step, Claimed("n"), NOW + 4999) is step
        over = transition(step, Claimed("n"), NOW + 5000)
        assert (over.status, str(over.error)) == (
            Status.FAILED,
            "the event was not completed within 5000 ms",
        )
        assert transition(over, ResultPosted(RESULT), LATER) is over

    def test_a_waiter_can_set_its_deadline_once(self) -> None:
        step = transition(running(**EVENT), LimitsGiven(5000, None), LATER)
        assert (step.status, step.due_at_ms) == (Status.PENDING, LATER + 5000)
        assert transition(step, LimitsGiven(1, None), LATER) is step
        assert transition(step, Claimed("n"), LATER + 4999) is step
        over = transition(step, Claimed("n"), LATER + 5000)
        assert (over.status, str(over.error)) == (
            Status.FAILED,
            "the event was not completed within 5000 ms",
        )
        assert (step.spec.deadline_ms, step.deadline_ms) == (None, 5000)

    def test_a_deadline_of_its_own_stays(self) -> None:
        step = running(**EVENT, deadline_ms=5000)
        assert transition(step, LimitsGiven(1, None), NOW) is step

    def test_what_was_completed_takes_no_deadline(self) -> None:
        done = transition(running(**EVENT), ResultPosted(RESULT), LATER)
        assert transition(done, LimitsGiven(1, None), LATER) is done

    def test_without_a_heartbeat_it_expires_and_each_heartbeat_postpones_that(self) -> None:
        step = running(**EVENT, heartbeat_ms=5_000, deadline_ms=12_000)
        assert (step.due_at_ms, step.heartbeat_by_ms) == (NOW + 5_000, NOW + 5_000)
        heard = transition(step, HeartbeatPosted(), NOW + 4_000)
        # The wake-up that exists finds the heartbeat, so none is sent.
        assert (heard.due_at_ms, heard.heartbeat_by_ms) == (NOW + 5_000, NOW + 9_000)
        assert effects_of(step, heard, NOW + 4_000) == Effects()
        later = transition(heard, Claimed("n"), NOW + 5_000)
        assert (later.status, later.due_at_ms) == (Status.PENDING, NOW + 9_000)
        missed = transition(later, Claimed("n"), NOW + 9_000)
        assert (missed.status, missed.error) == (
            Status.FAILED,
            StepError(ErrorKind.HEARTBEAT_MISSED, "5000"),
        )
        assert transition(missed, HeartbeatPosted(), NOW + 9_000) is missed
        lively = transition(later, HeartbeatPosted(), NOW + 8_999)
        last = transition(lively, Claimed("n"), NOW + 9_000)
        assert last.due_at_ms == NOW + 12_000
        over = transition(last, Claimed("n"), NOW + 12_000)
        assert over.error == StepError(ErrorKind.EVENT_EXPIRED, "12000")

    def test_a_heartbeat_of_a_clock_behind_takes_nothing_back(self) -> None:
        step = running(**EVENT, heartbeat_ms=5_000)
        assert transition(step, HeartbeatPosted(), NOW - 100).heartbeat_by_ms == NOW + 5_000

    def test_a_waiter_can_set_its_heartbeat_beside_its_deadline(self) -> None:
        step = running(**EVENT)
        assert transition(step, HeartbeatPosted(), LATER) is step
        first = transition(step, LimitsGiven(None, 5_000), LATER)
        both = transition(first, LimitsGiven(3_000, 1), LATER)
        assert (first.due_at_ms, both.due_at_ms) == (LATER + 5_000, LATER + 3_000)
        assert (both.deadline_ms, both.heartbeat_ms, both.heartbeat_by_ms) == (3_000, 5_000, LATER + 5_000)
        assert transition(both, LimitsGiven(1, 1), LATER) is both

    def test_redriven_its_heartbeat_begins_anew(self) -> None:
        missed = transition(running(**EVENT, heartbeat_ms=5_000), Claimed("n"), NOW + 5_000)
        step = transition(missed, Redriven(1), LATER)
        assert (step.due_at_ms, step.heartbeat_by_ms) == (LATER + 5_000, LATER + 5_000)

    def test_redriven_it_waits_again_and_calls_nothing(self) -> None:
        over = claimed(running(**EVENT, deadline_ms=5000))
        step = transition(over, Redriven(1), LATER)
        assert (step.status, step.due_at_ms) == (Status.PENDING, LATER + 5000)
        assert transition(step, Claimed("n"), LATER) is step
        assert transition(step, ResultPosted(RESULT), LATER).status is Status.SUCCEEDED

    def test_a_rejection_is_its_result_also_for_a_redrive(self) -> None:
        no = rejection(RESULT, "declined\nby the bank")
        done = transition(running(**EVENT), no, LATER)
        assert (done.status, done.response, done.is_dead_letter) == (Status.FAILED, RESULT, False)
        assert str(done.error) == "the event was rejected: declined by the bank"
        assert transition(done, ResultPosted(RESULT), LATER) is done
        assert transition(done, Redriven(1), LATER) is done
        assert (has_result(done, no), has_result(done, ResultPosted(RESULT))) == (True, False)
        assert not has_result(transition(running(**EVENT), ResultPosted(RESULT), LATER), no)

    @pytest.mark.parametrize("posted", [ResultPosted(RESULT), rejection(RESULT, "no")])
    def test_an_early_one_is_kept_for_a_week_until_a_handler_asks_for_it(
        self, posted: ResultPosted
    ) -> None:
        asked = spec(**EVENT, retention_ms=30 * 24 * HOUR)
        step = early(asked, posted, NOW)
        assert has_result(step, posted)
        assert (step.version, step.finished_at_ms, step.due_at_ms) == (1, NOW, None)
        assert step.expires_at_ms == NOW + EARLY_KEPT_MS
        opened = transition(step, Opened(9 * HOUR), LATER)
        assert opened.expires_at_ms == LATER + 9 * HOUR
        assert has_result(opened, posted)
        assert transition(opened, Opened(HOUR), LATER + HOUR) is opened

    def test_it_can_be_cancelled(self) -> None:
        step = transition(running(**EVENT), Cancelled(), LATER)
        assert transition(step, ResultPosted(RESULT), LATER) is step


class TestInLine:
    def test_it_is_not_due_until_it_is_claimed(self) -> None:
        step = transition(STATES["due"](), InLine("openai", 7), LATER)
        assert (step.in_line, step.line, step.turn, step.due_at_ms) == (True, "openai", 7, None)
        assert effects_of(STATES["due"](), step, LATER) == Effects()
        assert transition(step, InLine("openai", 7), LATER + 1) is step
        claimed = transition(step, Claimed("n2"), LATER + 2)
        assert (claimed.status, claimed.in_line, claimed.turn) == (Status.RUNNING, False, 7)

    def test_it_keeps_its_place_for_a_retry_and_not_for_a_redrive(self) -> None:
        step = transition(STATES["due"](), InLine("openai", 7), LATER)
        step = ended(transition(step, Claimed("n1"), LATER), RETRYABLE, LATER)
        assert (step.status, step.turn) == (Status.RETRYING, 7)
        assert transition(step, Cancelled(), LATER).turn is None

    def test_its_deadline_ends_it_there(self) -> None:
        step = begin(spec(deadline_ms=MINUTE), keys.ROOT, NOW, None)
        step = transition(step, InLine("openai", 7), NOW)
        assert step.due_at_ms == NOW + MINUTE
        over = transition(step, InLine("openai", 7), NOW + MINUTE)
        assert (over.status, over.in_line) == (Status.FAILED, False)

    def test_a_late_answer_of_a_handler_that_waits_makes_it_due(self) -> None:
        lost = replace(running(), due_at_ms=NOW + 100)
        step = transition(lost, InLine("openai", 7), LATER)
        assert (step.status, step.due_at_ms) == (Status.RUNNING, None)
        after = ended(step, TIMED_OUT, LATER + 1)
        assert (after.status, after.in_line, after.due_at_ms) == (Status.WAITING, False, LATER + 1)

    def test_a_lost_attempt_that_must_not_be_repeated_fails_there(self) -> None:
        step = replace(running(**AT_MOST_ONCE), due_at_ms=NOW + 100)
        assert transition(step, InLine("openai", 7), LATER).status is Status.FAILED

    def test_a_late_answer_ends_its_wait(self) -> None:
        step = transition(STATES["lost"](), InLine("openai", 7), LATER)
        assert step.status is Status.RUNNING
        for outcome in (SUCCEEDED, RETRYABLE, SUSPENDED):
            assert not ended(step, outcome, LATER).in_line


class TestPaced:
    def test_a_time_that_is_given_twice_changes_nothing(self) -> None:
        step = transition(STATES["due"](), Paced(LATER), LATER)
        assert (step.paced_ms, step.due_at_ms) == (LATER, LATER)
        assert transition(step, Paced(LATER), LATER) is step

    def test_it_is_due_at_its_time_which_the_claim_uses_up(self) -> None:
        step = transition(STATES["due"](), Paced(LATER + HOUR), LATER)
        assert (step.due_at_ms, step.paced_ms, step.in_line) == (LATER + HOUR, LATER + HOUR, False)
        assert transition(step, Claimed("n2"), LATER + HOUR).paced_ms is None

    def test_a_slot_is_needed_for_it_and_not_afterwards(self) -> None:
        step = transition(STATES["due"](), Paced(LATER + HOUR), LATER)
        assert keeps_slot(step, "attempt")
        assert not keeps_slot(STATES["due"](), "attempt")
        assert not keeps_slot(transition(step, Cancelled(), LATER), "run")


class TestSlots:
    ENTRIES = (FlowEntry(key="openai", concurrency=1),)

    def given_up(self, before: Step, after: Step) -> bool:
        return "release slots" in effects_of(before, after, LATER).after

    @pytest.mark.parametrize("outcome", [SUCCEEDED, RETRYABLE, PERMANENT, SUSPENDED, REFUSED])
    def test_each_end_of_an_attempt_gives_them_up_before_its_own_wakeup(self, outcome: Any) -> None:
        before = running(flow=self.ENTRIES)
        after = ended(before, outcome, LATER)
        assert effects_of(before, after, LATER).after[0] == "release slots"
        without = ended(running(), outcome, LATER)
        assert "release slots" not in effects_of(running(), without, LATER).after

    def test_a_lost_attempt_keeps_them_for_the_next_one(self) -> None:
        before = replace(running(flow=self.ENTRIES), due_at_ms=NOW + 100)
        assert not self.given_up(before, transition(before, Claimed("n2"), LATER))

    def test_a_cancelled_attempt_gives_them_up_when_its_call_has_ended(self) -> None:
        before = running(flow=self.ENTRIES)
        assert not self.given_up(before, transition(before, Cancelled(), LATER))
        postponed = later(flow=self.ENTRIES)
        assert self.given_up(postponed, transition(postponed, Cancelled(), LATER))

    def test_a_step_that_is_cancelled_in_line_gives_its_place_up(self) -> None:
        begun = begin(spec(flow=self.ENTRIES), keys.ROOT, NOW, None)
        before = transition(begun, InLine("openai", 7), NOW)
        assert self.given_up(before, transition(before, Cancelled(), LATER))

    def test_a_slot_for_a_run_is_kept_while_the_run_waits(self) -> None:
        step = waiting(flow=self.ENTRIES)
        assert keeps_slot(step, "run")
        assert not keeps_slot(step, "attempt")
        assert not keeps_slot(begin(spec(flow=self.ENTRIES), keys.ROOT, NOW, None), "run")


class TestNotAdmitted:
    def test_nothing_but_the_time_changes(self) -> None:
        for name in ("due", "lost", "retrying"):
            before = STATES[name]()
            later_ms = max(LATER, before.due_at_ms or 0)
            after = transition(before, NotAdmitted(later_ms + HOUR), later_ms)
            moved = {"due_at_ms": later_ms + HOUR, "dated_at_ms": later_ms}
            assert after == replace(before, version=before.version + 1, **moved)

    def test_deferring_to_the_past_changes_nothing(self) -> None:
        step = STATES["due"]()
        assert transition(step, NotAdmitted(LATER), LATER) is step

    def test_no_further_than_to_the_deadline_and_there_it_ends(self) -> None:
        step = begin(spec(deadline_ms=MINUTE), keys.ROOT, NOW, None)
        for _ in range(3):
            step = transition(step, NotAdmitted(NOW + HOUR), step.due_at_ms or 0)
        assert (step.status, step.attempt_log) == (Status.FAILED, ())
        assert step.finished_at_ms == NOW + MINUTE
        assert str(step.error) == f"the deadline of {MINUTE} ms is over"
