"""Dead letters that are of no use to any workflow any more."""

from collections.abc import Sequence

from atomic.domain.steps import Step
from atomic.protocol.enums import NotRedrivable, Status


def not_redrivable_reason(dead_letter: Step, ancestors: Sequence[Step]) -> NotRedrivable | None:
    """Why a redrive of this dead letter would have no effect, given the steps above it, the nearest first.

    `handled`: its handler saw the failure, continued without the step and succeeded. If the step failed
    after the handler had succeeded, the handler never saw it, and the step stays redrivable.
    `cancelled`: its run was cancelled.
    """
    if any(step.status is Status.CANCELLED for step in ancestors):
        return "cancelled"
    below = dead_letter
    for step in ancestors:
        if step.status is not Status.FAILED:
            is_handled = step.status is Status.SUCCEEDED and _ended_at_ms(step) >= _ended_at_ms(below)
            return "handled" if is_handled else None
        below = step
    return None


def _ended_at_ms(step: Step) -> int:
    return step.finished_at_ms or 0
