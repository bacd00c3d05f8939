"""Cost per step as a run grows: one handler posts a number of steps one after another.

Usage: python benchmarks/chain.py [--steps 10,100,1000] [--rounds 3]

There is one caller, so the figures are latencies: milliseconds per step (the minimum over the rounds), and
CPU time of server and application per step. Rounds of Atomic alternate with rounds of the baseline
(bare.py).
"""

import argparse
import asyncio
import time
from collections import defaultdict

import orjson
import uvloop

from application import start_document
from bare import Poster
from processes import cpu_s, machine
from user_creation import SERVERS, user_creation


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--steps", default="10,100,1000")
    arguments.add_argument("--rounds", type=int, default=3)
    options = arguments.parse_args()
    lengths = [int(length) for length in options.steps.split(",")]
    print(f"{machine()}\n{'':9}" + "".join(f"{length:>10} steps   " for length in lengths))
    for server in SERVERS:
        asyncio.run(_show(server, lengths, options.rounds))


async def _show(server: str, lengths: list[int], rounds: int) -> None:
    took: dict[int, list[tuple[float, float]]] = defaultdict(list)
    with user_creation(server) as (pids, urls):
        poster = Poster()
        for turn in range(-1, rounds):  # the first round warms up
            for length in lengths:
                document = start_document(f"{urls[1]}/chain", f"chain-{length}-{turn}", steps=length)
                before, began_s = sum(map(cpu_s, pids)), time.perf_counter()
                await poster.post(urls[0], orjson.dumps(document))
                elapsed_s = time.perf_counter() - began_s
                if turn >= 0:
                    took[length].append((elapsed_s / length, (sum(map(cpu_s, pids)) - before) / length))
    cells = [(min(wall for wall, _ in took[n]), min(cpu for _, cpu in took[n])) for n in lengths]
    print(f"{server:9}" + "".join(f"{wall * 1000:6.2f} ms ({cpu * 1000:4.2f}) " for wall, cpu in cells))


if __name__ == "__main__":
    uvloop.install()
    main()
