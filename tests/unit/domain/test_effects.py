"""The effects of a change of a row, derived only from the row before and the row after."""

from dataclasses import replace
from typing import Final

import pytest

from atomic.domain.events import (
    AnswerOverdue,
    AnswersLater,
    Cancelled,
    Claimed,
    Ended,
    Event,
    MadeDue,
    Redriven,
    ResultPosted,
    WaiterAdded,
    WatchAdded,
    Woken,
)
from atomic.domain.outcomes import CANCELLED, STEP_CANCELLED, Outcome, StepError, StoredBody, sentence_of
from atomic.domain.retry import RetryPolicy
from atomic.domain.steps import Step, Watch
from atomic.domain.transitions import (
    NONE,
    Effects,
    Follow,
    SendWakeup,
    begin,
    effects_of,
    is_soon,
    transition,
)
from atomic.protocol import keys
from atomic.protocol.enums import OutcomeKind, Status
from atomic.protocol.error_kinds import ErrorKind
from contract.builders import a_spec

NOW: Final = 1_000_000
NO: Final = StepError(ErrorKind.NETWORK, "no")
HTTP: Final = a_spec(retry=RetryPolicy(count=0))
ROOT: Final = begin(HTTP, keys.ROOT, NOW, "nonce")
CHILD: Final = begin(HTTP, "child", NOW, "nonce")
ERROR: Final = StepError(ErrorKind.ENDPOINT_ANSWERED, "500")
TELLS: Final = ("tell callers", "count settled", "meter storage")


def ended(step: Step, kind: OutcomeKind, **more: object) -> Step:
    outcome = Outcome(kind=kind, **more)  # type: ignore[arg-type]
    return transition(step, Ended(nonce=step.nonce or "", outcome=outcome, jitter=0.5), NOW + 5)


def succeeded(step: Step) -> Step:
    return ended(step, OutcomeKind.SUCCEEDED, response=StoredBody(b"1", "json"))


def failed(step: Step) -> Step:
    return ended(step, OutcomeKind.PERMANENT, error=NO)


DELAYED: Final = begin(replace(HTTP, delay_ms=60_000), "child", NOW, "nonce")


def made_due(step: Step, at_ms: int | None, now_ms: int = NOW + 5) -> Effects:
    return effects_of(step, transition(step, MadeDue(at_ms), now_ms), now_ms)


def test_a_step_that_is_made_due_earlier_has_its_wake_up_after_the_row_says_so() -> None:
    now = SendWakeup(NOW + 5)
    assert made_due(DELAYED, None) == Effects(after=(now,), if_unsure=(now,))
    soon = SendWakeup(NOW + 30_000)
    assert made_due(DELAYED, NOW + 30_000) == Effects(beside=soon, if_unsure=(soon,))


def test_a_step_that_is_made_due_later_has_its_wake_up_before_the_row_says_so() -> None:
    # From then on its old wake-up is spare, and may be on its way already.
    for at_ms in (NOW + 60_001, NOW + 10**9):
        assert made_due(DELAYED, at_ms) == Effects(ahead=SendWakeup(at_ms))
    overdue = NOW + 61_000
    assert made_due(DELAYED, overdue + 7, overdue) == Effects(ahead=SendWakeup(overdue + 7))


def test_a_timer_that_is_made_due_now_ends_and_wakes_its_waiters() -> None:
    timer = begin(replace(HTTP, kind="timer", url="", delay_ms=60_000), "timer", NOW, None)
    asked = transition(timer, WaiterAdded("w"), NOW)
    assert made_due(asked, None).after == (*TELLS, "wake waiters")


@pytest.mark.parametrize(("step", "first"), [(ROOT, ("remember run",)), (CHILD, ())])
def test_an_outcome_is_published_after_the_row_is_written(step: Step, first: tuple[Follow, ...]) -> None:
    found = effects_of(step, succeeded(step), NOW + 5)
    assert found == Effects(after=(*first, *TELLS), if_unsure=("look again",), concerns_hooks=step is ROOT)


def test_the_dead_letter_is_sent_first_and_only_for_a_failed_http_step() -> None:
    after = failed(CHILD)
    assert after.status is Status.FAILED
    found = effects_of(CHILD, after, NOW + 5)
    # What the endpoint said stays in the row.
    assert (found.dead_letter, found.after) == (sentence_of(StepError(ErrorKind.NETWORK, "no")), TELLS)
    told = ended(CHILD, OutcomeKind.PERMANENT, error=replace(NO, excerpt="card 4242", type="Declined"))
    assert effects_of(CHILD, told, NOW + 5).dead_letter == found.dead_letter
    assert effects_of(CHILD, transition(CHILD, Cancelled(), NOW), NOW).dead_letter is None
    event = begin(replace(HTTP, kind="event", url="", deadline_ms=10), "event", NOW, None)
    late = transition(event, Claimed("n"), NOW + 10)
    assert late.status is Status.FAILED
    assert effects_of(event, late, NOW + 10).dead_letter is None


def test_the_end_of_a_step_wakes_its_waiters_last() -> None:
    event = begin(replace(HTTP, kind="event", url=""), "event", NOW, None)
    asked = transition(event, WaiterAdded("w"), NOW)
    after = transition(asked, ResultPosted(StoredBody(b"1", "json")), NOW)
    assert effects_of(asked, after, NOW).after == (*TELLS, "wake waiters")


