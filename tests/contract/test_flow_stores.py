"""The contract of flow control: in memory, in the file of the steps, in the table on AWS."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from atomic.adapters.aws.flow import DynamoFlowStore
from atomic.adapters.memory.flow import MemoryFlowStore
from atomic.adapters.sqlite.flow import SqliteFlowStore
from atomic.adapters.sqlite.store import SqliteStepStore
from atomic.application.flow_store import FlowStore, ServerFlowStore
from atomic.domain.flow import FlowEntry, Rate
from contract.aws import TABLE_NAME, aws
from contract.flow_contract import AT, NOW_MS, FlowContract, ServerFlowContract, asking, one


def unreachable(message: str) -> None:
    pytest.fail(message)


class TestMemoryFlowStore(ServerFlowContract):
    @asynccontextmanager
    async def store(self) -> AsyncIterator[ServerFlowStore]:
        yield MemoryFlowStore()


class TestSqliteFlowStore(ServerFlowContract):
    @pytest.fixture(autouse=True)
    def _in(self, tmp_path: Path) -> None:
        self.path = tmp_path / "atomic.db"

    @asynccontextmanager
    async def store(self) -> AsyncIterator[ServerFlowStore]:
        steps = await SqliteStepStore.open(self.path, on_fatal=unreachable)
        try:
            yield steps.flow
        finally:
            await steps.close()

    def test_it_is_there_after_a_restart(self) -> None:
        async def main() -> None:
            entry = one(rate=Rate(2, 1000), priority=1, fair="f")
            async with self.store() as store:
                await store.enter(asking("a", entry), NOW_MS)
                place = await store.enter(asking("b", entry), NOW_MS)
                await store.pin(AT, {"pinned_rate": Rate(3, 7), "is_paused": True, "note": "slow"}, NOW_MS)
                state = await store.state(AT)
            async with self.store() as store:
                assert await store.state(AT) == state
                assert await store.enter(asking("b", entry), NOW_MS) == place

        asyncio.run(main())

    def test_nobody_looks_for_ended_leases_where_no_flow_control_is_used(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        reads: list[object] = []
        read = SqliteFlowStore._read

        async def counted(self: SqliteFlowStore, reader: Any, what: Any) -> Any:
            reads.append(what)
            return await read(self, reader, what)

        monkeypatch.setattr(SqliteFlowStore, "_read", counted)

        async def main() -> None:
            async with self.store() as store:
                assert await store.leased_until(2**53, 9) == []
                assert reads == []
                await store.enter(asking("a", FlowEntry(key="k", concurrency=1)), NOW_MS)
                assert len(await store.leased_until(2**53, 9)) == 1
            async with self.store() as store:
                assert len(await store.leased_until(2**53, 9)) == 1
            assert len(reads) == 2

        asyncio.run(main())

    def test_nothing_is_left_of_it_after_a_reset(self) -> None:
        async def main() -> None:
            steps = await SqliteStepStore.open(self.path, on_fatal=unreachable)
            for name in ("a", "b"):
                await steps.flow.enter(asking(name, FlowEntry(key="k", concurrency=1)), NOW_MS)
            await steps.clear()
            assert await steps.flow.state(AT) is None
            assert await steps.flow.leased_until(2**53, 9) == []
            await steps.close()

        asyncio.run(main())


class TestDynamoFlowStore(FlowContract):
    @asynccontextmanager
    async def store(self) -> AsyncIterator[FlowStore]:
        with aws() as account:
            yield DynamoFlowStore(account.calls, account.dynamodb, TABLE_NAME)
