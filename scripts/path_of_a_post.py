"""Counts what one POST and one retry run through: calls, functions, files and switches of file.

    python scripts/path_of_a_post.py memory
    python scripts/path_of_a_post.py embedded

`memory` is `atomic.testing.LocalAtomic`; `embedded` is `atomic serve --dev` in this process, called over
HTTP on loopback. The caller waits for the outcome. For the retry, the endpoint answers 500 and then 200.

`sys.setprofile` sees each function call in the package `atomic`, except in `atomic.testing`, in all
threads. A coroutine counts when it begins, and not when it resumes. A switch of file is a call in another
file than the previous call of the same thread. Connections are open and modules are loaded before counting
begins. Each path is run several times, and the run with the fewest calls is shown, so that a background
sweep is not counted.
"""

import argparse
import asyncio
import dis
import json
import os
import signal
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from socket import create_server
from types import CodeType, FrameType
from typing import Any, Final

import atomic
from atomic.cli.main import main as atomic_command
from atomic.testing import EndpointCall, EndpointReply, LocalAtomic

PACKAGE: Final = f"{Path(atomic.__file__).parent}{os.sep}"
# The in-memory test doubles are on no user's path.
_STAND_INS: Final = f"{PACKAGE}testing{os.sep}"
LOOPBACK: Final = "127.0.0.1"
WARM_UPS: Final = 2
ROUNDS: Final = 5
READY_WITHIN_S: Final = 20.0
# By then the work that follows the answer is done.
SETTLE_S: Final = 0.1
_OPENER: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))
_RESUME: Final = dis.opmap["RESUME"]


@dataclass(frozen=True)
class Trace:
    """The calls of one path, in order, each with the id of its thread."""

    calls: tuple[tuple[int, CodeType], ...]

    @property
    def functions(self) -> set[tuple[str, str]]:
        """The different functions, by file and name."""
        return {(code.co_filename, code.co_qualname) for _, code in self.calls}

    @property
    def files(self) -> tuple[str, ...]:
        """The files, relative to the package, in the order of the first call in each."""
        names = (code.co_filename.removeprefix(PACKAGE) for _, code in self.calls)
        return tuple(dict.fromkeys(names))

    @property
    def switches(self) -> int:
        """How often the file changes between two successive calls of one thread."""
        by_thread: dict[int, list[str]] = {}
        for thread, code in self.calls:
            by_thread.setdefault(thread, []).append(code.co_filename)
        return sum(a != b for names in by_thread.values() for a, b in pairwise(names))

    def __str__(self) -> str:
        calls, functions, files = len(self.calls), len(self.functions), len(self.files)
        return f"{calls} calls, {functions} functions, {files} files, {self.switches} switches"


class Recorder:
    """Records calls inside `recording()`."""

    def __init__(self) -> None:
        self._calls: list[tuple[int, CodeType]] | None = None

    def install(self) -> None:
        """Record in this thread, and in all threads that are started from now on."""
        threading.setprofile(self._profile)
        sys.setprofile(self._profile)

    @contextmanager
    def recording(self) -> Iterator[list[tuple[int, CodeType]]]:
        """Yield a list to which the calls are added while the block runs."""
        self._calls = calls = list[tuple[int, CodeType]]()
        try:
            yield calls
        finally:
            self._calls = None

    def _profile(self, frame: FrameType, event: str, _: Any) -> None:
        code, calls = frame.f_code, self._calls
        if calls is None or event != "call" or not _is_ours(code.co_filename):
            return
        # Comprehensions are left out, because newer versions of Python do not run them as functions.
        if not code.co_name.startswith("<") and _begins(frame):
            calls.append((threading.get_ident(), code))


def _is_ours(file: str) -> bool:
    return file.startswith(PACKAGE) and not file.startswith(_STAND_INS)


def _begins(frame: FrameType) -> bool:
    """Whether a function begins, rather than a coroutine resumes: RESUME then has the argument 0."""
    code = frame.f_code.co_code
    at = frame.f_lasti
    return at < 0 or code[at] != _RESUME or code[at + 1] & 3 == 0


def _shortest(traces: list[Trace]) -> Trace:
    return min(traces, key=lambda trace: len(trace.calls))


