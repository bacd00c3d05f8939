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
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import orjson
import uvloop

import rows
from application import start_document
from bare import Poster
from load import Measured, measure
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


@dataclass(frozen=True, slots=True)
class Stored:
    """The result; `lists_ms` has the median of each of LISTS."""

    size_mib: float
    written_s: float
    ready_s: float
    first_s: float
    rss_first_mib: float
    workflow: Measured
    lists_ms: dict[str, float]
    rss_last_mib: float


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--runs", default="1000,1000000")
    arguments.add_argument("--failed", type=int, default=100_000)
    chosen = arguments.parse_args()
    print(machine())
    for runs in map(int, chosen.runs.split(",")):
        _show(runs, chosen.failed, measured(runs, chosen.failed))


def _show(runs: int, failed: int, result: Stored) -> None:
    written = f"({result.size_mib:.0f} MiB, in {result.written_s:.0f} s)"
    print(f"{runs} stored and {failed} failed runs {written}")
    memory = f"memory {result.rss_first_mib:.0f} MiB"
    print(f"  ready {result.ready_s:.2f} s, first run {result.first_s:.2f} s, {memory}")
    p50, p99 = (result.workflow.percentile_ms(share) for share in (0.5, 0.99))
    cpu = sum(result.workflow.cpu_s)
    print(f"  3-step runs at 16 callers: p50 {p50:.1f} ms, p99 {p99:.1f} ms, {cpu:.2f} CPU s/1000")
    for target, median_ms in result.lists_ms.items():
        print(f"  {target:46} median {median_ms:6.1f} ms")
    print(f"  memory after it {result.rss_last_mib:.0f} MiB")


def measured(runs: int, failed: int) -> Stored:
    """Store so many runs, and use a server on them."""
    with tempfile.TemporaryDirectory(prefix="atomic-bench-") as folder:
        began_s = time.perf_counter()
        rows.write(Path(folder), rows.settled("bench", runs, customers=_CUSTOMERS))
        rows.write(Path(folder), rows.failed("bench", failed))
        size_mib = sum(file.stat().st_size for file in Path(folder).iterdir()) / 2**20
        return uvloop.run(_measured(Path(folder), size_mib, time.perf_counter() - began_s))


async def _measured(data_dir: Path, size_mib: float, written_s: float) -> Stored:
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
            first_s, rss_first_mib = time.perf_counter() - began_s, rss_mib(server_pid)
            workflow = await measure(start, callers=16, runs=500, pids=[server_pid, app_pid])
            lists_ms = await _lists_ms(base)
            await asyncio.sleep(5)
            rss_last_mib = rss_mib(server_pid)
    return Stored(size_mib, written_s, ready_s, first_s, rss_first_mib, workflow, lists_ms, rss_last_mib)


async def _lists_ms(base: str) -> dict[str, float]:
    medians_ms = {}
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{base}/causes") as answer:
            cause = (await answer.json())["causes"][0]["id"]
        for listed in LISTS:
            target = listed.format(cause=cause)
            took_ms = []
            for _ in range(_TIMES):
                began_s = time.perf_counter()
                async with session.get(f"{base}/{target}") as answer:
                    await answer.read()
                    assert answer.status == 200, await answer.text()
                took_ms.append((time.perf_counter() - began_s) * 1000)
            medians_ms[listed] = statistics.median(took_ms)
    return medians_ms


if __name__ == "__main__":
    main()
