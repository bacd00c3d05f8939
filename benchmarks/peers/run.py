"""Measures Atomic, the baseline and the peers on the same work in the same minutes: `make bench-peers`.

For each number of callers, each system in turn is started afresh, warmed up, and put under a closed loop of
the user-creation workflow until a number of runs or seconds is reached. All processes of a system count.
Then each system runs a chain of steps, one after the other. The output is Markdown. A peer that fails or
cannot be installed is named with the reason, and the others are still measured.
"""

import argparse
import asyncio
import re
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import TypeVar

import orjson
import uvloop

from bare import Poster
from load import Measured, measure
from peers.install import PEERS, CannotInstallError
from peers.systems import SYSTEMS
from processes import cpu_s, machine, tree
from user_creation import Up

Found = TypeVar("Found")
Probe = Callable[[Up, float], Awaitable[Found]]

CELL_WITHIN_S = 60  # on top of the time that the start takes
CHAINS = {10: 5, 100: 3, 1000: 1}  # repetitions
TROUBLE = (CannotInstallError, OSError, RuntimeError, TimeoutError)

TABLE = """
| callers | system | runs | runs/s | p50 ms | p95 | p99 | CPU s/1000 runs | × Atomic | MiB | first run |
|---|---|---|---|---|---|---|---|---|---|---|"""
CHAIN_TABLE = """
| system | ms per step in a chain of 10 · 100 · 1000 | CPU ms per step in the last |
|---|---|---|"""


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--callers", default="1,16,64,256")
    arguments.add_argument("--runs", type=int, default=3000, help="of a cell, at most")
    arguments.add_argument("--seconds", type=float, default=10, help="of a cell, at most")
    arguments.add_argument("--systems", default=",".join(SYSTEMS))
    options = arguments.parse_args()
    systems = options.systems.split(",")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that every started process is ended
    print(f"{time.strftime('%Y-%m-%d')}, {machine()}\n{versions()}")
    print(TABLE, flush=True)
    for callers in map(int, options.callers.split(",")):
        show(callers, dict(cells(systems, under_load(callers, options.runs, options.seconds))))
    print(CHAIN_TABLE, flush=True)
    for system, line in cells(systems, in_chains):
        print(f"| {system} | {line} |", flush=True)
    print(f"\nAfterwards: {machine()}")


def cells(systems: Sequence[str], probe: Probe[Found]) -> Iterator[tuple[str, Found]]:
    """The probe's result for each system, freshly started. A system that fails is named and left out."""
    for system in systems:
        began_s = time.perf_counter()
        try:
            with SYSTEMS[system]() as up:
                yield system, uvloop.run(_bounded(probe(up, began_s)))
        except TROUBLE as error:
            print(f"{system}: {type(error).__name__}: {error}", file=sys.stderr, flush=True)


async def _bounded(found: Awaitable[Found]) -> Found:
    async with asyncio.timeout(CELL_WITHIN_S):
        return await found


def under_load(callers: int, runs: int, seconds: float) -> Probe[tuple[float, Measured]]:
    """Seconds from the start to the end of the first run, and the result of the loop."""

    async def probe(up: Up, began_s: float) -> tuple[float, Measured]:
        poster = Poster()

        async def start(key: str) -> None:
            await up.ask("index", key, 0).sent_by(poster)

        await _first_run(start)
        first_s = time.perf_counter() - began_s
        return first_s, await measure(start, callers=callers, runs=runs, pids=up.pids, within_s=seconds)

    return probe


async def _first_run(start: Callable[[str], Awaitable[object]]) -> None:
    """Run once as soon as the system accepts a run. Some systems listen before they know their services."""
    for attempt in range(CELL_WITHIN_S * 50):
        try:
            await start(f"first-{attempt}")
            return
        except RuntimeError:
            await asyncio.sleep(0.02)
    raise RuntimeError("takes no runs")


async def in_chains(up: Up, _began_s: float) -> str:
    """A row of CHAIN_TABLE, of medians."""
    poster = Poster()

    async def chain(key: str, steps: int = 10) -> float:
        request, began_s = up.ask("chain", key, steps), time.perf_counter()
        await request.sent_by(poster)
        return (time.perf_counter() - began_s) / steps * 1000

    await _first_run(chain)
    shown = []
    for steps, times in CHAINS.items():
        before_s = cpu_s(*_trees(up))
        took_ms = [await chain(f"{steps}-{number}", steps) for number in range(times)]
        used_ms = (cpu_s(*_trees(up)) - before_s) / steps / times * 1000
        shown.append(f"{statistics.median(took_ms):.2f}")
    return f"{' · '.join(shown)} | {used_ms:.2f}"


def _trees(up: Up) -> list[int]:
    return [process for pid in up.pids for process in tree(pid)]


def show(callers: int, found: dict[str, tuple[float, Measured]]) -> None:
    """Print the rows for one number of callers."""
    atomic = sum(found["atomic"][1].cpu_s) if "atomic" in found else float("nan")
    for system, (first_s, measured) in found.items():
        rates = f"{len(measured.latencies_ms)} | {measured.runs_per_s:.0f}"
        latencies = " | ".join(f"{measured.percentile_ms(share):.1f}" for share in (0.5, 0.95, 0.99))
        cpu, parts = sum(measured.cpu_s), " + ".join(f"{used:.2f}" for used in measured.cpu_s)
        memory = " + ".join(f"{mib:.0f}" for mib in measured.rss_mib)
        print(
            f"| {callers} | {system} | {rates} | {latencies} | {cpu:.2f} = {parts} | {cpu / atomic:.1f} "
            f"| {memory} | {first_s:.1f} s |",
            flush=True,
        )


def versions() -> str:
    """The versions of the peers, as their lock files pin them, and of Node."""
    locks = "".join(path.read_text() for path in sorted(PEERS.glob("*/requirements.lock")))
    pinned = re.findall(r"^((?:dbos|restate-sdk|hypercorn|uvicorn)==\S+)", locks, re.MULTILINE)
    package = orjson.loads((PEERS / "restate/package.json").read_bytes())
    pinned += [f"{name} {version}" for name, version in package["dependencies"].items()]
    node = subprocess.run(["node", "--version"], capture_output=True, text=True, check=False).stdout.strip()
    return ", ".join([*pinned, f"Node {node}"])


if __name__ == "__main__":
    main()
