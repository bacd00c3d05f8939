"""Flow control in the table: each change of a key is one conditional write of its item.

The rules are those of `FlowTable`, on what was read (`flow_rows`). Another process may change the key
meanwhile. Then the write is refused, gives the item as it is now, and the change is made anew on it.

A line is in items of its own. A step that joins is written there before the key, and one that is handed a
slot is deleted there after the key. So a process that ends in between leaves at most a place of a step that
does not wait any more. The next process that reads it deletes it, or hands its step a slot, which the
step gives back.
"""

import asyncio
import os
import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, TypeVar
from weakref import WeakValueDictionary

from atomic.adapters.aws import table
from atomic.adapters.aws.calls import AwsCalls
from atomic.adapters.aws.flow_items import (
    InLine,
    KeyItem,
    decode_key,
    decode_place,
    encode_key,
    encode_place,
    key_key,
    line_partition,
    list_of,
    place_key,
)
from atomic.adapters.aws.flow_rows import KeyRows, Known, Line, Unread
from atomic.adapters.aws.items import ConditionFailed, conditional
from atomic.application.batches import side_by_side
from atomic.application.flow_store import LeasedSlot, LeasePage
from atomic.application.ports import StoreUnavailable
from atomic.domain.flow import FlowEntry, by_key
from atomic.domain.flow_table import (
    Entered,
    Entering,
    FlowKey,
    FlowTable,
    Handed,
    KeyState,
    Members,
    Waiting,
    those_asked,
)

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

T = TypeVar("T")

# More slots could make the item of a key larger than the 400 KB that DynamoDB takes.
CONCURRENCY_MAX: Final = 5_000
# Each hand-over sends a message and deletes an item, so one change does not make many of them.
_HANDED_MAX: Final = 25
# How much of a line is read, beyond what is handed over at most: places may be left over.
_LINE_PAGE: Final = 4
_COUNTED_MAX: Final = 100
# What maintenance looks at before it looks at its time: so many keys, and so many slots of each.
_KEYS_PAGE: Final = 50
_LOOKED_AT_MAX: Final = 50
_TRIES: Final = 16
_PAUSE_S: Final = 0.005
_PAUSE_MAX_S: Final = 0.25
# No key is longer, and DynamoDB takes 1,024 bytes at most to compare with.
_AFTER_MAX_CHARS: Final = 256
_WRITER_BYTES: Final = 8
_chance: Final = random.Random()  # noqa: S311 - spreads retries, guards nothing


