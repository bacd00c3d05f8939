"""A graceful cancel: which steps end at once, which make one more attempt, what that attempt may answer."""

from dataclasses import replace

import pytest

from atomic.domain.events import (
    AnswersLater,
    Cancelled,
    CancelRequested,
    Claimed,
    Redriven,
    ToldUnfinished,
    Woken,
)
from atomic.domain.outcomes import CANCELLED, EndpointResponse, Outcome, StepError, classify
from atomic.domain.retry import RetryPolicy
from atomic.domain.steps import Step
from atomic.domain.transitions import SendWakeup, begin, effects_of, transition
from atomic.protocol import keys
from atomic.protocol.enums import OutcomeKind, Status
from atomic.protocol.error_kinds import ErrorKind
from unit.strategies import (
    NOW,
    OTHER,
    PERMANENT,
    REFUSED,
    RETRYABLE,
    SUCCEEDED,
    SUSPENDED,
    TIMED_OUT,
    ended,
    running,
    spec,
    waiting,
)

BY = NOW + 60_000
LEAF, HANDLER = CancelRequested(BY, is_handler=False), CancelRequested(BY, is_handler=True)
SAYS_SO = Outcome(
    kind=OutcomeKind.RETRYABLE,
    status=409,
    error=StepError(ErrorKind.ENDPOINT_ANSWERED, "409"),
    cancelled=True,
)


def asked(step: Step, event: CancelRequested = HANDLER) -> Step:
    return transition(step, event, NOW + 100)


def told() -> Step:
    """A handler in the attempt that was told."""
    return transition(asked(waiting()), Claimed("n2", "recall"), NOW + 200)


def test_what_was_never_called_ends_at_once() -> None:
    step = asked(begin(spec(delay_ms=1000), keys.ROOT, NOW, None))
    assert (step.status, step.error, step.cancelling) == (Status.CANCELLED, CANCELLED, "")


def test_a_waiting_handler_is_called_once_more_at_once() -> None:
    step = asked(waiting(), LEAF)
    assert (step.status, step.cancelling, step.due_at_ms) == (Status.PENDING, "recall", NOW + 100)
    assert (step.cancel_by_ms, step.waiting_for) == (BY, ())
    assert told().cancelling == "recalled"


def test_a_second_request_changes_nothing() -> None:
    for step in (asked(waiting()), asked(running()), asked(running(), LEAF), told()):
        assert transition(step, CancelRequested(BY + 1, is_handler=True), NOW + 300) is step


@pytest.mark.parametrize("outcome", [RETRYABLE, TIMED_OUT])
def test_a_leaf_makes_no_further_attempt(outcome: Outcome) -> None:
    step = asked(running(), LEAF)
    assert (step.status, step.cancelling) == (Status.RUNNING, "last")
    after = ended(step, outcome, NOW + 200)
    # The process of its wake-up looks whether it has posted steps, and cancels it if not.
    assert (after.status, after.cancelling, after.due_at_ms) == (Status.PENDING, "last", NOW + 200)
    assert after.attempt_log[-1].outcome is outcome.kind


def test_a_process_that_found_the_step_due_before_the_request_makes_no_attempt() -> None:
    """It has not dealt with the steps below the handler."""
    woken = transition(waiting(), Woken(), NOW + 50)
    requested = asked(woken)
    assert transition(woken, Claimed("n2"), NOW + 100).status is Status.RUNNING
    assert transition(requested, Claimed("n2"), NOW + 100) is requested
    assert effects_of(replace(woken, due_at_ms=NOW + 100), requested, NOW + 100).after == (
        SendWakeup(NOW + 100),
    )


def later() -> Step:
    return transition(running(), AnswersLater("n1", 10**9), NOW + 50)


def test_an_attempt_that_is_answered_later_is_broken_off() -> None:
    leaf, handler = asked(later(), LEAF), asked(later())
    assert (leaf.status, leaf.error, leaf.answer_by_ms) == (Status.CANCELLED, CANCELLED, None)
    assert (handler.status, handler.cancelling, handler.due_at_ms) == (
        Status.PENDING,
        "recall",
        NOW + 100,
    )
    assert (handler.answer_by_ms, handler.nonce) == (None, None)
    for step in (leaf, handler):
        assert step.attempt_log[-1].outcome is OutcomeKind.NO_ANSWER


