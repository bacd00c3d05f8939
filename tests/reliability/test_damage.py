"""A disk that returns other bytes than were written: acknowledged rows are unchanged, or are refused.

They are never wrong, and no file is changed or created anew. The exception is the last transaction in the
log. Damage to it looks like the torn end of a transaction that was never acknowledged, as a power cut
leaves it, and is dropped like one.
"""

import asyncio
import random
import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import apsw
import pytest

from atomic.adapters.sqlite.database import DatabaseRefused, Schema, close_database, open_database
from atomic.adapters.sqlite.schema import STEPS
from atomic.adapters.sqlite.store import SqliteStepStore
from atomic.application.blobs import stored_apart, with_payload
from atomic.application.ports import StoreUnavailable
from atomic.application.run_query import RunQuery
from atomic.domain.steps import Step
from contract.builders import a_root, a_spec, settled

PLACES = 200  # distributed over the three kinds of file
ROWS = 60
FRAME = 24 + 4096


@dataclass(frozen=True, slots=True)
class Data:
    """A data directory as a server leaves it; `acknowledged` is in the order of the commits."""

    directory: Path
    acknowledged: list[Step]

    @property
    def last(self) -> Step:
        """The row of the last transaction."""
        return self.acknowledged[-1]

    @property
    def rows(self) -> dict[str, Step]:
        """The newest version of each row."""
        return {step.id: step for step in self.acknowledged}


async def a_day(directory: Path, *, killed: bool) -> Data:
    """Rows of many sizes, one transaction each. Some are only in the log, as after a kill of the server."""
    store = await SqliteStepStore.open(directory / "work.db", on_fatal=pytest.fail)
    acknowledged = []
    for number in range(ROWS):
        payload = b'"' + b"x" * (10, 500, 3_000, 9_000)[number % 4] + b'"'
        step = await stored_apart(store, a_root(a_spec(key=f"k{number}", payload=payload)))
        await store.create(step)
        acknowledged.append(step)
        if number % 2:
            acknowledged.append(settled(step, 2_000))
            await store.replace(acknowledged[-1], 1)
        if number == ROWS // 2:
            store._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_FULL)
    if not killed:
        await store.close()
    leave(directory)
    await store.close()
    return Data(directory / "left", acknowledged)


def leave(directory: Path) -> None:
    """Copy the files in their present state."""
    (directory / "left").mkdir()
    for file in directory.glob("work.db*"):
        if not file.name.endswith("-shm"):
            shutil.copy(file, directory / "left" / file.name.replace("work", "atomic"))


async def found(data: Data) -> str:
    """What happened to the data, as text; AssertionError if it is not allowed."""
    try:
        store = await SqliteStepStore.open(data.directory / "atomic.db", on_fatal=lambda _: None)
    except DatabaseRefused as refused:
        return expect(str(refused), "is damaged", then="refused at the start")
    try:
        outcomes = {await row_as_found(store, step, data.last) for step in data.rows.values()}
        outcomes.add(await lists_as_found(store, data))
    finally:
        await store.close()
    return max(outcomes, key=["intact", "unreadable, and said so", "last transaction lost"].index)


def expect(message: str, *words: str, then: str) -> str:
    assert any(word in message for word in words), message
    return then


async def row_as_found(store: SqliteStepStore, step: Step, last: Step) -> str:
    try:
        row = await store.get(step.id)
        if row is not None:
            await with_payload(store, row)
    except StoreUnavailable as unreadable:
        said = ("is damaged", "Corrupt", "no such", "a large text of")
        return expect(str(unreadable), *said, then="unreadable, and said so")
    if row == step:
        return "intact"
    assert step == last, (step.id, row)
    assert row is None or row.version < step.version
    return "last transaction lost"


async def lists_as_found(store: SqliteStepStore, data: Data) -> str:
    """A row that is missing in lists would be lost as well: never processed, never shown."""
    rows = data.rows
    due = {step.id: step.due_at_ms for step in rows.values() if step.due_at_ms is not None}
    try:
        listed = {step.id for step in await store.list(RunQuery(client_id="acme", limit=1_000))}
        found_due = {step.id: step.due_at_ms for step in await store.due(10**15, 1_000)}
    except StoreUnavailable:
        return "unreadable, and said so"
    assert listed <= set(rows)
    for missing in set(rows) - listed - {data.last.id}:
        # A list leaves out what a read refuses, and nothing else.
        with pytest.raises(StoreUnavailable, match="is damaged"):
            await store.get(missing)
    assert {step_id for step_id, _ in set(due.items()) ^ set(found_due.items())} <= {data.last.id}
    return "intact"


