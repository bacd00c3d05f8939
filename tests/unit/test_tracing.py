"""The spans of a server: what becomes of them in the queue, which ones are made, and what is refused."""

import asyncio
import os
import re
import subprocess
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from atomic.adapters.otel import export as export_module
from atomic.adapters.otel.attempts import TracedInvoker, TracedTelemetry
from atomic.adapters.otel.export import EVERY_S, SpanExport
from atomic.adapters.otel.open_request import OpenRequest, current_request
from atomic.adapters.otel.opening import RefusedError, ServerTracing, open_tracing
from atomic.adapters.otel.tracing import Tracing, sent_context, span_id_of
from atomic.adapters.prometheus.telemetry import PrometheusTelemetry
from atomic.application.ports import EndpointRequest
from atomic.application.probe import probe
from atomic.domain.clients.client import Client
from atomic.domain.outcomes import EndpointResponse, NotMade, StepError
from atomic.domain.steps import Step
from atomic.entrypoints.embedded.http import Receive, Scope, Send
from atomic.entrypoints.embedded.traced import TracedApp
from atomic.protocol import headers, keys
from atomic.protocol.error_kinds import ErrorKind
from contract.builders import a_root, a_spec
from unit.test_clocks import Straying, engine_of
from unit.test_prometheus import shown

CALLER = "00f067aa0ba902b7"
OK = EndpointResponse(status=200)
RUN_TRACE = keys.trace_of(a_spec().run_id)


