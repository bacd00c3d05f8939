"""How the end of an attempt changes its step: it settles, is called again, or waits for other steps.

A failure counts against the endpoint, with three exceptions: the attempt named the steps that it waits for,
it was told that a step is unfinished, or it timed out while it may have been waiting for its own steps.
"""

from dataclasses import replace
from typing import Any, Final

from atomic.domain import events
from atomic.domain.calling_again import called_again
from atomic.domain.graceful_cancel import attempt_ended
from atomic.domain.outcomes import Outcome, StepError, timed_out
from atomic.domain.resting import exhausted
from atomic.domain.retry import RETRY_AFTER_MAX_MS, next_delay_ms
from atomic.domain.steps import (
    Step,
    changed,
    closed,
    deadline_is_over,
    out_of_time,
    settled,
    within_limits,
)
from atomic.protocol import keys
from atomic.protocol.constants import EVERY_CHILD, WAITING_FOR_MAX
from atomic.protocol.enums import OutcomeKind, Status
from atomic.protocol.error_kinds import ErrorKind

# These mean that the endpoint itself has not answered.
_BAD_GATEWAY: Final = 502
_UNHEARD: Final = frozenset(
    {
        ErrorKind.TIMED_OUT,
        ErrorKind.NETWORK,
        ErrorKind.NO_ANSWER,
        ErrorKind.LOST,
        ErrorKind.CONNECTION_TIMED_OUT,
    }
)
_WAITED_FOR_NOTHING: Final = StepError(ErrorKind.WAITED_FOR_NOTHING)
_MISSPELT: Final = frozenset({ErrorKind.UNKNOWN_WAKE, ErrorKind.INVALID_ANSWER_WITHIN})
_RECHECK_FIRST_MS: Final = 60_000
_RECHECK_MAX_MS: Final = 24 * 3_600_000
_RECHECKS_DOUBLED: Final = 11
_DEFERRED_FIRST_MS: Final = 1_000
_DEFERRED_MAX_MS: Final = 60_000
# Without a token, a question of an earlier attempt is known by its time. Clocks differ by less.
_CLOCKS_APART_MS: Final = 1_000


def ended(step: Step, event: events.Ended, now_ms: int) -> Step:
    """The step after the attempt that holds the nonce."""
    if step.status is not Status.RUNNING or step.nonce != event.nonce:
        return step
    # One that waits in line has no due time: its lease was over, and its answer comes late.
    step = replace(step, in_line=False, due_at_ms=now_ms) if step.in_line else step
    outcome = event.outcome
    over: dict[str, Any] = {"attempt_log": closed(step.attempt_log, outcome, now_ms), "consecutive_lost": 0}
    answered: dict[str, Any] = {"response": outcome.response, "response_status": outcome.status}
    freed: dict[str, Any] = {**over, "nonce": None, "answer_by_ms": None, "woken": False, "told": None}
    freed["failed_meanwhile"] = step.failed_meanwhile and outcome.wake is not None
    is_misspelt = outcome.error is not None and outcome.error.kind in _MISSPELT
    if step.cancelling and (after := attempt_ended(step, outcome, now_ms, over, freed)) is not None:
        return after
    match outcome.kind:
        case OutcomeKind.SUCCEEDED:
            answered["continued_as"] = outcome.continued_as
            after = settled(step, Status.SUCCEEDED, now_ms, **over, **answered)
            # The run that goes on is cancelled in its place (`application.cancel`).
            is_cancelled = outcome.continued_as is not None and step.cancelling
            return replace(after, cancel_by_ms=step.cancel_by_ms) if is_cancelled else after
        case OutcomeKind.PERMANENT:
            return settled(step, Status.FAILED, now_ms, error=outcome.error, **over, **answered)
        case OutcomeKind.DEFERRED:
            return _deferred(replace(step, **freed), event, now_ms)
        # Here the endpoint itself failed. In other failures the attempt may have waited for its steps.
        case OutcomeKind.RETRYABLE if is_misspelt or (step.told is None and not timed_out(outcome.error)):
            return _counted(replace(step, **freed), outcome, event.jitter, now_ms)
        case _ if step.woken and outcome.wake is None:
            return changed(step, status=Status.PENDING, due_at_ms=now_ms, **freed)
        case _:
            unfinished = (
                outcome.waiting_for if outcome.kind is OutcomeKind.SUSPENDED else (step.told or "",)
            )
            return _waits(replace(step, **freed), event, unfinished, now_ms)


