"""Runs a two-step workflow on application servers, with defaults: `make servers RUNS=2000 CALLERS=64`.

Usage: python -m servers.run [RUNS] [CALLERS] [NAME], where NAME is a prefix of the servers' names.

Then the application of the first of them is redeployed for ten seconds.
"""

import asyncio
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import DEVNULL

from processes import atomic_server, cpu_s, free_ports, machine, running, tree
from servers.kinds import KINDS, Kind, serving
from servers.orders import Orders, order
from servers.redeploy import redeploy

HEAD = f"{'server':22}    runs  callers  runs/s  p50 s  p99 s  calls/run  CPU s/1000: server + app"
# Small servers get 200 runs by 4 callers where others get 2,000 by 64.
SMALLER, FEWER = 10, 16
REDEPLOYED, STARTS, DOWN_S = KINDS["gunicorn --threads 64"], 200, 10


def main(runs: int = 2000, callers: int = 64, name: str = "") -> None:
    """Measure and print. Raises AssertionError when a run is lost."""
    print(f"{machine()}\n{HEAD}")
    for kind_name, kind in KINDS.items():
        if kind_name.startswith(name):
            size = (runs // SMALLER, max(1, callers // FEWER)) if kind.is_small else (runs, callers)
            print(f"{kind_name:22} {_measured(kind, *size)}", flush=True)
    with _atomic() as (_, atomic_url):
        elapsed_s = asyncio.run(redeploy(atomic_url, REDEPLOYED, starts=STARTS, down_s=DOWN_S))
        print(f"redeployed for {DOWN_S} s: {STARTS} of {STARTS} starts succeeded, in {elapsed_s:.0f} s")
    print(machine())


@contextmanager
def _atomic() -> Iterator[tuple[int, str]]:
    """An embedded server; its process id and URL."""
    [port] = free_ports(1)
    with (
        tempfile.TemporaryDirectory(prefix="atomic-servers-") as folder,
        running(atomic_server(port, Path(folder)), port) as pid,
    ):
        yield pid, f"http://127.0.0.1:{port}"


def _measured(kind: Kind, runs: int, callers: int) -> str:
    with (
        _atomic() as (server_pid, atomic_url),
        serving(kind, atomic_url, log=DEVNULL) as (app_pid, url),
    ):
        asyncio.run(order(atomic_url, url, runs=callers, callers=callers))
        before_s = [cpu_s(*tree(pid)) for pid in (server_pid, app_pid)]
        orders = asyncio.run(order(atomic_url, url, runs=runs, callers=callers))
        after_s = [cpu_s(*tree(pid)) for pid in (server_pid, app_pid)]
    used = [(after - before) / runs * 1000 for before, after in zip(before_s, after_s, strict=True)]
    return _line(orders, callers, used)


def _line(orders: Orders, callers: int, used_s: list[float]) -> str:
    latencies_s = orders.latencies_s
    p50, p99 = (latencies_s[int(len(latencies_s) * share)] for share in (0.5, 0.99))
    cpu = " + ".join(f"{each:.2f}" for each in used_s)
    return (
        f"{len(latencies_s):7}  {callers:7}  {orders.per_s:6.1f}  {p50:5.2f}  {p99:5.2f}  "
        f"{orders.calls_each:9.2f}  {sum(used_s):5.2f} = {cpu}"
    )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:3]), *sys.argv[3:])
