"""The request that is being answered, and its span.

The span gets the id that belongs to the step which the request starts. So it begins, with the time at which
the request came, when the step is known.
"""

import re
import time
from contextvars import ContextVar
from typing import Final

from opentelemetry.trace import Link, Span, SpanContext, SpanKind, StatusCode

from atomic.adapters.otel.tracing import Attributes, Tracing, sent_context, span_id_of
from atomic.domain.steps import Step
from atomic.protocol import keys
from atomic.protocol.error_kinds import ErrorKind

# The first members of an answer have it. In what an endpoint said, the quotes would be escaped.
_ID: Final = re.compile(rb'(?<!\\)"id": ?"(run_[0-9a-f]{32}-[0-9a-z]+)"')
_ID_WITHIN_BYTES: Final = 2048


class OpenRequest:
    """A request that is being answered, until `ends` is called."""

    def __init__(self, tracing: Tracing, method: str, route: str, traceparent: str) -> None:
        self._tracing = tracing
        self._name = f"{method} {route}"
        self._about: Attributes = {"http.request.method": method, "http.route": route}
        self._caller = sent_context(traceparent)
        self._start_ns = time.time_ns()
        self._links: list[Link] = []
        self._span: Span | None = None
        self._is_over = False

    def takes(self, step: Step) -> bool:
        """Whether this request's span is the one of this new step: then it begins now."""
        spec, trace_id = step.spec, int(step.spec.trace_id, 16)
        is_first = self._span is None and not self._is_over
        # The root that a link starts is below the link, which is the step of this request.
        is_of_link = spec.started_by is not None and spec.continued_from is None
        if not is_first or is_of_link or (self._caller is not None and self._caller.trace_id != trace_id):
            return False
        parent = self._caller
        if parent is None and spec.parent is not None:
            # A handler that passes on no trace: its own call had the same one, unless the run began with
            # a trace of its caller.
            parent = self._tracing.start_of(spec.parent, spec.trace_id, unsampled=spec.unsampled)
        self._begin(parent, step.id, trace_id, span_id_of(step.id), workflow=spec.workflow_name)
        return True

    def concerns(self, of_step: SpanContext) -> None:
        """The request has changed a step whose trace may be another one."""
        if not self._is_over:
            self._links.append(Link(of_step))

    def _begin(
        self,
        parent: SpanContext | None,
        step_id: str = "",
        trace_id: int | None = None,
        span_id: int | None = None,
        workflow: str = "",
    ) -> Span:
        about = {**self._about}
        if step_id:
            about |= {"atomic.run.id": keys.run_of(step_id), "atomic.step.id": step_id}
        if workflow:
            about["atomic.workflow.name"] = workflow
        self._span = self._tracing.begin(
            self._name,
            SpanKind.SERVER,
            about,
            trace_id=trace_id,
            span_id=span_id,
            parent=parent,
            links=tuple(self._links),
            start_ns=self._start_ns,
        )
        return self._span

    def ends(self, status: int | None, body: bytes) -> None:
        """The request is answered; without a status, its caller is gone."""
        self._is_over = True
        span = self._span
        if span is None:
            known = _ID.search(body[:_ID_WITHIN_BYTES])
            span = self._begin(self._caller, known[1].decode() if known else "")
        if status is not None:
            span.set_attribute("http.response.status_code", status)
        # 504 says that the step goes on.
        if status is None or (status >= 500 and status != 504):
            error = ErrorKind.NO_ANSWER.value if status is None else str(status)
            span.set_attribute("error.type", error)
            span.set_status(StatusCode.ERROR)
        span.end()


current_request: Final[ContextVar[OpenRequest | None]] = ContextVar("current_request", default=None)
