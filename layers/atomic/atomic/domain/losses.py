"""Lost attempts: the process of such an attempt ended, or was too late, before it recorded the end."""

from typing import Final

from atomic.domain.outcomes import Outcome, StepError
from atomic.domain.steps import Step, changed, closed, settled
from atomic.protocol.enums import OutcomeKind, Status
from atomic.protocol.error_kinds import ErrorKind

# An endpoint whose calls crash the calling process must not be called endlessly; see
# `Step.consecutive_lost`.
CONSECUTIVE_LOST_MAX: Final = 10
LOST: Final = Outcome(kind=OutcomeKind.NO_ANSWER, error=StepError(ErrorKind.LOST))


def not_repeated(step: Step, now_ms: int) -> Step:
    """The step, failed because its attempt was lost and may have had its effect."""
    return settled(
        step,
        Status.FAILED,
        now_ms,
        error=LOST.error,
        attempt_log=closed(step.attempt_log, LOST, now_ms),
        consecutive_lost=step.consecutive_lost + 1,
    )


def owner_lost(step: Step, now_ms: int) -> Step:
    """The step after its process has ended. A step that is answered later has no process."""
    if step.status is Status.WAITING:
        return changed(step, due_at_ms=now_ms, rechecks=0) if step.due_at_ms != now_ms else step
    if step.status is not Status.RUNNING or step.answer_by_ms is not None:
        return step
    if step.spec.fails_if_lost:
        return not_repeated(step, now_ms)
    # The server ended. The endpoint is not to blame, so `consecutive_lost` does not count it.
    return changed(
        step,
        status=Status.PENDING,
        nonce=None,
        told=None,
        failed_meanwhile=False,
        due_at_ms=now_ms,
        attempt_log=closed(step.attempt_log, LOST, now_ms),
    )
