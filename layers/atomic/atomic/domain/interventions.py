"""What operators do to a step: cancel it, give it another due time, redrive it."""

from dataclasses import replace

from atomic.domain import event_steps, events
from atomic.domain.links import called_off, must_cancel_run, root_of
from atomic.domain.outcomes import BROKEN_OFF
from atomic.domain.steps import Step, changed, closed, deadline_from_now_ms, first_due_ms, settled
from atomic.domain.superseding import superseded
from atomic.protocol import keys
from atomic.protocol.enums import Status


def cancelled(step: Step, event: events.Cancelled | events.Superseded, now_ms: int) -> Step:
    """The live step, cancelled; or in favour of another one, if it may give way."""
    if isinstance(event, events.Superseded):
        return superseded(step, event, now_ms)
    if must_cancel_run(step, event.error):
        return called_off(step, event, now_ms)
    log = step.attempt_log
    attempts = closed(log, BROKEN_OFF, now_ms) if step.status is Status.RUNNING else log
    after = settled(step, Status.CANCELLED, now_ms, error=event.error, attempt_log=attempts)
    return after if event.expires_at_ms is None else replace(after, expires_at_ms=event.expires_at_ms)


def rescheduled(step: Step, event: events.Rescheduled, now_ms: int) -> Step:
    """The live step, due at another time than the one that was seen."""
    due_at_ms = event.due_at_ms
    if step.is_settled or not step.due_at_ms == event.seen_ms != due_at_ms:
        return step
    if step.spec.kind == "event" and due_at_ms:
        limits = event_steps.limits_from_now(step, now_ms)
        is_changed = any(getattr(step, name) != limit for name, limit in limits.items())
        return changed(step, **limits) if is_changed else step
    # A clock that was ahead may have written a later moment; what has happened is not in the future.
    attempts = tuple(
        replace(
            attempt,
            started_at_ms=min(attempt.started_at_ms, now_ms),
            ended_at_ms=None if attempt.ended_at_ms is None else min(attempt.ended_at_ms, now_ms),
        )
        for attempt in step.attempt_log
    )
    dated_at_ms = None if step.dated_at_ms is None else min(step.dated_at_ms, now_ms)
    return changed(step, due_at_ms=due_at_ms, attempt_log=attempts, dated_at_ms=dated_at_ms)


def redriven(step: Step, now_ms: int) -> Step:
    """The failed step with a fresh budget of attempts."""
    is_link = step.spec.kind == "run"
    deadline_at_ms = None if is_link else deadline_from_now_ms(step.deadline_ms, now_ms)
    heartbeat_by_ms = deadline_from_now_ms(step.heartbeat_ms, now_ms)
    is_now = step.spec.kind in {"http", "run"}
    return changed(
        step,
        status=Status.WAITING if is_link else Status.PENDING,
        generation=step.generation + 1,
        due_at_ms=now_ms if is_now else first_due_ms(step.spec, deadline_at_ms, heartbeat_by_ms, now_ms),
        dated_at_ms=now_ms,
        waiting_for=(root_of(step),) if is_link else (),
        deadline_at_ms=deadline_at_ms,
        heartbeat_by_ms=heartbeat_by_ms,
        retries_used=0,
        retries_before=step.retries_before + step.retries_used,
        consecutive_lost=0,
        # Links of other runs are redriven with a root, and wait for it again.
        waiters=tuple(waiter for waiter in step.waiters if keys.run_of(waiter) != step.spec.run_id),
        watches=(),
        response=None,
        response_status=None,
        error=None,
        cause=None,
        dismissal=None,
        finished_at_ms=None,
        expires_at_ms=None,
        cancel_by_ms=now_ms + step.cancel_within_ms if step.cancelling else None,
        turn=None,
    )
