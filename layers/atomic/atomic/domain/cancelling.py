"""A graceful cancel: handlers are told and may undo what they did, everything else ends.

A step that is to be told is called once more, with `Atomic-Cancelled`, as soon as no attempt is under way.
It has until `cancel_by_ms`. A running attempt may end, because its endpoint may be having its effect now,
and what undoes the effect must not come first. If no step was posted below it, it makes no other attempt.
"""

from dataclasses import replace
from typing import Any

from atomic.domain import events
from atomic.domain.outcomes import CANCELLED, Outcome
from atomic.domain.steps import Step, changed, closed, settled
from atomic.protocol.enums import OutcomeKind, Status


def cancel_requested(step: Step, event: events.CancelRequested, now_ms: int) -> Step:
    """The step after the request. One that was never called, or calls nothing, ends at once."""
    if step.is_settled or step.cancelling:
        return step
    if step.spec.kind == "run":
        # The run that it has started is cancelled in the same way, and ends this step.
        return changed(step, cancelling="recalled", cancel_by_ms=event.by_ms)
    is_running = step.status is Status.RUNNING
    is_handler = event.is_handler or step.status is Status.WAITING
    if step.spec.kind != "http" or not step.attempt_count or not (is_running or is_handler):
        return settled(step, Status.CANCELLED, now_ms, error=CANCELLED)
    if is_running:
        due_at_ms = event.by_ms if step.due_at_ms is None else min(step.due_at_ms, event.by_ms)
        cancelling = "recall" if is_handler else "last"
        return changed(step, cancelling=cancelling, cancel_by_ms=event.by_ms, due_at_ms=due_at_ms)
    return _recalled(step, event.by_ms, now_ms)


def attempt_ended(
    step: Step, outcome: Outcome, now_ms: int, over: dict[str, Any], freed: dict[str, Any]
) -> Step | None:
    """The step after an attempt while it is being cancelled; None if it is the same as for any other step.

    `over` and `freed` are what the end of an attempt changes in every case, and in a step that goes on.
    """
    if outcome.cancelled and step.cancelling == "recalled":
        attempts = closed(
            step.attempt_log, replace(outcome, kind=OutcomeKind.PERMANENT, error=CANCELLED), now_ms
        )
        answered = {"response": outcome.response, "response_status": outcome.status}
        ended = {**over, **answered, "attempt_log": attempts}
        return settled(step, Status.CANCELLED, now_ms, error=CANCELLED, **ended)
    is_final = outcome.kind in {OutcomeKind.SUCCEEDED, OutcomeKind.PERMANENT}
    if is_final or step.cancelling == "recalled":
        return None
    calls_steps = step.told is not None or outcome.kind in {OutcomeKind.SUSPENDED, OutcomeKind.DEFERRED}
    if step.cancelling == "last" and not calls_steps:
        return settled(step, Status.CANCELLED, now_ms, error=CANCELLED, **over)
    return _recalled(replace(step, **freed), step.cancel_by_ms, now_ms)


def _recalled(step: Step, by_ms: int | None, now_ms: int) -> Step:
    """The step, to be called once more, now."""
    return changed(
        step,
        status=Status.PENDING,
        cancelling="recall",
        cancel_by_ms=by_ms,
        due_at_ms=now_ms,
        waiting_for=(),
        wake=None,
        failed_meanwhile=False,
        rechecks=0,
    )
