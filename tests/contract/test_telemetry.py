"""The contract of telemetry, for Prometheus, CloudWatch (EMF), log lines, spans, and no telemetry."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from atomic.adapters.aws.telemetry import EmfTelemetry
from atomic.adapters.otel.attempts import TracedTelemetry
from atomic.adapters.otel.export import SpanExport
from atomic.adapters.otel.tracing import Tracing
from atomic.adapters.prometheus.telemetry import PrometheusTelemetry
from atomic.adapters.system import LoggedTelemetry
from atomic.application.ports import Telemetry
from atomic.testing.watching import SilentTelemetry
from contract.telemetry_contract import CountingContract, TelemetryContract
from unit.test_prometheus import shown


def exposed(metrics: PrometheusTelemetry) -> dict[str, float]:
    found = shown(metrics)
    names = {
        "starts": "atomic_starts_total",
        "succeeded": "atomic_attempts_total succeeded",
        "retries": "atomic_retries_total",
        "dead": "atomic_dead_letters_total",
        "deferred": "atomic_steps_deferred_total",
    }
    return {name: found[sample] for name, sample in names.items()}


class TestPrometheusTelemetry(CountingContract):
    def telemetry(self) -> Telemetry:
        return PrometheusTelemetry()

    def counted(self, telemetry: Any) -> dict[str, float]:
        return exposed(telemetry)


class TestEmfTelemetry(CountingContract):
    @pytest.fixture(autouse=True)
    def _printed(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def telemetry(self) -> Telemetry:
        return EmfTelemetry(namespace="Atomic", service="contract")

    def counted(self, telemetry: Any) -> dict[str, float]:
        telemetry.flush()
        document = json.loads(self._capsys.readouterr().out)
        names = {
            "starts": "Starts",
            "succeeded": "AttemptsSucceeded",
            "retries": "Retries",
            "dead": "DeadLetters",
            "deferred": "StepsDeferred",
        }
        # A metric with one value has no list.
        several = {name: value if isinstance(value, list) else [value] for name, value in document.items()}
        return {name: sum(several[metric]) for name, metric in names.items()}


class TestLoggedTelemetry(CountingContract):
    """It passes every event on to telemetry that counts."""

    def telemetry(self) -> Telemetry:
        self._metrics = PrometheusTelemetry()
        return LoggedTelemetry(self._metrics)

    def counted(self, telemetry: Any) -> dict[str, float]:
        return exposed(self._metrics)


class TestTracedTelemetry(CountingContract):
    """It passes every event on to telemetry that counts, and makes spans."""

    @pytest.fixture(autouse=True)
    def _exporting(self) -> Iterator[None]:
        self._export = SpanExport(InMemorySpanExporter())
        yield
        self._export.shutdown()

    def telemetry(self) -> Telemetry:
        self._metrics = PrometheusTelemetry()
        return TracedTelemetry(self._metrics, Tracing(self._export))

    def counted(self, telemetry: Any) -> dict[str, float]:
        return exposed(self._metrics)


class TestSilentTelemetry(TelemetryContract):
    def telemetry(self) -> Telemetry:
        return SilentTelemetry()
