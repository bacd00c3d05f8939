"""kill -9 while rows are written: acknowledged rows are kept, and the counters equal the rows."""

import asyncio
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from atomic.adapters.sqlite.lock import DataDirLock
from atomic.adapters.sqlite.store import SqliteStepStore
from atomic.application.counter_store import CounterQuery
from atomic.domain.counters import HOUR_MS, MINUTE_MS
from atomic.protocol.enums import Status

_ACKNOWLEDGED = 400


async def write_for_ever(directory: Path) -> None:
    """Create and settle runs, and print the id of each acknowledged one."""
    from contract.builders import a_root, a_spec, settled

    store = await SqliteStepStore.open(directory / "atomic.db", on_fatal=pytest.fail)

    async def writer(number: int) -> None:
        for round_number in range(1_000_000):
            step = a_root(a_spec(key=f"{number}-{round_number}"))
            await store.create(step)
            await store.replace(settled(step, 2_000), 1)
            print(step.id, flush=True)

    await asyncio.gather(*map(writer, range(16)))


def test_kill(tmp_path: Path) -> None:
    for _ in range(3):
        _write_and_kill(tmp_path)


def _write_and_kill(directory: Path) -> None:
    command = [sys.executable, __file__, str(directory)]
    acknowledged = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            acknowledged.append(line.strip())
            if len(acknowledged) == _ACKNOWLEDGED:
                process.kill()
                break
        acknowledged += [line.strip() for line in process.stdout if line.endswith("\n")]
    assert len(acknowledged) >= _ACKNOWLEDGED
    asyncio.run(_all_there(directory, acknowledged))
    for file in directory.glob("atomic.db*"):
        file.unlink()


async def _all_there(directory: Path, ids: list[str]) -> None:
    with DataDirLock(directory):
        store = await SqliteStepStore.open(directory / "atomic.db", on_fatal=pytest.fail)
        rows = [await store.get(step_id) for step_id in ids]
        found = {status: await store.with_status(status, after="", limit=1_000_000) for status in Status}
        query = CounterQuery(client_id="acme", from_ms=0, before_ms=HOUR_MS)
        [counter] = (await store.counters(query)).counters
        [of_minute] = (await store.counters(replace(query, every_ms=MINUTE_MS))).counters
        await store.close()
    assert [row and row.status for row in rows] == [Status.SUCCEEDED] * len(ids)
    assert counter.tally.started == sum(map(len, found.values()))
    assert counter.tally.succeeded == len(found[Status.SUCCEEDED])
    assert of_minute.tally == counter.tally


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))
    asyncio.run(write_for_ever(Path(sys.argv[1])))
