"""The building blocks of changes to a step. An event is one write, so each path calls `changed` once."""

from dataclasses import replace
from typing import Any

from atomic.domain.outcomes import Outcome
from atomic.domain.step_errors import StepError
from atomic.domain.steps import Attempt, Step
from atomic.protocol.enums import Status
from atomic.protocol.error_kinds import ErrorKind


def changed(step: Step, **changes: Any) -> Step:
    """The step with these changes, and its version one higher."""
    return replace(step, version=step.version + 1, **changes)


def settled(
    step: Step, status: Status, now_ms: int, *, error: StepError | None = None, **also: Any
) -> Step:
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
    """The step, failed because its deadline is over."""
    kind = ErrorKind.EVENT_EXPIRED if step.spec.kind == "event" else ErrorKind.DEADLINE_OVER
    last, status = (attempts[-1].error, attempts[-1].status) if attempts else (None, None)
    error = StepError(kind, str(step.deadline_ms), last=last)
    return settled(step, Status.FAILED, now_ms, error=error, attempt_log=attempts, response_status=status)


def deadline_is_over(step: Step, now_ms: int) -> bool:
    """Whether the deadline of the step is over."""
    return step.deadline_at_ms is not None and now_ms >= step.deadline_at_ms


def closed(attempts: tuple[Attempt, ...], outcome: Outcome, now_ms: int) -> tuple[Attempt, ...]:
    """The attempts, the last one closed with this outcome."""
    last = replace(
        attempts[-1],
        ended_at_ms=now_ms,
        outcome=outcome.kind,
        status=outcome.status,
        error=outcome.error,
    )
    return (*attempts[:-1], last)
