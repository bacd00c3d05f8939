"""The spans of steps and attempts: around the ports through which the engine calls and tells."""

import time
from typing import Final

from opentelemetry.trace import SpanKind, StatusCode, format_span_id

from atomic.adapters.otel.open_request import current_request
from atomic.adapters.otel.tracing import Attributes, Tracing, span_id_of
from atomic.application.ports import EndpointInvoker, EndpointRequest, Telemetry
from atomic.domain.outcomes import EndpointResponse
from atomic.domain.steps import Attempt, Step
from atomic.protocol import headers, keys
from atomic.protocol.error_kinds import ErrorKind
from atomic.protocol.urls import is_bus, is_function, parse_url

_NS: Final = 1_000_000


def _about(url: str, workflow: str, step_id: str, attempt: int) -> Attributes:
    """The attributes of an attempt. Paths, names of steps, keys and payloads are the client's alone."""
    about: Attributes = {
        "http.request.method": "POST",
        "atomic.run.id": keys.run_of(step_id),
        "atomic.step.id": step_id,
        "atomic.workflow.name": workflow,
        "atomic.attempt": attempt,
    }
    if attempt > 1:
        about["http.request.resend_count"] = attempt - 1
    if not (is_function(url) or is_bus(url)):
        try:
            target = parse_url(url)
        except ValueError:
            return about
        about |= {"server.address": target.host, "server.port": target.port}
    return about


class TracedInvoker:
    """Implements `ports.EndpointInvoker`: makes a span of each call, and sends it to the endpoint."""

    def __init__(self, invoker: EndpointInvoker, tracing: Tracing) -> None:
        self._invoker = invoker
        self._tracing = tracing

    async def post(self, request: EndpointRequest) -> EndpointResponse:
        """Make one attempt. A call that is not made has no span, nor has that of a probe."""
        if request.is_probe:
            # It is no attempt of its step, which may have one of this number.
            return await self._invoker.post(request)
        sent = request.headers
        step_id, attempt = sent["Atomic-Step-Id"], int(sent["Atomic-Attempt"])
        found, unsampled = headers.parse_trace(sent[headers.TRACEPARENT])
        trace_id = found or ""
        parent = self._tracing.start_of(step_id, trace_id, unsampled=unsampled)
        span = self._tracing.begin(
            f"call {request.workflow_name}",
            SpanKind.CLIENT,
            _about(request.url, request.workflow_name, step_id, attempt),
            span_id=span_id_of(step_id, attempt),
            parent=parent,
        )
        context = span.get_span_context()
        sent[headers.TRACEPARENT] = headers.traceparent(
            trace_id, format_span_id(context.span_id), is_sampled=context.trace_flags.sampled
        )
        answer = await self._invoker.post(request)
        if answer.not_made is not None:
            return answer
        error = answer.error
        if error is not None and error.kind is ErrorKind.CANCELLED_BEFORE_CALL:
            return answer
        if answer.status is not None:
            span.set_attribute("http.response.status_code", answer.status)
        if error is not None or answer.status is None or answer.status >= 400:
            kind = ErrorKind.NO_ANSWER if error is None else error.kind
            span.set_attribute("error.type", kind.value if answer.status is None else str(answer.status))
            span.set_status(StatusCode.ERROR)
        span.end()
        return answer


class TracedTelemetry:
    """Implements `ports.Telemetry`: passes events on, and makes the spans of what no request shows."""

    def __init__(self, telemetry: Telemetry, tracing: Tracing) -> None:
        self._telemetry = telemetry
        self._tracing = tracing
        self.settled = telemetry.settled
        self.lagged = telemetry.lagged
        self.deferred = telemetry.deferred

    def started(self, step: Step) -> None:
        """A step was created: by the request that is being answered, or by Atomic itself."""
        self._telemetry.started(step)
        request = current_request.get()
        if request is not None and request.takes(step):
            return
        spec, now_ns = step.spec, time.time_ns()
        is_own_trace = spec.trace_id == keys.trace_of(spec.run_id)
        above = spec.parent or (None if is_own_trace else spec.started_by)
        parent = None
        if above is not None:
            parent = self._tracing.start_of(above, spec.trace_id, unsampled=spec.unsampled)
        self._tracing.begin(
            f"start {spec.workflow_name}",
            SpanKind.INTERNAL,
            {
                "atomic.run.id": spec.run_id,
                "atomic.step.id": step.id,
                "atomic.workflow.name": spec.workflow_name,
            },
            trace_id=int(spec.trace_id, 16),
            span_id=span_id_of(step.id),
            parent=parent,
            start_ns=now_ns,
        ).end()

    def attempt_ended(self, step: Step, attempt: Attempt) -> None:
        """An attempt is over."""
        self._telemetry.attempt_ended(step, attempt)
        if attempt.error is not None and attempt.error.kind is ErrorKind.LOST:
            self._lost(step, attempt)

    def owner_lost(self, step: Step) -> None:
        """The last attempt of a step ended with its process."""
        self._telemetry.owner_lost(step)
        for attempt in step.attempt_log[-1:]:
            self._lost(step, attempt)

    def _lost(self, step: Step, attempt: Attempt) -> None:
        """Make the span of an attempt whose end nobody saw: the endpoint may have spans below it."""
        spec = step.spec
        if not spec.url:
            return
        span = self._tracing.begin(
            f"call {spec.workflow_name}",
            SpanKind.CLIENT,
            _about(spec.url, spec.workflow_name, step.id, attempt.number),
            span_id=span_id_of(step.id, attempt.number),
            parent=self._tracing.start_of(step.id, spec.trace_id, unsampled=spec.unsampled),
            start_ns=attempt.started_at_ms * _NS,
        )
        span.set_attribute("error.type", ErrorKind.LOST.value)
        span.set_status(StatusCode.ERROR)
        span.end((attempt.ended_at_ms or attempt.started_at_ms) * _NS)

    def reopened(self, step: Step) -> None:
        """A settled step is live again: the request that did this is linked with its trace."""
        self._telemetry.reopened(step)
        request = current_request.get()
        if request is not None:
            spec = step.spec
            request.concerns(self._tracing.start_of(step.id, spec.trace_id, unsampled=spec.unsampled))