class Kept:
    """Tracing whose spans are kept here."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.export = SpanExport(self.exporter)
        self.tracing = Tracing(self.export)

    def spans(self) -> Sequence[ReadableSpan]:
        """The spans until now; no more can be made."""
        self.export.shutdown()
        return self.exporter.get_finished_spans()


@pytest.fixture
def kept() -> Iterator[Kept]:
    made = Kept()
    yield made
    made.export.shutdown()


def request_for(step: Step, *, attempt: int = 1, url: str = "http://127.0.0.1:9/x") -> EndpointRequest:
    spec = step.spec
    sent = {
        "Atomic-Step-Id": step.id,
        "Atomic-Attempt": str(attempt),
        "traceparent": headers.traceparent(spec.trace_id, CALLER, is_sampled=not spec.unsampled),
    }
    return EndpointRequest(
        client_id="acme",
        workflow_name=spec.workflow_name,
        url=url,
        headers=sent,
        body=b"",
        timeout_ms=9,
        is_wanted=lambda: True,
    )


class Answers:
    """An invoker that has the answer already."""

    def __init__(self, answer: EndpointResponse) -> None:
        self._answer = answer

    async def post(self, request: EndpointRequest) -> EndpointResponse:
        del request
        return self._answer


class Held(SpanExporter):
    """An exporter that waits until it is let go, or is shut down."""

    def __init__(self, result: SpanExportResult | Exception = SpanExportResult.SUCCESS) -> None:
        self.result = result
        self.go = threading.Event()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.go.wait(20)
        if isinstance(self.result, Exception):
            raise self.result
        return self.result

    def shutdown(self) -> None:
        self.go.set()


def until(is_so: Callable[[], bool]) -> None:
    until_s = time.monotonic() + 10
    while not is_so():
        assert time.monotonic() < until_s
        time.sleep(0.01)


def test_a_full_queue_drops_spans_and_blocks_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export_module, "QUEUE_MAX", 3)
    held = Held()
    export = SpanExport(held)
    metrics = PrometheusTelemetry(spans=export.counts)
    export.on_end(ReadableSpan("first"))
    until(lambda: not export._waiting)
    for number in range(5):
        export.on_end(ReadableSpan(str(number)))
    assert export.counts == {"exported": 0, "failed": 0, "dropped": 2}
    held.go.set()
    export.shutdown()
    assert export.counts == {"exported": 4, "failed": 0, "dropped": 2}
    seen = shown(metrics)
    assert (seen["atomic_spans_total exported"], seen["atomic_spans_total dropped"]) == (4, 2)


class Emptied(deque[ReadableSpan]):
    """A queue that does something when it is first seen to be empty."""

    def __init__(self, then: Callable[[], None]) -> None:
        super().__init__()
        self._then = [then]

    def __bool__(self) -> bool:
        is_filled = len(self) > 0
        if not is_filled and self._then:
            self._then.pop()()
        return is_filled


def test_a_span_that_ends_just_before_the_server_is_sent() -> None:
    exporter = InMemorySpanExporter()
    export = SpanExport(exporter)

    def end() -> None:
        # The thread has looked for spans, and not yet whether the server ends.
        export.on_end(ReadableSpan("last"))
        export._is_ending = True
        export._wanted.set()

    export._waiting = Emptied(end)
    export._thread.join(10)
    export.shutdown()
    assert [span.name for span in exporter.get_finished_spans()] == ["last"]
    assert export.counts == {"exported": 1, "failed": 0, "dropped": 0}


def test_without_spans_the_metrics_do_not_speak_of_them() -> None:
    assert not [name for name in shown(PrometheusTelemetry()) if "span" in name]


@pytest.mark.parametrize("result", [SpanExportResult.FAILURE, ValueError("canary")])
def test_what_the_collector_refuses_is_counted_and_logged_once(
    result: SpanExportResult | Exception, caplog: pytest.LogCaptureFixture
) -> None:
    held = Held(result)
    held.go.set()
    export = SpanExport(held)
    for number in range(1, 4):
        export.on_end(ReadableSpan(str(number)))
        export._wanted.set()
        until(lambda failed=number: export.counts["failed"] == failed)
    held.result = SpanExportResult.SUCCESS
    export.on_end(ReadableSpan("4"))
    export.shutdown()
    assert export.counts == {"exported": 1, "failed": 3, "dropped": 0}
    said = [record.message for record in caplog.records if record.name == "atomic.traces"]
    assert sum("takes no spans" in line for line in said) == 1
    assert "3 failed" in said[-1]
    assert "canary" not in caplog.text


def test_a_span_below_its_start_has_ids_that_follow_from_the_step(kept: Kept) -> None:
    root = a_root()
    assert span_id_of(root.id) != span_id_of(root.id, 1) != span_id_of(root.id, 2)
    context = kept.tracing.start_of(root.id, root.spec.trace_id, unsampled=False)
    assert (context.span_id, context.trace_flags.sampled) == (span_id_of(root.id), True)


@pytest.mark.parametrize(
    ("sampler", "argument", "unsampled", "is_recorded"),
    [
        ("", "", False, True),
        ("", "", True, False),
        ("always_on", "", True, True),
        ("always_off", "", False, False),
        ("parentbased_always_off", "", False, True),  # the caller has decided
        ("traceidratio", "0", False, False),
        ("parentbased_traceidratio", "0", False, True),
    ],
)
def test_the_caller_and_the_sampler_decide(
    sampler: str, argument: str, unsampled: bool, is_recorded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", sampler)
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", argument)
    kept, request = Kept(), request_for(a_root(a_spec(unsampled=unsampled)))
    call(kept, request)
    assert len(kept.spans()) == is_recorded
    assert request.headers["traceparent"].endswith("-01" if is_recorded else "-00")


def test_the_sampler_decides_about_a_run_that_nobody_traces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0.5")
    kept = Kept()
    told = TracedTelemetry(PrometheusTelemetry(), kept.tracing)
    for number in range(200):
        spec = a_spec(key=str(number))
        root = a_root(replace(spec, trace_id=keys.trace_of(spec.run_id)))
        told.started(root)
        call(kept, request_for(root))
    spans = kept.spans()
    runs = Counter(span.attributes["atomic.run.id"] for span in spans)
    # The start and the attempt of a run are both recorded, or neither of them is.
    assert set(runs.values()) == {2}
    assert 60 < len(runs) < 140


def call(kept: Kept, request: EndpointRequest, answer: EndpointResponse = OK) -> None:
    asyncio.run(TracedInvoker(Answers(answer), kept.tracing).post(request))


@pytest.mark.parametrize(
    ("answer", "about"),
    [
        (EndpointResponse(status=200), {"http.response.status_code": 200}),
        (EndpointResponse(status=202), {"http.response.status_code": 202}),
        (EndpointResponse(status=404), {"http.response.status_code": 404, "error.type": "404"}),
        (EndpointResponse(error=StepError(ErrorKind.TIMED_OUT, "5")), {"error.type": "timed_out"}),
        (EndpointResponse(error=StepError(ErrorKind.CANCELLED_BEFORE_CALL)), None),
        (EndpointResponse(not_made=NotMade(StepError(ErrorKind.TOO_MANY_CONNECTIONS))), None),
    ],
)
def test_a_call_has_a_span_and_what_is_not_called_has_none(
    kept: Kept, answer: EndpointResponse, about: dict[str, object] | None
) -> None:
    call(kept, request_for(a_root(), attempt=2), answer)
    spans = kept.spans()
    if about is None:
        assert spans == ()
        return
    [span] = spans
    assert span.attributes is not None
    assert span.status.is_ok is ("error.type" not in about)
    assert about.items() <= span.attributes.items()
    assert (span.attributes["atomic.attempt"], span.attributes["http.request.resend_count"]) == (2, 1)


def test_a_probe_is_no_attempt_and_has_no_span(kept: Kept) -> None:
    request = replace(request_for(a_root()), is_probe=True)
    sent = dict(request.headers)
    call(kept, request)
    assert (kept.spans(), request.headers) == ((), sent)


def test_a_probe_says_that_it_is_one(kept: Kept) -> None:
    engine = replace(engine_of(Straying()), invoker=TracedInvoker(Answers(OK), kept.tracing))
    assert asyncio.run(probe(engine, Client(id="acme"), a_spec())) is not None
    assert kept.spans() == ()


@pytest.mark.parametrize("url", ["lambda:shop:prod/canary", "bus:orders", "http://[canary/"])
def test_a_target_without_a_host_has_none(kept: Kept, url: str) -> None:
    call(kept, request_for(a_root(), url=url))
    [span] = kept.spans()
    assert "canary" not in span.to_json()
    assert "server.address" not in (span.attributes or {})


def test_a_step_that_no_request_starts_has_a_span_below_what_started_it(kept: Kept) -> None:
    told = TracedTelemetry(PrometheusTelemetry(), kept.tracing)
    link = a_root().id
    child = a_root(a_spec(key="child", started_by=link))
    alone = a_root(a_spec(key="of a schedule"))
    alone = replace(alone, spec=replace(alone.spec, trace_id=keys.trace_of(alone.spec.run_id)))
    told.started(child)
    told.started(alone)
    below, first = kept.spans()
    assert below.parent is not None
    assert below.parent.span_id == span_id_of(link)
    assert (first.parent, f"{first.context.trace_id:032x}") == (None, alone.spec.trace_id)


def test_a_request_that_redrives_is_linked_with_the_trace_of_the_run(kept: Kept) -> None:
    told, root = TracedTelemetry(PrometheusTelemetry(), kept.tracing), a_root()
    request = OpenRequest(kept.tracing, "POST", "/{clientId}/runs/{runId}/redrive", "")
    token = current_request.set(request)
    told.reopened(root)
    current_request.reset(token)
    request.ends(200, b"")
    [span] = kept.spans()
    [link] = span.links
    assert f"{link.context.trace_id:032x}" == root.spec.trace_id != f"{span.context.trace_id:032x}"
    assert link.context.span_id == span_id_of(root.id)


@pytest.mark.parametrize(("status", "error"), [(504, None), (409, None), (503, "503"), (None, "no_answer")])
def test_an_answer_is_an_error_where_the_server_failed(
    kept: Kept, status: int | None, error: str | None
) -> None:
    OpenRequest(kept.tracing, "POST", "/{clientId}", "").ends(status, b"")
    [span] = kept.spans()
    assert (span.attributes or {}).get("error.type") == error
    assert span.status.is_ok is (error is None)


@pytest.mark.parametrize(
    ("path", "names"), [("/acme", ["POST /{clientId}"]), ("/health", []), ("/acme/nothing/of/this", [])]
)
def test_a_request_has_a_span_where_a_route_answers(path: str, names: list[str]) -> None:
    exporter = InMemorySpanExporter()
    tracing = ServerTracing(SpanExport(exporter))
    asked: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        asked.append(scope["path"])

    async def nothing(*_: object) -> dict[str, Any]:
        return {}

    scope = {"method": "POST", "path": path, "headers": []}
    asyncio.run(TracedApp(app, tracing)(scope, nothing, nothing))
    tracing.close()
    assert (asked, [span.name for span in exporter.get_finished_spans()]) == ([path], names)


def test_the_step_of_an_answer_is_read_from_its_first_members(kept: Kept) -> None:
    said = f'{{"detail":"he said \\"id\\":\\"run_{"0" * 32}-root\\"","id":"{a_root().id}"}}'
    OpenRequest(kept.tracing, "POST", "/{clientId}", "").ends(409, said.encode())
    [span] = kept.spans()
    assert (span.attributes or {})["atomic.step.id"] == a_root().id


@pytest.mark.parametrize(
    "traceparent", ["", "00", f"00-{'0' * 32}-{CALLER}-01", f"ff-{RUN_TRACE}-{CALLER}-01"]
)
def test_a_malformed_traceparent_names_no_span(traceparent: str) -> None:
    assert sent_context(traceparent) is None


def test_a_service_is_called_atomic_unless_it_has_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    assert named() == "atomic"
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.name=flows,deployment.environment.name=prod")
    assert named() == "flows"
    monkeypatch.setenv("OTEL_SERVICE_NAME", "orders")
    assert named() == "orders"


def named() -> object:
    kept = Kept()
    call(kept, request_for(a_root()))
    [span] = kept.spans()
    return span.resource.attributes["service.name"]


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        (
            {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
            "OTEL_EXPORTER_OTLP_PROTOCOL is 'grpc': use http/protobuf",
        ),
        ({"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/json"}, "use http/protobuf"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4318"}, "OTEL_EXPORTER_OTLP_ENDPOINT is no URL"),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "lambda:x"}, "such as http://127.0.0.1:4318"),
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "use otlp, or none for no spans"),
        (
            {"OTEL_TRACES_SAMPLER": "xray"},
            "OTEL_TRACES_SAMPLER is 'xray': use one of parentbased_always_on",
        ),
        (
            {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "2"},
            "OTEL_TRACES_SAMPLER_ARG is '2': use a number from 0 to 1",
        ),
        ({"OTEL_BSP_SCHEDULE_DELAY": "x"}, "OTEL_BSP_SCHEDULE_DELAY is 'x': use milliseconds above 0"),
        ({"OTEL_BSP_SCHEDULE_DELAY": "0"}, "OTEL_BSP_SCHEDULE_DELAY is '0'"),
        ({"OTEL_EXPORTER_OTLP_TIMEOUT": "nan"}, "OTEL_EXPORTER_OTLP_TIMEOUT is 'nan': use seconds above 0"),
        ({"OTEL_EXPORTER_OTLP_TRACES_COMPRESSION": "zip"}, "use gzip, deflate or none"),
    ],
)
def test_a_variable_that_cannot_be_used_is_refused(variables: dict[str, str], said: str) -> None:
    with pytest.raises(RefusedError, match=re.escape(said)):
        open_tracing(variables)


def test_a_limit_that_opentelemetry_refuses_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "x")
    with pytest.raises(
        RefusedError, match="OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT must be a non-negative integer"
    ):
        open_tracing({})


@pytest.mark.parametrize(("delay", "every_s"), [("", EVERY_S), ("250", 0.25), (" 60000 ", 60.0)])
def test_the_time_between_two_batches_is_the_variable_of_opentelemetry(delay: str, every_s: float) -> None:
    tracing = open_tracing({"OTEL_BSP_SCHEDULE_DELAY": delay})
    assert tracing is not None
    assert tracing._export._every_s == every_s
    tracing.close()


@pytest.mark.parametrize(
    "variables",
    [
        {"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
        {"OTEL_EXPORTER_OTLP_PROTOCOL": " http/protobuf "},
        {
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:9/v1/traces",
            "OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4317",
        },
    ],
)
def test_a_variable_for_traces_counts_before_the_general_one(variables: dict[str, str]) -> None:
    tracing = open_tracing(variables)
    assert tracing is not None
    tracing.close()


@pytest.mark.parametrize("variables", [{"OTEL_SDK_DISABLED": "True"}, {"OTEL_TRACES_EXPORTER": "none"}])
def test_the_environment_can_turn_it_off(variables: dict[str, str]) -> None:
    assert open_tracing(variables) is None


def serve(directory: Path, code: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run `atomic serve --otel` after this code."""
    arguments = ["atomic", "serve", "--dev", "--otel", "--port", "0", "--data-dir", str(directory)]
    script = f"import sys; {code}; sys.argv = {arguments!r}; from atomic.cli.main import main; main()"
    environment = {**os.environ, **variables}
    command = [sys.executable, "-c", script]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_without_the_packages_the_server_says_what_to_install(tmp_path: Path) -> None:
    ran = serve(tmp_path, "sys.modules['opentelemetry'] = None")
    assert (ran.returncode, ran.stderr.count("\n")) == (1, 1)
    assert ran.stderr == "Error: --otel needs OpenTelemetry: pip install 'atomic-workflows[otel]'\n"


def test_with_a_wrong_variable_the_server_does_not_start(tmp_path: Path) -> None:
    ran = serve(tmp_path, "pass", OTEL_EXPORTER_OTLP_PROTOCOL="grpc")
    assert ran.returncode == 1
    assert ran.stderr.splitlines()[-1].startswith("Error: --otel: OTEL_EXPORTER_OTLP_PROTOCOL is 'grpc'")


def test_a_server_without_it_imports_nothing_of_opentelemetry() -> None:
    code = (
        "import sys, atomic.entrypoints.embedded.server\n"
        "assert not [name for name in sys.modules if 'opentelemetry' in name or 'adapters.otel' in name]"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
