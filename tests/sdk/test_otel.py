"""Spans of workflows and steps: their names, parents, links, errors and attributes."""

import asyncio
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from atomic.sdk import AsyncContext, Context, Hooks, NonRetryable
from atomic.sdk._endpoints.endpoint import Endpoint
from atomic.sdk._endpoints.serving import RawPath, Request
from atomic.sdk.otel import OpenTelemetryHooks
from sdk.in_process import DAY, InProcess, in_process
from sdk.scripted import FAILED, GOES_ON, called, called_async, done

TRACE, PARENT = 0x0AF7651916CD43DD8448EB211C80319C, 0xB7AD6B7169203331
TRACEPARENT = f"00-{TRACE:032x}-{PARENT:016x}-01"
both = pytest.mark.parametrize("variant", ["def", "async"])


class Traces:
    """Hooks with a provider of their own, and what they export."""

    def __init__(self) -> None:
        provider = TracerProvider()
        self.exporter = InMemorySpanExporter()
        provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.hooks = OpenTelemetryHooks(provider)
        self.tracer = provider.get_tracer("application")

    def spans(self) -> dict[str, ReadableSpan]:
        """The spans by name; the last one of a name."""
        return {span.name: span for span in self.exporter.get_finished_spans()}


@pytest.fixture
def traces(caplog: pytest.LogCaptureFixture) -> Iterator[Traces]:
    caplog.set_level(logging.WARNING)
    yield Traces()
    # OpenTelemetry logs a context that is left in another one, and the SDK logs errors of hooks.
    assert [record.getMessage() for record in caplog.records if record.name != "atomic"] == []


def call(variant: str, flow: Any, answers: Any, hooks: Hooks, **options: Any) -> None:
    def blocking(ctx: Context) -> None:
        for _ in flow(ctx):
            pass

    async def asynchronous(ctx: AsyncContext) -> None:
        for made in flow(ctx):
            await made

    if variant == "def":
        called(blocking, answers, hooks=[hooks], **options)
    else:
        asyncio.run(called_async(asynchronous, answers, hooks=[hooks], **options))


def step(function: Any, hooks: Hooks, *, attempt: int = 1, step_id: str = "r-s") -> None:
    """Call a step, as Atomic does."""
    endpoint = Endpoint(function, is_workflow=False, options={"hooks": [hooks]})
    known = {"runId": "r", "stepId": step_id, "workflowName": "w", "idempotencyKey": "k"}
    body = json.dumps({**known, "attempt": attempt, "payload": 5}).encode()
    headers = {"traceparent": TRACEPARENT}
    endpoint.answer(Request(origin="https://app.test", at=RawPath("", "/x"), headers=headers, body=body))


@both
def test_spans_of_a_workflow_are_nested(variant: str, traces: Traces) -> None:
    def work() -> int:
        with traces.tracer.start_as_current_span("own work"):
            return 7

    def flow(ctx: Any) -> Iterator[Any]:
        with traces.tracer.start_as_current_span("own part"):
            yield ctx.step("pay")
        yield ctx.run("drawn", work)

    call(variant, flow, {"pay": done(), "drawn": done(7)}, traces.hooks)
    spans = traces.spans()
    [root] = [name for name in spans if name.startswith("workflow ")]
    parents = {"own part": root, "step pay": "own part", "value drawn": root}
    parents |= {"attempt drawn": "value drawn", "own work": "attempt drawn"}
    for name, parent in parents.items():
        assert spans[name].parent == spans[parent].get_span_context(), name
    assert spans.keys() == {*parents, root}
    attributes = dict(spans["step pay"].attributes or {})
    assert attributes.pop("atomic.operation.step.id", "").startswith("run_1-")
    assert attributes == {
        "atomic.run.id": "run_1",
        "atomic.step.id": "run_1-root",
        "atomic.workflow.name": "w",
        "atomic.attempt": 1,
        "atomic.operation.kind": "step",
        "atomic.operation.name": "pay",
        "atomic.outcome": "succeeded",
    }


def test_branches_in_threads_have_the_span_of_their_workflow(traces: Traces) -> None:
    def main(ctx: Context) -> None:
        ctx.gather(lambda: ctx.step("pay"), ctx.call("ship"))

    called(main, {"pay": done(), "ship": done()}, hooks=[traces.hooks])
    spans = traces.spans()
    [root] = [span for name, span in spans.items() if name.startswith("workflow ")]
    assert spans["step pay"].parent == spans["step ship"].parent == root.get_span_context()


