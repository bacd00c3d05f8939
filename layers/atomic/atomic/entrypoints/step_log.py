"""The log lines about steps, on every runtime: one line for each failure."""

import logging
from typing import Final

from atomic.application.ports import Telemetry
from atomic.domain.step_errors import StepError
from atomic.domain.steps import Attempt, Step
from atomic.protocol.enums import Status

_log: Final = logging.getLogger("atomic.steps")


class LoggedTelemetry:
    """Implements `ports.Telemetry`: passes events on to the runtime's metrics, and logs failures."""

    def __init__(self, metrics: Telemetry) -> None:
        self._metrics = metrics
        # These events are not logged.
        self.started = metrics.started
        self.reopened = metrics.reopened
        self.lagged = metrics.lagged
        self.deferred = metrics.deferred

    def attempt_ended(self, step: Step, attempt: Attempt) -> None:
        """An attempt is over."""
        self._metrics.attempt_ended(step, attempt)
        if step.status is not Status.SUCCEEDED:
            _log.info("attempt ended without success", extra=_fields(step, attempt, attempt.error))

    def settled(self, step: Step) -> None:
        """A step has its outcome."""
        self._metrics.settled(step)
        if step.is_dead_letter:
            last = step.attempt_log[-1] if step.attempt_log else None
            _log.warning("step failed", extra=_fields(step, last, step.error))


def _fields(step: Step, attempt: Attempt | None, error: StepError | None) -> dict[str, object]:
    fields: dict[str, object] = {
        "clientId": step.spec.client_id,
        "runId": step.spec.run_id,
        "stepId": step.id,
        "stepStatus": step.status.value,
        "dueAtMs": step.due_at_ms,
        "errorKind": None if error is None else error.kind.value,
    }
    if attempt is not None:
        fields |= {
            "attempt": attempt.number,
            "outcome": attempt.outcome,
            "status": attempt.status,
        }
    return fields
