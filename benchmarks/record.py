"""Runs all benchmarks and appends their main figures to the history.

    python benchmarks/record.py [--runs 2000] [--stored 100000] [--due 20000] …      (`make bench`)

The default sizes take less than 15 minutes on two cores. Names of figures have the size, so figures of
different sizes are not compared. Each benchmark is a program of its own, which shows more.
"""

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import uvloop

import backlog
import chain
import queued
import stored
import user_creation
from history import HISTORY, Figure, Line, Machine, Unit, append
from load import Measured, at

_SERVERS: Final = "atomic,bare,atomic-values,atomic-fastapi"
# What the history has of the lists beside many stored runs; `stored.py` shows all of them.
_LISTS: Final = {
    "newest": "runs?limit=50",
    "by-key-prefix": "runs?limit=50&keyPrefix=stored-77",
    "by-key-part": "runs?limit=50&keyContains=77777",
    "by-tag": "runs?limit=50&tag=customer:c-77",
    "causes": "causes",
    "stats": "stats?window=86400000",
}
Figures = Iterator[tuple[str, float, Unit]]


def main() -> None:
    """Measure, print, append."""
    options, commit = _options(), _commit()
    if options.history == HISTORY and commit.endswith("-dirty"):
        sys.exit(
            "commit your changes first, or name another file by --history: these figures are of no commit"
        )
    date, began_s, before = datetime.now(UTC), time.perf_counter(), os.getloadavg()[0]
    figures: dict[str, Figure] = {}
    parts: tuple[Callable[[argparse.Namespace], Figures], ...]
    parts = (_workflow, _chain, _backlog, _queued, _stored)
    for part in parts:
        for name, value, unit in part(options):
            figures[name] = Figure(value=round(value, 4), unit=unit)
            print(f"{time.perf_counter() - began_s:4.0f} s  {name:44}{value:10.5g} {unit}", flush=True)
    line = Line(
        date=date.replace(microsecond=0),
        commit=commit,
        machine=Machine(cores=os.cpu_count() or 1, cpu=_cpu(), python=platform.python_version()),
        load=(round(before, 2), round(os.getloadavg()[0], 2)),
        took_s=round(time.perf_counter() - began_s),
        figures=figures,
    )
    append(line, options.history)
    print(f"{len(figures)} figures in {line.took_s:.0f} s, appended to {options.history}")


def _options() -> argparse.Namespace:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("--callers", default="1,16,64,256")
    arguments.add_argument("--runs", type=int, default=2000)
    arguments.add_argument("--servers", default=_SERVERS)
    arguments.add_argument("--steps", default="10,100,1000")
    arguments.add_argument("--rounds", type=int, default=3, help="of chains")
    arguments.add_argument("--due", type=int, default=20_000)
    arguments.add_argument("--queued", type=int, default=20_000)
    arguments.add_argument("--posts", type=int, default=1_000, help="beside the steps in line")
    arguments.add_argument("--stored", type=int, default=100_000)
    arguments.add_argument("--failed", type=int, default=10_000, help="beside the stored runs")
    arguments.add_argument("--history", type=Path, default=HISTORY)
    return arguments.parse_args()


def _workflow(options: argparse.Namespace) -> Figures:
    for callers in map(int, options.callers.split(",")):
        for server in options.servers.split(","):
            runs = user_creation.runs_for(callers, options.runs)
            result = uvloop.run(user_creation.measured(server, callers, runs))
            yield from _of_workflow(f"workflow/{server}/{callers}", result)


def _of_workflow(name: str, result: Measured) -> Figures:
    yield f"{name}/rate", result.runs_per_s, "runs/s"
    for percent in (50, 95, 99):
        yield f"{name}/p{percent}", result.percentile_ms(percent / 100), "ms"
    for part, used_s, mib in zip(("server", "application"), result.cpu_s, result.rss_mib, strict=True):
        yield f"{name}/cpu-{part}", used_s, "CPU s/1000 runs"
        yield f"{name}/memory-{part}", mib, "MiB"


def _chain(options: argparse.Namespace) -> Figures:
    lengths = [int(length) for length in options.steps.split(",")]
    for server in options.servers.split(","):
        result = uvloop.run(chain.measured(server, lengths, options.rounds))
        for length, (took_s, used_s) in result.items():
            yield f"chain/{server}/{length}/step", took_s * 1000, "ms"
            yield f"chain/{server}/{length}/cpu", used_s * 1000, "CPU ms"


def _backlog(options: argparse.Namespace) -> Figures:
    for due in (0, options.due):
        with tempfile.TemporaryDirectory(prefix="atomic-bench-") as folder:
            result = uvloop.run(backlog.measured(Path(folder), due, 0))
        yield f"backlog/{due}/ready", result.ready_s, "s"
        yield f"backlog/{due}/other-p50", at(result.latencies_ms, 0.5), "ms"
        yield f"backlog/{due}/other-p99", at(result.latencies_ms, 0.99), "ms"
        yield f"backlog/{due}/memory", result.rss_mib, "MiB"
        if due:
            yield f"backlog/{due}/drained", due / result.drained_s, "steps/s"


def _queued(options: argparse.Namespace) -> Figures:
    for number in (0, options.queued):
        with tempfile.TemporaryDirectory(prefix="atomic-bench-") as folder:
            result = uvloop.run(queued.measured(Path(folder), number, options.posts))
        yield f"queued/{number}/other-p50", at(result.latencies_ms, 0.5), "ms"
        yield f"queued/{number}/other-p99", at(result.latencies_ms, 0.99), "ms"
        yield f"queued/{number}/memory", result.rss_mib, "MiB"


def _stored(options: argparse.Namespace) -> Figures:
    for runs in (1_000, options.stored):
        result = stored.measured(runs, options.failed)
        yield f"stored/{runs}/ready", result.ready_s, "s"
        yield f"stored/{runs}/first-run", result.first_s, "s"
        for name, target in _LISTS.items():
            yield f"stored/{runs}/{name}", result.lists_ms[target], "ms"
        yield f"stored/{runs}/memory", result.rss_last_mib, "MiB"


def _commit() -> str:
    asked = [
        "git",
        "-C",
        str(HISTORY.parent),
        "describe",
        "--always",
        "--abbrev=12",
        "--exclude",
        "*",
        "--dirty",
    ]
    return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()


if __name__ == "__main__":
    main()
