"""When a step is due, computed from its spec, its row and the time."""

from atomic.domain.steps import LEASE_MARGIN_MS, Step, StepSpec
from atomic.protocol.enums import Status


def deadline_at_ms(deadline_ms: int | None, now_ms: int) -> int | None:
    """The end of a deadline that begins now."""
    return None if deadline_ms is None else now_ms + deadline_ms


def first_due_ms(spec: StepSpec, deadline_ms: int | None, now_ms: int) -> int | None:
    """When a step that is not claimed yet is due; an event is due only at its deadline."""
    if spec.kind == "event":
        return deadline_ms
    due_at_ms = now_ms + spec.delay_ms
    return due_at_ms if deadline_ms is None else min(due_at_ms, deadline_ms)


def attempt_timeout_ms(spec: StepSpec, deadline_ms: int | None, now_ms: int) -> int:
    """Total time of an attempt that starts now: the deadline may leave less than the time-out."""
    if deadline_ms is None:
        return spec.attempt_timeout_ms
    return max(1, min(spec.attempt_timeout_ms, deadline_ms - now_ms))


def lease_end_ms(spec: StepSpec, deadline_ms: int | None, now_ms: int) -> int:
    """When an attempt that starts now counts as lost unless its end was recorded."""
    return now_ms + attempt_timeout_ms(spec, deadline_ms, now_ms) + LEASE_MARGIN_MS


def resumed_at_ms(event_step: Step, now_ms: int) -> int | None:
    """The deadline of an event whose run is redriven: a fresh one if it passed in the meantime."""
    is_over = event_step.deadline_at_ms is not None and event_step.deadline_at_ms <= now_ms
    return deadline_at_ms(event_step.deadline_ms, now_ms) if is_over else event_step.deadline_at_ms


def last_recorded_ms(step: Step) -> int:
    """The latest moment in the past that the row contains."""
    known_ms = max(step.created_at_ms, step.deferred_at_ms or 0)
    if not step.attempt_log:
        return known_ms
    last = step.attempt_log[-1]
    return max(known_ms, last.started_at_ms, last.ended_at_ms or 0)


def redated_due_ms(step: Step, now_ms: int) -> int | None:
    """When the step is really due, if the row says a moment later than it can be.

    A clock that was ahead of this one wrote such a row. None if the row is right, or if it is unknown how
    long the step was meant to wait.
    """
    waits_ms = _waits_ms(step)
    if step.due_at_ms is None or waits_ms is None or step.due_at_ms <= now_ms + waits_ms:
        return None
    return now_ms + waits_ms


def _waits_ms(step: Step) -> int | None:
    """How long the step was meant to wait."""
    if step.deferred_at_ms is not None and step.due_at_ms is not None:
        return step.due_at_ms - step.deferred_at_ms
    if step.attempt_count == 0:
        return step.deadline_ms if step.spec.kind == "event" else step.spec.delay_ms
    ended_at_ms = step.attempt_log[-1].ended_at_ms
    if step.status not in {Status.PENDING, Status.RETRYING} or not step.due_at_ms or ended_at_ms is None:
        return None
    return step.due_at_ms - ended_at_ms
