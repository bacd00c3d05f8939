"""Large texts on AWS: where they are, for how long, and what is billed for them."""

import asyncio
import math
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from atomic.adapters.aws.blob_items import FOLDER_DAYS, ITEM_MAX_BYTES, ROW_MAX_BYTES, BlobItems
from atomic.adapters.aws.dynamodb import DynamoStepStore
from atomic.adapters.aws.rows import GRACE_S
from atomic.adapters.aws.table import key_of
from atomic.application.blobs import stored_apart, with_payload
from atomic.application.child_steps import first_page
from atomic.application.ports import StoreUnavailable
from atomic.application.run_query import RunQuery
from atomic.domain.blobs import Blob, is_at_hand
from atomic.domain.event_steps import EARLY_KEPT_MS, early
from atomic.domain.events import ResultPosted
from atomic.domain.outcomes import StoredBody
from atomic.domain.steps import Step, changed
from atomic.entrypoints.aws.prices import read_usd, write_usd
from contract.aws import BUCKET, TABLE_NAME, Aws, Recorder, aws, client
from contract.builders import a_child, a_root, a_spec, incompressible, settled
from contract.store_suite import put

DAY_MS = 86_400_000
NOW = 1_767_225_600_000
RETENTION_MS = 30 * DAY_MS
MEDIUM, LARGE = 20_000, 200_000


def on_table(test: Callable[[Aws, DynamoStepStore], Awaitable[None]]) -> Callable[[], None]:
    """Run the test on a fresh account."""

    def run() -> None:
        async def body() -> None:
            with aws() as account:
                await test(account, account.store())

        asyncio.run(body())

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run


def root_with(size: int, **spec: Any) -> Step:
    payload = b'"' + incompressible(size - 2) + b'"'
    return a_root(replace(a_spec(payload=payload, **spec), retention_ms=RETENTION_MS), at_ms=NOW)


def items(account: Aws) -> dict[str, dict[str, Any]]:
    """The items by their sort keys."""
    found = account.dynamodb.scan(TableName=TABLE_NAME, ConsistentRead=True)["Items"]
    return {item["sk"]["S"]: item for item in found}


def objects() -> list[str]:
    return [each["Key"] for each in client("s3").list_objects_v2(Bucket=BUCKET).get("Contents", [])]


def ttl_s(item: dict[str, Any]) -> int:
    return int(item["ttl"]["N"])


def blob_of(step: Step) -> Blob:
    assert isinstance(step.spec.payload, Blob)
    return step.spec.payload


@on_table
async def test_a_text_is_in_the_row_or_an_item_or_the_bucket_by_its_size_when_deflated(
    account: Aws, store: DynamoStepStore
) -> None:
    root = root_with(3_000)
    await put(store, root)
    assert (list(items(account)), objects()) == (["root"], [])
    packs_well = a_root(a_spec(key="b", payload=b'"' + b"x" * (ROW_MAX_BYTES - 2) + b'"'))
    await put(store, packs_well)
    assert (list(items(account)), objects()) == (["root"], [])
    medium = await stored_apart(store, root_with(MEDIUM, key="c"))
    name = f"~root#{blob_of(medium).digest}"
    assert items(account)[name]["pk"]["S"] == medium.spec.run_id
    assert objects() == []
    large = await stored_apart(store, root_with(LARGE, key="d"))
    assert objects() == [f"64-days/{large.spec.run_id}/root/{blob_of(large).digest}"]


@on_table
async def test_rows_are_read_without_texts_that_are_long_when_inflated(
    account: Aws, store: DynamoStepStore
) -> None:
    """They are 2 KB of the table each. A page of a run, a list or a handler's results has many rows."""
    root, text = a_root(), b'"' + b"x" * ROW_MAX_BYTES + b'"'
    steps = [replace(settled(a_child(str(n)), NOW), response=StoredBody(text, "json")) for n in range(3)]
    await put(store, root, *(replace(s, spec=replace(s.spec, payload=Blob.of(text))) for s in steps))
    found = [step for step in await store.run(root.spec.run_id, after=None, limit=9) if not step.is_root]
    assert len(found) == 3
    for step in found:
        assert step.response is not None
        assert not any(map(is_at_hand, (step.spec.payload, step.response.text)))
        assert (await with_payload(store, step)).spec.payload == text
    assert objects() == []


def test_a_page_of_children_is_bounded_by_the_payloads_that_were_read_with_the_rows() -> None:
    payload = replace(Blob.of(b"x" * ROW_MAX_BYTES), place="row")
    steps = [a_child(str(number)) for number in range(9)]
    steps = [replace(step, spec=replace(step.spec, payload=payload)) for step in steps]
    assert len(first_page(steps, limit=9, max_bytes=3 * ROW_MAX_BYTES).steps) == 2


