"""Traces of workflows and steps in OpenTelemetry (`pip install 'atomic-workflows[otel]'`).

Endpoints(app, "/orders", hooks=[OpenTelemetryHooks()])
"""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from contextvars import Token
from typing import Final

try:
    from opentelemetry import context, trace
    from opentelemetry.context import Context
    from opentelemetry.trace import Link, Span, SpanContext, SpanKind, StatusCode, TracerProvider
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        f"{error.name} is not installed: pip install 'atomic-workflows[otel]'",
        name=error.name,
    ) from None

from atomic import __version__
from atomic.protocol import headers
from atomic.sdk._calls.call import Call
from atomic.sdk._calls.hooks import End, HandlerCall, Hooks, Operation, ValueAttempt

__all__ = ["OpenTelemetryHooks"]

# Of so many steps, this process knows the span of the last attempt.
_STEPS_MAX: Final = 1000
_PROPAGATOR: Final = TraceContextTextMapPropagator()
Attributes = dict[str, str | int]


class OpenTelemetryHooks(Hooks):
    """Makes spans: of each call of a function, operation that happens, and attempt of a value.

    - `tracer_provider`: where the spans go (default: the provider of the application).

    The span of a call belongs to the trace of its run, and is current while the function runs. Its parent
    is the span of the web framework, if there is one in this trace, else the one that Atomic names. It has
    a link to the attempt of the same step before, if this process made that. An operation that is replayed
    has no span. A failure is recorded with its exception; a suspension is no failure.
    """

    def __init__(self, tracer_provider: TracerProvider | None = None) -> None:
        self._tracer = trace.get_tracer("atomic.sdk", __version__, tracer_provider)
        self._open: dict[object, tuple[Span, Token[Context]]] = {}
        self._last: OrderedDict[str, SpanContext] = OrderedDict()
        self._lock = threading.Lock()

    def call_started(self, call: HandlerCall) -> None:
        """Begin the span of a call.

        - `call`: the call.
        """
        of, parent = call.call, _parent(call.call)
        about: Attributes = {
            "messaging.system": "atomic",
            "messaging.operation.name": "call",
            "messaging.operation.type": "process",
            "messaging.destination.name": of.workflow_name,
            "messaging.message.id": of.step_id,
            "messaging.message.conversation_id": of.run_id,
            "url.full": of.url,
        }
        if of.attempt > 1:
            about["http.request.resend_count"] = of.attempt - 1
        name = f"{'workflow' if call.is_workflow else 'step'} {call.function}"
        kind = SpanKind.INTERNAL if parent is None else SpanKind.SERVER
        span = self._begins(call, of, name, kind, about, parent=parent, links=self._links(of.step_id))
        with self._lock:
            self._last[of.step_id] = span.get_span_context()
            self._last.move_to_end(of.step_id)
            if len(self._last) > _STEPS_MAX:
                self._last.popitem(last=False)

    def operation_started(self, operation: Operation) -> None:
        """Begin the span of an operation that is not replayed.

        - `operation`: the call of the context.
        """
        if operation.is_replayed:
            return
        about: Attributes = {
            "atomic.operation.kind": operation.kind,
            "atomic.operation.name": operation.name,
            "atomic.operation.step.id": operation.step_id,
        }
        kind = SpanKind.PRODUCER if operation.kind in {"step", "run"} else SpanKind.INTERNAL
        self._begins(operation, operation.call, f"{operation.kind} {operation.name}", kind, about)

    def attempt_started(self, attempt: ValueAttempt) -> None:
        """Begin the span of one call of a value's function.

        - `attempt`: the call of this function.
        """
        about: Attributes = {
            "atomic.operation.step.id": attempt.step_id,
            "atomic.value.attempt": attempt.number,
        }
        self._begins(attempt, attempt.call, f"attempt {attempt.name}", SpanKind.INTERNAL, about)

    def call_ended(self, call: HandlerCall, end: End) -> None:
        """End the span of a call.

        - `call`: the object that `call_started` got.
        - `end`: how it ended.
        """
        self._ends(call, end)

    def operation_ended(self, operation: Operation, end: End) -> None:
        """End the span of an operation.

        - `operation`: the object that `operation_started` got.
        - `end`: how it ended.
        """
        self._ends(operation, end)

    def attempt_ended(self, attempt: ValueAttempt, end: End) -> None:
        """End the span of a call of a value's function.

        - `attempt`: the object that `attempt_started` got.
        - `end`: how it ended.
        """
        self._ends(attempt, end)

    def traceparent(self, call: Call) -> str:
        """Return the current span, so that what is posted in it is below it.

        - `call`: the call of the workflow.
        """
        sent = _PROPAGATOR.extract({headers.TRACEPARENT: call.traceparent}, Context())
        theirs, own = (trace.get_current_span(each).get_span_context() for each in (sent, None))
        if own.trace_id != theirs.trace_id:
            return ""
        carrier = dict[str, str]()
        _PROPAGATOR.inject(carrier)
        return carrier.get(headers.TRACEPARENT, "")

    def _begins(
        self,
        subject: object,
        call: Call,
        name: str,
        kind: SpanKind,
        about: Attributes,
        *,
        parent: Context | None = None,
        links: Sequence[Link] = (),
    ) -> Span:
        ids: Attributes = {
            "atomic.run.id": call.run_id,
            "atomic.step.id": call.step_id,
            "atomic.workflow.name": call.workflow_name,
            "atomic.attempt": call.attempt,
        }
        span = self._tracer.start_span(name, parent, kind, {**ids, **about}, links)
        self._open[subject] = (span, context.attach(trace.set_span_in_context(span, parent)))
        return span

    def _ends(self, subject: object, end: End) -> None:
        span, token = self._open.pop(subject, (None, None))
        if span is None or token is None:
            return
        context.detach(token)
        span.set_attribute("atomic.outcome", end.outcome)
        if end.error is not None:
            span.record_exception(end.error)
        if end.outcome == "failed" and end.error is not None:
            span.set_attribute("error.type", type(end.error).__qualname__)
            span.set_status(StatusCode.ERROR, str(end.error))
        span.end()

    def _links(self, step_id: str) -> list[Link]:
        with self._lock:
            before = self._last.get(step_id)
        return [] if before is None else [Link(before, {"atomic.link": "attempt before"})]


def _parent(call: Call) -> Context | None:
    """The trace context that Atomic sent; None if the current span belongs to its trace."""
    current = context.get_current()
    sent = _PROPAGATOR.extract({headers.TRACEPARENT: call.traceparent}, current)
    own, theirs = (trace.get_current_span(each).get_span_context() for each in (current, sent))
    return None if own.trace_id == theirs.trace_id else sent
