"""Simulated power cuts: rows are written to the real store, the power fails, the remaining image is opened.

`python -m reliability.power_cuts CUTS [SEED]` runs a campaign, and a control campaign without syncs.
"""

import asyncio
import random
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from atomic.adapters.sqlite.database import DatabaseRefused
from atomic.adapters.sqlite.store import SqliteStepStore
from atomic.application.blobs import for_all, stored_apart, with_payload
from atomic.application.run_query import RunQuery
from atomic.domain.steps import Step
from contract.builders import a_root, a_spec, settled
from reliability.recording_vfs import FATES, Cut, RecordingVfs

WRITERS = 8
ROUNDS = 8
# The second power cut happens on what the first one left, during or after its recovery.
LIVES = 2


@dataclass(frozen=True, slots=True)
class Danger:
    """How the file is written, and in which range of writes the power fails."""

    synchronous: str
    log_pages: tuple[int, ...]
    """After how many pages the log is copied into the database. Each life draws one of the numbers."""
    cut_between: tuple[int, int]


# Checkpoints are part of the danger, so they happen earlier than at 16 MiB. Early cuts hit a file without
# tables.
FULL = Danger("FULL", (8, 40, 4000), (1, 600))
# Without syncs, only a checkpoint would sync, so there is none: acknowledged rows must get lost.
CONTROL = Danger("NORMAL", (4000,), (150, 600))


@dataclass(slots=True)
class WriteLog:
    """The row written under each id and version, and the newest acknowledged version of each id."""

    written: dict[tuple[str, int], Step] = field(default_factory=dict)
    acknowledged: dict[str, int] = field(default_factory=dict)
    before_cut: dict[str, int] = field(default_factory=dict)

    def acknowledge(self, step: Step) -> None:
        """The store has reported the row as durable."""
        self.acknowledged[step.id] = step.version

    def cut(self) -> None:
        """Everything acknowledged until now has to survive."""
        self.before_cut = dict(self.acknowledged)

    def wrong(self, rows: dict[str, Step | None]) -> list[str]:
        """The ids whose row is missing, older than acknowledged, or different from every written row."""
        return [step_id for step_id, row in rows.items() if not self._holds(step_id, row)]

    def _holds(self, step_id: str, row: Step | None) -> bool:
        if row is None:
            return step_id not in self.before_cut
        return row.version >= self.before_cut.get(step_id, 0) and row == self.written.get(
            (step_id, row.version)
        )


@dataclass(frozen=True, slots=True)
class Result:
    """The result of a life: wrong rows, the number of acknowledged rows, and when the power failed."""

    wrong: list[str]
    acknowledged: int
    cut: Cut


def lives(seed: int, directory: Path, danger: Danger) -> Iterator[Result]:
    """Write, cut, reopen; each life begins with what the one before left."""
    chance = random.Random(seed)
    log = WriteLog()
    for life in range(LIVES):
        cut = Cut(
            after_writes=chance.randrange(*danger.cut_between),
            fate=chance.choice(FATES),
            seed=chance.randrange(2**32),
        )
        before, after = directory / f"life-{life}", directory / f"life-{life + 1}"
        before.mkdir(exist_ok=True)
        image = asyncio.run(_write_until_cut(before, log, cut, chance, danger))
        after.mkdir()
        for name, content in image.items():
            (after / name).write_bytes(content)
        wrong = asyncio.run(_wrong_rows(after, log))
        yield Result(wrong, len(log.before_cut), cut)
        if wrong:
            return


async def _write_until_cut(
    directory: Path, log: WriteLog, cut: Cut, chance: random.Random, danger: Danger
) -> dict[str, bytes]:
    with RecordingVfs.installed(cut, log.cut) as vfs:
        store = await SqliteStepStore.open(directory / "atomic.db", on_fatal=_fail)
        store._connection.pragma("synchronous", danger.synchronous)
        store._connection.pragma("wal_autocheckpoint", chance.choice(danger.log_pages))
        life = directory.name
        seeds = [chance.randrange(2**32) for _ in range(WRITERS)]
        await asyncio.gather(
            *(_writer(store, log, f"{life}-{number}", seed) for number, seed in enumerate(seeds))
        )
        vfs.cut_now()
        await store.close()
    assert vfs.image is not None
    return vfs.image


