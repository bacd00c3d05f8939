"""A minimal HTTP server in a thread: one function answers every POST of JSON."""

import json
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = tuple[int, Any]


class Answering:
    """Serves until `close`.

    The function takes the path and the document, and returns a status and a document; bytes are sent as
    they are. `headers` are those of each request, with names in lower case; `more` go with each answer.
    """

    def __init__(self, answer: Callable[[str, Any], Answer], more: Mapping[str, str] | None = None) -> None:
        self.headers = headers = list[dict[str, str]]()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                headers.append({name.lower(): value for name, value in self.headers.items()})
                call = json.loads(self.rfile.read(int(self.headers["content-length"])))
                status, document = answer(self.path, call)
                body = document if isinstance(document, bytes) else json.dumps(document).encode()
                # The test may end, and close its server, before the last call is answered.
                with suppress(BrokenPipeError):
                    self.send_response(status)
                    self.send_header("content-type", "application/json")
                    self.send_header("content-length", str(len(body)))
                    for name, value in (more or {}).items():
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Log nothing."""

        class Server(ThreadingHTTPServer):
            # Many calls may come at once. With the usual 5, some would be sent again after seconds.
            request_queue_size = 1024

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        """Stop the server."""
        self._server.shutdown()
        self._server.server_close()
