"""Counters of a file that an earlier version wrote, and of a run whose minute is no longer kept."""

import asyncio
from pathlib import Path

import pytest

from atomic.adapters.sqlite.database import Schema, close_database, open_database
from atomic.adapters.sqlite.schema import STEPS
from atomic.adapters.sqlite.store import SqliteStepStore
from atomic.application.counter_store import CounterQuery
from atomic.domain.counters import HOUR_MS, MINUTE_MS, Counter
from contract.builders import settled
from contract.store_suite import keyed

HOUR = 500_000 * HOUR_MS
# Before there were counters of minutes.
_BEFORE = 15


def test_hours_that_were_counted_before_keep_their_numbers(tmp_path: Path) -> None:
    path = tmp_path / "atomic.db"
    old = open_database(path, Schema(STEPS.name, STEPS.migrations[:_BEFORE]))
    old.execute(
        "INSERT INTO counters (client_id, hour_ms, workflow_name, started, succeeded, failed, cancelled, "
        "retries, duration_ms_sum, last_started_ms, d7, d16) VALUES "
        f"('acme', {HOUR}, 'createUser', 9, 2, 3, 1, 7, 12000, {HOUR + 5}, 1, 1)"
    )
    close_database(old)
    asyncio.run(_read_and_go_on(path))


async def _read_and_go_on(path: Path) -> None:
    store = await SqliteStepStore.open(path, on_fatal=pytest.fail)

    async def hour() -> Counter:
        query = CounterQuery(client_id="acme", from_ms=HOUR, before_ms=HOUR + HOUR_MS)
        [found] = (await store.counters(query)).counters
        return found

    tally = (await hour()).tally
    assert (tally.started, tally.succeeded, tally.failed, tally.cancelled) == (9, 2, 3, 1)
    assert (tally.live, tally.retries, tally.last_started_ms) == (3, 7, HOUR + 5)
    # Of durations that were counted up to coarse bounds, the sum is known and no share.
    assert (tally.duration_ms_sum, tally.duration_ms_of(0.5)) == (12_000, None)
    root = keyed("k", at_ms=HOUR + 7 * MINUTE_MS)
    await store.create(root)
    await store.replace(settled(root, root.created_at_ms + 12_345), 1)
    tally = (await hour()).tally
    assert (tally.started, tally.succeeded) == (10, 3)
    # The shortest one is not known, so the longest one is the bound.
    assert 10_000 < (tally.duration_ms_of(0.95) or 0) <= 12_345
    minutes = CounterQuery(client_id="acme", from_ms=HOUR, before_ms=HOUR + HOUR_MS, every_ms=MINUTE_MS)
    [minute] = (await store.counters(minutes)).counters
    assert (minute.began_ms, minute.tally.started) == (HOUR + 7 * MINUTE_MS, 1)
    assert minute.tally.duration_ms_of(0.95) == 12_345
    await store.close()


def test_a_run_that_ends_after_its_minute_is_gone_counts_in_its_hour(tmp_path: Path) -> None:
    async def end() -> None:
        store = await SqliteStepStore.open(tmp_path / "atomic.db", on_fatal=pytest.fail)
        root = keyed("k", at_ms=HOUR)
        await store.create(root)
        # The minute of a run may be gone when it ends.
        store._connection.execute("DELETE FROM minute_counters")
        await store.replace(settled(root, HOUR + 12 * HOUR_MS), 1)
        query = CounterQuery(client_id="acme", from_ms=HOUR, before_ms=HOUR + HOUR_MS)
        [found] = (await store.counters(query)).counters
        assert (found.tally.succeeded, found.tally.live) == (1, 0)
        assert found.tally.duration_ms_of(0.5) == 12 * HOUR_MS
        assert store._connection.execute("SELECT count(*) FROM minute_counters").get == 0
        await store.close()

    asyncio.run(end())
