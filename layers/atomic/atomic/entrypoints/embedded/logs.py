"""JSON logs: one object a line, on standard error. Payloads, answers and keys are never logged."""

import logging
import sys

from pythonjsonlogger.json import JsonFormatter

from atomic.adapters.prometheus.telemetry import PrometheusTelemetry
from atomic.domain.steps import Attempt, Status, Step
from atomic.entrypoints.log_policy import OnlyAllowed

_log = logging.getLogger("atomic.steps")


def configure_logs(level: str) -> None:
    """Send every log record of the process to standard error as JSON."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        JsonFormatter(
            "{levelname}{name}{message}",
            style="{",
            rename_fields={"levelname": "level", "name": "logger"},
            timestamp="time",
        )
    )
    handler.addFilter(OnlyAllowed())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)


class LoggedTelemetry(PrometheusTelemetry):
    """Metrics, and a line for everything that did not go well."""

    def attempt_ended(self, step: Step, attempt: Attempt) -> None:
        """An attempt is over."""
        super().attempt_ended(step, attempt)
        if step.status is not Status.SUCCEEDED:
            _log.info("attempt ended without success", extra=_fields(step, attempt))

    def settled(self, step: Step) -> None:
        """A step has its outcome."""
        super().settled(step)
        if step.status is Status.FAILED:
            last = step.attempts[-1] if step.attempts else None
            _log.warning("step gave up", extra=_fields(step, last))


def _fields(step: Step, attempt: Attempt | None) -> dict[str, object]:
    fields: dict[str, object] = {
        "clientId": step.spec.client_id,
        "runId": step.spec.run_id,
        "stepId": step.id,
        "stepStatus": step.status.value,
        "dueAtMs": step.due_at_ms,
    }
    if attempt is not None:
        fields |= {
            "attempt": attempt.number,
            "outcome": attempt.outcome,
            "status": attempt.status,
            "errorKind": attempt.error and attempt.error.partition(":")[0],
        }
    return fields
