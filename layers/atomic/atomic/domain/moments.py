"""When somebody has to look at a step, as its spec, its row and the time say."""

from atomic.domain.steps import Step, StepSpec


def deadline_at_ms(spec: StepSpec, now_ms: int) -> int | None:
    """The end of a deadline that begins now."""
    return None if spec.deadline_ms is None else now_ms + spec.deadline_ms


def first_due_ms(spec: StepSpec, deadline_ms: int | None, now_ms: int) -> int | None:
    """When a step that is not claimed yet has to be looked at; an event waits for nothing but its end."""
    if spec.kind == "event":
        return deadline_ms
    due_at_ms = now_ms + spec.delay_ms
    return due_at_ms if deadline_ms is None else min(due_at_ms, deadline_ms)


def attempt_timeout_ms(spec: StepSpec, deadline_ms: int | None, now_ms: int) -> int:
    """Total time of an attempt that starts now: the deadline may leave less than the time-out."""
    if deadline_ms is None:
        return spec.attempt_timeout_ms
    return max(1, min(spec.attempt_timeout_ms, deadline_ms - now_ms))


def resumed_at_ms(event_step: Step, now_ms: int) -> int | None:
    """The deadline of an event whose run goes on again; a fresh one when it came while the run did not."""
    is_over = event_step.deadline_at_ms is not None and event_step.deadline_at_ms <= now_ms
    return deadline_at_ms(event_step.spec, now_ms) if is_over else event_step.deadline_at_ms


def last_known_ms(step: Step) -> int:
    """The latest moment in the past that the row tells of."""
    if not step.attempts:
        return step.created_at_ms
    last = step.attempts[-1]
    return max(step.created_at_ms, last.started_at_ms, last.ended_at_ms or 0)


def redated_due_ms(step: Step, now_ms: int) -> int | None:
    """When the step is due if its row was written by a clock that is ahead of this one.

    What lies in the future may have happened this moment at the latest, so the step waits no longer than
    it was meant to from now on. None when it has no time, or when the row is of the past as it should be.
    """
    ahead_ms = last_known_ms(step) - now_ms
    return None if step.due_at_ms is None or ahead_ms <= 0 else step.due_at_ms - ahead_ms
