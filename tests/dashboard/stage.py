"""The environment of the dashboard's tests: a real server, the example application, scripted endpoints."""

import json
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from playwright.sync_api import Page

from answering import Answer, Answering
from scenarios.embedded_runtime import AtomicServer, clients_command, create_client, free_port

BACK_OFF_MS = 300


class Endpoints:
    """Gives each call of a path its next answer, with `headers`; the last answer repeats.

    A leading `None` holds the first call.
    """

    def __init__(self) -> None:
        self._answers: dict[str, list[Answer | None]] = {}
        self._released = threading.Event()
        self.headers: dict[str, str] = {}
        self._server = Answering(lambda path, _: self._answer(path), self.headers)
        self.url = self._server.url

    def serve(self, path: str, *answers: Answer | None) -> str:
        """Set the answers of a path; return its URL."""
        self._answers[path] = list(answers)
        return self.url + path

    def release(self) -> None:
        """Release every held call; it gets the next answer."""
        self._released.set()

    def close(self) -> None:
        self.release()
        self._server.close()

    def _answer(self, path: str) -> Answer:
        answers = self._answers[path]
        if answers[0] is None:
            self._released.wait(30)
            answers.pop(0)
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        assert answer is not None, "one call of a path can be held"
        return answer


class Locked(NamedTuple):
    """A server with API keys: its URL, and the keys of its client `acme`, one of which may only read."""

    url: str
    acts: str
    reads: str

    def enter(self, page: Page, key: str) -> None:
        """Open the dashboard with this key."""
        page.goto(f"{self.url}/dashboard#/acme/runs")
        page.evaluate("key => sessionStorage.setItem('atomic.key.acme', key)", key)
        page.reload()


@contextmanager
def server_with_keys(folder: Path, base_url: str) -> Iterator[Locked]:
    """A server with API keys, whose client may call URLs under this one."""
    data_dir = folder / "data"
    acts = create_client(data_dir, "acme", "--base-url", f"{base_url}/")
    reads = clients_command(data_dir, "add-key", "acme", "--scope", "read")
    server = AtomicServer(data_dir, dev=False)
    server.start()
    try:
        yield Locked(server.url, acts, reads)
    finally:
        server.stop()


class Api:
    """The public API of one client."""

    def __init__(self, url: str, client: str, key: str | None = None) -> None:
        self.server, self.client = url, client
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}

    def get(self, path: str) -> Any:
        return self._call("GET", path, None, {})

    def post(self, path: str, document: Any = None) -> Any:
        return self._call("POST", path, document, {})

    def delete(self, path: str) -> Any:
        return self._call("DELETE", path, None, {})

    def put(self, path: str, **document: Any) -> Any:
        return self._call("PUT", path, document, {})

    def start(self, url: str, key: str, *, wait: bool = True, workflow: str = "order", **more: Any) -> Any:
        """Start a step; without `wait`, return as soon as it is on disk."""
        document = {"workflowName": workflow, "idempotencyKey": key, **more}
        if "kind" not in more:
            document["stepInvokeUrl"] = url
        return self._call("POST", "", document, {} if wait else {"Prefer": "respond-async"})

    def put_schedule(self, name: str, url: str, *, workflow: str = "digest", **more: Any) -> Any:
        """Put a schedule; `start` may have more members of its runs."""
        start = {"workflowName": workflow, "stepInvokeUrl": url, **more.pop("start", {})}
        return self._call("PUT", f"/schedules/{name}", {"start": start, **more}, {})

    def _call(self, method: str, path: str, document: Any, headers: dict[str, str]) -> Any:
        return _call(method, f"{self.server}/{self.client}{path}", document, self._headers | headers)


def _call(method: str, url: str, document: Any, headers: dict[str, str]) -> Any:
    body = None if document is None else json.dumps(document).encode()
    request = urllib.request.Request(url, body, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=40) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as refused:
        with refused:
            return json.load(refused)


@contextmanager
def serving(data_dir: Path) -> Iterator[AtomicServer]:
    """Run a server on this data."""
    server = AtomicServer(data_dir)
    server.start()
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def example_application(
    atomic: AtomicServer, client: str, folder: Path
) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    """Run the user-creation application as this client; yield its URL and process."""
    url = f"http://127.0.0.1:{(port := free_port())}"
    command = [sys.executable, "-m", "atomic.demo.app", "--port", str(port), "--data-dir", str(folder)]
    command += ["--atomic-url", atomic.url, "--client-id", client]
    command += ["--retry-back-off-ms", str(BACK_OFF_MS)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 20
        while True:
            try:
                _call("GET", f"{url}/health", None, {})
                break
            except OSError:
                assert time.monotonic() < until, "the example application does not answer"
                time.sleep(0.05)
        yield url, process
    finally:
        process.terminate()
        process.wait(10)
