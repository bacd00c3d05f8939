"""Tracing as a server uses it, and as the variables of OpenTelemetry set it up."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from math import inf
from typing import Final

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

from atomic.adapters.otel.attempts import TracedInvoker, TracedTelemetry
from atomic.adapters.otel.export import EVERY_S, SpanExport
from atomic.adapters.otel.open_request import OpenRequest, current_request
from atomic.adapters.otel.tracing import Tracing
from atomic.application.ports import EndpointInvoker, Telemetry
from atomic.protocol.urls import is_function, parse_url

# The first one of these that is set counts, and no other.
_PROTOCOLS: Final = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_TIMEOUTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT")
_COMPRESSIONS: Final = ("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "OTEL_EXPORTER_OTLP_COMPRESSION")
_DELAY: Final = "OTEL_BSP_SCHEDULE_DELAY"
_SAMPLERS: Final = tuple(
    f"{parent}{name}"
    for parent in ("parentbased_", "")
    for name in ("always_on", "always_off", "traceidratio")
)


class RefusedError(Exception):
    """A variable has a value that the server cannot use; the message names it and says what to use."""


class ServerTracing:
    """What a server needs to make spans."""

    def __init__(self, export: SpanExport) -> None:
        self._export = export
        self._tracing = Tracing(export)

    @property
    def counts(self) -> Mapping[str, int]:
        """How many spans were exported, failed or dropped until now."""
        return self._export.counts

    def telling(self, telemetry: Telemetry) -> Telemetry:
        """The telemetry, which makes spans of what it is told as well."""
        return TracedTelemetry(telemetry, self._tracing)

    def invoking(self, invoker: EndpointInvoker) -> EndpointInvoker:
        """The invoker, which makes a span of each call."""
        return TracedInvoker(invoker, self._tracing)

    @contextmanager
    def answering(self, method: str, route: str, traceparent: str) -> Iterator[OpenRequest]:
        """While a request is answered. `route` is the template of its path."""
        request = OpenRequest(self._tracing, method, route, traceparent)
        before = current_request.set(request)
        try:
            yield request
        finally:
            current_request.reset(before)

    def close(self) -> None:
        """Send the last spans, for some seconds at most. It blocks."""
        self._export.shutdown()


def open_tracing(environ: Mapping[str, str]) -> ServerTracing | None:
    """Tracing as these variables say; None where they turn it off. Raises RefusedError."""
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return None
    exporter = environ.get("OTEL_TRACES_EXPORTER", "").strip() or "otlp"
    if exporter == "none":
        return None
    if exporter != "otlp":
        raise RefusedError(f"OTEL_TRACES_EXPORTER is {exporter!r}: use otlp, or none for no spans")
    name, protocol = _first_set(environ, _PROTOCOLS)
    if protocol.strip() not in {"", "http/protobuf"}:
        raise RefusedError(f"{name} is {protocol!r}: use http/protobuf, which collectors take at port 4318")
    _check_endpoint(*_first_set(environ, _ENDPOINTS))
    _check_sampler(environ)
    _check_exporter(environ)
    every_s = _delay_s(environ.get(_DELAY, "").strip())
    # It writes a line for each try. `SpanExport` says once that the collector takes nothing.
    logging.getLogger("opentelemetry.exporter").setLevel(logging.CRITICAL)
    try:
        return ServerTracing(SpanExport(OTLPSpanExporter(), every_s))
    except ValueError as wrong:
        # OpenTelemetry's own, about a limit of attributes; it names the variable.
        raise RefusedError(str(wrong)) from None


def _first_set(environ: Mapping[str, str], names: tuple[str, str]) -> tuple[str, str]:
    """The variable that counts and its value, which is empty where none of them is set."""
    name = next((name for name in names if environ.get(name)), names[-1])
    return name, environ.get(name, "")


def _check_endpoint(name: str, url: str) -> None:
    if not url:
        return
    try:
        parse_url(url)
    except ValueError as wrong:
        raise RefusedError(f"{name} is no URL: {wrong}; such as http://127.0.0.1:4318") from None
    if is_function(url):
        raise RefusedError(f"{name} is no URL of http or https; use one such as http://127.0.0.1:4318")


def _check_sampler(environ: Mapping[str, str]) -> None:
    # OpenTelemetry would log a warning and take its default: all spans.
    sampler = environ.get("OTEL_TRACES_SAMPLER", "").strip().lower()
    if sampler and sampler not in _SAMPLERS:
        raise RefusedError(f"OTEL_TRACES_SAMPLER is {sampler!r}: use one of {', '.join(_SAMPLERS)}")
    ratio = environ.get("OTEL_TRACES_SAMPLER_ARG", "").strip()
    if ratio and sampler.endswith("traceidratio"):
        try:
            is_ratio = 0 <= float(ratio) <= 1
        except ValueError:
            is_ratio = False
        if not is_ratio:
            raise RefusedError(f"OTEL_TRACES_SAMPLER_ARG is {ratio!r}: use a number from 0 to 1")


def _check_exporter(environ: Mapping[str, str]) -> None:
    # OpenTelemetry would take its defaults and say nothing.
    name, timeout = _first_set(environ, _TIMEOUTS)
    if timeout and not _is_above_zero(timeout):
        raise RefusedError(f"{name} is {timeout!r}: use seconds above 0, such as 10")
    name, compression = _first_set(environ, _COMPRESSIONS)
    if compression.strip().lower() not in {"", "gzip", "deflate", "none"}:
        raise RefusedError(f"{name} is {compression!r}: use gzip, deflate or none")


def _delay_s(delay_ms: str) -> float:
    """After how many seconds spans are sent."""
    if not delay_ms:
        return EVERY_S
    if not _is_above_zero(delay_ms):
        raise RefusedError(f"{_DELAY} is {delay_ms!r}: use milliseconds above 0, such as 1000")
    return float(delay_ms) / 1000


def _is_above_zero(number: str) -> bool:
    try:
        return 0 < float(number) < inf
    except ValueError:
        return False
