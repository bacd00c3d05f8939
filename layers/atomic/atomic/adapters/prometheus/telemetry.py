"""Counters and histograms of one process, in the Prometheus text format. No client is a label.

They are plain numbers on the event loop: a step changes ten of them, and the metrics of the library take
a lock for each. The library only formats them for a scrape.
"""

import math
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from itertools import accumulate
from typing import Final

from prometheus_client import generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from atomic.adapters.prometheus.machine import Machine
from atomic.application.adaptive import Adaptive
from atomic.application.call_rate import CallRate
from atomic.application.endpoint_health import NOTES_MAX, EndpointHealth, Note
from atomic.domain.steps import Attempt, Step
from atomic.protocol.enums import SETTLED, OutcomeKind, Status

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
# So many workflows have series of their own, in the order of their first runs. Each has six.
WORKFLOWS_MAX: Final = 100
OTHERS: Final = "(other)"
_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3600, 86400)


class _Durations:
    """Counts of durations up to each of `_SECONDS`, and of longer ones."""

    def __init__(self, name: str, documentation: str) -> None:
        self._name, self._documentation = name, documentation
        self._counts = [0] * (len(_SECONDS) + 1)
        self._sum_s = 0.0

    def observe(self, duration_s: float) -> None:
        self._counts[bisect_left(_SECONDS, duration_s)] += 1
        self._sum_s += duration_s

    def family(self) -> Metric:
        bounds = [*map(floatToGoString, _SECONDS), "+Inf"]
        buckets = list(zip(bounds, accumulate(self._counts), strict=True))
        return HistogramMetricFamily(
            self._name, self._documentation, buckets=buckets, sum_value=self._sum_s
        )


class _Workflow:
    """What is counted of the runs of a workflow, by its name alone."""

    __slots__ = ("ended", "retries", "started", "succeeded_s")

    def __init__(self) -> None:
        self.started = self.retries = 0
        self.ended = dict.fromkeys(sorted(SETTLED), 0)
        self.succeeded_s = 0.0


