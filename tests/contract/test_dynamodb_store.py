"""The store contract on DynamoDB (moto)."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, ClassVar

import pytest
from botocore.exceptions import EndpointConnectionError

from atomic.adapters.aws.counter_items import Plan
from atomic.adapters.aws.counting import HourCounts, begin_count
from atomic.adapters.aws.dynamodb import DynamoStepStore
from atomic.adapters.system import SystemClock
from atomic.application.ports import StepStore, StoreUnavailable
from atomic.application.run_query import RunQuery
from atomic.domain.counters import HOUR_MS, KEPT_MS
from atomic.domain.outcomes import Outcome
from atomic.domain.steps import Step
from atomic.domain.transitions import begin
from atomic.protocol import keys
from atomic.protocol.enums import OutcomeKind, Status
from contract.acts_contract import ActsContract
from contract.aws import BUCKET, TABLE_NAME, Aws, aws, client
from contract.blob_contract import BlobContract
from contract.builders import a_spec
from contract.counters_contract import T0_MS, CountersContract
from contract.erase_contract import EraseContract, a_run
from contract.pointers_contract import PointersContract
from contract.schedules_contract import SchedulesContract
from contract.store_contract import StoreContract
from contract.store_suite import put
from unit.strategies import ended


class TestDynamoStepStore(
    StoreContract,
    BlobContract,
    SchedulesContract,
    PointersContract,
    ActsContract,
    EraseContract,
    CountersContract,
):
    without: ClassVar = {"purge": "DynamoDB deletes expired items by itself (time to live)"}

    @asynccontextmanager
    async def store(self, directory: Path) -> AsyncIterator[StepStore]:
        with aws() as account:
            yield account.store()

    async def count(self, store: StepStore) -> None:
        """As maintenance counts hours that it has never counted."""
        assert isinstance(store, DynamoStepStore)
        plan, now_ms = Plan(next_ms=T0_MS - HOUR_MS), T0_MS + 9 * HOUR_MS
        walk = begin_count("acme", plan, now_ms, KEPT_MS)
        hours = HourCounts(store._calls, store._roots, store._items, store._counters)
        await hours.count(walk, plan, now_ms, lambda: True)
        assert walk.is_over


INDEXED = ("lp", "fp", "at", "w", "k", "d")


def begun(key: str, at_ms: int) -> Step:
    """A root whose first attempt was begun when it was created, as the API function does."""
    return begin(a_spec(key=key), keys.ROOT, at_ms, "9" * 32)


def succeeded(root: Step) -> Step:
    return ended(root, Outcome(kind=OutcomeKind.SUCCEEDED, status=200), root.created_at_ms + 50)


def entry(account: Aws, root: Step) -> dict[str, Any]:
    """What the indexes have of a root."""
    key = {"pk": {"S": root.spec.run_id}, "sk": {"S": root.position}}
    item = account.dynamodb.get_item(TableName=TABLE_NAME, Key=key)["Item"]
    return {name: item[name] for name in INDEXED if name in item}


async def listed(store: DynamoStepStore, status: Status | None, **more: Any) -> list[str]:
    found = await store.list(RunQuery(client_id="acme", status=status, **more))
    return [root.spec.idempotency_key for root in found]


async def _a_run_that_works_at_once() -> None:
    with aws() as account:
        store, now_ms = account.store(), SystemClock().now_ms()
        root = begun("k", now_ms)
        await store.create(root)
        before = entry(account, root)
        assert await store.replace(succeeded(root), 1) is None
        # The entry was written once: nothing that it has has changed.
        assert entry(account, root) == before
        assert await listed(store, Status.SUCCEEDED) == ["k"]


async def _lists_of_what_runs() -> None:
    with aws() as account:
        store, now_ms = account.store(), SystemClock().now_ms()
        for number in range(6):
            await store.create(begun(f"k{number}", now_ms - 1_000 + number))
        done = begun("k1", now_ms - 999)
        await store.replace(succeeded(done), 1)
        running = ["k5", "k4", "k3", "k2", "k0"]
        assert await listed(store, Status.RUNNING) == running
        assert await listed(store, Status.SUCCEEDED) == ["k1"]
        assert await listed(store, None) == ["k5", "k4", "k3", "k2", "k1", "k0"]
        page = await store.list(RunQuery(client_id="acme", status=Status.RUNNING, limit=3))
        after = (page[-1].created_at_ms, page[-1].id)
        assert [root.spec.idempotency_key for root in page] == running[:3]
        assert await listed(store, Status.RUNNING, after=after) == running[3:]


async def _what_a_caller_was_told_of() -> None:
    with aws() as account:
        store, now_ms = account.store(), SystemClock().now_ms()
        root, other = begun("told", now_ms - 300_000), begun("done", now_ms - 300_000)
        for each in (root, other):
            await store.create(each)
        assert await store.count_live_of("acme", 10) == 0
        await store.list_live(root)
        # Maintenance sees what is counted here.
        assert await store.count_live_of("acme", 10) == 1
        assert await listed(store, Status.RUNNING) == ["told"]
        # It may have ended meanwhile.
        await store.replace(succeeded(other), 1)
        await store.list_live(other)
        assert await store.count_live_of("acme", 10) == 1
        # The row itself has not changed.
        assert await store.replace(succeeded(root), 1) is None
        assert await store.count_live_of("acme", 10) == 0


@pytest.mark.parametrize(
    "case", [_a_run_that_works_at_once, _lists_of_what_runs, _what_a_caller_was_told_of]
)
def test_a_root_that_begins_inline_is_listed_as_succeeded(case: Any) -> None:
    asyncio.run(case())


@pytest.mark.parametrize("done", range(4))
def test_an_erase_that_is_interrupted_is_ended_by_another_call(done: int) -> None:
    """After its first writes, the run is not there any more, nor can its place be taken."""

    async def body() -> None:
        with aws() as account:
            store = account.store()
            root = await a_run(store)
            run_id, row = root.spec.run_id, await store.get(root.id)
            assert row is not None
            with failing_after(account.dynamodb, done), pytest.raises(StoreUnavailable):
                await store.erase("acme", run_id, root)
            if done == 0:
                assert await store.get(root.id) == row
                assert not await store.erase("acme", run_id, None)
                return
            assert await store.get(root.id) is None
            assert root.id not in {step.id for step in await store.run(run_id, after=None, limit=10)}
            assert [*await store.list(RunQuery(client_id="acme"))] == []
            with pytest.raises(StoreUnavailable):
                await put(store, root)
            with pytest.raises(LookupError):
                await store.replace(row, row.version)
            assert not await store.erase("other", run_id, None)
            assert await store.erase("acme", run_id, None)
            assert account.dynamodb.scan(TableName=TABLE_NAME)["Items"] == []
            assert "Contents" not in client("s3").list_objects_v2(Bucket=BUCKET)
            await put(store, root)

    asyncio.run(body())


@contextmanager
def failing_after(dynamodb: Any, writes: int) -> Iterator[None]:
    """Let DynamoDB refuse every write after the first ones."""
    left = writes

    def refuse(model: Any, **_: Any) -> None:
        nonlocal left
        if model.name not in {"PutItem", "DeleteItem"}:
            return
        if left == 0:
            raise EndpointConnectionError(endpoint_url="https://dynamodb.example")
        left -= 1

    dynamodb.meta.events.register("before-call.*.*", refuse, unique_id="refuse")
    yield
    dynamodb.meta.events.unregister("before-call.*.*", unique_id="refuse")
