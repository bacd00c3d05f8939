"""A collector of OpenTelemetry: it takes traces by OTLP over HTTP, and tests look at their spans."""

import gzip
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span as ProtoSpan

WITHIN_S = 15.0


@dataclass(frozen=True, slots=True)
class Received:
    """A span as it came. `parent` is empty for the first one of its trace."""

    service: str
    name: str
    kind: str
    trace_id: str
    span_id: str
    parent: str
    is_error: bool
    start_ns: int
    end_ns: int
    about: dict[str, Any]
    links: tuple[tuple[str, str], ...]


@dataclass(slots=True)
class Collector:
    """What has come until now, at `endpoint`. `raw` are the bodies of the requests."""

    endpoint: str = ""
    spans: list[Received] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)

    def take(self, body: bytes) -> None:
        """Take the body of a request."""
        asked = ExportTraceServiceRequest.FromString(body)
        self.raw.append(body)
        for resource in asked.resource_spans:
            service = next(each for each in resource.resource.attributes if each.key == "service.name")
            for scope in resource.scope_spans:
                self.spans += [_received(service.value.string_value, span) for span in scope.spans]

    def of(self, trace_id: str) -> list[Received]:
        """The spans of a trace, in the order of their starts."""
        return sorted(
            (each for each in self.spans if each.trace_id == trace_id), key=lambda one: one.start_ns
        )

    def wait(self, wanted: Callable[[list[Received]], bool]) -> list[Received]:
        """All spans, as soon as they are what is wanted."""
        until_s = time.monotonic() + WITHIN_S
        while not wanted(self.spans):
            assert time.monotonic() < until_s, "\n".join(map(str, self.spans))
            time.sleep(0.02)
        return list(self.spans)


def _received(service: str, span: ProtoSpan) -> Received:
    about = {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in span.attributes}
    return Received(
        service=service,
        name=span.name,
        kind=ProtoSpan.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent=span.parent_span_id.hex(),
        is_error=span.status.code == span.status.STATUS_CODE_ERROR,
        start_ns=span.start_time_unix_nano,
        end_ns=span.end_time_unix_nano,
        about=about,
        links=tuple((each.trace_id.hex(), each.span_id.hex()) for each in span.links),
    )


@contextmanager
def collecting() -> Iterator[Collector]:
    """A collector that listens on this machine."""
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            is_packed = self.headers.get("Content-Encoding") == "gzip"
            is_known = self.path == "/v1/traces"
            if is_known:
                collector.take(gzip.decompress(body) if is_packed else body)
            answer = ExportTraceServiceResponse().SerializeToString()
            self.send_response(200 if is_known else 404)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    collector.endpoint = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield collector
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
