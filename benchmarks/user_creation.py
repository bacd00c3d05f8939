"""Rate, latency, CPU and memory of the 3-step user-creation workflow.

Usage: python benchmarks/user_creation.py [--callers 1,16,64,256] [--runs 2000] [--rounds 1]

Load generator, server and application are separate processes. Rounds of Atomic alternate with rounds of the
baseline (bare.py: the same durable work, nothing else). CPU seconds are read from the operating system's
accounting; on a busy machine they vary less than rates.
"""

import argparse
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson
import uvloop

from application import start_document
from bare import Poster
from load import HEADER, measure
from processes import atomic_server, free_ports, machine, python, running

SERVERS = ("atomic", "bare")


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--callers", default="1,16,64,256")
    arguments.add_argument("--runs", type=int, default=2000)
    arguments.add_argument("--rounds", type=int, default=1)
    arguments.add_argument("--servers", default=",".join(SERVERS))
    options = arguments.parse_args()
    print(f"{machine()}\n{'':9}{HEADER}")
    for _ in range(options.rounds):
        for callers in map(int, options.callers.split(",")):
            for server in options.servers.split(","):
                uvloop.run(
                    _show(server, callers, max(200, options.runs // 10) if callers == 1 else options.runs)
                )
    print(machine())


async def _show(server: str, callers: int, runs: int) -> None:
    with user_creation(server) as (pids, urls):
        poster = Poster()

        async def start(key: str) -> None:
            await poster.post(urls[0], orjson.dumps(start_document(f"{urls[1]}/index", key)))

        measured = await measure(start, callers=callers, runs=runs, pids=pids)
        print(f"{server:9}{measured.line()}", flush=True)


@contextmanager
def user_creation(server: str) -> Iterator[tuple[list[int], tuple[str, str]]]:
    """Start a fresh server and application.

    Yields their process ids, the URL to post to and the step's URL.
    """
    ports = free_ports(2)
    atomic, app = f"http://127.0.0.1:{ports[0]}/bench", f"http://127.0.0.1:{ports[1]}"
    with tempfile.TemporaryDirectory(prefix="atomic-bench-") as folder:
        serve = (
            atomic_server(ports[0], Path(folder))
            if server == "atomic"
            else python("bare.py", "server", ports[0], folder)
        )
        serving = running(serve, ports[0])
        with (
            serving as server_pid,
            running(python("bare.py", "app", ports[1], atomic), ports[1]) as app_pid,
        ):
            yield [server_pid, app_pid], (atomic, app)


if __name__ == "__main__":
    main()