def measure_memory() -> dict[str, Trace]:
    """The trace of a POST and of a retry in memory."""
    recorder = Recorder()
    recorder.install()
    try:
        return asyncio.run(_measure_memory(recorder))
    finally:
        sys.setprofile(None)
        threading.setprofile(None)


async def _measure_memory(recorder: Recorder) -> dict[str, Trace]:
    async def flaky(call: EndpointCall) -> EndpointReply:
        return EndpointReply(status=500 if call.attempt <= call.payload else 200, json={})

    async with LocalAtomic() as local:
        url = local.endpoint("/step", flaky)
        traces: dict[str, list[Trace]] = {"post": [], "retry": []}
        for number in range(WARM_UPS + ROUNDS):
            for failures, name in enumerate(traces):
                with recorder.recording() as calls:
                    reply = await local.post("/me", _document(url, f"{name}-{number}", failures))
                    await asyncio.sleep(SETTLE_S)
                if reply.status != 200:
                    raise RuntimeError(f"answered {reply.status}: {reply.body!r}")
                traces[name].append(Trace(tuple(calls)))
    return {name: _shortest(found[WARM_UPS:]) for name, found in traces.items()}


def measure_embedded() -> dict[str, Trace]:
    """The trace of a POST and of a retry on `atomic serve`, which runs in this (the main) thread."""
    recorder, traces, failures = Recorder(), {}, []
    port = _free_port()

    def caller() -> None:
        try:
            with _endpoint() as url:
                traces.update(_measure_embedded(recorder, f"http://{LOOPBACK}:{port}", url))
        except Exception as error:
            failures.append(error)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)

    recorder.install()
    with tempfile.TemporaryDirectory() as folder:
        threading.Thread(target=caller).start()
        options = ["--host", LOOPBACK, "--port", str(port), "--data-dir", folder, "--log-level", "warning"]
        try:
            atomic_command(["serve", "--dev", *options])
        except SystemExit as end:
            if end.code:
                raise
    if failures:
        raise failures[0]
    return traces


def _measure_embedded(recorder: Recorder, server: str, url: str) -> dict[str, Trace]:
    _wait_until_ready(server)
    traces: dict[str, list[Trace]] = {"post": [], "retry": []}
    for number in range(WARM_UPS + ROUNDS):
        for failures, name in enumerate(traces):
            body = json.dumps(_document(url, f"{name}-{number}", failures)).encode()
            with recorder.recording() as calls:
                with _OPENER.open(f"{server}/me", body, timeout=READY_WITHIN_S) as response:
                    response.read()
                time.sleep(SETTLE_S)
            traces[name].append(Trace(tuple(calls)))
    return {name: _shortest(found[WARM_UPS:]) for name, found in traces.items()}


def _document(url: str, key: str, failures: int) -> dict[str, Any]:
    return {
        "workflowName": "path",
        "stepInvokeUrl": url,
        "idempotencyKey": key,
        "payload": failures,
        "timeout": 10_000,
        "retry": {"count": 3, "backOff": 1},
    }


def _free_port() -> int:
    with create_server((LOOPBACK, 0)) as probe:
        return int(probe.getsockname()[1])


def _wait_until_ready(server: str) -> None:
    until = time.monotonic() + READY_WITHIN_S
    while True:
        try:
            _OPENER.open(f"{server}/health", timeout=1).close()
            return
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)


class _Endpoint(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        call = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(500 if call["attempt"] <= call["payload"] else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: Any) -> None: ...


@contextmanager
def _endpoint() -> Iterator[str]:
    server = ThreadingHTTPServer((LOOPBACK, 0), _Endpoint)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://{LOOPBACK}:{server.server_port}/step"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


MEASURES: Final[dict[str, Callable[[], dict[str, Trace]]]] = {
    "memory": measure_memory,
    "embedded": measure_embedded,
}


def main() -> None:
    """Measure one runtime and print both paths, each with its files in order of first use."""
    parser = argparse.ArgumentParser(description="Count what one POST and one retry run through.")
    parser.add_argument("runtime", choices=MEASURES)
    runtime = parser.parse_args().runtime
    for name, trace in MEASURES[runtime]().items():
        print(f"{name} on {runtime}: {trace}")
        for number, file in enumerate(trace.files, 1):
            print(f"  {number:2} {file}")


if __name__ == "__main__":
    main()
