"""Telemetry as EMF: one log line an invocation, which CloudWatch turns into metrics."""

import json
import time
from collections.abc import Mapping
from typing import Final

from atomic.domain.steps import Attempt, Step
from atomic.protocol.enums import OutcomeKind, Status

# The values of a metric in one line (User Guide, "Embedded metric format").
_VALUES_MAX: Final = 100
_DIMENSION_MAX_CHARS: Final = 1024
# A custom metric costs $0.30 a month, so no client and no workflow is a dimension (CloudWatch pricing),
# unless an operator asks for `workflow_counted`.
_OUTCOMES: Final = {kind: "Attempts" + kind.value.title().replace("_", "") for kind in OutcomeKind}


class EmfTelemetry:
    """Collects what happens in an invocation; `flush` writes it out."""

    def __init__(self, *, namespace: str, service: str) -> None:
        self._namespace = namespace
        self._service = service
        self._values: dict[str, list[float]] = {}

    def started(self, step: Step) -> None:
        """A step was created."""
        del step
        self._count("Starts")

    def attempt_ended(self, step: Step, attempt: Attempt) -> None:
        """An attempt is over."""
        if attempt.outcome is not None:
            self._count(_OUTCOMES[attempt.outcome])
        if step.status is Status.RETRYING:
            self._count("Retries")

    def owner_lost(self, step: Step) -> None:
        """A server's last process made an attempt; functions have leases in place of servers."""

    def settled(self, step: Step) -> None:
        """A step has its outcome."""
        if step.is_dead_letter:
            self._count("DeadLetters")
        if step.finished_at_ms is not None:
            name = "RunSeconds" if step.is_root else "StepSeconds"
            lasted_s = (step.finished_at_ms - step.created_at_ms) / 1000
            self._add(name, lasted_s)

    def reopened(self, step: Step) -> None:
        """A settled step is live again."""
        del step
        self._count("Redrives")

    def lagged(self, lag_ms: int) -> None:
        """A due step was picked up late."""
        self._add("ScheduleLagMs", lag_ms)

    def deferred(self, step: Step) -> None:
        """A due step was deferred."""
        del step
        self._count("StepsDeferred")

    def wakeup_failed(self) -> None:
        """A wake-up could not be processed and will be delivered again."""
        self._count("WakeupsAgain")

    def swept(self, live_roots: int, lasted_s: float) -> None:
        """Maintenance has swept a client. The values of all clients add up to the stack's live roots."""
        self._add("LiveRoots", live_roots)
        self._add("SweepSeconds", lasted_s)

    def workflow_counted(self, client_id: str, workflow_name: str, newly: Mapping[str, int]) -> None:
        """Maintenance has counted more runs of a workflow. Each of these metrics has a price of its own."""
        # CloudWatch takes ASCII, and no empty text.
        name = workflow_name.encode("ascii", "backslashreplace").decode() or "(other)"
        values = {metric: [float(number)] for metric, number in newly.items() if number > 0}
        self._write(values, client=client_id, workflow=name[:_DIMENSION_MAX_CHARS])

    def flush(self) -> None:
        """Write what was collected since the last time."""
        values, self._values = self._values, {}
        self._write(values)

    def _write(self, values: Mapping[str, list[float]], **dimensions: str) -> None:
        """Write these values, if there are any, in as few bytes as CloudWatch takes.

        The form is that of the User Guide, "Embedded metric format". The units are in the names.
        """
        if not values:
            return
        dimensions = {"service": self._service, **dimensions}
        metrics = [{"Name": name} for name in values]
        one = {"Namespace": self._namespace, "Dimensions": [[*dimensions]], "Metrics": metrics}
        line: dict[str, object] = {
            "_aws": {"Timestamp": time.time_ns() // 1_000_000, "CloudWatchMetrics": [one]}
        }
        line |= dimensions
        line |= {name: each[0] if len(each) == 1 else each for name, each in values.items()}
        print(json.dumps(line, separators=(",", ":")), flush=True)

    def _count(self, name: str) -> None:
        self._add(name, 1)

    def _add(self, name: str, value: float) -> None:
        values = self._values.setdefault(name, [])
        values.append(value)
        if len(values) == _VALUES_MAX:
            self.flush()
