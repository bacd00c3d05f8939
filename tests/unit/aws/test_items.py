"""The table's items beyond the store contract: expiry, lagging indexes, unprocessed batch items."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from atomic.adapters.aws import packing, rows, table
from atomic.adapters.aws.dynamodb import DynamoStepStore
from atomic.adapters.aws.rows import GRACE_S
from atomic.application.ports import StoreUnavailable
from atomic.application.run_query import RunQuery
from atomic.domain.events import Redriven
from atomic.domain.transitions import transition
from atomic.protocol import keys
from atomic.protocol.enums import Status
from contract.aws import TABLE_NAME, Aws, Recorder, aws
from contract.builders import a_child, a_full_step, a_root, settled
from contract.store_suite import keyed, put

DAY_MS = 86_400_000
NOW = 1_767_225_600_000


def on_table(test: Callable[[Aws, DynamoStepStore], Awaitable[None]]) -> Callable[[], None]:
    """Run the test on a fresh account."""

    def run() -> None:
        async def body() -> None:
            with aws() as account:
                await test(account, account.store())

        asyncio.run(body())

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run


def items(account: Aws) -> list[dict[str, Any]]:
    """The items of runs."""
    found = account.dynamodb.scan(TableName=TABLE_NAME, ConsistentRead=True)["Items"]
    return [item for item in found if item["pk"]["S"].startswith("run_")]


def ttls(account: Aws) -> dict[str, int | None]:
    """The expiry of each item, by the position of its step."""
    return {item["sk"]["S"]: int(item["ttl"]["N"]) if "ttl" in item else None for item in items(account)}


# --- records ---


def test_stored_records_stay_readable() -> None:
    # If one of these fails, do not change the test: the dictionary was changed, which makes all stored rows
    # unreadable.
    digest = hashlib.sha256(packing._DICTIONARY).hexdigest()
    assert digest == "1cd038d18a9ec2468824e22e2285ace2dd34a001a79867303ff761c4161e0907"
    stored = bytes.fromhex("232ed0a81a5566e64646a6c0246568648cab7826a9f00796e12885efe195407fc5d60200")
    assert packing.unpack_record(stored) == {
        "status": "succeeded",
        "generation": 1,
        "attempt_count": 1,
        "attempt_log": [
            {
                "number": 1,
                "generation": 1,
                "started_at_ms": 1767225600123,
                "outcome": "retryable",
                "error": {"kind": "endpoint_answered", "detail": "500", "excerpt": "é"},
            }
        ],
    }


@on_table
async def test_a_step_that_is_no_root_and_did_not_fail_is_in_no_index(
    account: Aws, store: DynamoStepStore
) -> None:
    for number, status in enumerate(Status):
        await put(store, a_child(f"step {number}", status=status))
    indexed = [item for item in items(account) if item.keys() & {"lp", "fp", "at", "w", "k", "d"}]
    assert len(indexed) == 1
    assert indexed[0].keys() >= {"fp", "at", "w", "k"}


@on_table
async def test_a_redriven_step_leaves_the_index_and_does_not_expire(
    account: Aws, store: DynamoStepStore
) -> None:
    child = a_child("mail", status=Status.FAILED)
    await put(store, child)
    assert ttls(account)[child.position] == (child.expires_at_ms or 0) // 1000 + GRACE_S
    assert await store.failed(RunQuery(client_id="acme")) == [child.id]
    await store.replace(transition(child, Redriven(generation=1), NOW), child.version)
    assert ttls(account)[child.position] is None
    assert await store.failed(RunQuery(client_id="acme")) == []


# --- lagging indexes, unprocessed batch items ---


@on_table
async def test_a_list_shows_no_run_under_a_state_that_it_has_left(
    account: Aws, store: DynamoStepStore
) -> None:
    roots = [keyed(f"k{number}", at_ms=1_000 + number) for number in range(6)]
    await put(store, *roots)
    done = settled(roots[5], 2_000)
    await store.replace(done, 1)
    account.dynamodb.update_item(  # the index is not up to date yet
        TableName=TABLE_NAME,
        Key={"pk": {"S": done.spec.run_id}, "sk": {"S": keys.ROOT}},
        UpdateExpression="SET lp = :old",
        ExpressionAttributeValues={
            ":old": {"S": f"acme#pending#{int(done.spec.run_id[-8:], 16) % 4}"},
        },
    )
    query = RunQuery(client_id="acme", status=Status.PENDING, limit=2)
    assert await store.list(query) == [roots[4], roots[3]]
    assert await store.list(replace(query, status=None)) == [done, roots[4]]
    key = {"pk": {"S": roots[4].spec.run_id}, "sk": {"S": keys.ROOT}}
    gone = account.dynamodb.get_item(TableName=TABLE_NAME, Key=key)["Item"]
    account.dynamodb.delete_item(TableName=TABLE_NAME, Key=key)
    account.dynamodb.put_item(TableName=TABLE_NAME, Item=gone | {"sk": {"S": "deleted"}})
    assert await store.list(query) == [roots[3], roots[2]]


@on_table
async def test_unprocessed_items_of_a_batch_are_requested_again(
    account: Aws, store: DynamoStepStore
) -> None:
    roots = [keyed(f"k{number}") for number in range(3)]
    await put(store, *roots)
    answers = 0

    def leave_one(parsed: dict[str, Any], **_: Any) -> None:
        nonlocal answers
        answers += 1
        found = parsed["Responses"][TABLE_NAME]
        if answers < 3 and found:
            left = found.pop()
            key = {name: left[name] for name in ("pk", "sk")}
            parsed["UnprocessedKeys"] = {TABLE_NAME: {"Keys": [key], "ConsistentRead": True}}

    event = "after-call.dynamodb.BatchGetItem"
    account.dynamodb.meta.events.register(event, leave_one, unique_id="leave")
    try:
        assert len(await store.list(RunQuery(client_id="acme"))) == 3
        assert answers == 3
    finally:
        account.dynamodb.meta.events.unregister(event, unique_id="leave")


@on_table
async def test_a_batch_that_is_never_finished_is_an_error(account: Aws, store: DynamoStepStore) -> None:
    store._items._batch_gap_s = 0.0
    await put(store, a_root())

    def leave_all(parsed: dict[str, Any], **_: Any) -> None:
        found = parsed["Responses"].pop(TABLE_NAME, [])
        left = [{name: item[name] for name in ("pk", "sk")} for item in found]
        parsed["UnprocessedKeys"] = {TABLE_NAME: {"Keys": left}}

    event = "after-call.dynamodb.BatchGetItem"
    account.dynamodb.meta.events.register(event, leave_all, unique_id="leave")
    try:
        with pytest.raises(StoreUnavailable, match="unread"):
            await store.list(RunQuery(client_id="acme"))
    finally:
        account.dynamodb.meta.events.unregister(event, unique_id="leave")


@on_table
async def test_lists_of_more_than_one_page_of_the_index(account: Aws, store: DynamoStepStore) -> None:
    """With a filter, DynamoDB may return an empty page that is not the last."""
    roots = [keyed(f"{'a' if n % 5 == 0 else 'b'}{n}", at_ms=1_000 + n) for n in range(25)]
    await put(store, *roots)

    def small_pages(params: dict[str, Any], **_: Any) -> None:
        params["Limit"] = 1

    event = "provide-client-params.dynamodb.Query"
    account.dynamodb.meta.events.register(event, small_pages, unique_id="small")
    try:
        found = await store.list(RunQuery(client_id="acme", key_prefix="a"))
        assert [step.spec.idempotency_key for step in found] == ["a20", "a15", "a10", "a5", "a0"]
        assert (await store.count("acme", 1_005)).runs == {Status.PENDING: 20}
        assert await store.count_live_of("acme", 100) == 25
    finally:
        account.dynamodb.meta.events.unregister(event, unique_id="small")


@on_table
async def test_a_run_that_settles_while_it_is_listed_is_there_once(
    account: Aws, store: DynamoStepStore
) -> None:
    """It was read under its old state, and is read again under the new one."""
    old = keyed("old", at_ms=1_000)
    newer = [keyed(f"k{n}", at_ms=2_000 + n, status=Status.SUCCEEDED) for n in range(40)]
    newer = [root for root in newer if table.shard_of(root) == table.shard_of(old)]
    await put(store, old, *newer)

    def settle(params: dict[str, Any], **_: Any) -> None:
        if "ExclusiveStartKey" in params:
            store._items.replace(settled(old, 5_000), 1)
        params["Limit"] = 1

    event = "provide-client-params.dynamodb.Query"
    account.dynamodb.meta.events.register(event, settle, unique_id="settle")
    try:
        found = await store.list(RunQuery(client_id="acme"))
    finally:
        account.dynamodb.meta.events.unregister(event, unique_id="settle")
    assert found == [*reversed(newer), settled(old, 5_000)]


@on_table
async def test_a_few_runs_among_many_are_found_with_few_calls(account: Aws, store: DynamoStepStore) -> None:
    """The others are listed in a state that they have left."""
    roots = [keyed(f"k{n}", at_ms=1_000 + n) for n in range(240)]
    await put(store, *roots)
    for root in roots[1:]:
        store._items._client.update_item(
            TableName=TABLE_NAME,
            Key=table.key_of(root.id),
            UpdateExpression="SET g = :g",
            ExpressionAttributeValues={":g": rows.encode(settled(root, 2_000)).changing["g"]},
        )
    with Recorder(account.dynamodb) as recorder:
        assert await store.list(RunQuery(client_id="acme", status=Status.PENDING, limit=1)) == [roots[0]]
    # Pages of 1, 2, 4 … entries in four partitions; rows by 1, 100, 100 and the rest.
    assert recorder.operations.count("Query") <= 4 * 7
    assert recorder.operations.count("BatchGetItem") == 4


@on_table
async def test_a_page_of_a_run_begins_anywhere(account: Aws, store: DynamoStepStore) -> None:
    root, child = a_root(), a_child("mail")
    await put(store, root, child)
    run_id = root.spec.run_id
    cases = {"": 2, f"{run_id}-": 2, child.id: 1, root.id: 0, "zzz": 0, f"{run_id}-zzz": 0}
    for after, count in cases.items():
        assert len(await store.run(run_id, after=after, limit=10)) == count, after


@on_table
async def test_reads_that_decide_are_strongly_consistent(account: Aws, store: DynamoStepStore) -> None:
    root = a_full_step()
    await put(store, root)
    with Recorder(account.dynamodb) as recorder:
        await store.get(root.id)
        await store.outline(root.spec.run_id)
        await store.run(root.spec.run_id, after=None, limit=1)
        assert all(arguments["ConsistentRead"] for _, arguments in recorder.calls)
        assert len(recorder.calls) == 3
