"""Serves the API function over HTTP on this machine, with events as API Gateway writes them."""

import base64
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from unit.aws.test_handlers import gateway_event

Function = Callable[[dict[str, Any], Any], dict[str, Any]]
_METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "QUERY")


@contextmanager
def served(function: Function, *, several: bool = False) -> Iterator[str]:
    """Serve the function, one event at a time as in one environment, or in several; yield the URL."""
    turn: AbstractContextManager[Any] = nullcontext() if several else threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Each answer is sent as one packet, because the caller's delayed ACK of a first one would take 40
        # ms.
        wbufsize = -1

        def answer(self) -> None:
            sent = self.rfile.read(int(self.headers.get("content-length", 0)))
            with turn:
                answer = function(_event(self, sent), None)
            body = answer["body"].encode()
            if answer.get("isBase64Encoded"):
                body = base64.b64decode(body)
            self.send_response_only(answer["statusCode"])
            for name, value in answer["headers"].items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            self.wfile.flush()

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    for method in _METHODS:
        setattr(Handler, f"do_{method}", Handler.answer)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def _event(request: BaseHTTPRequestHandler, body: bytes) -> dict[str, Any]:
    path, _, query = request.path.partition("?")
    event = gateway_event(request.command, path, base64.b64encode(body).decode())
    headers: dict[str, str] = {}
    for name, value in request.headers.items():
        headers[name] = f"{headers[name]},{value}" if name in headers else value
    return event | {"rawQueryString": query, "headers": headers, "isBase64Encoded": True}
