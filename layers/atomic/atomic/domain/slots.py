"""Whether a step needs the slots that flow control gave it."""

from atomic.domain.steps import Step, lease_end_ms
from atomic.protocol.enums import FlowScope, OutcomeKind, Status


def uses_flow(step: Step) -> bool:
    """Whether the step's attempts need slots. The entries of a link are for the root that it starts."""
    return bool(step.spec.flow) and step.spec.kind == "http"


def keeps_slot(step: Step, scope: FlowScope) -> bool:
    """Whether the step, as its row is, needs the slot that it may have, or its place in a line."""
    if step.is_settled:
        return False
    if step.status is Status.RUNNING or step.in_line or step.paced_ms is not None:
        return True
    return scope == "run" and step.attempt_count > 0


def may_be_called(step: Step, now_ms: int) -> bool:
    """Whether the step was cancelled, and the call of its last attempt may not have ended yet.

    Only the process that makes the call knows when it ends. It may have died, but then the lease ends.
    """
    if step.status is not Status.CANCELLED or not step.attempt_log:
        return False
    last = step.attempt_log[-1]
    is_broken_off = last.outcome is OutcomeKind.NO_ANSWER
    return is_broken_off and now_ms < lease_end_ms(step.spec, step.deadline_at_ms, last.started_at_ms)


def releases_slots(before: Step, after: Step) -> bool:
    """Whether this change ends what the step's slots were for.

    The slots of an attempt that was cancelled are given back when its call has ended, by its process. An
    attempt whose answer was postponed has no process.
    """
    if before.is_settled or not uses_flow(after):
        return False
    if before.status is not Status.RUNNING:
        return after.is_settled
    is_broken_off = after.status is Status.CANCELLED and before.answer_by_ms is None
    return after.status is not Status.RUNNING and not is_broken_off
