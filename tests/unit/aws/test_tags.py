"""What tags cost on AWS, in which order they are written, and how long they are kept."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from atomic.adapters.aws import rows, table
from atomic.adapters.aws.long_runs import DAY_MS
from atomic.application.batches import side_by_side
from atomic.application.ports import StoreUnavailable
from atomic.application.run_query import RunQuery
from atomic.domain.steps import Step
from atomic.protocol.enums import Status
from contract.aws import TABLE_NAME, Aws, Recorder, aws
from contract.builders import a_root, a_spec, settled
from contract.store_suite import keyed, put
from unit.aws.test_bill import Runtime, answer
from unit.aws.test_long_runs import DAYS_30, NOW, Upkeep, kept_30_days

TAGS = ("customer:c-17", "env:prod")


@pytest.fixture
def account() -> Iterator[Aws]:
    with aws() as account:
        yield account


def tag_items(account: Aws) -> list[dict[str, Any]]:
    found = account.dynamodb.scan(TableName=TABLE_NAME)["Items"]
    return [item for item in found if item["pk"]["S"].startswith(table.TAG)]


def test_a_tag_is_one_write_and_a_run_without_tags_writes_nothing_more(account: Aws) -> None:
    async def body() -> None:
        runtime = Runtime(account)
        runtime.invoker.handlers[a_spec().url] = answer({"id": 7})
        with Recorder(account.dynamodb, account.sqs) as recorder:
            await runtime.call(a_spec(key="plain"))
            plain = Counter(recorder.operations)
            assert plain == {"PutItem": 1, "UpdateItem": 1, "SendMessage": 1}
            for number in (1, 2):
                recorder.calls.clear()
                started = await runtime.call(a_spec(key=f"k-{number}", tags=TAGS[:number]))
                assert started.step.status is Status.SUCCEEDED
                assert Counter(recorder.operations) - plain == {"PutItem": number, "GetItem": 1}
            recorder.calls.clear()
            assert not (await runtime.call(a_spec(key="k-2", tags=TAGS))).created
            # It is found before anything is written.
            assert "PutItem" not in recorder.operations
        assert len(tag_items(account)) == 3

    asyncio.run(body())


def test_a_search_by_tag_is_four_queries_and_one_read_of_rows(account: Aws) -> None:
    async def body() -> None:
        store = account.store()
        roots = [keyed(f"k-{n}", at_ms=1_000 + n, tags=TAGS[: n % 3]) for n in range(60)]
        await put(store, *roots)
        with Recorder(account.dynamodb) as recorder:
            found = await store.list(RunQuery(client_id="acme", tags=("customer:c-17",), limit=50))
        assert found == [root for root in reversed(roots) if root.spec.tags]
        assert Counter(recorder.operations) == {"Query": table.SHARDS, "BatchGetItem": 1}

    asyncio.run(body())


def test_a_page_of_a_tag_reads_some_500_rows_at_most(account: Aws) -> None:
    """However few of the runs with the tag are in the wanted state; the next page goes on."""

    async def body() -> None:
        store = account.store()
        roots = [
            keyed(
                f"k-{n}",
                at_ms=1_000 + n,
                tags=TAGS[:1],
                status=Status.FAILED if n < 2 else Status.CANCELLED,
            )
            for n in range(1_250)
        ]
        await side_by_side(*(put(store, root) for root in roots))
        query, pages = (
            RunQuery(client_id="acme", tags=TAGS[:1], status=Status.FAILED, limit=50),
            list[int](),
        )
        found: list[Step] = []
        while True:
            with Recorder(account.dynamodb) as recorder:
                page = await store.list(query)
            assert recorder.operations.count("BatchGetItem") <= 6
            pages.append(len(page))
            found += page
            if page.after is None:
                break
            query = replace(query, after=page.after)
        assert (found, pages) == ([roots[1], roots[0]], [0, 0, 2])

    asyncio.run(body())


def test_tags_are_written_before_their_run(account: Aws) -> None:
    """A process may end after each write. A run that stands is found; one that does not is not listed."""

    async def body() -> None:
        store = account.store()
        root = keyed("k-1", tags=TAGS)

        async def found(tag: str) -> Any:
            return await store.list(RunQuery(client_id="acme", tags=(tag,)))

        for failing in range(3):
            event, puts = "provide-client-params.dynamodb.PutItem", []

            def fail(failing: int = failing, puts: list[int] = puts, **_: Any) -> None:
                puts.append(1)
                if len(puts) > failing:
                    raise ConnectionError

            account.dynamodb.meta.events.register(event, fail, unique_id="fail")
            try:
                with pytest.raises((StoreUnavailable, ConnectionError)):
                    await store.create(replace(root, created_at_ms=500 + failing))
            finally:
                account.dynamodb.meta.events.unregister(event, unique_id="fail")
            assert (await store.get(root.id), [await found(tag) for tag in TAGS]) == (None, [[], []])
        assert await store.create(root) is None
        # The items of the starts that came to nothing neither double it nor change its place.
        newer = keyed("k-2", at_ms=2_000, tags=TAGS)
        await put(store, newer)
        assert [await found(tag) for tag in TAGS] == [[newer, root]] * 2

    asyncio.run(body())


def test_the_items_of_tags_live_as_long_as_their_run(account: Aws) -> None:
    async def body() -> None:
        store = account.store()
        upkeep = Upkeep.of(account, store)
        spec = a_spec(tags=TAGS)
        live = kept_30_days(a_root(spec, at_ms=NOW, status=Status.WAITING))
        await put(store, live)

        def expiries_s() -> set[int]:
            return {int(item["ttl"]["N"]) for item in tag_items(account)}

        def lives_s(root: Step) -> int:
            return rows.ttl_s(root) or 0

        # That of a run which ends within a day.
        assert expiries_s() == {lives_s(settled(live, NOW + DAY_MS))}
        last_s = min(expiries_s())
        for day in range(1, 100):
            assert min(expiries_s()) > (NOW + day * DAY_MS) // 1000
            await upkeep.on(NOW + day * DAY_MS)
        assert min(expiries_s()) > last_s
        done = settled(live, NOW + 100 * DAY_MS)
        assert await store.replace(done, 1) is None
        await upkeep.on(NOW + 101 * DAY_MS)
        assert expiries_s() == {lives_s(done)}
        assert lives_s(done) * 1000 > NOW + 100 * DAY_MS + DAYS_30

    asyncio.run(body())