@pytest.mark.parametrize(("event", "cancelling"), [(LEAF, "last"), (HANDLER, "recall")])
def test_an_attempt_that_is_under_way_is_not_answered_later(
    event: CancelRequested, cancelling: str
) -> None:
    after = transition(asked(running(), event), AnswersLater("n1", 10**9), NOW + 200)
    assert (after.status, after.cancelling, after.due_at_ms) == (Status.PENDING, cancelling, NOW + 200)
    assert after.answer_by_ms is None


def test_a_handler_that_was_told_may_be_answered_later() -> None:
    after = transition(told(), AnswersLater("n2", 10**9), NOW + 300)
    assert (after.status, after.answer_by_ms) == (Status.RUNNING, BY)


def test_a_redrive_goes_on_with_the_cancel() -> None:
    failed = ended(told(), PERMANENT, NOW + 300)
    assert (failed.status, failed.is_dead_letter) == (Status.FAILED, True)
    again = transition(failed, Redriven(1), NOW + 10**9)
    assert (again.cancelling, again.cancel_by_ms) == ("recalled", NOW + 10**9 + 59_900)
    assert transition(again, Claimed("n3", "recalled"), NOW + 10**9).cancelling == "recalled"


def test_a_root_that_goes_on_as_another_one_keeps_the_request_for_that() -> None:
    goes_on = replace(SUCCEEDED, continued_as=OTHER)
    assert ended(asked(running()), goes_on, NOW + 200).cancel_by_ms == BY
    assert ended(asked(running()), SUCCEEDED, NOW + 200).cancel_by_ms is None


@pytest.mark.parametrize("event", [LEAF, HANDLER])
def test_a_running_attempt_may_still_settle_its_step(event: CancelRequested) -> None:
    assert ended(asked(running(), event), SUCCEEDED, NOW + 200).status is Status.SUCCEEDED
    assert ended(asked(running(), event), PERMANENT, NOW + 200).status is Status.FAILED


@pytest.mark.parametrize("outcome", [SUSPENDED, REFUSED])
def test_a_leaf_that_waits_for_steps_is_a_handler(outcome: Outcome) -> None:
    after = ended(asked(running(), LEAF), outcome, NOW + 200)
    assert (after.status, after.cancelling, after.due_at_ms) == (Status.PENDING, "recall", NOW + 200)


def test_a_leaf_that_was_told_of_a_step_is_a_handler() -> None:
    step = transition(asked(running(), LEAF), ToldUnfinished(OTHER, NOW), NOW + 150)
    assert ended(step, RETRYABLE, NOW + 200).cancelling == "recall"


@pytest.mark.parametrize("outcome", [RETRYABLE, TIMED_OUT, SUSPENDED, REFUSED, SAYS_SO])
def test_a_handler_whose_attempt_was_not_told_is_called_again(outcome: Outcome) -> None:
    after = ended(asked(running()), outcome, NOW + 200)
    assert (after.status, after.cancelling, after.due_at_ms) == (Status.PENDING, "recall", NOW + 200)
    assert after.retries_used == 0


def test_a_handler_that_was_told_may_say_that_it_is_cancelled() -> None:
    after = ended(told(), SAYS_SO, NOW + 300)
    assert (after.status, after.error, after.response_status) == (Status.CANCELLED, CANCELLED, 409)
    assert (after.attempt_log[-1].outcome, after.is_dead_letter) == (OutcomeKind.PERMANENT, False)
    assert after.cancel_by_ms is None


def test_a_handler_that_was_told_goes_on_until_its_time_is_over() -> None:
    waits = ended(told(), SUSPENDED, NOW + 300)
    assert (waits.status, waits.due_at_ms) == (Status.WAITING, BY)
    slow = replace(told(), spec=replace(told().spec, retry=RetryPolicy(count=9, back_off_ms=10**6)))
    retried = ended(slow, RETRYABLE, NOW + 300)
    assert (retried.status, retried.retries_used, retried.due_at_ms) == (Status.RETRYING, 1, BY)
    assert transition(retried, Cancelled(), NOW + 400).cancelling == ""


@pytest.mark.parametrize(("text", "is_so"), [("true", True), (" TRUE ", True), ("1", False), ("", False)])
def test_the_header_of_an_answer(text: str, is_so: bool) -> None:
    answer = EndpointResponse(status=409, headers={"atomic-cancelled": text})
    assert classify(answer, RetryPolicy(), NOW).cancelled is is_so