class PrometheusTelemetry(Collector):
    """What `/metrics` shows."""

    def __init__(
        self,
        adaptive: Adaptive | None = None,
        call_rate: CallRate | None = None,
        spans: Mapping[str, int] | None = None,
        machine: Machine | None = None,
    ) -> None:
        """`adaptive`: what slows down where destinations are overloaded. `call_rate`: see `Admission`.

        `spans`: how many spans were exported, failed or dropped, on a server that makes any.
        `machine`: what is read of the process and its disk at each scrape.
        """
        self._adaptive = adaptive
        self._spans = spans
        self._machine = machine
        self._call_rate = call_rate
        self._starts = self._retries = self._dead = self._live = self._deferred = 0
        self._attempts = dict.fromkeys(OutcomeKind, 0)
        self.endpoints = EndpointHealth()
        self._workflows: dict[str, _Workflow] = {}
        self._step_s = _Durations("atomic_step_seconds", "From creation to outcome, steps.")
        self._run_s = _Durations("atomic_run_seconds", "From creation to outcome, whole runs.")
        self._lag_s = _Durations("atomic_schedule_lag_seconds", "Due steps picked up late by.")

    def started(self, step: Step) -> None:
        """A step was created."""
        self._starts += 1
        self._live += 1
        if step.spec.parent is None:
            self._workflow(step).started += 1

    def attempt_ended(self, step: Step, attempt: Attempt) -> None:
        """An attempt is over."""
        if attempt.outcome is not None:
            self._attempts[attempt.outcome] += 1
            if step.spec.url and attempt.ended_at_ms is not None:
                self._note(step, attempt.started_at_ms, attempt.ended_at_ms, attempt.outcome)
        if step.status is Status.RETRYING:
            self._retries += 1
            self._workflow(step).retries += 1

    def owner_lost(self, step: Step) -> None:
        """The process of a step's attempt has ended: no endpoint is to blame, and nothing is counted."""

    def settled(self, step: Step) -> None:
        """A step has its outcome."""
        self._live -= 1
        if step.is_dead_letter:
            self._dead += 1
        if step.finished_at_ms is None:
            return
        lasted_s = max(0, step.finished_at_ms - step.created_at_ms) / 1000
        if step.spec.parent is not None:
            self._step_s.observe(lasted_s)
            return
        self._run_s.observe(lasted_s)
        workflow = self._workflow(step)
        workflow.ended[step.status] += 1
        if step.status is Status.SUCCEEDED:
            workflow.succeeded_s += lasted_s

    def reopened(self, step: Step) -> None:
        """A settled step is live again."""
        del step
        self._live += 1

    def lagged(self, lag_ms: int) -> None:
        """A due step was picked up late."""
        self._lag_s.observe(lag_ms / 1000)

    def deferred(self, step: Step) -> None:
        """A due step was deferred."""
        del step
        self._deferred += 1

    def found_live(self, steps: int) -> None:
        """This many steps were live at the start."""
        self._live = steps

    def _note(self, step: Step, began_ms: int, ended_ms: int, outcome: OutcomeKind) -> None:
        # Appended here, because a call into one more module would cost each attempt.
        noted = self.endpoints.noted
        noted.append(Note(step.spec.client_id, step.spec.url, began_ms, ended_ms, outcome))
        if len(noted) >= NOTES_MAX:
            self.endpoints.sum_up()

    def _workflow(self, step: Step) -> _Workflow:
        name = step.spec.workflow_name
        if name not in self._workflows and len(self._workflows) >= WORKFLOWS_MAX:
            name = OTHERS
        return self._workflows.setdefault(name, _Workflow())

    def exposition(self) -> bytes:
        """The response to a scrape."""
        return generate_latest(self)

    def collect(self) -> Iterator[Metric]:
        """Prometheus: the current numbers."""
        attempts = CounterMetricFamily(
            "atomic_attempts", "Attempts that ended, by outcome.", labels=["outcome"]
        )
        for kind, number in self._attempts.items():
            attempts.add_metric([kind.value], number)
        yield CounterMetricFamily("atomic_starts", "Steps created.", self._starts)
        yield attempts
        yield CounterMetricFamily("atomic_retries", "Retries scheduled.", self._retries)
        yield CounterMetricFamily("atomic_dead_letters", "Steps that failed.", self._dead)
        yield CounterMetricFamily(
            "atomic_steps_deferred",
            "Times that a due step got no permit for its destination.",
            self._deferred,
        )
        yield GaugeMetricFamily("atomic_live_steps", "Steps that have no outcome yet.", self._live)
        per_s = None if self._call_rate is None else self._call_rate.per_s()
        yield GaugeMetricFamily(
            "atomic_calls_per_second_max",
            "How many calls a second may begin: 0 while the server is paused.",
            math.inf if per_s is None else per_s,
        )
        if self._adaptive is not None:
            yield from _of_destinations(self._adaptive)
        for durations in (self._step_s, self._run_s, self._lag_s):
            yield durations.family()
        yield from _of_workflows(self._workflows)
        if self._machine is not None:
            yield from self._machine.collect()
        if self._spans is not None:
            spans = CounterMetricFamily("atomic_spans", "Spans, by what became of them.", labels=["result"])
            for result, number in self._spans.items():
                spans.add_metric([result], number)
            yield spans


def _of_workflows(workflows: Mapping[str, _Workflow]) -> Iterator[Metric]:
    started = CounterMetricFamily(
        "atomic_workflow_runs_started", "Runs started, by workflow.", labels=["workflow"]
    )
    ended = CounterMetricFamily(
        "atomic_workflow_runs_ended",
        "Runs that ended, by workflow and outcome; again after each redrive.",
        labels=["workflow", "outcome"],
    )
    retries = CounterMetricFamily(
        "atomic_workflow_retries", "Retries of all steps, by workflow.", labels=["workflow"]
    )
    seconds = CounterMetricFamily(
        "atomic_workflow_succeeded_seconds",
        "From creation to outcome, the sum of the runs that succeeded, by workflow.",
        labels=["workflow"],
    )
    for name, workflow in workflows.items():
        started.add_metric([name], workflow.started)
        retries.add_metric([name], workflow.retries)
        seconds.add_metric([name], workflow.succeeded_s)
        for status, number in workflow.ended.items():
            ended.add_metric([name, status], number)
    yield from (started, ended, retries, seconds)


def _of_destinations(adaptive: Adaptive) -> Iterator[Metric]:
    yield GaugeMetricFamily(
        "atomic_destinations_slowed",
        "Destinations that get fewer attempts at once, since they seemed overloaded.",
        len(adaptive.slowed()),
    )
    yield CounterMetricFamily(
        "atomic_destination_slowdowns",
        "Times that the limit of a destination began to fall.",
        adaptive.slowdowns,
    )
    yield GaugeMetricFamily(
        "atomic_steps_waiting_for_destinations",
        "Due steps that wait until another attempt ends at their destination.",
        adaptive.waiting,
    )
