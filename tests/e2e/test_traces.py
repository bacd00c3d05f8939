"""Traces of a client, a real server with `--otel` and an application, which a collector gets."""

import json
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from werkzeug.serving import make_server

from atomic.sdk import AsyncContext, Context
from atomic.sdk.flask import Endpoints
from atomic.sdk.otel import OpenTelemetryHooks
from collector import Collector, Received, collecting
from scenarios.embedded_runtime import AtomicServer

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PROPAGATOR = TraceContextTextMapPropagator()
Headers = dict[str, str]
Handle = Callable[[str, Headers, dict[str, Any]], tuple[int, Any]]


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as running:
        yield running


@pytest.fixture
def server(tmp_path: Path, collector: Collector, monkeypatch: pytest.MonkeyPatch) -> Iterator[AtomicServer]:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint)
    running = AtomicServer(tmp_path / "data", "--otel")
    running.start()
    yield running
    if running.process.poll() is None:
        running.stop()


@contextmanager
def application(handle: Handle) -> Iterator[str]:
    """Endpoints of the standard library; header names are given in lower case."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            call = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status, answer = handle(self.path, {k.lower(): v for k, v in self.headers.items()}, call)
            if status:
                self.send_response(status)
                self.end_headers()
                self.wfile.write(json.dumps(answer).encode())

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    served = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served.daemon_threads = True
    thread = threading.Thread(target=served.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{served.server_port}"
    finally:
        served.shutdown()
        thread.join()
        served.server_close()


def post(url: str, document: dict[str, Any], **headers: str) -> tuple[int, dict[str, Any]]:
    request = urllib.request.Request(url, json.dumps(document).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as refused:
        return refused.code, json.load(refused)


def a_start(url: str, **more: Any) -> dict[str, Any]:
    retry = {"count": 3, "backOff": 50}
    return {"workflowName": "order", "idempotencyKey": "1", "stepInvokeUrl": url, "retry": retry, **more}


def a_step(at: str, headers: Headers, url: str) -> dict[str, Any]:
    """Post a step as a handler does that passes its trace on; the answer."""
    trace = {"traceparent": headers["traceparent"]}
    return post(at, a_start(url, parent=headers["atomic-step-id"]), **trace)[1]


def named(spans: list[Received], name: str) -> list[Received]:
    return sorted((span for span in spans if span.name == name), key=lambda span: span.start_ns)


def metric(server: AtomicServer, result: str) -> float:
    with urllib.request.urlopen(f"{server.url}/metrics") as answer:
        lines = answer.read().decode().splitlines()
    return float(
        next(x for x in lines if x.startswith(f'atomic_spans_total{{result="{result}"}}')).split()[1]
    )


def ours(collector: Collector, name: str) -> TracerProvider:
    """OpenTelemetry as a client or an application has it."""
    provider = TracerProvider(resource=Resource({"service.name": name}), shutdown_on_exit=False)
    exporter = OTLPSpanExporter(f"{collector.endpoint}/v1/traces")
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return provider


def test_client_server_and_endpoints_are_one_trace(server: AtomicServer, collector: Collector) -> None:
    shop, client = (
        ours(collector, "shop").get_tracer("shop"),
        ours(collector, "client").get_tracer("client"),
    )
    calls = dict.fromkeys(("/order", "/pay"), 0)

    def handle(path: str, headers: Headers, call: dict[str, Any]) -> tuple[int, Any]:
        with shop.start_as_current_span(f"shop {path}", PROPAGATOR.extract(headers), SpanKind.SERVER):
            calls[path] += 1
            if path == "/order":
                return 200, a_step(f"{server.url}/acme/steps", headers, f"{url}/pay")["response"]
            return (200, "paid") if calls["/pay"] == 2 else (503, None)

    with application(handle) as url:
        with client.start_as_current_span("buy") as bought:
            carrier: Headers = {}
            PROPAGATOR.inject(carrier)
            status, answer = post(f"{server.url}/acme", a_start(f"{url}/order", timeout=20_000), **carrier)
        assert (status, answer["response"]) == (200, "paid")
        # `/order`, `/pay` twice; the two posts; three calls and the client.
        spans = collector.wait(lambda spans: len(spans) >= 9)

    trace = f"{bought.get_span_context().trace_id:032x}"
    assert {span.trace_id for span in spans} == {trace}
    assert {span.service for span in spans} == {"client", "atomic", "shop"}
    [buy], [start], [step] = (
        named(spans, "buy"),
        named(spans, "POST /{clientId}"),
        named(spans, "POST /{clientId}/steps"),
    )
    root_call, *step_calls = named(spans, "call order")
    [order], pays = named(spans, "shop /order"), named(spans, "shop /pay")
    # Each line is below the one before.
    assert (buy.parent, start.parent) == ("", buy.span_id)
    assert root_call.parent == start.span_id
    assert order.parent == step.parent == root_call.span_id
    assert [call.parent for call in step_calls] == [step.span_id] * 2
    assert [pay.parent for pay in pays] == [call.span_id for call in step_calls]
    assert all(span.start_ns <= span.end_ns for span in spans)
    assert [(s.kind, s.is_error) for s in (start, step, root_call, *step_calls)] == [
        ("SERVER", False), ("SERVER", False), ("CLIENT", False), ("CLIENT", True), ("CLIENT", False),
    ]  # fmt: skip

    port = int(url.rpartition(":")[2])
    ids = {"atomic.run.id": answer["runId"], "atomic.workflow.name": "order"}
    assert start.about == ids | {
        "http.request.method": "POST", "http.route": "/{clientId}", "http.response.status_code": 200,
        "atomic.step.id": answer["id"],
    }  # fmt: skip
    first, second = (call.about for call in step_calls)
    assert first == ids | {
        "http.request.method": "POST", "server.address": "127.0.0.1", "server.port": port,
        "http.response.status_code": 503, "error.type": "503", "atomic.attempt": 1,
        "atomic.step.id": step.about["atomic.step.id"],
    }  # fmt: skip
    del first["error.type"]
    assert second == first | {
        "http.response.status_code": 200, "atomic.attempt": 2, "http.request.resend_count": 1
    }  # fmt: skip


@pytest.mark.parametrize("variant", ["def", "async"])
def test_what_a_workflow_posts_is_below_the_span_of_its_operation(
    variant: str, server: AtomicServer, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ATOMIC_URL", server.url)
    monkeypatch.setenv("ATOMIC_CLIENT_ID", "acme")
    app = Flask("shop")
    shop = Endpoints(app, "/shop", hooks=[OpenTelemetryHooks(ours(collector, "shop"))])

    def pay(amount: int) -> int:
        return amount

    def ship(amount: int) -> int:
        return amount

    def order(ctx: Context, amount: int) -> list[int]:
        return ctx.gather(ctx.call(pay, amount), ctx.call(ship, amount))

    async def order_async(ctx: AsyncContext, amount: int) -> list[int]:
        return await ctx.gather(ctx.step(pay, amount), ctx.step(ship, amount))

    order_async.__name__ = "order"
    main = order if variant == "def" else order_async
    for function, serve in ((pay, shop.step), (ship, shop.step), (main, shop.workflow)):
        # Spans have this name.
        function.__qualname__ = function.__name__
        serve(function)
    served = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=served.serve_forever, args=(0.05,))
    thread.start()
    try:
        status, answer = post(
            f"{server.url}/acme", a_start(f"http://127.0.0.1:{served.server_port}/shop/order", payload=5)
        )
        assert (status, answer["response"]) == (200, [5, 5])
        spans = collector.wait(lambda spans: len(spans) >= 11)
    finally:
        served.shutdown()
        thread.join()
        served.server_close()
    by_id = {span.span_id: span for span in spans}
    above = ["POST /{clientId}", "call order", "workflow order", None, "POST /{clientId}/steps"]
    above += ["call order", None]
    for name in ("step pay", "step ship"):
        at: Received | None = next(one for one in spans if one.name == name and one.kind == "SERVER")
        path = []
        while at is not None:
            path.append(at.name)
            at = by_id.get(at.parent)
        assert path == [part or name for part in reversed(above)]
    assert len({span.trace_id for span in spans}) == 1


def test_a_run_of_a_workflow_is_below_the_step_that_starts_it(
    server: AtomicServer, collector: Collector
) -> None:
    def handle(path: str, headers: Headers, call: dict[str, Any]) -> tuple[int, Any]:
        if path == "/order":
            run = {"workflowName": "invoice", "idempotencyKey": "i-1"}
            link = a_start(f"{url}/invoice", kind="run", run=run, parent=headers["atomic-step-id"])
            trace = {"traceparent": headers["traceparent"]}
            return 200, post(f"{server.url}/acme/steps", link, **trace)[1]["response"]
        return 200, "sent"

    with application(handle) as url:
        status, answer = post(f"{server.url}/acme", a_start(f"{url}/order", timeout=20_000))
        assert (status, answer["response"]) == (200, "sent")
        spans = collector.wait(lambda spans: len(spans) >= 5)
    [first], [call] = named(spans, "POST /{clientId}"), named(spans, "call order")
    [link], [begun] = named(spans, "POST /{clientId}/steps"), named(spans, "start invoice")
    [child] = named(spans, "call invoice")
    below = [span.parent for span in (first, call, link, begun, child)]
    assert below == ["", first.span_id, call.span_id, link.span_id, begun.span_id]
    assert child.about["atomic.run.id"] != link.about["atomic.run.id"] == answer["runId"]


def test_nothing_of_a_customer_is_in_a_span(server: AtomicServer, collector: Collector) -> None:
    def handle(path: str, _headers: Headers, call: dict[str, Any]) -> tuple[int, Any]:
        return 200 if call["idempotencyKey"] == "canary-key" else 500, {"answer": "canary-answer"}

    with application(handle) as url:
        start = a_start(
            f"{url}/canary-path?x=canary-query", idempotencyKey="canary-key", payload="canary-load"
        )
        start |= {"stepName": "canary-step", "tags": {"canary": "canary-tag"}}
        assert post(f"{server.url}/canary-client", start, **{"X-Note": "canary-header"})[0] == 200
        assert post(f"{server.url}/canary-client", start)[0] == 200
        collector.wait(lambda spans: len(named(spans, "POST /{clientId}")) == 2)
    assert b"canary" not in b"".join(collector.raw)
    # The second start found the step. It has a trace of its own, and names the step.
    first, second = named(collector.spans, "POST /{clientId}")
    assert first.trace_id == first.about["atomic.run.id"].removeprefix("run_") != second.trace_id
    assert second.about["atomic.step.id"] == first.about["atomic.step.id"]


def test_a_killed_server_goes_on_in_the_same_trace(server: AtomicServer, collector: Collector) -> None:
    seen: list[str] = []
    called = threading.Event()

    def handle(path: str, headers: Headers, call: dict[str, Any]) -> tuple[int, Any]:
        seen.append(headers["traceparent"])
        if len(seen) == 1:
            return 503, None
        if len(seen) == 2:
            called.set()
            time.sleep(1)
        return (200, "done") if len(seen) > 2 else (0, None)

    with application(handle) as url:
        start = a_start(url, attemptTimeout=5_000)
        begun = {"traceparent": f"00-{TRACE}-{SPAN}-01", "Prefer": "respond-async"}
        assert post(f"{server.url}/acme", start, **begun)[0] == 202
        assert called.wait(10)
        collector.wait(lambda spans: len(spans) == 2)
        server.kill()
        server.start()
        assert post(f"{server.url}/acme", start)[0] == 200
        spans = collector.wait(lambda spans: len(named(spans, "call order")) == 3)
    [begin, *_] = named(spans, "POST /{clientId}")
    calls = named(spans, "call order")
    assert begin.parent == SPAN
    assert {span.trace_id for span in (begin, *calls)} == {TRACE}
    assert {call.parent for call in calls} == {begin.span_id}
    # Each call's endpoint was sent the span of its call, that of the lost one included.
    assert seen == [f"00-{TRACE}-{call.span_id}-01" for call in calls]
    assert [call.about.get("error.type") for call in calls] == ["503", "lost", None]


def test_a_trace_that_is_not_recorded_stays_so(server: AtomicServer, collector: Collector) -> None:
    sent: list[str] = []

    def handle(path: str, headers: Headers, call: dict[str, Any]) -> tuple[int, Any]:
        sent.append(headers["traceparent"])
        return (200, None) if len(sent) == 2 else (500, None)

    with application(handle) as url:
        trace = {"traceparent": f"00-{TRACE}-{SPAN}-00"}
        assert post(f"{server.url}/acme", a_start(url), **trace)[0] == 200
        # Another one, which is recorded: when it has come, the first ones would have come as well.
        assert post(f"{server.url}/acme", a_start(url, idempotencyKey="2", retry={"count": 0}))[0] == 424
        collector.wait(lambda spans: len(spans) == 2)
    assert [one[:35] + one[-3:] for one in sent[:2]] == [f"00-{TRACE}-00"[:35] + "-00"] * 2
    assert collector.of(TRACE) == []
    assert sent[2].endswith("-01")


@pytest.mark.parametrize("collector_is", ["absent", "silent"])
def test_a_collector_that_takes_nothing_delays_nothing(
    collector_is: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        if collector_is == "silent":
            listening.listen(100)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{listening.getsockname()[1]}")
        server = AtomicServer(tmp_path / "data", "--otel")
        server.start()
        with application(lambda *_: (200, "ok")) as url:
            for number in range(20):
                began_s = time.monotonic()
                assert post(f"{server.url}/acme", a_start(url, idempotencyKey=str(number)))[0] == 200
                assert time.monotonic() - began_s < 2
        time.sleep(1.2)  # now it tries to send them
        began_s = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - began_s < 9
        lost = {"absent": "the collector takes no spans", "silent": "not all spans were exported: 0 failed"}
        assert lost[collector_is] in server.log()


def test_the_metrics_count_what_became_of_spans(server: AtomicServer, collector: Collector) -> None:
    with application(lambda *_: (200, "ok")) as url:
        assert post(f"{server.url}/acme", a_start(url))[0] == 200
        collector.wait(lambda spans: len(spans) == 2)
    until_s = time.monotonic() + 5
    while metric(server, "exported") < 2:
        assert time.monotonic() < until_s
    assert metric(server, "failed") == metric(server, "dropped") == 0


def test_the_last_spans_are_sent_at_the_end(server: AtomicServer, collector: Collector) -> None:
    with application(lambda *_: (200, "ok")) as url:
        assert post(f"{server.url}/acme", a_start(url))[0] == 200
        assert server.stop() == 0
    assert len(collector.spans) == 2
