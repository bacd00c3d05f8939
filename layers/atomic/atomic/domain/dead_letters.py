"""Dead letters that nobody waits for any more."""

from collections.abc import Sequence

from atomic.domain.steps import Step
from atomic.protocol.enums import NotRedrivable, Status


def not_redrivable_reason(dead_letter: Step, ancestors: Sequence[Step]) -> NotRedrivable | None:
    """Why calling this dead letter again would be in vain, given the steps above it, the nearest first.

    `handled`: the handler that was told of its failure went on without it and succeeded. A step that
    failed only after the handler had succeeded was never told of, and stays redrivable.
    `cancelled`: so is its run.
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
