"""Where the CPU time of a step goes: each part of the engine in a loop by itself, and the server around it.

Usage: python benchmarks/step_parts.py

The figures are CPU time, the minimum over the rounds. In a server the parts evict each other from the
processor's caches, so a step costs two to three times their sum. The figures show each part's share, and
what a change of a part gains.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import orjson
import uvloop

from application import start_document
from atomic.adapters.http.invoker import encode, target_of
from atomic.adapters.sqlite import queries, store
from atomic.adapters.sqlite.database import close_database, open_database
from atomic.adapters.sqlite.schema import STEPS
from atomic.adapters.system import SystemClock
from atomic.application.attempts import endpoint_request
from atomic.domain.clients.client import Client
from atomic.domain.events import Ended
from atomic.domain.outcomes import EndpointResponse, classify
from atomic.domain.transitions import begin, transition
from atomic.entrypoints.http_api.http import ApiRequest
from atomic.entrypoints.http_api.starts import step_spec
from atomic.entrypoints.http_api.views import json_response, outcome_view
from atomic.protocol import keys
from atomic.protocol.requests import StartRequest, read_message
from atomic.testing import LocalAtomic
from bare import Poster, listen
from load import measure
from processes import free_ports, machine, python, running

_CALLS, _ROUNDS, _SERVERS = 2_000, 9, 3
_BATCH: Final = 20
_NEW, _ENDED = "the new step", "the ended step"
_NOW_MS: Final = 1_767_225_600_000
_ANSWER: Final = b'{"id":"run_0123456789abcdef0123456789abcdef-root","padding":"' + b"x" * 600 + b'"}'


def main() -> None:
    """Measure and print."""
    print(machine())
    total_us = 0.0
    for name, part in parts().items():
        least_us = min(_cpu_us(part) for _ in range(_ROUNDS))
        total_us += least_us
        print(f"{least_us:7.1f} us  {name}")
    print(f"{total_us:7.1f} us  all of these")
    rows_us = min(_rows_us() for _ in range(_ROUNDS))
    print(f"{rows_us:7.1f} us  its two rows in SQLite, {_BATCH} steps to a commit, without sync")
    for role in ("uvicorn", "bare"):
        request_us = min(uvloop.run(_request_us(role)) for _ in range(_SERVERS))
        print(f"{request_us:7.1f} us  a request to nothing but {role}, 64 callers")


def _cpu_us(part: Callable[[], object]) -> float:
    began_s = time.process_time()
    for _ in range(_CALLS):
        part()
    return (time.process_time() - began_s) / _CALLS * 1e6


def parts() -> dict[str, Callable[[], Any]]:
    """The parts of one step, in order."""
    body = orjson.dumps(start_document("http://127.0.0.1:9000/createUser", "run-64-123"))
    client = Client(id="bench", signing_secrets=(b"s" * 32,), attempt_keys=(b"a" * 32,))
    # Its own clock is that of the event loop, and here is none.
    engine = replace(LocalAtomic().engine, clock=SystemClock())
    api: Any = SimpleNamespace(engine=engine)
    request = ApiRequest(method="POST", path="/bench", query="", headers={}, body=body)
    message = read_message(StartRequest, body)
    spec = step_spec(api, request, client, message)
    step = begin(spec, keys.ROOT, _NOW_MS, "n" * 32)
    call = endpoint_request(engine, step, client)
    answer = EndpointResponse(status=200, headers={"content-type": "application/json"}, body=b'{"ok":true}')
    ended = Ended(nonce="n" * 32, outcome=classify(answer, spec.retry, _NOW_MS), jitter=0.5)
    done = transition(step, ended, _NOW_MS)
    return {
        "read the request: strict JSON, validation": lambda: read_message(StartRequest, body),
        "the request: canonical payload, fingerprint, ids": lambda: step_spec(
            api, request, client, message
        ),
        _NEW: lambda: begin(spec, keys.ROOT, _NOW_MS, "n" * 32),
        "its row, with checksums": lambda: (store.immutable_columns(step), store.mutable_columns(step)),
        "the call: envelope, headers, signature": lambda: endpoint_request(engine, step, client),
        "its bytes": lambda: encode(target_of(call.url), call),
        "the outcome": lambda: classify(answer, spec.retry, _NOW_MS),
        _ENDED: lambda: transition(step, ended, _NOW_MS),
        "its row again": lambda: store.mutable_columns(done),
        "the answer": lambda: json_response(200, outcome_view(done)),
    }


def _rows_us() -> float:
    made = parts()
    step, done = made[_NEW](), made[_ENDED]()
    fixed, begun, ended = (
        store.immutable_columns(step),
        store.mutable_columns(step),
        store.mutable_columns(done),
    )
    ids = [keys.root_of(keys.run_id("bench", "rows", str(number))) for number in range(_CALLS)]
    with tempfile.TemporaryDirectory() as folder:
        connection = open_database(Path(folder) / "atomic.db", STEPS)
        connection.execute("PRAGMA synchronous = OFF")
        began_s = time.process_time()
        for start in range(0, _CALLS, _BATCH):
            connection.execute("BEGIN IMMEDIATE")
            for step_id in ids[start : start + _BATCH]:
                connection.execute(queries.INSERT, (*fixed, *begun, step_id))
                connection.execute(queries.UPDATE_PROGRESS, (*ended, step_id, 1, step.created_at_ms))
            connection.execute("COMMIT")
        used_s = time.process_time() - began_s
        close_database(connection)
    return used_s / _CALLS * 1e6


async def _request_us(role: str) -> float:
    [port] = free_ports(1)
    body = orjson.dumps(start_document("http://127.0.0.1:9000/x", "k"))
    with running(python("step_parts.py", role, port), port) as pid:
        poster = Poster()

        async def post(_key: str) -> None:
            await poster.post(f"http://127.0.0.1:{port}/bench", body)

        measured = await measure(post, callers=64, runs=20_000, pids=[pid])
        return measured.cpu_s[0] * 1000


def _serve(role: str, port: int) -> None:
    """An HTTP server that gives one answer to everything."""

    async def answer(_path: str, _body: bytes) -> bytes:
        return _ANSWER

    async def app(_scope: Any, receive: Any, send: Any) -> None:
        await receive()
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(_ANSWER))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": _ANSWER})

    if role == "bare":
        uvloop.run(listen(answer, port))
    else:
        import uvicorn

        from atomic.entrypoints.embedded.http import BoundedHttp

        uvicorn.run(app, port=port, http=BoundedHttp, log_level="error", access_log=False, lifespan="off")


if __name__ == "__main__":
    if len(sys.argv) == 3:
        _serve(sys.argv[1], int(sys.argv[2]))
    else:
        main()
