"""Campaigns that are too long for a test run: `make simulate`, `make programs`, `make crash-pairs`.

The work is divided among several processes. Each failure is printed with its story, and a line with the
totals is appended to `ledger.jsonl`.
"""

import argparse
import json
import logging
import multiprocessing
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

from atomic.runtime.faults import Faults
from programs.oracle import Unequal, check, check_cancelled, check_under, smallest
from simulation.crash_points import WORKLOADS, crash, pairs
from simulation.flow_world import play as play_flow
from simulation.interleave import LawBroken
from simulation.play_schedules import play_schedules
from simulation.programs import play_program
from simulation.simulate import play

LEDGER: Final = Path(__file__).with_name("ledger.jsonl")
_PIECE: Final = 250
_PIECES_OF_PAIRS: Final = 16


@dataclass(slots=True)
class Tally:
    """The result of a piece of work."""

    played: int = 0
    cpu_s: float = 0.0
    sums: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    def add(self, other: "Tally") -> None:
        """Add another result."""
        self.played += other.played
        self.cpu_s += other.cpu_s
        self.sums += other.sums
        self.faults += other.faults
        self.failures += other.failures


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a campaign; return 1 if a law was broken."""
    parser = argparse.ArgumentParser(prog="simulation.campaign", description=__doc__)
    parser.add_argument(
        "what",
        choices=(*_WORKS, "pairs"),
    )
    parser.add_argument("--seeds", default="0..10000", help="first..last, the last not included")
    parser.add_argument("--processes", type=int, default=multiprocessing.cpu_count())
    options = parser.parse_args(arguments)
    pieces: list[Callable[[], Tally]]
    if options.what == "pairs":
        pieces = [partial(_pairs, *w, part) for w in WORKLOADS for part in range(_PIECES_OF_PAIRS)]
        options.seeds = "all"
    else:
        first, last = (int(end) for end in options.seeds.split(".."))
        work = _WORKS[options.what]
        pieces = [partial(work, n, min(n + _PIECE, last)) for n in range(first, last, _PIECE)]
    began_s = time.monotonic()
    total = _run(pieces, options.processes)
    _write_down(options.what, options.seeds, total, time.monotonic() - began_s)
    return 1 if total.failures else 0


def _run(pieces: Sequence[Callable[[], Tally]], processes: int) -> Tally:
    total = Tally()
    with multiprocessing.Pool(processes) as pool:
        for number, tally in enumerate(pool.imap_unordered(_call, pieces), 1):
            total.add(tally)
            for failure in tally.failures:
                print(failure, flush=True)
            if sys.stderr.isatty():
                print(f"\r{number}/{len(pieces)}", end="", file=sys.stderr, flush=True)
    return total


def _call(piece: Callable[[], Tally]) -> Tally:
    logging.disable(logging.CRITICAL)
    return piece()


def _seeds(first: int, last: int) -> Tally:
    def one(tally: Tally, seed: int) -> None:
        played = play(seed)
        tally.faults += played.happened
        tally.sums["calls"] += played.calls
        tally.sums["writes"] += played.writes
        tally.sums["virtual_s"] += round(played.virtual_s)
        _one_of_schedules(tally, seed)

    return _tally(one, range(first, last))


def _adapting(first: int, last: int) -> Tally:
    def one(tally: Tally, seed: int) -> None:
        for played in (play(seed, adapts=True), play(seed, adapts=True, starts_runs=True)):
            tally.faults += played.happened
            tally.sums += played.adapted
            tally.sums["calls"] += played.calls

    return _tally(one, range(first, last))


def _pausing(first: int, last: int) -> Tally:
    def one(tally: Tally, seed: int) -> None:
        played = play(seed, pauses=True, starts_runs=seed % 2 == 0)
        tally.faults += played.happened
        tally.sums += played.pauses
        tally.sums["calls"] += played.calls

    return _tally(one, range(first, last))


def _pausing_workflows(first: int, last: int) -> Tally:
    def one(tally: Tally, seed: int) -> None:
        manner = {"pauses": seed % 3 == 0, "starts_runs": seed % 2 == 0}
        played = play(seed, pauses_workflows=True, **manner)
        tally.faults += played.happened
        tally.sums += played.pauses
        tally.sums["calls"] += played.calls

    return _tally(one, range(first, last))


def _hooking(first: int, last: int) -> Tally:
    def one(tally: Tally, seed: int) -> None:
        played = play(seed, hooks=True, pauses=seed % 3 == 0, starts_runs=seed % 2 == 0)
        tally.faults += played.happened
        tally.sums += played.hooks
        tally.sums["calls"] += played.calls

    return _tally(one, range(first, last))


def _flow(first: int, last: int) -> Tally:
    def one(tally: Tally, seed: int) -> None:
        world = play_flow(seed)
        tally.sums["calls"] += world.calls
        tally.sums["crashes"] += world.crashes
        if world.broken:
            raise LawBroken("\n".join([f"flow, seed {seed}", *world.broken]))

    return _tally(one, range(first, last))


def _schedules(first: int, last: int) -> Tally:
    return _tally(_one_of_schedules, range(first, last))


def _one_of_schedules(tally: Tally, seed: int) -> None:
    world = play_schedules(seed)
    tally.faults += world.faults.happened
    tally.sums["scheduled_runs"] += len(world.truth.fired)
    tally.sums["schedule_writes"] += len(world.truth.writes)


def _programs(first: int, last: int) -> Tally:
    def one(tally: Tally, seed: int) -> None:
        tally.sums["effects"] += play_program(seed).effects.total()

    return _tally(one, range(first, last))


def _sdk(first: int, last: int) -> Tally:
    def one(tally: Tally, seed: int) -> None:
        try:
            played = check(seed)
        except Unequal:
            raise Unequal(f"seed {seed}: {smallest(seed).report()}") from None
        if played is not None:
            tally.faults += played.schedule.happened
            tally.sums["effects"] += played.plain.done.effects.total()

    return _tally(one, range(first, last))


def _hostile(first: int, last: int) -> Tally:
    def one(tally: Tally, seed: int) -> None:
        faults = Faults("hostile", seed)
        played = check_under(faults, seed)
        if played is not None:
            tally.faults += Counter({str(name): number for name, number in faults.made.items()})
            tally.sums["effects"] += played.plain.done.effects.total()

    return _tally(one, range(first, last))


def _cancelled(first: int, last: int) -> Tally:
    def one(tally: Tally, seed: int) -> None:
        played = check_cancelled(seed)
        if played is not None:
            tally.faults += played.schedule.happened

    return _tally(one, range(first, last))


def _pairs(name: str, runtime: str, part: int) -> Tally:
    def one(tally: Tally, crashes: Any) -> None:
        tally.faults += crash(name, runtime, crashes).faults.happened

    return _tally(one, list(pairs(name, runtime))[part::_PIECES_OF_PAIRS])


def _tally(one: Callable[[Tally, Any], None], items: Sequence[Any]) -> Tally:
    tally, began_s = Tally(played=len(items)), time.process_time()
    for item in items:
        try:
            one(tally, item)
        except LawBroken as failure:
            tally.failures.append(str(failure))
    tally.cpu_s = time.process_time() - began_s
    return tally


_WORKS: Final = {
    "seeds": _seeds,
    "adapting": _adapting,
    "pausing": _pausing,
    "pausing-workflows": _pausing_workflows,
    "hooking": _hooking,
    "flow": _flow,
    "schedules": _schedules,
    "programs": _programs,
    "sdk": _sdk,
    "hostile": _hostile,
    "cancelled": _cancelled,
}


def _write_down(what: str, seeds: str, total: Tally, wall_s: float) -> None:
    line = {
        "commit": _commit(),
        "what": what,
        "seeds": seeds,
        "played": total.played,
        "broken": len(total.failures),
        "cpu_s": round(total.cpu_s, 1),
        "wall_s": round(wall_s, 1),
        **total.sums,
        "faults": dict(total.faults.most_common()),
    }
    print(json.dumps(line, indent=2))
    with LEDGER.open("a") as ledger:
        ledger.write(json.dumps(line) + "\n")


def _commit() -> str:
    """The commit, marked if the tree has uncommitted changes."""
    git = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    return subprocess.run(git, capture_output=True, text=True, check=True, cwd=LEDGER.parent).stdout.strip()


if __name__ == "__main__":
    raise SystemExit(main())
