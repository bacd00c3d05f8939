"""How a backlog of due retries of one tenant, as after an outage, affects the other tenants.

Usage: python benchmarks/backlog.py [--due 100000] [--answer-ms 0]

The rows are written through the store, then the server is started on them. The endpoint of the backlog
answers after `--answer-ms`. Another tenant posts a run of one step every 50 ms, and a run of one step with
a delay of four seconds every 500 ms. It does so first on an empty server, and then while the backlog
drains.
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
from bare import Poster
from load import at
from processes import atomic_server, cpu_s, free_ports, machine, python, rss_mib, running

_EVERY_S = 0.05
_ALONE = 100
_DELAY_MS = 4_000
# One delayed run is posted for this many runs that are due at once.
_DELAYED_EVERY = 10
_WITHIN_S = 900


@dataclass(frozen=True, slots=True)
class Drained:
    """The result. Latencies are milliseconds, sorted; those of delayed runs count from their due time."""

    due: int
    ready_s: float
    drained_s: float
    server_cpu_s: float
    rss_mib: float
    latencies_ms: list[float]
    late_ms: list[float]


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--due", type=int, default=100_000)
    arguments.add_argument("--answer-ms", type=int, default=0)
    options = arguments.parse_args()
    print(machine())
    for due in (0, options.due):
        with tempfile.TemporaryDirectory(prefix="atomic-bench-") as folder:
            _show(asyncio.run(measured(Path(folder), due, options.answer_ms)))


def _show(result: Drained) -> None:
    due = result.due
    drained = f", drained in {result.drained_s:.0f} s ({due / result.drained_s:.0f}/s)" if due else ""
    used = f"{result.server_cpu_s:.0f} CPU s, {result.rss_mib:.0f} MiB"
    print(f"{due} due: ready in {result.ready_s:.2f} s{drained}; {used}")
    print(f"  the other tenant's runs: {spread(result.latencies_ms)}")
    print(f"  its delayed ones, after their due time: {spread(result.late_ms)}")


async def measured(data_dir: Path, due: int, answer_ms: int) -> Drained:
    """Start a server on so many due retries, and use it as another tenant until they are done."""
    ports = free_ports(2)
    app_url = f"http://127.0.0.1:{ports[1]}"
    await asyncio.to_thread(rows.write, data_dir, rows.due("busy", due, f"{app_url}/slow/{answer_ms}"))
    with running(python("bare.py", "app", ports[1], "http://127.0.0.1:9/"), ports[1]):
        began_s = time.perf_counter()
        with running(atomic_server(ports[0], data_dir), ports[0]) as server:
            ready_s = time.perf_counter() - began_s
            poster, base = Poster(), f"http://127.0.0.1:{ports[0]}"
            latencies_ms, left, drained_s = list[float](), due, 0.0
            delayed = list[asyncio.Task[float]]()
            while left or len(latencies_ms) < _ALONE:
                sent_s = time.perf_counter()
                document = start_document(f"{app_url}/step", f"calm-{len(latencies_ms)}")
                if len(latencies_ms) % _DELAYED_EVERY == 0:
                    later = document | {"idempotencyKey": f"later-{len(latencies_ms)}", "delay": _DELAY_MS}
                    delayed.append(asyncio.create_task(post(poster, base, later)))
                latencies_ms.append(await post(poster, base, document))
                if left and len(latencies_ms) % 20 == 0:
                    left = await _left(base)
                    drained_s = time.perf_counter() - began_s
                if time.perf_counter() - began_s > _WITHIN_S:
                    raise TimeoutError(f"{left} of {due} are still due")
                await asyncio.sleep(max(0.0, _EVERY_S - (time.perf_counter() - sent_s)))
            late_ms = [took_ms - _DELAY_MS for took_ms in await asyncio.gather(*delayed)]
            return Drained(
                due,
                ready_s,
                drained_s,
                cpu_s(server),
                rss_mib(server),
                sorted(latencies_ms),
                sorted(late_ms),
            )


async def post(poster: Poster, base: str, document: dict[str, Any]) -> float:
    """Post a run and return the milliseconds until its answer."""
    sent_s = time.perf_counter()
    await poster.post(f"{base}/calm", orjson.dumps(document))
    return (time.perf_counter() - sent_s) * 1000


def spread(times_ms: list[float]) -> str:
    """Sorted times in words."""
    p50, p99 = (at(times_ms, share) for share in (0.5, 0.99))
    return f"p50 {p50:.1f} ms, p99 {p99:.1f} ms, at most {times_ms[-1]:.1f} ms"


async def _left(base: str) -> int:
    with await asyncio.to_thread(urllib.request.urlopen, f"{base}/busy/stats") as answer:
        return sum(orjson.loads(answer.read())["live"].values())


if __name__ == "__main__":
    uvloop.install()
    main()