def _waits(step: Step, event: events.Ended, waiting_for: tuple[str, ...], now_ms: int) -> Step:
    if timed_out(event.outcome.error):
        # A recheck finds the steps that the attempt was waiting for. Until then, the wake-up of its lease
        # is kept.
        return changed(step, status=Status.WAITING)
    if not waiting_for:
        return _nothing_to_wait_for(step, event.jitter, now_ms)
    due_at_ms = _recheck_at_ms(step, 0, now_ms)
    return changed(
        step,
        status=Status.WAITING,
        waiting_for=waiting_for[:WAITING_FOR_MAX],
        wake=event.outcome.wake,
        rechecks=0,
        due_at_ms=due_at_ms,
    )


def rechecked(step: Step, event: events.Rechecked, now_ms: int) -> Step:
    """The step, when a recheck found nothing settled among the steps that it waits for."""
    if step.status is not Status.WAITING or step.attempt_count != event.attempt:
        return step
    if deadline_is_over(step, now_ms):
        return out_of_time(step, step.attempt_log, now_ms)
    if not event.live:
        return _nothing_to_wait_for(step, event.jitter, now_ms)
    is_due = step.due_at_ms is not None and step.due_at_ms <= now_ms
    rechecks = step.rechecks + is_due
    due_at_ms = _recheck_at_ms(step, rechecks, now_ms)
    if may_have_more_to_do(step):
        if is_due and step.waiting_for:
            due = {"due_at_ms": now_ms, "dated_at_ms": now_ms}
            return changed(step, status=Status.PENDING, rechecks=rechecks, waiting_for=(), **due)
        is_due = is_due or not step.waiting_for
    elif event.idle_until_ms is not None:
        # Timers settle by time and events by a person, so a recheck waits until the first is overdue.
        idle_ms = min(event.idle_until_ms + _RECHECK_FIRST_MS, now_ms + _RECHECK_MAX_MS)
        due_at_ms = max(due_at_ms, within_limits(step, idle_ms))
        is_due = is_due or due_at_ms - (step.due_at_ms or 0) >= _RECHECK_FIRST_MS
    if not is_due:
        return step if event.live == step.waiting_for else changed(step, waiting_for=event.live)
    return changed(step, waiting_for=event.live, rechecks=rechecks, due_at_ms=due_at_ms)


def may_have_more_to_do(waiting: Step) -> bool:
    """Whether the last attempt of a waiting step may have died before it had posted everything.

    The unfinished step that it was told of may never end. So its endpoint is called again in any case.
    """
    last = waiting.attempt_log[-1]
    return last.status == _BAD_GATEWAY or (last.error is not None and last.error.kind in _UNHEARD)


def woken(step: Step, event: events.Woken, now_ms: int) -> Step:
    """The step, when a step that it may be waiting for has settled."""
    if step.status is Status.WAITING:
        is_over = step.wake is None or (event.failed and _is_over_by(step, event.step_id))
        return called_again(step, now_ms) if is_over else step
    failed_meanwhile = step.failed_meanwhile or event.failed
    if step.status is Status.RUNNING and not (step.woken and step.failed_meanwhile == failed_meanwhile):
        return changed(step, woken=True, failed_meanwhile=failed_meanwhile)
    return step


def child_failed(step: Step, event: events.ChildFailed, now_ms: int) -> Step:
    """The step, when a step that it posted has failed: it is called again if it waits for all of them."""
    if step.status is Status.WAITING and _is_over_by(step, event.step_id):
        return called_again(step, now_ms)
    if step.status is Status.RUNNING and not step.failed_meanwhile:
        return changed(step, failed_meanwhile=True)
    return step


def wait_over(step: Step, event: events.WaitOver, now_ms: int) -> Step:
    """The step, when nothing that it waits for is left."""
    is_meant = step.status is Status.WAITING and step.attempt_count == event.attempt
    return called_again(step, now_ms) if is_meant else step


def _is_over_by(step: Step, failed_id: str) -> bool:
    """Whether this failure ends a wait for several steps: all of them must succeed, and this is one."""
    if step.wake != "all":
        return False
    if step.waiting_for == (EVERY_CHILD,):
        return keys.is_in_children_range(step.id, failed_id)
    return failed_id in step.waiting_for


