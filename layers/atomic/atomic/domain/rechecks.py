"""When something happens to a live step because of the time alone.

A step that waits is also rechecked now and then, in case that a wake-up was lost. Where none can be lost,
this changes nothing.
"""

from atomic.domain.endings import may_have_more_to_do
from atomic.domain.links import is_called_off, may_lack_run
from atomic.domain.steps import Step, earliest_ms
from atomic.protocol.enums import Status


def acts_at_ms(step: Step) -> int | None:
    """When it is called, expires or ends by its deadline; None if it waits for others alone."""
    if step.status is not Status.WAITING or step.cancelling or _needs_recheck(step):
        return step.due_at_ms
    return earliest_ms(step.deadline_at_ms, step.cancel_by_ms)


def _needs_recheck(waiting: Step) -> bool:
    if waiting.spec.kind == "run":
        return may_lack_run(waiting) or is_called_off(waiting)
    return may_have_more_to_do(waiting)
