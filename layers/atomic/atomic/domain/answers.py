"""An attempt whose answer is posted later: its step stays under way, and no process works on it.

Only the row keeps such an attempt. `answer_by_ms` is when its answer is overdue, and the wake-up for that
time ends the attempt. Until then no process takes the step over, not even after a restart of the server.
"""

from atomic.domain import events
from atomic.domain.endings import ended
from atomic.domain.graceful_cancel import answer_postponed
from atomic.domain.outcomes import Outcome, StepError
from atomic.domain.steps import Step, changed, closed, deadline_is_over, out_of_time, within_limits
from atomic.protocol.enums import OutcomeKind, Status
from atomic.protocol.error_kinds import ErrorKind


def answers_later(step: Step, event: events.AnswersLater, now_ms: int) -> Step:
    """The step after its endpoint has postponed the answer. A posted answer may postpone it again."""
    if step.status is not Status.RUNNING or step.nonce != event.nonce:
        return step
    if (after := answer_postponed(step, now_ms)) is not None:
        return after
    by_ms = within_limits(step, now_ms + event.within_ms)
    if by_ms == step.answer_by_ms:
        return step
    return changed(step, answer_by_ms=by_ms, due_at_ms=by_ms, consecutive_lost=0)


def answer_overdue(step: Step, event: events.AnswerOverdue, now_ms: int) -> Step:
    """The step after an attempt that was not answered in time: the attempt has failed, and counts."""
    if step.answer_by_ms != event.by_ms or now_ms < event.by_ms:
        return step
    began_ms = step.attempt_log[-1].started_at_ms
    error = StepError(ErrorKind.ANSWER_OVERDUE, str(event.by_ms - began_ms))
    outcome = Outcome(kind=OutcomeKind.RETRYABLE, error=error)
    if deadline_is_over(step, now_ms):
        return out_of_time(step, closed(step.attempt_log, outcome, now_ms), now_ms)
    return ended(step, events.Ended(nonce=step.nonce or "", outcome=outcome, jitter=event.jitter), now_ms)
