"""Rate and latency of the 3-step workflow on a server elsewhere, for example a deployed stack.

Usage: ATOMIC_API_KEY=… python benchmarks/deployed.py URL --client acme --application https://app.example
       [--callers 1,16,64] [--runs 500] [--posted 0]

The application is `application.py`, started where Atomic can reach it. `--posted` first posts that many
runs without waiting for them, as a backlog. CPU and memory are left out, since only those of this process
could be measured.
"""

import argparse
import asyncio
import uuid

import aiohttp

from application import headers, start_document
from load import measure

_POSTED_AT_ONCE = 64


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("url")
    arguments.add_argument("--client", default="bench")
    arguments.add_argument("--application", required=True)
    arguments.add_argument("--callers", default="1,16,64")
    arguments.add_argument("--runs", type=int, default=500)
    arguments.add_argument("--posted", type=int, default=0)
    asyncio.run(_show(arguments.parse_args()))


async def _show(options: argparse.Namespace) -> None:
    atomic, run = f"{options.url}/{options.client}", uuid.uuid4().hex[:8]
    connector, timeout = aiohttp.TCPConnector(limit=0), aiohttp.ClientTimeout(total=120)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout, headers=headers()) as session:

        async def post(key: str, expected: int, **more: str) -> None:
            document = start_document(f"{options.application}/index", f"{run}-{key}")
            async with session.post(atomic, json=document, headers=more) as reply:
                text = await reply.text()
                # 504 means that the run goes on. Posting again waits for the rest of it.
                if reply.status == 504:
                    await post(key, expected, **more)
                elif reply.status != expected:
                    raise RuntimeError(f"{reply.status}: {text}")

        for first in range(0, options.posted, _POSTED_AT_ONCE):
            numbers = range(first, min(first + _POSTED_AT_ONCE, options.posted))
            await asyncio.gather(*(post(f"posted-{n}", 202, Prefer="respond-async") for n in numbers))
        print("callers  runs/s   p50 ms   p95 ms   p99 ms")
        for callers in map(int, options.callers.split(",")):
            found = await measure(lambda key: post(key, 200), callers=callers, runs=options.runs, pids=())
            latencies = "".join(f"{found.percentile_ms(share):9.1f}" for share in (0.5, 0.95, 0.99))
            print(f"{callers:7} {found.runs_per_s:7.1f}{latencies}", flush=True)


if __name__ == "__main__":
    main()