def told(step: Step, event: events.ToldUnfinished) -> Step:
    """The step after its running attempt was told of an unfinished step. Only the first one is kept.

    What an earlier attempt was told does not count for this one.
    """
    if step.status is not Status.RUNNING or step.told is not None:
        return step
    if event.attempt is not None:
        is_earlier = event.attempt != step.attempt_count
    else:
        is_earlier = event.asked_at_ms + _CLOCKS_APART_MS < step.attempt_log[-1].started_at_ms
    return step if is_earlier else changed(step, told=event.step_id)


def deferred(step: Step, event: events.Deferred, now_ms: int) -> Step:
    """The step as if the attempt that holds the nonce had never been claimed, due later."""
    if step.status is not Status.RUNNING or step.nonce != event.nonce:
        return step
    undone = replace(step, attempt_count=step.attempt_count - 1, attempt_log=step.attempt_log[:-1])
    return _later(
        undone,
        event.until_ms,
        error=event.error,
        dated_at_ms=now_ms,
        nonce=None,
        answer_by_ms=None,
        woken=False,
        failed_meanwhile=False,
        told=None,
    )


def _deferred(step: Step, event: events.Ended, now_ms: int) -> Step:
    """Atomic refused what the handler posted: the step is retried, with a growing delay."""
    outcome = event.outcome
    in_row = 0
    while in_row < len(step.attempt_log) and step.attempt_log[-1 - in_row].outcome is OutcomeKind.DEFERRED:
        in_row += 1
    longest_ms = min(_DEFERRED_FIRST_MS << min(in_row - 1, 10), _DEFERRED_MAX_MS)
    asked_ms = min(outcome.retry_after_ms or 0, RETRY_AFTER_MAX_MS)
    until_ms = now_ms + max(int(longest_ms * (1 + event.jitter) / 2), asked_ms)
    return _later(step, until_ms, error=outcome.error)


def _later(step: Step, until_ms: int, **changes: Any) -> Step:
    status = Status.RETRYING if step.retries_used else Status.PENDING
    return changed(step, status=status, due_at_ms=within_limits(step, until_ms), **changes)


def _nothing_to_wait_for(step: Step, jitter: float, now_ms: int) -> Step:
    """A suspension without a live step is a failure; otherwise the endpoint would be called endlessly."""
    last = step.attempt_log[-1]
    error = _WAITED_FOR_NOTHING if last.outcome is OutcomeKind.SUSPENDED else last.error
    last = replace(last, outcome=OutcomeKind.RETRYABLE, error=error)
    outcome = Outcome(kind=OutcomeKind.RETRYABLE, status=last.status, error=error)
    step = replace(
        step,
        attempt_log=(*step.attempt_log[:-1], last),
        waiting_for=(),
        wake=None,
        failed_meanwhile=False,
        dated_at_ms=now_ms,
    )
    return _counted(step, outcome, jitter, now_ms)


def _counted(step: Step, outcome: Outcome, jitter: float, now_ms: int) -> Step:
    """A failure of the endpoint: the step uses one retry, or fails if none is left."""
    answered = {"response": outcome.response, "response_status": outcome.status}
    if step.retries_used >= step.spec.retry.count and step.spec.retry.then_pauses and not step.cancelling:
        return exhausted(step, outcome, now_ms)
    if step.retries_used >= step.spec.retry.count:
        return settled(step, Status.FAILED, now_ms, error=outcome.error, **answered)
    retry = step.retries_used + 1
    due_at_ms = now_ms + next_delay_ms(
        step.spec.retry, retry, jitter=jitter, retry_after_ms=outcome.retry_after_ms
    )
    if step.deadline_at_ms is not None and due_at_ms >= step.deadline_at_ms:
        error = StepError(ErrorKind.NO_TIME_LEFT, str(step.deadline_ms), last=outcome.error)
        return settled(step, Status.FAILED, now_ms, error=error, **answered)
    return changed(
        step,
        status=Status.RETRYING,
        retries_used=retry,
        rechecks=0,
        due_at_ms=min(due_at_ms, step.cancel_by_ms or due_at_ms),
        error=outcome.error,
        response_status=outcome.status,
    )


def _recheck_at_ms(step: Step, rechecks: int, now_ms: int) -> int:
    gap_ms = min(_RECHECK_FIRST_MS << min(rechecks, _RECHECKS_DOUBLED), _RECHECK_MAX_MS)
    return within_limits(step, now_ms + gap_ms)
