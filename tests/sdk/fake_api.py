"""A minimal HTTP server that gives the answers of a test, in order."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

DROP = -1


@dataclass
class FakeApi:
    """`answers` are (status, headers, document); status DROP closes the connection without an answer."""

    answers: list[tuple[int, dict[str, str], Any]]
    url: str = ""
    seen: list[tuple[str, str, dict[str, str], Any]] = field(default_factory=list)


@contextmanager
def fake_api(*answers: tuple[int, dict[str, str], Any]) -> Iterator[FakeApi]:
    """Serve; at the end, all answers must have been used."""
    api = FakeApi(list(answers))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            lower = {name.lower(): value for name, value in self.headers.items()}
            api.seen.append((self.command, self.path, lower, json.loads(body) if body else None))
            status, headers, document = api.answers.pop(0)
            if status == DROP:
                self.close_connection = True
                return
            content = json.dumps(document).encode()
            self.send_response(status)
            for name, value in {**headers, "content-length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    api.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield api
        assert api.answers == []
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
