"""Faults planted in flow control on AWS, each of which the laws of `flow_races` must find."""

from typing import Any, Final

from atomic.adapters.aws.flow import DynamoFlowStore
from atomic.adapters.aws.flow_items import InLine, KeyItem, encode_key, encode_place
from atomic.adapters.aws.flow_rows import KeyRows
from atomic.domain.flow_table import FlowKey, Waiting

_changed, _write = KeyRows.changed, DynamoFlowStore._write


def _joins_alone(rows: KeyRows, writer: bytes) -> KeyItem | None:
    """Who joins the line does not write the key."""
    return None if rows.stays and rows.known.key.writer else _changed(rows, writer)


async def _deletes_first(
    store: DynamoFlowStore, at: FlowKey, rows: KeyRows, writer: bytes, joined: list[Waiting]
) -> Any:
    """A place is deleted before the slot is handed over."""
    for there in rows.gone.values():
        await store._delete(at, there)
    return await _write(store, at, rows, writer, joined)


async def _writes_over_others(
    store: DynamoFlowStore, at: FlowKey, rows: KeyRows, writer: bytes, joined: list[Waiting]
) -> None:
    """The key is written, also when others have changed it meanwhile."""
    for waiting in rows.joined.values():
        await store._put(encode_place(at, InLine(waiting, writer)))
        joined.append(waiting)
    if (changed := rows.changed(writer)) is not None:
        await store._put(encode_key(at, changed))


async def _joins_afterwards(
    store: DynamoFlowStore, at: FlowKey, rows: KeyRows, writer: bytes, joined: list[Waiting]
) -> Any:
    """The place is written after the key."""
    places, changed = [*rows.joined.values()], rows.changed(writer)
    rows.joined.clear()
    refused = None
    if changed is not None:
        before = rows.known.key.writer
        refused = await store._put(
            encode_key(at, changed),
            ConditionExpression="v = :before" if before else "attribute_not_exists(pk)",
            **({"ExpressionAttributeValues": {":before": {"B": before}}} if before else {}),
        )
    if refused is None:
        for waiting in places:
            await store._put(encode_place(at, InLine(waiting, writer)))
    return refused


def _is_empty(rows: KeyRows) -> int:
    """The key says that the line is empty, and the line was not read."""
    del rows
    return 0


def _uncounted(rows: KeyRows, at: FlowKey, waiting: Waiting) -> None:
    """A place that a failed try has left is not counted, and the key is not written for it."""
    if waiting != rows.waiting(at, waiting.step_id):
        rows.joined[waiting.step_id] = waiting
        rows.stays, rows.is_empty = True, False


# Those that few seeds find: one that does.
FOUND_BY: Final = {
    "a place is written after the key": 6,
    "a place that a failed try has left is not counted": 8,
}
PLANTED: Final[dict[str, tuple[Any, str, Any]]] = {
    "who joins does not write the key": (KeyRows, "changed", _joins_alone),
    "a place is deleted before its slot is handed over": (DynamoFlowStore, "_write", _deletes_first),
    "writes are not conditional": (DynamoFlowStore, "_write", _writes_over_others),
    "a place is written after the key": (DynamoFlowStore, "_write", _joins_afterwards),
    "the line is said to be empty": (KeyRows, "_queued", _is_empty),
    "a place that a failed try has left is not counted": (KeyRows, "put_waiting", _uncounted),
}
