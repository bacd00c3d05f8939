"""What changes of a step are made of. An event writes once, so each path ends in one `changed`."""

from dataclasses import replace
from typing import Any

from atomic.domain.outcomes import Outcome
from atomic.domain.steps import Attempt, Step
from atomic.protocol.enums import Status


def changed(step: Step, **changes: Any) -> Step:
    """The step one version on."""
    return replace(step, version=step.version + 1, **changes)


def settled(step: Step, status: Status, now_ms: int, *, error: str | None = None, **also: Any) -> Step:
    """The step with its outcome."""
    return changed(
        step,
        status=status,
        error=error,
        due_at_ms=None,
        nonce=None,
        waiting_for=(),
        woken=False,
        told=None,
        deferred_at_ms=None,
        finished_at_ms=now_ms,
        expires_at_ms=now_ms + step.spec.retention_ms,
        **also,
    )


def out_of_time(step: Step, attempts: tuple[Attempt, ...], now_ms: int) -> Step:
    """The step failed by its deadline."""
    error = f"the deadline of {step.spec.deadline_ms} ms is over"
    if step.spec.kind == "event":
        error = f"nobody completed the event within {step.deadline_ms} ms"
    if attempts and attempts[-1].error:
        error += f"; last: {attempts[-1].error}"
    status = attempts[-1].status if attempts else None
    return settled(step, Status.FAILED, now_ms, error=error, attempt_log=attempts, response_status=status)


def deadline_is_over(step: Step, now_ms: int) -> bool:
    """Whether the step may not be worked on any more."""
    return step.deadline_at_ms is not None and now_ms >= step.deadline_at_ms


def closed(attempts: tuple[Attempt, ...], outcome: Outcome, now_ms: int) -> tuple[Attempt, ...]:
    """The attempts, the last one ended so."""
    last = replace(
        attempts[-1],
        ended_at_ms=now_ms,
        outcome=outcome.kind,
        status=outcome.status,
        error=outcome.error,
        timed_out=outcome.timed_out,
    )
    return (*attempts[:-1], last)