KINDS = [("atomic.db", False), ("atomic.db", True), ("atomic.db-wal", True)]


@pytest.mark.parametrize(("name", "killed"), KINDS)
def test_a_changed_byte_is_refused_or_does_no_harm(tmp_path: Path, name: str, killed: bool) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance, outcomes = random.Random(seed), Counter[str]()
    data = asyncio.run(a_day(tmp_path, killed=killed))
    for number in range(-(-PLACES // len(KINDS))):
        tried = Data(tmp_path / "tried", data.acknowledged)
        shutil.copytree(data.directory, tried.directory)
        at = change_a_byte(tried.directory / name, chance)
        before = {file: file.read_bytes() for file in tried.directory.iterdir()}
        try:
            outcome = asyncio.run(found(tried))
        except AssertionError as wrong:
            raise AssertionError(f"seed {seed}, place {number}, byte {at}: {wrong}") from wrong
        outcomes[outcome] += 1
        if outcome == "refused at the start":
            assert all(file.read_bytes() == content for file, content in before.items())
        shutil.rmtree(tried.directory)
    print(name, "with a log" if killed else "", dict(outcomes))
    assert (outcomes["last transaction lost"] == 0) or name.endswith("-wal")


def change_a_byte(file: Path, chance: random.Random) -> int:
    """Change one byte; return its position."""
    content = bytearray(file.read_bytes())
    at = chance.randrange(len(content))
    content[at] ^= chance.randrange(1, 256)
    file.write_bytes(content)
    return at


@pytest.mark.parametrize("at", range(0, 32, 3))
def test_a_changed_head_of_the_log_is_refused(tmp_path: Path, at: int) -> None:
    data = asyncio.run(a_day(tmp_path, killed=True))
    log = data.directory / "atomic.db-wal"
    content = bytearray(log.read_bytes())
    content[at] ^= 0x10
    log.write_bytes(content)
    assert asyncio.run(found(data)) == "refused at the start"


def test_a_torn_last_transaction_is_dropped_and_the_rest_is_there(tmp_path: Path) -> None:
    data = asyncio.run(a_day(tmp_path, killed=True))
    log = data.directory / "atomic.db-wal"
    content = log.read_bytes()
    # After the last frame there may be old frames, with other salts, from before the log was restarted.
    last_frame = max(
        at for at in range(32, len(content), FRAME) if content[at + 8 : at + 16] == content[16:24]
    )
    log.write_bytes(content[: last_frame + FRAME - 512])
    assert asyncio.run(found(data)) == "last transaction lost"


def test_a_log_that_was_cut_off_earlier_looks_like_a_younger_one(tmp_path: Path) -> None:
    """A file alone cannot show that its end is missing. Rows are older then, but not wrong."""
    data = asyncio.run(a_day(tmp_path, killed=True))
    log = data.directory / "atomic.db-wal"
    log.write_bytes(log.read_bytes()[: log.stat().st_size // 2])

    async def rows() -> list[Step | None]:
        store = await SqliteStepStore.open(data.directory / "atomic.db", on_fatal=pytest.fail)
        try:
            return [await store.get(step_id) for step_id in data.rows]
        finally:
            await store.close()

    kept = [row for row in asyncio.run(rows()) if row is not None]
    assert 0 < len(kept) < ROWS
    assert all(row in data.acknowledged for row in kept)


def test_rows_of_before_the_checksums_are_read_and_get_them_with_the_next_write(tmp_path: Path) -> None:
    path = tmp_path / "atomic.db"
    step = a_root()

    async def body() -> None:
        store = await SqliteStepStore.open(path, on_fatal=pytest.fail)
        await store.create(step)
        await store._writer.submit(store._execute, "UPDATE steps SET fixed_sum = NULL, progress_sum = NULL")
        assert await store.get(step.id) == step
        await store.replace(settled(step, 2_000), 1)
        assert await store.get(step.id) == settled(step, 2_000)
        # Immutable columns are not written again.
        sums = store._rows.execute("SELECT fixed_sum IS NULL, progress_sum IS NULL FROM steps").fetchall()
        assert sums == [(1, 0)]
        await store.close()

    asyncio.run(body())


def test_a_file_of_before_the_checksums_is_brought_up_to_date(tmp_path: Path) -> None:
    first = Schema("steps", STEPS.migrations[:1])
    close_database(open_database(tmp_path / "atomic.db", first))

    async def body() -> None:
        store = await SqliteStepStore.open(tmp_path / "atomic.db", on_fatal=pytest.fail)
        assert await store.create(a_root()) is None
        await store.close()

    asyncio.run(body())