def test_a_watched_step_and_one_that_fails_below_a_handler_concern_others() -> None:
    watched = transition(CHILD, WatchAdded(Watch("w", 1)), NOW)
    assert effects_of(watched, succeeded(watched), NOW).after == (*TELLS, "wake waiters")
    below = replace(CHILD, spec=replace(HTTP, parent=ROOT.id))
    assert effects_of(below, succeeded(below), NOW).after == TELLS
    assert effects_of(below, failed(below), NOW).after == (*TELLS, "wake waiters")
    for error, more in ((STEP_CANCELLED, ("wake waiters",)), (CANCELLED, ())):
        after = transition(below, Cancelled(error), NOW)
        assert effects_of(below, after, NOW).after == (*TELLS, *more)


def test_a_wakeup_that_is_not_soon_goes_out_beside_the_write() -> None:
    pending = begin(HTTP, keys.ROOT, NOW, None)
    after = transition(pending, Claimed("nonce"), NOW)
    assert after.due_at_ms is not None
    lease = SendWakeup(after.due_at_ms)
    assert effects_of(pending, after, NOW) == Effects(beside=lease, if_unsure=(lease,))


def test_a_wakeup_that_is_soon_follows_the_row() -> None:
    retried = replace(CHILD, spec=replace(HTTP, retry=RetryPolicy(count=3)))
    after = ended(retried, OutcomeKind.RETRYABLE, error=NO)
    assert after.status is Status.RETRYING
    assert after.due_at_ms is not None
    wakeup = SendWakeup(after.due_at_ms)
    assert effects_of(retried, after, NOW + 5) == Effects(after=(wakeup,), if_unsure=(wakeup,))


@pytest.mark.parametrize(("step", "first"), [(ROOT, ("remember run",)), (CHILD, ())])
def test_a_step_without_a_wakeup_also_gets_one_before_the_row(
    step: Step, first: tuple[Follow, ...]
) -> None:
    dead = failed(step)
    after = transition(dead, Redriven(1), NOW + 9)
    wakeup = SendWakeup(NOW + 9)
    assert effects_of(dead, after, NOW + 9) == Effects(
        ahead=wakeup, after=(wakeup, *first, "count reopened"), if_unsure=(wakeup,)
    )


def test_a_step_woken_at_the_time_of_its_recheck_gets_a_wakeup() -> None:
    waiting = replace(CHILD, status=Status.WAITING, waiting_for=("x",), due_at_ms=NOW, nonce=None)
    after = transition(waiting, Woken(), NOW)
    assert (after.status, after.due_at_ms) == (Status.PENDING, waiting.due_at_ms)
    wakeup = SendWakeup(NOW)
    assert effects_of(waiting, after, NOW) == Effects(after=(wakeup,), if_unsure=(wakeup,))


def test_an_answer_that_is_overdue_and_retried_at_once_gets_a_wakeup() -> None:
    policy = RetryPolicy(count=3, back_off_ms=0)
    late = begin(replace(HTTP, retry=policy), keys.ROOT, NOW, "nonce")
    late = transition(late, AnswersLater("nonce", 60_000), NOW)
    assert late.due_at_ms == NOW + 60_000
    after = transition(late, AnswerOverdue(NOW + 60_000, 0.5), NOW + 60_000)
    assert (after.status, after.due_at_ms) == (Status.RETRYING, late.due_at_ms)
    wakeup = SendWakeup(NOW + 60_000)
    assert effects_of(late, after, NOW + 60_000) == Effects(after=(wakeup,), if_unsure=(wakeup,))


@pytest.mark.parametrize("step", [CHILD, succeeded(CHILD)])
def test_a_note_on_the_row_asks_for_nothing(step: Step) -> None:
    noted = replace(step, version=step.version + 1)
    assert effects_of(step, noted, NOW) is NONE
    assert effects_of(CHILD, transition(CHILD, WaiterAdded("w"), NOW), NOW) is NONE


@pytest.mark.parametrize("event", [WaiterAdded("w"), WatchAdded(Watch("w", 1))])
def test_who_waits_first_for_an_inline_step_sends_its_wakeup_before_the_row(event: Event) -> None:
    below = replace(HTTP, parent=ROOT.id, retry=RetryPolicy(count=1))
    inline = begin(below, "child", NOW, "nonce", awaited=True)
    assert inline.has_no_wakeup
    retried = ended(inline, OutcomeKind.RETRYABLE, error=NO)
    for step in (inline, retried):
        asked = transition(step, event, NOW + 5)
        assert not asked.has_no_wakeup
        assert step.due_at_ms is not None
        assert effects_of(step, asked, NOW + 5) == Effects(ahead=SendWakeup(step.due_at_ms))
    assert not succeeded(inline).has_no_wakeup
    # A root, a step that is not waited for, and one that an invoker makes have one from the beginning.
    assert not begin(HTTP, keys.ROOT, NOW, "nonce", awaited=True).has_no_wakeup
    assert not begin(below, "child", NOW, "nonce").has_no_wakeup
    pending = begin(below, "child", NOW, None, awaited=True)
    assert not pending.has_no_wakeup
    assert not transition(pending, Claimed("n"), NOW).has_no_wakeup


def test_soon_is_what_might_overtake_a_write() -> None:
    assert [is_soon(at_ms, NOW) for at_ms in (NOW - 1, NOW, NOW + 9_999, NOW + 10_000)] == [
        True, True, True, False,
    ]  # fmt: skip