class DynamoFlowStore:
    """Implements `FlowKeys`. Keys without a limit have no slots.

    `fraction` gives numbers from 0 to 1, by which processes that refused each other try at other times.
    """

    def __init__(
        self,
        calls: AwsCalls,
        client: "DynamoDBClient",
        table_name: str,
        *,
        fraction: Callable[[], float] = _chance.random,
    ) -> None:
        self._calls = calls
        self._client = client
        self._table = table_name
        self._fraction = fraction
        # Tasks of this process change a key one after the other, and so do not refuse each other.
        self._turns: WeakValueDictionary[FlowKey, asyncio.Lock] = WeakValueDictionary()

    async def enter(self, asked: Entering, now_ms: int) -> Entered:
        """Take the slots that a due step needs, or its place in line."""
        entries = by_key(asked.entries)
        if len(entries) == 1:
            at = FlowKey(asked.client_id, entries[0].key)
            return await self._change(at, lambda table: table.enter(asked, now_ms), *_place(asked, at))
        handed: list[Handed] = []
        keys = [FlowKey(asked.client_id, entry.key) for entry in entries]
        for at, entry in zip(keys, entries, strict=True):
            take = partial(_take, entry, asked, now_ms)
            taken = await self._change(at, take, *_place(asked, at))
            handed += taken.handed
            if taken.key:
                return replace(taken, handed=tuple(handed))
        times: dict[FlowKey, int] = {}
        for at in keys:
            time_ms = await self._change(at, partial(_time_of, at, asked, now_ms))
            if time_ms is not None:
                times[at] = time_ms
        taken_times = [
            await self._change(at, partial(_pace, at, asked, now_ms)) for at in those_asked(times)
        ]
        if at_ms := max(taken_times, default=0):
            for at in keys:
                await self._change(at, partial(_keep_until, at, asked.step_id, at_ms))
        return Entered(at_ms=at_ms, handed=tuple(handed))

    async def leave(
        self, at: FlowKey, step_id: str, version: int, now_ms: int, *, turn: int | None = None
    ) -> Sequence[Handed]:
        """Release a step's slot; who was handed one. A read, and a write if it had a slot."""
        return await self._change(
            at, lambda table: table.leave(at, step_id, version, now_ms), step_id, turn
        )

    async def keep(self, at: FlowKey, step_id: str, until_ms: int) -> None:
        """Extend the lease of a slot."""
        await self._change(at, lambda table: table.keep(at, step_id, until_ms))

    async def pin(self, at: FlowKey, changes: Mapping[str, Any], now_ms: int) -> Sequence[Handed]:
        """Change members of the key's row; who was handed a slot."""
        return await self._change(at, lambda table: table.pin(at, changes, now_ms))

    async def state(self, at: FlowKey) -> KeyState | None:
        """A key: one read, and one of the first hundred in its line, if there is one."""
        return await self._state(at, await self._read(at))

    async def states(self, client_id: str, *, after: str, limit: int) -> Sequence[KeyState]:
        """A page of a client's keys; a new one is seen within seconds."""
        found: list[KeyState] = []
        next_after: str | None = after
        while next_after is not None and len(found) < limit:
            known, next_after = await self._page(client_id, next_after, limit - len(found))
            states = await side_by_side(*(self._state(at, key) for at, key in known))
            found += [state for state in states if state is not None]
        return found

    async def members(self, at: FlowKey, limit: int) -> Members:
        """Steps that have a slot, and the first in line: two reads."""
        key = await self._read(at)
        line = await self._read_line(at, limit) if key.queued else Line((), is_all=True)
        slots = sorted(key.slots.values(), key=attrgetter("step_id"))
        return Members(tuple(slots[:limit]), tuple(_in_line(key, line)))

    async def ended_leases(self, client_id: str, *, after: str, before_ms: int) -> LeasePage:
        """Slots whose lease ends before the moment: at most some of each key, on a page of keys."""
        known, next_after = await self._page(client_id, after, _KEYS_PAGE)
        ended = []
        for at, key in known:
            over = sorted((slot.until_ms, slot.step_id) for slot in key.slots.values())
            ended += [
                LeasedSlot(at, each) for until_ms, each in over[:_LOOKED_AT_MAX] if until_ms < before_ms
            ]
        return LeasePage(ended, next_after)

    # --- changes ---

    async def _change(
        self, at: FlowKey, work: Callable[[FlowTable], T], own: str = "", turn: int | None = None
    ) -> T:
        """Make a change of a key. `own` is a step that may be in line, at this turn."""
        async with self._turns.setdefault(at, asyncio.Lock()):
            writer = os.urandom(_WRITER_BYTES)
            known = Known(key=await self._read(at), writer=writer, own=own, turn=turn)
            joined: list[Waiting] = []
            for number in range(_TRIES):
                result, rows = await self._made(at, work, known)
                conflict = await self._write(at, rows, writer, joined)
                if conflict is None:
                    await self._clear(at, rows, writer, joined)
                    return result
                key = decode_key(conflict.item)
                if number:
                    # Many change it at the same time. After a pause, what the refusal said is old.
                    await asyncio.sleep(self._fraction() * min(_PAUSE_MAX_S, _PAUSE_S * 2**number))
                    key = await self._read(at)
                known = replace(known, key=key, line=None, place=None)
        raise StoreUnavailable(f"the key {at.key} changes too often")

    async def _made(self, at: FlowKey, work: Callable[[FlowTable], T], known: Known) -> tuple[T, KeyRows]:
        """Make the change on what is known, and read what it needs."""
        page = _LINE_PAGE
        while True:
            rows = KeyRows(known)
            try:
                result = work(FlowTable(rows, counts_unlimited=False, handed_max=_HANDED_MAX))
            except Unread as unread:
                if unread.what == "place":
                    known = replace(known, place=await self._read_place(at, known))
                else:
                    known = replace(known, line=await self._read_line(at, page))
                    page *= 4
            else:
                return result, rows

    async def _write(
        self, at: FlowKey, rows: KeyRows, writer: bytes, joined: list[Waiting]
    ) -> ConditionFailed | None:
        """Write who joined, then the key; the item of another writer if that was refused."""
        for waiting in rows.joined.values():
            if waiting not in joined:
                await self._put(encode_place(at, InLine(waiting, writer)))
                joined.append(waiting)
        changed, before = rows.changed(writer), rows.known.key.writer
        if changed is None:
            return None
        values = {"ExpressionAttributeValues": {":before": {"B": before}}} if before else {}
        refused = await self._put(
            encode_key(at, changed),
            ConditionExpression="v = :before" if before else "attribute_not_exists(pk)",
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
            **values,
        )
        # A write may be applied and its answer lost. It is repeated then, and finds itself.
        is_own = refused is not None and decode_key(refused.item).writer == writer
        return None if is_own else refused

    async def _clear(self, at: FlowKey, rows: KeyRows, writer: bytes, joined: Sequence[Waiting]) -> None:
        """Delete the places that are not needed any more. What is left over is found by others."""
        places = list(rows.gone.values())
        stays = {(waiting.turn, waiting.step_id) for waiting in rows.joined.values()}
        places += [
            InLine(waiting, writer) for waiting in joined if (waiting.turn, waiting.step_id) not in stays
        ]
        with suppress(StoreUnavailable):
            await side_by_side(*(self._delete(at, there) for there in places))

    async def _put(self, item: Any, **condition: Any) -> ConditionFailed | None:
        put = self._client.put_item
        return await self._calls.start(conditional, put, TableName=self._table, Item=item, **condition)

    async def _delete(self, at: FlowKey, there: InLine) -> None:
        """Delete a place, unless its step has joined anew since: it may have the same turn again."""
        await self._calls.start(
            conditional,
            self._client.delete_item,
            TableName=self._table,
            Key=place_key(at, *there.place),
            ConditionExpression="o = :writer",
            ExpressionAttributeValues={":writer": {"B": there.writer}},
        )

    # --- reads ---

    async def _read(self, at: FlowKey, *, newest: bool = True) -> KeyItem:
        found = await self._calls.start(
            self._client.get_item, TableName=self._table, Key=key_key(at), ConsistentRead=newest
        )
        return decode_key(found.get("Item"))

    async def _read_place(self, at: FlowKey, known: Known) -> Sequence[InLine]:
        assert known.turn is not None
        key = place_key(at, known.turn, known.own)
        found = await self._calls.start(
            self._client.get_item, TableName=self._table, Key=key, ConsistentRead=True
        )
        return [decode_place(found["Item"])] if "Item" in found else []

    async def _read_line(self, at: FlowKey, limit: int) -> Line:
        """The first in line, strongly consistent: what was written before the key is seen."""
        found = await self._calls.start(
            self._client.query,
            TableName=self._table,
            KeyConditionExpression="pk = :line",
            ExpressionAttributeValues={":line": {"S": line_partition(at)}},
            ConsistentRead=True,
            Limit=limit,
        )
        return Line([decode_place(item) for item in found["Items"]], "LastEvaluatedKey" not in found)

    async def _state(self, at: FlowKey, key: KeyItem) -> KeyState | None:
        if key.row is None:
            return None
        line = await self._read_line(at, _COUNTED_MAX) if key.queued else Line((), is_all=True)
        waiting = _in_line(key, line)
        queued = len(waiting) if line.is_all else max(len(waiting), key.queued)
        oldest_ms = min((each.since_ms for each in waiting), default=None)
        return KeyState(at.key, key.row, len(key.slots), queued, oldest_ms)

    async def _page(
        self, client_id: str, after: str, limit: int
    ) -> tuple[list[tuple[FlowKey, KeyItem]], str | None]:
        """Keys that exist, and where the page ended; half a read unit a key."""
        found = await self._calls.start(
            self._client.query,
            TableName=self._table,
            IndexName=table.LIST_INDEX,
            KeyConditionExpression="lp = :keys AND #at > :after",
            ExpressionAttributeNames={"#at": "at"},
            # A key is never empty, and none begins with a space.
            ExpressionAttributeValues={
                ":keys": {"S": list_of(client_id)},
                ":after": {"S": after[:_AFTER_MAX_CHARS] or " "},
            },
            Limit=limit,
        )
        keys = [FlowKey(client_id, item["at"]["S"]) for item in found["Items"]]
        items = await side_by_side(*(self._read(at, newest=False) for at in keys))
        last = keys[-1].key if "LastEvaluatedKey" in found else None
        return [(at, key) for at, key in zip(keys, items, strict=True) if key.row is not None], last


def _in_line(key: KeyItem, line: Line) -> list[Waiting]:
    """The steps of a line, each once, without those that were handed a slot meanwhile."""
    steps = {there.waiting.step_id: there.waiting for there in line.first}
    return [each for each in steps.values() if each.step_id not in key.slots]


def _place(asked: Entering, at: FlowKey) -> tuple[str, int | None]:
    """The step, and where it may be in the line of the key."""
    return asked.step_id, asked.turn if asked.line == at.key else None


def _take(entry: FlowEntry, asked: Entering, now_ms: int, table: FlowTable) -> Entered:
    return table.take(entry, asked, now_ms)


def _time_of(at: FlowKey, asked: Entering, now_ms: int, table: FlowTable) -> int | None:
    return table.time_of(at, asked, now_ms)


def _pace(at: FlowKey, asked: Entering, now_ms: int, table: FlowTable) -> int:
    return table.pace(at, asked, now_ms)


def _keep_until(at: FlowKey, step_id: str, at_ms: int, table: FlowTable) -> None:
    table.keep_until(at, step_id, at_ms)
