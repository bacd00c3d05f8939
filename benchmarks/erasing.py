"""What it costs to erase: a long run at once, and each delete of a row, which is overwritten by zeros.

    python benchmarks/erasing.py --steps 10000 --rows 20000

Rows have a payload of some 900 bytes. The second part writes rows and purges them, with and without
`secure_delete`, three times in turn, and prints microseconds of wall time a row.
"""

import argparse
import asyncio
import time
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import rows
from atomic.adapters.sqlite.store import SqliteStepStore
from atomic.domain.steps import Step


async def erase(path: Path, run: list[Step]) -> float:
    """Milliseconds that the erase of a run takes."""
    store = await SqliteStepStore.open(path, on_fatal=print)
    await rows.create(store, run)
    root = await store.get(run[0].id)
    assert root is not None
    began_s = time.perf_counter()
    assert await store.erase(root.spec.client_id, root.spec.run_id, root)
    took_ms = (time.perf_counter() - began_s) * 1_000
    await store.close()
    return took_ms


async def write_and_purge(path: Path, steps: list[Step], *, overwrites: bool) -> tuple[float, float]:
    """Microseconds that a row takes to be written, and to be purged."""
    store = await SqliteStepStore.open(path, on_fatal=print)
    store._connection.execute(f"PRAGMA secure_delete = {'ON' if overwrites else 'OFF'}")
    began_s = time.perf_counter()
    await rows.create(store, [replace(step, expires_at_ms=1) for step in steps])
    written_s = time.perf_counter()
    assert await store.purge(2, len(steps)) == len(steps)
    purged_s = time.perf_counter()
    await store.close()
    return (written_s - began_s) / len(steps) * 1e6, (purged_s - written_s) / len(steps) * 1e6


def main() -> None:
    """Measure both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--rows", type=int, default=20_000)
    asked = parser.parse_args()
    with TemporaryDirectory() as folder:
        took_ms = asyncio.run(erase(Path(folder) / "run.db", list(rows.run_of("bench", asked.steps))))
        print(f"a run of {asked.steps + 1} steps is erased in {took_ms:.0f} ms")
        steps = list(rows.settled("bench", asked.rows))
        for turn in range(3):
            for overwrites in (True, False):
                path = Path(folder) / f"{turn}-{overwrites}.db"
                write_us, purge_us = asyncio.run(write_and_purge(path, steps, overwrites=overwrites))
                name = "with" if overwrites else "without"
                print(f"{name:>8} secure_delete: a write {write_us:5.1f} us, a purge {purge_us:5.1f} us")


if __name__ == "__main__":
    main()