async def _writer(store: SqliteStepStore, log: WriteLog, name: str, seed: int) -> None:
    chance = random.Random(seed)
    for number in range(ROUNDS):
        size = chance.choice([2, 200, 6_000])
        spec = a_spec(key=f"{name}-{number}", payload=b'"' + b"x" * size + b'"')
        step = await stored_apart(store, a_root(spec))
        log.written[step.id, step.version] = step
        await store.create(step)
        log.acknowledge(step)
        for _ in range(chance.randrange(3)):
            after = replace(step, version=step.version + 1, nonce=f"{chance.random()}")
            step = await _replace(store, log, after)
        await _replace(store, log, settled(step, 2_000))
        if chance.random() < 0.3:
            await asyncio.sleep(0.001)


async def _replace(store: SqliteStepStore, log: WriteLog, after: Step) -> Step:
    log.written[after.id, after.version] = after
    await store.replace(after, after.version - 1)
    log.acknowledge(after)
    return after


async def _wrong_rows(directory: Path, log: WriteLog) -> list[str]:
    """Open the image as a server does, and check every row that was ever written."""
    try:
        store = await SqliteStepStore.open(directory / "atomic.db", on_fatal=_fail)
    except DatabaseRefused as refused:
        return [*log.before_cut, str(refused)]
    try:
        assert store._connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        rows = {step_id: await store.get(step_id) for step_id, _ in log.written}
        listed = await store.list(RunQuery(client_id="acme", limit=10_000))
        # A row names only texts that are there; a missing or damaged one raises StoreUnavailable.
        await for_all(store, listed, with_payload)
    finally:
        await store.close()
    found = {row.id: row for row in rows.values() if row is not None}
    assert {step.id: step for step in listed} == found
    # A row that survived was read, so from now on it counts as acknowledged.
    wrong = log.wrong(rows)
    log.acknowledged = {step_id: row.version for step_id, row in found.items()}
    return wrong


def _fail(message: str) -> None:
    raise AssertionError(message)


@dataclass(slots=True)
class Campaign:
    """Counts over many lives."""

    cuts: int = 0
    acknowledged: int = 0
    lost_in: int = 0
    lost: int = 0
    failures: list[str] = field(default_factory=list)

    def add(self, seed: int, result: Result) -> None:
        """Count one life."""
        self.cuts += 1
        self.acknowledged += result.acknowledged
        self.lost += len(result.wrong)
        self.lost_in += bool(result.wrong)
        if result.wrong:
            self.failures.append(f"seed {seed}, {result.cut}: {result.wrong[:3]}")


def campaign(cuts: int, seed: int, directory: Path, danger: Danger) -> Campaign:
    """The counts over that many cuts, with seeds from the given one on."""
    counted = Campaign()
    while counted.cuts < cuts:
        position = directory / f"{danger.synchronous}-{seed}"
        position.mkdir()
        for result in lives(seed, position, danger):
            counted.add(seed, result)
        shutil.rmtree(position)
        seed += 1
    return counted


def main(cuts: int, seed: int) -> int:
    """Run the campaigns and print the results; return the exit code."""
    print(f"seed {seed}")
    with tempfile.TemporaryDirectory() as directory:
        full = campaign(cuts, seed, Path(directory), FULL)
        control = campaign(cuts, seed, Path(directory), CONTROL)
    for name, found in (("FULL", full), ("NORMAL (control)", control)):
        print(
            f"synchronous={name}: {found.cuts} cuts, {found.acknowledged} acknowledged rows, "
            f"{found.lost} lost or changed, in {found.lost_in} cuts"
        )
    print(*full.failures, sep="\n")
    return int(full.lost > 0 or control.lost_in < 0.9 * control.cuts)


if __name__ == "__main__":
    chosen = int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(2**32)
    raise SystemExit(main(int(sys.argv[1]), chosen))
