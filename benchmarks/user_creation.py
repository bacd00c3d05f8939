"""Runs per second, latency and CPU of the mission's 3-step workflow: load, server and application apart.

Usage: python benchmarks/user_creation.py [--callers 1,16,64] [--runs 2000]

Prints one line for each number of callers. CPU seconds are read from the processes' own accounts, so they
hold on a noisy machine; rates and latencies do not.
"""

import argparse
import asyncio
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp
import orjson

from application import start_document

HERE = Path(__file__).parent


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--callers", default="1,16,64,256")
    arguments.add_argument("--runs", type=int, default=2000)
    options = arguments.parse_args()
    print(
        "callers  runs/s   p50 ms   p95 ms   p99 ms  CPU s/1000 runs: server  app    load  | RSS MiB server"
    )
    for callers in map(int, options.callers.split(",")):
        runs = max(200, options.runs // 10) if callers == 1 else options.runs
        with tempfile.TemporaryDirectory() as directory, processes(Path(directory)) as (server, app, url):
            asyncio.run(measure(callers, runs, server, app, url))


async def measure(callers: int, runs: int, server: int, app: int, url: str) -> None:
    """One closed loop; prints its line."""
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:
        await load(session, url, callers=callers, runs=max(50, callers), prefix="warm")
        before = [cpu_s(pid) for pid in (server, app, os.getpid())]
        began = time.perf_counter()
        latencies = await load(session, url, callers=callers, runs=runs, prefix="run")
        elapsed = time.perf_counter() - began
    used = [
        (cpu_s(pid) - was) / runs * 1000
        for pid, was in zip((server, app, os.getpid()), before, strict=True)
    ]
    latencies.sort()
    p50, p95, p99 = (latencies[int(runs * share)] * 1000 for share in (0.5, 0.95, 0.99))
    print(
        f"{callers:7} {runs / elapsed:7.0f} {p50:8.1f} {p95:8.1f} {p99:8.1f} {'':17}"
        f"{used[0]:6.2f} {used[1]:6.2f} {used[2]:6.2f}  | {rss_mib(server):.0f}"
    )


async def load(
    session: aiohttp.ClientSession, url: str, *, callers: int, runs: int, prefix: str
) -> list[float]:
    """So many callers start runs one after another; the latencies in seconds."""
    numbers = iter(range(runs))
    latencies: list[float] = []

    async def caller() -> None:
        for number in numbers:
            began = time.perf_counter()
            document = start_document(f"{url[1]}/index", f"{prefix}-{number}")
            async with session.post(f"{url[0]}/bench", data=orjson.dumps(document)) as reply:
                body = await reply.read()
                assert reply.status == 200, body
            latencies.append(time.perf_counter() - began)

    await asyncio.gather(*(caller() for _ in range(callers)))
    return latencies


@contextmanager
def processes(directory: Path) -> Iterator[tuple[int, int, tuple[str, str]]]:
    """A fresh server and a fresh application; their process ids and URLs."""
    ports = free_ports(2)
    atomic_url, app_url = (f"http://127.0.0.1:{port}" for port in ports)
    serve = [
        sys.executable,
        "-m",
        "atomic.cli",
        "serve",
        "--dev",
        "--port",
        str(ports[0]),
        "--log-level",
        "warning",
    ]
    started = [
        subprocess.Popen([*serve, "--data-dir", str(directory / "data")]),
        subprocess.Popen([sys.executable, str(HERE / "application.py"), str(ports[1]), atomic_url]),
    ]
    try:
        for port in ports:
            wait_for(port)
        yield started[0].pid, started[1].pid, (atomic_url, app_url)
    finally:
        for process in started:
            process.terminate()
        for process in started:
            process.wait(30)


def free_ports(number: int) -> list[int]:
    """Ports that nobody listens on at the moment."""
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def wait_for(port: int) -> None:
    """Until somebody listens there, 20 s at most."""
    deadline = time.monotonic() + 20
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def cpu_s(pid: int) -> float:
    """User and system time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rss_mib(pid: int) -> float:
    """Resident memory of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


if __name__ == "__main__":
    main()
