"""What the tests beside this file share: the application on a free port, and the server's clock.

pip install 'atomic-workflows[server,async]' pytest fastapi uvicorn flask django
atomic dev test -- pytest
"""

import os
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import pytest
import requests

from atomic import Client

ATOMIC = os.environ.get("ATOMIC_URL", "http://127.0.0.1:8787")


class Time:
    """The clock of a server in virtual time."""

    def advance(self, by: timedelta) -> None:
        """Let this time pass, and everything happen that falls due."""
        self._post("time/advance", {"by": round(by.total_seconds() * 1000)})

    def until_end(self, run_id: str) -> dict[str, Any]:
        """Let time pass until the run has ended; the run."""
        run: dict[str, Any] = self._post("time/until", {"runId": run_id})
        return run

    def _post(self, path: str, document: dict[str, Any]) -> Any:
        answer = requests.post(f"{ATOMIC}/_dev/{path}", json=document, timeout=70)
        answer.raise_for_status()
        return answer.json()


class Threads(ThreadingMixIn, WSGIServer):
    """Each call has a thread: a workflow's steps are calls of the same application."""

    daemon_threads = True


class Quiet(WSGIRequestHandler):
    """Writes no line for each call."""

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@pytest.fixture
def time() -> Time:
    """The clock of the server."""
    return Time()


@pytest.fixture
def client() -> Iterator[Client]:
    """A client of the server."""
    with Client() as opened:
        yield opened


@pytest.fixture
def serve_wsgi() -> Iterator[Callable[[Any], str]]:
    """Serves an application of Flask or Django; the URL."""
    servers = []

    def serve(application: Any) -> str:
        server = make_server("127.0.0.1", 0, application, Threads, Quiet)
        threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()
