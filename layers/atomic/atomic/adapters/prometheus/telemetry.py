"""Counters and histograms of one process, in the Prometheus text format. No tenant is a label."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from atomic.domain.outcomes import OutcomeKind
from atomic.domain.steps import Attempt, Status, Step

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3600, 86400)


class PrometheusTelemetry:
    """What `/metrics` shows."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._starts = Counter("atomic_starts", "Steps created.", registry=self._registry)
        attempts = Counter(
            "atomic_attempts", "Attempts that ended, by outcome.", ["outcome"], registry=self._registry
        )
        self._attempts = {kind: attempts.labels(kind.value) for kind in OutcomeKind}
        self._retries = Counter("atomic_retries", "Retries scheduled.", registry=self._registry)
        self._dead = Counter("atomic_dead_letters", "Steps that gave up.", registry=self._registry)
        self._live = Gauge("atomic_live_steps", "Steps that have no outcome yet.", registry=self._registry)
        self._step_s = self._histogram("atomic_step_seconds", "From creation to outcome, steps.")
        self._run_s = self._histogram("atomic_run_seconds", "From creation to outcome, whole runs.")
        self._lag_s = self._histogram("atomic_schedule_lag_seconds", "Due steps picked up late by.")

    def started(self, step: Step) -> None:
        """A step was created."""
        del step
        self._starts.inc()
        self._live.inc()

    def attempt_ended(self, step: Step, attempt: Attempt) -> None:
        """An attempt is over."""
        if attempt.outcome is not None:
            self._attempts[attempt.outcome].inc()
        if step.status is Status.RETRYING:
            self._retries.inc()

    def settled(self, step: Step) -> None:
        """A step has its outcome."""
        self._live.dec()
        if step.status is Status.FAILED:
            self._dead.inc()
        if step.finished_at_ms is not None:
            histogram = self._run_s if step.is_root else self._step_s
            histogram.observe(max(0, step.finished_at_ms - step.created_at_ms) / 1000)

    def reopened(self, step: Step) -> None:
        """A settled step is live again."""
        del step
        self._live.inc()

    def lagged(self, lag_ms: int) -> None:
        """A due step was picked up late."""
        self._lag_s.observe(lag_ms / 1000)

    def found_live(self, steps: int) -> None:
        """So many live steps were there at start."""
        self._live.set(steps)

    def exposition(self) -> bytes:
        """The text that a scrape gets."""
        return generate_latest(self._registry)

    def _histogram(self, name: str, documentation: str) -> Histogram:
        return Histogram(name, documentation, buckets=_SECONDS, registry=self._registry)
