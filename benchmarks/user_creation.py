"""Rate, latency, CPU and memory of the 3-step user-creation workflow.

Usage: python benchmarks/user_creation.py [--callers 1,16,64,256] [--runs 2000] [--rounds 1] [--servers …]

Load generator, server and application are separate processes. The servers take turns; each of them is
started afresh for each line:

- `atomic`: the application is on bare protocols, so nearly all of the cost is the server's.
- `atomic-fixed`: the same with `--destination-limit fixed`. The difference is the cost of learning what
  destinations bear.
- `atomic-otel`: the same as `atomic` with `--otel`. Its collector is at OTEL_EXPORTER_OTLP_ENDPOINT.
- `atomic-fastapi`, `atomic-values`: the application is on FastAPI with the SDK (sdk_application.py), its
  steps are endpoints, or values of the handler. The server is as in production: with an API key, and the
  application checks signatures.
- `bare`: the baseline (bare.py: the same durable work, nothing else).

CPU seconds are read from the operating system's accounting; on a busy machine they vary less than rates.
"""

import argparse
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import orjson
import uvloop

from application import start_document
from bare import Poster
from load import HEADER, Measured, measure
from processes import atomic_server, free_ports, machine, new_client, production_server, python, running


@dataclass(frozen=True, slots=True)
class Request:
    """A POST that starts a run, and that is answered 200 once the run has succeeded."""

    url: str
    body: bytes
    headers: str = ""

    async def sent_by(self, poster: Poster) -> None:
        """Post it. Raises RuntimeError unless it is answered 200."""
        await poster.post(self.url, self.body, self.headers)


@dataclass(frozen=True, slots=True)
class Up:
    """A system that runs. `ask(workflow, key, steps)` makes the request for a run of `index` or `chain`."""

    pids: list[int]
    ask: Callable[[str, str, int], Request]


System = Callable[[], AbstractContextManager[Up]]


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--callers", default="1,16,64,256")
    arguments.add_argument("--runs", type=int, default=2000)
    arguments.add_argument("--rounds", type=int, default=1)
    arguments.add_argument("--servers", default=",".join(each for each in SERVERS if each != "atomic-otel"))
    options = arguments.parse_args()
    print(f"{machine()}\n{'':15}{HEADER}")
    for _ in range(options.rounds):
        for callers in map(int, options.callers.split(",")):
            for server in options.servers.split(","):
                uvloop.run(_show(server, callers, runs_for(callers, options.runs)))
    print(machine())


async def _show(server: str, callers: int, runs: int) -> None:
    print(f"{server:15}{(await measured(server, callers, runs)).line()}", flush=True)


async def measured(server: str, callers: int, runs: int) -> Measured:
    """Run the loop on a fresh server of SERVERS."""
    with SERVERS[server]() as up:
        poster = Poster()

        async def start(key: str) -> None:
            await up.ask("index", key, 0).sent_by(poster)

        return await measure(start, callers=callers, runs=runs, pids=up.pids)


def runs_for(callers: int, runs: int) -> int:
    """One caller alone makes a tenth of the runs: it would take longest."""
    return max(200, runs // 10) if callers == 1 else runs


@contextmanager
def _on_bare_protocols(server: str) -> Iterator[Up]:
    """A fresh server, `bare` or one of Atomic, and an application on bare protocols."""
    ports = free_ports(2)
    atomic = f"http://127.0.0.1:{ports[0]}/bench"
    with tempfile.TemporaryDirectory(prefix="atomic-bench-") as folder:
        serve = (
            python("bare.py", "server", ports[0], folder)
            if server == "bare"
            else [*atomic_server(ports[0], Path(folder)), *_OPTIONS[server]]
        )
        serving = running(serve, ports[0])
        with (
            serving as server_pid,
            running(python("bare.py", "app", ports[1], atomic), ports[1]) as app_pid,
        ):
            yield Up([server_pid, app_pid], partial(_ask, atomic, f"http://127.0.0.1:{ports[1]}", ""))


@contextmanager
def on_sdk(app_command: Callable[[int], list[str]], shape: str) -> Iterator[Up]:
    """A fresh server as in production, and an application by an SDK; `shape` as in sdk_application.py."""
    ports = free_ports(2)
    url, app = (f"http://127.0.0.1:{port}" for port in ports)
    command = app_command(ports[1])
    with tempfile.TemporaryDirectory(prefix="atomic-bench-") as folder:
        key, secret = new_client("bench", app, Path(folder))
        settings = {
            "ATOMIC_URL": url,
            "ATOMIC_CLIENT_ID": "bench",
            "ATOMIC_API_KEY": key,
            "ATOMIC_SIGNING_SECRET": secret,
        }
        with (
            running(production_server(ports[0], Path(folder)), ports[0]) as server_pid,
            running(command, ports[1], env=os.environ | settings) as app_pid,
        ):
            headers = f"authorization: Bearer {key}\r\n"
            yield Up([server_pid, app_pid], partial(_ask, f"{url}/bench", f"{app}/{shape}", headers))


def _fastapi(port: int) -> list[str]:
    return python("sdk_application.py", port)


def _ask(atomic: str, app: str, headers: str, workflow: str, key: str, steps: int) -> Request:
    document = start_document(f"{app}/{workflow}", key, steps=steps)
    return Request(atomic, orjson.dumps(document), headers)


_OPTIONS: Final = {
    "atomic": (),
    "atomic-fixed": ("--destination-limit", "fixed"),
    "atomic-otel": ("--otel",),
}
SERVERS: dict[str, System] = {
    **{server: partial(_on_bare_protocols, server) for server in _OPTIONS},
    "atomic-fastapi": partial(on_sdk, _fastapi, "endpoints"),
    "atomic-values": partial(on_sdk, _fastapi, "values"),
    "bare": partial(_on_bare_protocols, "bare"),
}


if __name__ == "__main__":
    main()
