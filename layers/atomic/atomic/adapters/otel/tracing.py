"""Makes the spans of a server.

The span of a step's start and those of its attempts have ids that follow from the step's id. So an attempt
finds its parent a day later and after a restart, and no row has to keep the id of a span.
"""

from hashlib import blake2b
from typing import Final

from opentelemetry.context import Context
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.id_generator import IdGenerator, RandomIdGenerator
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    TraceFlags,
    set_span_in_context,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from atomic import __version__
from atomic.adapters.otel.export import SpanExport
from atomic.protocol import headers, keys

Attributes = dict[str, str | int]

_PROPAGATOR: Final = TraceContextTextMapPropagator()
_RANDOM: Final = RandomIdGenerator()
_SPAN_ID_BYTES: Final = 8
_SERVICE: Final = "atomic"
# What OpenTelemetry calls a service without a name.
_UNNAMED: Final = "unknown_service"


class _GivenIds(IdGenerator):
    """The ids that the next span is to have."""

    def __init__(self) -> None:
        self.trace_id = self.span_id = 0

    def generate_trace_id(self) -> int:
        """OpenTelemetry: asked for spans without a parent."""
        return self.trace_id

    def generate_span_id(self) -> int:
        """OpenTelemetry: asked for each span."""
        return self.span_id


def span_id_of(step_id: str, attempt: int = 0) -> int:
    """The id of the span of an attempt, counted from 1; 0 is the start of the step."""
    digest = blake2b(f"{step_id}/{attempt}".encode(), digest_size=_SPAN_ID_BYTES).digest()
    # The id with zeros alone is none.
    return int.from_bytes(digest) or 1


def sent_context(traceparent: str) -> SpanContext | None:
    """The span that a `traceparent` names; None for a malformed one."""
    if headers.parse_trace(traceparent)[0] is None:
        return None
    extracted = _PROPAGATOR.extract({headers.TRACEPARENT: traceparent.strip()}, Context())
    sent = next(iter(extracted.values()), None)
    return sent.get_span_context() if isinstance(sent, Span) else None


class Tracing:
    """The spans of one server, sent by `export`. It belongs to the thread of the event loop."""

    def __init__(self, export: SpanExport) -> None:
        # It reads OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES.
        resource = Resource.create()
        if str(resource.attributes[SERVICE_NAME]).startswith(_UNNAMED):
            resource = resource.merge(Resource({SERVICE_NAME: _SERVICE}))
        self._ids = _GivenIds()
        provider = TracerProvider(resource=resource, id_generator=self._ids, shutdown_on_exit=False)
        provider.add_span_processor(export)
        self._tracer = provider.get_tracer("atomic.server", __version__)
        self._sampler = provider.sampler

    def begin(
        self,
        name: str,
        kind: SpanKind,
        about: Attributes,
        *,
        trace_id: int | None = None,
        span_id: int | None = None,
        parent: SpanContext | None = None,
        links: tuple[Link, ...] = (),
        start_ns: int | None = None,
    ) -> Span:
        """Begin a span. Without ids it gets random ones; without a parent it is the first of its trace."""
        within = Context()
        if parent is not None:
            within = set_span_in_context(NonRecordingSpan(parent), within)
        self._ids.trace_id = _RANDOM.generate_trace_id() if trace_id is None else trace_id
        self._ids.span_id = _RANDOM.generate_span_id() if span_id is None else span_id
        return self._tracer.start_span(name, within, kind, about, links, start_ns)

    def start_of(self, step_id: str, trace_id: str, *, unsampled: bool) -> SpanContext:
        """The span of the start of a step in this trace, as the parent of others."""
        number = int(trace_id, 16)
        is_sampled = not unsampled
        if is_sampled and trace_id == keys.trace_of(keys.run_of(step_id)):
            # Nobody has decided about this trace but the sampler, whose decision follows from the id.
            decision = self._sampler.should_sample(Context(), number, "").decision
            is_sampled = decision is Decision.RECORD_AND_SAMPLE
        flags = TraceFlags(TraceFlags.SAMPLED if is_sampled else TraceFlags.DEFAULT)
        return SpanContext(number, span_id_of(step_id), is_remote=False, trace_flags=flags)