@on_table
async def test_an_item_has_64_kib_at_most(account: Aws, store: DynamoStepStore) -> None:
    await stored_apart(store, root_with(LARGE // 3))
    [item] = items(account).values()
    assert len(item["t"]["B"]) <= ITEM_MAX_BYTES
    assert objects() == []


@on_table
async def test_a_text_outlives_its_row(account: Aws, store: DynamoStepStore) -> None:
    root = await stored_apart(store, root_with(MEDIUM))
    await put(store, root)
    done = replace(settled(root, NOW + DAY_MS), response=StoredBody(incompressible(MEDIUM), "text"))
    assert await store.replace(await stored_apart(store, done), root.version) is None
    row, *texts = (items(account)[name] for name in sorted(items(account)))
    assert len(texts) == 2
    assert all(ttl_s(text) > ttl_s(row) for text in texts)


@on_table
async def test_a_writer_that_keeps_a_text_for_less_time_changes_nothing(
    account: Aws, store: DynamoStepStore
) -> None:
    first = await stored_apart(store, root_with(MEDIUM))
    before = items(account)
    again = replace(root_with(MEDIUM), created_at_ms=NOW - DAY_MS)
    assert await stored_apart(store, again) == replace(first, created_at_ms=NOW - DAY_MS)
    assert items(account) == before
    await stored_apart(store, replace(again, created_at_ms=NOW + DAY_MS))
    assert items(account) != before


@on_table
async def test_an_early_event_has_its_text_as_long_as_when_a_handler_asks_late(
    account: Aws, store: DynamoStepStore
) -> None:
    spec = replace(a_spec(kind="event", parent=a_root().id), retention_ms=RETENTION_MS)
    event = early(spec, ResultPosted(StoredBody(incompressible(MEDIUM), "json")), NOW)
    await put(store, event)
    text = next(item for name, item in items(account).items() if name.startswith("~"))
    asked_ms = NOW + EARLY_KEPT_MS
    assert ttl_s(text) > (asked_ms + RETENTION_MS) // 1000 + GRACE_S


@on_table
async def test_texts_of_a_run_that_lives_long_are_kept_on(account: Aws, store: DynamoStepStore) -> None:
    medium, large = (root_with(size, key=str(size)) for size in (MEDIUM, LARGE))
    await put(store, medium, large)
    name = next(name for name in items(account) if name.startswith("~"))
    day_s, kept_s = NOW // 1000 + 29 * 86_400, NOW // 1000 + 60 * 86_400
    for before_s, is_due in ((day_s, False), (kept_s, True), (kept_s, False)):
        with Recorder(account.dynamodb, client("s3")) as recorder:
            for step in (medium, large):
                await store.keep(step.spec.run_id, before_s, kept_s)
        expected = {"Query": 2} | ({"UpdateItem": 3, "CopyObject": 1} if is_due else {})
        assert Counter(recorder.operations) == expected
    assert ttl_s(items(account)[name]) == kept_s + 2 * GRACE_S
    for step in (medium, large):
        found = await store.get(step.id)
        assert found is not None
        assert is_at_hand((await with_payload(store, found)).spec.payload)


@on_table
async def test_a_missing_object_keeps_the_rest_of_a_run_from_nothing(
    account: Aws, store: DynamoStepStore
) -> None:
    root = root_with(LARGE)
    child = replace(root_with(MEDIUM), id=a_child("mail", root.spec).id)
    await put(store, root, child)
    client("s3").delete_object(Bucket=BUCKET, Key=objects()[0])
    kept_s = NOW // 1000 + 60 * 86_400
    await store.keep(root.spec.run_id, kept_s, kept_s)
    assert {int(item["x"]["N"]) for item in items(account).values() if "x" in item} == {kept_s}
    found = await store.get(root.id)
    assert found is not None
    with pytest.raises(StoreUnavailable, match="is missing"):
        await with_payload(store, found)


@pytest.mark.parametrize("code", ["AccessDenied", "SlowDown", "InternalError"])
def test_an_object_that_is_not_read_is_not_said_to_be_missing(code: str) -> None:
    @on_table
    async def refused(_: Aws, store: DynamoStepStore) -> None:
        root = await stored_apart(store, root_with(LARGE))
        await put(store, root)
        store._blobs._s3 = Refusing
        found = await store.get(root.id)
        assert found is not None
        with pytest.raises(StoreUnavailable) as raised:
            await with_payload(store, found)
        assert raised.value.kind == f"GetObject: {code}"
        with pytest.raises(StoreUnavailable):
            await store.keep(root.spec.run_id, NOW, NOW)

    class Refusing:
        def get_object(self, **_: Any) -> None:
            raise ClientError({"Error": {"Code": code}}, "GetObject")

        def copy_object(self, **_: Any) -> None:
            raise ClientError({"Error": {"Code": code}}, "CopyObject")

    refused()


@on_table
async def test_texts_of_a_long_run_that_has_ended_outlive_their_rows(
    account: Aws, store: DynamoStepStore
) -> None:
    root = root_with(100)
    child = replace(root_with(MEDIUM), id=a_child("mail", root.spec).id)
    child = await stored_apart(store, settled(child, NOW))
    await put(store, root, child)
    until_s = (NOW + 20 * DAY_MS + RETENTION_MS) // 1000 + GRACE_S
    await store.keep(root.spec.run_id, until_s, until_s)
    found = items(account)
    text = next(item for name, item in found.items() if name.startswith("~"))
    assert ttl_s(found[child.position]) == until_s
    assert ttl_s(text) > ttl_s(found[child.position])


@pytest.mark.parametrize(("retention_days", "folder"), [(1, 64), (30, 64), (49, 64), (50, 128), (366, 512)])
def test_the_folder_is_the_first_that_is_kept_long_enough(retention_days: int, folder: int) -> None:
    blobs = BlobItems(
        client("dynamodb"), TABLE_NAME, lambda: client("s3"), BUCKET, retention_days=retention_days
    )
    assert blobs._folder == f"{folder}-days"
    assert folder in FOLDER_DAYS


# --- what is billed ---


def size_of(item: dict[str, Any]) -> int:
    """The billed bytes of an item, closely enough: names and values."""
    return sum(len(name) + len(next(iter(value.values()))) for name, value in item.items())


@on_table
async def test_a_change_of_a_row_is_billed_the_same_whatever_its_payload(
    account: Aws, store: DynamoStepStore
) -> None:
    sizes = {}
    for size in (1_000, MEDIUM, LARGE, 2_000_000):
        root = await stored_apart(store, root_with(size, key=f"k{size}"))
        await put(store, root)
        with Recorder(account.dynamodb, client("s3")) as recorder:
            step: Step | None = root
            for _ in range(10):
                assert step is not None
                assert await store.replace(await stored_apart(store, changed(step)), step.version) is None
                step = await store.get(root.id)
        assert recorder.operations == ["UpdateItem", "GetItem"] * 10
        row = account.dynamodb.get_item(TableName=TABLE_NAME, Key=key_of(root.id))["Item"]
        sizes[size] = -(-size_of(row) // 1024)
    # Write units. The row with a payload of 1 KB has it.
    assert sizes == {1_000: 2, MEDIUM: 1, LARGE: 1, 2_000_000: 1}


@on_table
async def test_what_docs_say_of_large_payloads_follows_from_what_is_called(
    account: Aws, store: DynamoStepStore
) -> None:
    page = (Path(__file__).parents[3] / "docs/cost.md").read_text()
    for size, name, write, read in (
        (MEDIUM, "20 KB", "a write of an item", "a read of it"),
        (LARGE, "200 KB, or 2 MiB", "a PUT of an object", "a GET of it"),
    ):
        with Recorder(account.dynamodb, client("s3")) as recorder:
            step = await stored_apart(store, root_with(size))
        assert recorder.operations == ["PutItem" if size == MEDIUM else "PutObject"]
        with Recorder(account.dynamodb, client("s3")) as recorder:
            unread = replace(blob_of(step), text=None)
            await with_payload(store, replace(step, spec=replace(step.spec, payload=unread)))
        assert recorder.operations == ["GetItem" if size == MEDIUM else "GetObject"]
        for what, usd in ((write, write_usd(blob_of(step))), (read, read_usd(blob_of(step)))):
            assert f"| a text of {name}: {what} | ${math.floor(1e8 * usd + 0.500001) / 100:.2f} |" in page


@on_table
async def test_lists_and_looks_and_sweeps_read_no_large_text(account: Aws, store: DynamoStepStore) -> None:
    for number, size in enumerate((MEDIUM, LARGE)):
        root = root_with(size, key=f"k{number}")
        child = settled(replace(root, id=a_child("mail", root.spec).id), NOW)
        await put(store, root, replace(child, spec=replace(child.spec, parent=root.id)))
    run_id = root.spec.run_id
    with Recorder(account.dynamodb, client("s3")) as recorder:
        await store.get(root.id)
        await store.run(run_id, after=None, limit=100)
        await store.outline(run_id)
        await store.children(root.id, after="", limit=100)
        await store.child_steps(root.id, after="", limit=100, max_bytes=10**6)
        await store.list(RunQuery(client_id="acme"))
        await store.failed(RunQuery(client_id="acme"))
        await store.count("acme", 0)
        await store.keep(run_id, NOW // 1000, NOW // 1000)
    for name, asked in recorder.calls:
        assert name in {"GetItem", "Query", "BatchGetItem"}, name
        assert "~" not in str(asked.get("Key", "")) + str(asked.get("RequestItems", ""))
        values = asked.get("ExpressionAttributeValues", {})
        # No range of a run's partition reaches its large texts.
        assert name != "Query" or "IndexName" in asked or values[":end"]["S"] < "~"
