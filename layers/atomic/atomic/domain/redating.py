"""Rows that a process wrote whose clock was ahead: when their steps are really due."""

from atomic.domain.steps import LINK_RECHECK_MS, Step, earliest_ms
from atomic.protocol.enums import Status


def last_recorded_ms(step: Step) -> int:
    """The latest moment in the past that the row contains."""
    known_ms = max(step.created_at_ms, step.dated_at_ms or 0)
    if not step.attempt_log:
        return known_ms
    last = step.attempt_log[-1]
    return max(known_ms, last.started_at_ms, last.ended_at_ms or 0)


def redated_due_ms(step: Step, now_ms: int) -> int | None:
    """When the step is really due, if the time in the row is later than it can be.

    A clock that was ahead of this one wrote such a row. None if the row is right, or if it is unknown how
    long the step was meant to wait.
    """
    if step.due_at_ms in {step.spec.start_at_ms, step.spec.start_by_ms, step.made_due_ms}:
        # Somebody has named this moment, so it does not depend on the clock that wrote it.
        return None
    waits_ms = _waits_ms(step)
    if step.due_at_ms is None or waits_ms is None or step.due_at_ms <= now_ms + waits_ms:
        return None
    return now_ms + waits_ms


def _waits_ms(step: Step) -> int | None:
    """How long the step was meant to wait."""
    if step.dated_at_ms is not None and step.due_at_ms is not None:
        return step.due_at_ms - step.dated_at_ms
    if step.spec.kind == "run":
        return LINK_RECHECK_MS
    if step.attempt_count == 0:
        is_event = step.spec.kind == "event"
        return earliest_ms(step.deadline_ms, step.heartbeat_ms) if is_event else step.spec.delay_ms
    ended_at_ms = step.attempt_log[-1].ended_at_ms
    if step.status not in {Status.PENDING, Status.RETRYING} or not step.due_at_ms or ended_at_ms is None:
        return None
    return step.due_at_ms - ended_at_ms
