"""Whether a long history has a cost: start, lists and new runs with 1,000 and 1,000,000 stored runs.

Usage: python benchmarks/stored.py [--runs 1000,1000000] [--failed 100000]

Beside the runs, so many failed ones are stored, in three causes. The rows are written through the store (a
million takes about two minutes and 3 GB of disk). "ready": from the start of the process to the first
answer; "first run": to the answer of the first run.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from pathlib import Path

import aiohttp
import orjson
import uvloop

import rows
from application import start_document
from bare import Poster
from load import measure
from processes import atomic_server, free_ports, machine, python, rss_mib, running

LISTS = (
    "runs?limit=50",
    "runs?limit=50&status=succeeded",
    "runs?limit=50&status=failed",
    "runs?limit=50&workflowName=stored",
    "runs?limit=50&keyPrefix=stored-77",
    "runs?limit=50&keyContains=ored-7777",
    "runs?limit=50&keyContains=77777",
    "runs?limit=50&keyContains=none",
    "runs?limit=50&keyContains=7",
    "runs?limit=50&errorKind=timed_out",
    "runs?limit=50&waitsFor=event",
    "runs?limit=50&tag=customer:c-77",
    "runs?limit=50&tag=customer:c-77&status=failed",
    "runs?limit=50&tag=env:prod",
    "runs?limit=50&tag=env:prod&status=failed",
    "runs?limit=50&dismissed=false",
    "runs?limit=50&cause={cause}",
    "causes",
    "causes?state=dismissed",
    "stats?window=86400000",
)
_TIMES = 20
_CUSTOMERS = 10_000


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--runs", default="1000,1000000")
    arguments.add_argument("--failed", type=int, default=100_000)
    chosen = arguments.parse_args()
    print(machine())
    for runs in map(int, chosen.runs.split(",")):
        with tempfile.TemporaryDirectory(prefix="atomic-bench-") as folder:
            began_s = time.perf_counter()
            rows.write(Path(folder), rows.settled("bench", runs, customers=_CUSTOMERS))
            rows.write(Path(folder), rows.failed("bench", chosen.failed))
            size_mib = sum(file.stat().st_size for file in Path(folder).iterdir()) / 2**20
            print(
                f"{runs} stored and {chosen.failed} failed runs ({size_mib:.0f} MiB, "
                f"in {time.perf_counter() - began_s:.0f} s)"
            )
            asyncio.run(_show(Path(folder)))


async def _show(data_dir: Path) -> None:
    ports = free_ports(2)
    app = python("bare.py", "app", ports[1], f"http://127.0.0.1:{ports[0]}/bench")
    with running(app, ports[1]) as app_pid:
        began_s = time.perf_counter()
        with running(atomic_server(ports[0], data_dir), ports[0]) as server_pid:
            ready_s = time.perf_counter() - began_s
            base, poster = f"http://127.0.0.1:{ports[0]}/bench", Poster()

            async def start(key: str) -> None:
                document = start_document(f"http://127.0.0.1:{ports[1]}/index", key)
                await poster.post(base, orjson.dumps(document))

            await start("first")
            first_s = time.perf_counter() - began_s
            print(
                f"  ready {ready_s:.2f} s, first run {first_s:.2f} s, memory {rss_mib(server_pid):.0f} MiB"
            )
            measured = await measure(start, callers=16, runs=500, pids=[server_pid, app_pid])
            p50, p99 = measured.percentile_ms(0.5), measured.percentile_ms(0.99)
            cpu = sum(measured.cpu_s)
            print(f"  3-step runs at 16 callers: p50 {p50:.1f} ms, p99 {p99:.1f} ms, {cpu:.2f} CPU s/1000")
            await _show_lists(base)
            await asyncio.sleep(5)
            print(f"  memory after it {rss_mib(server_pid):.0f} MiB")


async def _show_lists(base: str) -> None:
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{base}/causes") as answer:
            cause = (await answer.json())["causes"][0]["id"]
        for target in (each.format(cause=cause) for each in LISTS):
            took_ms = []
            for _ in range(_TIMES):
                began_s = time.perf_counter()
                async with session.get(f"{base}/{target}") as answer:
                    await answer.read()
                    assert answer.status == 200, await answer.text()
                took_ms.append((time.perf_counter() - began_s) * 1000)
            print(f"  {target:46} median {statistics.median(took_ms):6.1f} ms")


if __name__ == "__main__":
    uvloop.install()
    main()
