"""A graceful cancel: handlers are told and may undo what they did, everything else ends.

A step that is to be told is called once more, with `Atomic-Cancelled`, as soon as no attempt is under way.
It has until `cancel_by_ms`. A running attempt may end, because its endpoint may be having its effect now,
and what undoes the effect must not come first. It makes no other attempt unless it has posted steps by
then. An attempt that is answered later may go on for days, so it ends at once: its answer is too late.
"""

from dataclasses import replace
from typing import Any

from atomic.domain import events
from atomic.domain.calling_again import called_again
from atomic.domain.outcomes import BROKEN_OFF, CANCELLED, Outcome
from atomic.domain.steps import Step, changed, closed, settled
from atomic.protocol.enums import OutcomeKind, Status


def cancel_requested(step: Step, event: events.CancelRequested, now_ms: int) -> Step:
    """The step after the request. One that was never called, or calls nothing, ends at once."""
    if step.is_settled or step.cancelling:
        return step
    asked: dict[str, Any] = {"cancel_by_ms": event.by_ms, "cancel_within_ms": event.by_ms - now_ms}
    if step.spec.kind == "run":
        # The run that it has started is cancelled in the same way, and ends this step.
        return changed(step, cancelling="recalled", **asked)
    is_handler = event.is_handler or step.status is Status.WAITING
    is_running = step.status is Status.RUNNING and step.answer_by_ms is None
    if step.spec.kind != "http" or not step.attempt_count or not (is_running or is_handler):
        return settled(_broken_off(step, now_ms), Status.CANCELLED, now_ms, error=CANCELLED)
    if is_running:
        due_at_ms = event.by_ms if step.due_at_ms is None else min(step.due_at_ms, event.by_ms)
        return changed(step, cancelling="recall" if is_handler else "last", due_at_ms=due_at_ms, **asked)
    return called_again(_broken_off(step, now_ms), now_ms, cancelling="recall", **asked)


def answer_postponed(step: Step, now_ms: int) -> Step | None:
    """The step whose running attempt is to be answered later; None if it may be.

    A step that was told may be answered later. Any other answer would come too late.
    """
    if step.cancelling not in {"last", "recall"}:
        return None
    return called_again(_broken_off(step, now_ms), now_ms)


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
    # Under "last" it is called only if it has posted steps. Only the list of steps tells whether it has.
    return called_again(
        replace(step, **freed), now_ms, cancelling="recall" if calls_steps else step.cancelling
    )


def _broken_off(step: Step, now_ms: int) -> Step:
    """The step, whose attempt, if one is under way, does not count any more."""
    if step.status is not Status.RUNNING:
        return step
    log = closed(step.attempt_log, BROKEN_OFF, now_ms)
    return replace(step, attempt_log=log, nonce=None, answer_by_ms=None, woken=False, told=None)