def test_a_call_belongs_to_the_trace_of_its_run(traces: Traces) -> None:
    def pay(payload: int) -> int:
        return payload

    step(pay, traces.hooks)
    [span] = traces.spans().values()
    assert (span.get_span_context().trace_id, span.kind) == (TRACE, SpanKind.SERVER)
    assert span.parent is not None
    assert (span.parent.span_id, span.parent.is_remote) == (PARENT, True)
    assert span.name.startswith("step ")
    assert dict(span.attributes or {}) == {
        "atomic.run.id": "r",
        "atomic.step.id": "r-s",
        "atomic.workflow.name": "w",
        "atomic.attempt": 1,
        "atomic.outcome": "succeeded",
        "messaging.system": "atomic",
        "messaging.operation.name": "call",
        "messaging.operation.type": "process",
        "messaging.destination.name": "w",
        "messaging.message.id": "r-s",
        "messaging.message.conversation_id": "r",
        "url.full": "https://app.test/x",
    }


@pytest.mark.parametrize("is_in_trace", [True, False])
def test_a_span_of_the_framework(is_in_trace: bool, traces: Traces) -> None:
    carried = {"traceparent": TRACEPARENT} if is_in_trace else {}
    parent = trace.propagation.tracecontext.TraceContextTextMapPropagator().extract(carried)
    with traces.tracer.start_as_current_span("POST /x", parent):
        step(lambda payload: payload, traces.hooks)
    framework, own = (
        traces.spans()["POST /x"],
        traces.spans()["step test_a_span_of_the_framework.<locals>.<lambda>"],
    )
    if is_in_trace:
        assert own.parent == framework.get_span_context()
    else:
        assert own.parent is not None
        assert own.parent.span_id == PARENT


def test_attempts_of_a_step_are_linked(traces: Traces) -> None:
    def pay(payload: int) -> None:
        raise ConnectionError("no")

    step(pay, traces.hooks)
    step(pay, traces.hooks, step_id="another")
    step(pay, traces.hooks, attempt=2)
    first, another, second = traces.exporter.get_finished_spans()
    assert ([*first.links], [*another.links]) == ([], [])
    [link] = second.links
    assert link.context == first.get_span_context()
    assert (second.attributes or {})["http.request.resend_count"] == 1


def test_few_spans_are_remembered(traces: Traces) -> None:
    for number in range(1100):
        step(lambda payload: payload, traces.hooks, step_id=f"s{number}")
    assert len(traces.hooks._last) == 1000
    assert not traces.hooks._open


def test_an_error_is_recorded(traces: Traces) -> None:
    def pay(payload: int) -> None:
        raise NonRetryable("no such card")

    step(pay, traces.hooks)
    [span] = traces.exporter.get_finished_spans()
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, "no such card")
    assert (span.attributes or {})["error.type"] == "NonRetryable"
    [event] = span.events
    assert (event.attributes or {})["exception.message"] == "no such card"


@both
def test_a_suspension_is_no_error(variant: str, traces: Traces) -> None:
    call(variant, lambda ctx: iter([ctx.step("pay")]), {"pay": GOES_ON}, traces.hooks)
    spans = traces.exporter.get_finished_spans()
    assert [span.status.status_code for span in spans] == [StatusCode.UNSET] * 2
    assert {(span.attributes or {})["atomic.outcome"] for span in spans} == {"suspended"}


@both
def test_a_step_that_failed(variant: str, traces: Traces) -> None:
    call(variant, lambda ctx: iter([ctx.step("pay")]), {"pay": FAILED}, traces.hooks)
    assert traces.spans()["step pay"].status.status_code is StatusCode.ERROR


def test_what_is_replayed_has_no_span(traces: Traces) -> None:
    async def play(app: InProcess) -> None:
        async def main(ctx: AsyncContext) -> None:
            await ctx.step("pay")
            await ctx.sleep(DAY)
            await ctx.step("ship")

        app.step("pay")
        app.step("ship")
        app.workflow(main, hooks=[traces.hooks])
        await app.start()

    in_process(play)
    names = [span.name.rpartition(".")[2] for span in traces.exporter.get_finished_spans()]
    assert names == ["step pay", "timer sleep", "main", "step ship", "main"]
    of_run = {span.get_span_context().trace_id for span in traces.exporter.get_finished_spans()}
    assert len(of_run) == 1, "the calls of a run are in one trace"


def test_the_application_s_own_provider_is_the_default() -> None:
    step(lambda payload: payload, OpenTelemetryHooks())


def test_without_opentelemetry_it_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['opentelemetry'] = None\n"
        "try:\n    import atomic.sdk.otel\n"
        "except ModuleNotFoundError as error:\n    print(error)"
    )
    printed = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout
    assert "pip install 'atomic-workflows[otel]'" in printed
