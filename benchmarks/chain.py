"""Cost per step as a run grows: one handler posts a number of steps one after another.

Usage: python benchmarks/chain.py [--steps 10,100,1000] [--rounds 3]

There is one caller, so the figures are latencies: milliseconds per step (the minimum over the rounds), and
CPU time of server and application per step. The servers are those of user_creation.py.
"""

import argparse
import asyncio
import time
from collections import defaultdict

import uvloop

from bare import Poster
from processes import cpu_s, machine
from user_creation import SERVERS


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--steps", default="10,100,1000")
    arguments.add_argument("--rounds", type=int, default=3)
    options = arguments.parse_args()
    lengths = [int(length) for length in options.steps.split(",")]
    print(f"{machine()}\n{'':15}" + "".join(f"{length:>10} steps   " for length in lengths))
    for server in SERVERS:
        asyncio.run(_show(server, lengths, options.rounds))


async def _show(server: str, lengths: list[int], rounds: int) -> None:
    cells = (await measured(server, lengths, rounds)).values()
    print(f"{server:15}" + "".join(f"{wall * 1000:6.2f} ms ({cpu * 1000:4.2f}) " for wall, cpu in cells))


async def measured(server: str, lengths: list[int], rounds: int) -> dict[int, tuple[float, float]]:
    """Seconds of time and of CPU for each step, by the length of the chain; the least of the rounds."""
    took: dict[int, list[tuple[float, float]]] = defaultdict(list)
    with SERVERS[server]() as up:
        poster = Poster()
        for turn in range(-1, rounds):  # the first round warms up
            for length in lengths:
                request = up.ask("chain", f"chain-{length}-{turn}", length)
                before, began_s = sum(map(cpu_s, up.pids)), time.perf_counter()
                await request.sent_by(poster)
                elapsed_s = time.perf_counter() - began_s
                if turn >= 0:
                    took[length].append((elapsed_s / length, (sum(map(cpu_s, up.pids)) - before) / length))
    return {n: (min(wall for wall, _ in took[n]), min(cpu for _, cpu in took[n])) for n in lengths}


if __name__ == "__main__":
    uvloop.install()
    main()
