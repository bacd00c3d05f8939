"""A closed loop: each of a number of callers starts its next run when its last one has answered."""

import asyncio
import math
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from processes import cpu_s, rss_mib, tree

Start = Callable[[str], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Measured:
    """The result of a loop.

    Latencies are in milliseconds, sorted; CPU is in seconds per 1000 runs, by process.
    """

    callers: int
    runs_per_s: float
    latencies_ms: list[float]
    cpu_s: list[float]
    load_cpu_s: float
    rss_mib: list[float]

    def percentile_ms(self, share: float) -> float:
        """The latency at a share of the runs, such as 0.99."""
        return at(self.latencies_ms, share)

    def line(self) -> str:
        """The result as a line of the table under HEADER."""
        p50, p95, p99 = (self.percentile_ms(share) for share in (0.5, 0.95, 0.99))
        cpu = " + ".join(f"{used:.2f}" for used in self.cpu_s)
        memory = " + ".join(f"{rss:.0f}" for rss in self.rss_mib)
        return (
            f"{self.callers:7} {self.runs_per_s:7.0f} {p50:8.1f} {p95:8.1f} {p99:8.1f}   "
            f"{sum(self.cpu_s):5.2f} = {cpu:22} {self.load_cpu_s:5.2f}   {memory}"
        )


HEADER = (
    "callers  runs/s   p50 ms   p95 ms   p99 ms   CPU s/1000 runs: server + app   load   MiB: server + app"
)


def at(times_ms: Sequence[float], share: float) -> float:
    """Of sorted times, the one at a share, such as 0.99."""
    return times_ms[min(len(times_ms) - 1, int(len(times_ms) * share))]


async def measure(
    start: Start, *, callers: int, runs: int, pids: Sequence[int], within_s: float = math.inf
) -> Measured:
    """Warm up, then run the loop. `start` makes one run under a key and returns when it has succeeded.

    No run is begun after `within_s` seconds. The children of a process count as part of it.
    """
    await _loop(start, callers, max(50, callers), f"warm-{callers}", within_s)
    before, own = [cpu_s(*tree(pid)) for pid in pids], cpu_s(os.getpid())
    began_s = time.perf_counter()
    latencies_ms = await _loop(start, callers, runs, f"run-{callers}", within_s)
    elapsed_s, runs = time.perf_counter() - began_s, len(latencies_ms)
    used = [(cpu_s(*tree(pid)) - was) / runs * 1000 for pid, was in zip(pids, before, strict=True)]
    return Measured(
        callers=callers,
        runs_per_s=runs / elapsed_s,
        latencies_ms=sorted(latencies_ms),
        cpu_s=used,
        load_cpu_s=(cpu_s(os.getpid()) - own) / runs * 1000,
        rss_mib=[rss_mib(*tree(pid)) for pid in pids],
    )


async def _loop(start: Start, callers: int, runs: int, prefix: str, within_s: float) -> list[float]:
    numbers, end_s = iter(range(runs)), time.perf_counter() + within_s
    latencies_ms: list[float] = []

    async def caller() -> None:
        for number in numbers:
            began_s = time.perf_counter()
            await start(f"{prefix}-{number}")
            latencies_ms.append((time.perf_counter() - began_s) * 1000)
            if time.perf_counter() > end_s:
                return

    await asyncio.gather(*(caller() for _ in range(callers)))
    return latencies_ms
