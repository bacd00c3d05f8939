"""The store contract on a SQLite file, and what remains after reopening it."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from atomic.adapters.sqlite import listing
from atomic.adapters.sqlite import store as store_module
from atomic.adapters.sqlite.store import SqliteStepStore
from atomic.adapters.sqlite.tags import READ_THROUGH_MAX
from atomic.application.blobs import stored_apart
from atomic.application.run_query import RunQuery
from atomic.application.server_store import ServerStore
from atomic.domain.outcomes import StepError
from atomic.protocol.error_kinds import ErrorKind
from contract.builders import a_full_step, a_root, a_spec, settled
from contract.server_contracts import ServerContracts
from contract.store_suite import keyed, put


class TestSqliteStepStore(ServerContracts):
    @asynccontextmanager
    async def store(self, directory: Path) -> AsyncIterator[ServerStore]:
        store = await SqliteStepStore.open(directory / "atomic.db", on_fatal=pytest.fail)
        yield store
        await store.close()


class TestSqliteWithMuchInIt(TestSqliteStepStore):
    """The same contract on the plans for many: keys of a prefix, runs of a tag, steps of a run."""

    @pytest.fixture(autouse=True)
    def _all_is_much(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(store_module, "_OUTLINE_MAX", 1)
        walks = listing.HAS_MANY_KEYS.replace(str(listing.KEYS_SORTED_MAX), "0")
        monkeypatch.setattr(listing, "HAS_MANY_KEYS", walks)
        through = listing.HAS_MANY_RUNS.replace(str(READ_THROUGH_MAX), "0")
        monkeypatch.setattr(listing, "HAS_MANY_RUNS", through)


def test_reopening_the_file_keeps_everything(tmp_path: Path) -> None:
    async def session(*work: Any) -> list[Any]:
        store = await SqliteStepStore.open(tmp_path / "atomic.db", on_fatal=pytest.fail)
        try:
            return [await call(store) for call in work]
        finally:
            await store.close()

    full, root = a_full_step(), a_root()
    done = settled(root, 2_000)
    asyncio.run(session(lambda s: s.create(full), lambda s: s.create(root), lambda s: s.replace(done, 1)))
    query = RunQuery(client_id="acme")
    found = asyncio.run(
        session(lambda s: s.get(full.id), lambda s: s.get(root.id), lambda s: s.list(query))
    )
    assert found == [full, done, [done]]


def test_due_steps_do_not_wait_for_lists(tmp_path: Path) -> None:
    async def main() -> None:
        store = await SqliteStepStore.open(tmp_path / "atomic.db", on_fatal=pytest.fail)
        await store.create(a_root())
        may_end = threading.Event()
        reading = asyncio.create_task(store._lists.do(lambda _: may_end.wait(20)))
        await asyncio.sleep(0)
        assert [step.due_at_ms for step in await store.due(1_001, 10)] == [1_000]
        assert await store.count_live() == 1
        assert not reading.done()
        may_end.set()
        assert await reading
        await store.close()

    asyncio.run(main())


@pytest.mark.parametrize("size", [20, 3_000, 300_000])
def test_no_byte_of_an_erased_run_is_in_the_files(tmp_path: Path, size: int) -> None:
    """Neither in the database nor in its log, whatever was rewritten before."""
    canary = b"canary of a payload"

    def left() -> int:
        return sum(path.read_bytes().count(canary) for path in tmp_path.iterdir())

    async def main() -> None:
        store = await SqliteStepStore.open(tmp_path / "atomic.db", on_fatal=pytest.fail)
        payload = b'"' + canary * (1 + size // len(canary)) + b'"'
        for number in range(40):
            await put(store, keyed(f"beside-{number}"))
        root = await stored_apart(store, a_root(a_spec(key="erased", payload=payload)))
        await store.create(root)
        for version in range(1, 30):
            root = replace(root, version=version + 1)
            # The text grows and shrinks, so that the row moves.
            log = StepError(ErrorKind.NETWORK, "x" * (17 * version % 400))
            assert await store.replace(replace(root, error=log), version) is None
        assert left()
        assert await store.erase("acme", root.spec.run_id, root)
        assert left() == 0
        await store.close()
        assert left() == 0

    asyncio.run(main())
