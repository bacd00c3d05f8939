"""How steps of one tenant that wait for a slot of flow control affect the other tenants.

Usage: python benchmarks/queued.py [--queued 100000] [--posts 1000]

The rows are written through the store, then the server is started on them. All ask for one of five slots,
and each call takes 50 ms. When they are in line, another tenant posts runs of one step, one after another.
It has done so before on an empty server.
"""

import argparse
import asyncio
import tempfile
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import uvloop

import rows
from application import start_document
from atomic.domain.flow import FlowEntry
from backlog import post, spread
from bare import Poster
from processes import atomic_server, cpu_s, free_ports, machine, python, rss_mib, running

_SLOTS = 5
_ANSWER_MS = 50
_WITHIN_S = 900


@dataclass(frozen=True, slots=True)
class Queued:
    """The result. Latencies are milliseconds, sorted."""

    queued: int
    in_line_s: float
    rss_mib: float
    latencies_ms: list[float]
    server_cpu_s: float
    took_s: float


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--queued", type=int, default=100_000)
    arguments.add_argument("--posts", type=int, default=1_000)
    options = arguments.parse_args()
    print(machine())
    for queued in (0, options.queued):
        with tempfile.TemporaryDirectory(prefix="atomic-bench-") as folder:
            _show(asyncio.run(measured(Path(folder), queued, options.posts)))


def _show(result: Queued) -> None:
    in_line = f" (in line after {result.in_line_s:.0f} s)" if result.queued else ""
    print(f"{result.queued} wait for {_SLOTS} slots{in_line}; {result.rss_mib:.0f} MiB")
    print(f"  the other tenant's runs: {spread(result.latencies_ms)}")
    print(f"  CPU of the server meanwhile: {result.server_cpu_s:.2f} of {result.took_s:.1f} s")


async def measured(data_dir: Path, queued: int, posts: int) -> Queued:
    """Start a server on so many steps in line, and post runs of another tenant."""
    ports = free_ports(2)
    base, app_url = (f"http://127.0.0.1:{port}" for port in ports)
    flow = (FlowEntry(key="shared", concurrency=_SLOTS),)
    steps = rows.due("busy", queued, f"{app_url}/slow/{_ANSWER_MS}", flow)
    await asyncio.to_thread(rows.write, data_dir, steps)
    with running(python("bare.py", "app", ports[1], "http://127.0.0.1:9/"), ports[1]):
        began_s = time.perf_counter()
        with running(atomic_server(ports[0], data_dir), ports[0]) as server:
            while queued and await _untried(base):
                if time.perf_counter() - began_s > _WITHIN_S:
                    raise TimeoutError("the steps are not in line")
                await asyncio.sleep(0.5)
            in_line_s, before_cpu_s, poster = time.perf_counter() - began_s, cpu_s(server), Poster()
            began_s = time.perf_counter()
            latencies_ms = [
                await post(poster, base, start_document(f"{app_url}/step", f"calm-{number}"))
                for number in range(posts)
            ]
            took_s, used_s = time.perf_counter() - began_s, cpu_s(server) - before_cpu_s
            return Queued(queued, in_line_s, rss_mib(server), sorted(latencies_ms), used_s, took_s)


async def _untried(base: str) -> bool:
    """Whether there are steps that have not asked for a slot yet."""
    live = sum((await _document(f"{base}/busy/stats"))["live"].values())
    keys = (await _document(f"{base}/busy/flow"))["keys"]
    return bool(live - sum(key["queued"] + key["running"] for key in keys) > _SLOTS)


async def _document(url: str) -> dict[str, Any]:
    with await asyncio.to_thread(urllib.request.urlopen, url) as answer:
        return dict(orjson.loads(answer.read()))


if __name__ == "__main__":
    uvloop.install()
    main()
