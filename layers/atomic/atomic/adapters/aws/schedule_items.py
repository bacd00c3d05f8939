"""Schedules: one item each, all of a client in one partition.

No function may delete schedules. A schedule that is deleted leaves an item without a record, which expires.
"""

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import orjson

from atomic.adapters.aws.calls import AwsCalls
from atomic.adapters.aws.items import ConditionFailed, conditional
from atomic.adapters.aws.rows import Item
from atomic.adapters.aws.table import SCHEDULE
from atomic.application.ports import DueStep
from atomic.domain.schedule_records import load_schedule, schedule_record
from atomic.domain.schedules import Schedule
from atomic.protocol import keys

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


class ScheduleItems:
    """The items of schedules. Methods block, and raise the errors of botocore."""

    def __init__(self, client: "DynamoDBClient", table_name: str) -> None:
        self._client = client
        self._table = table_name

    def get(self, client_id: str, name: str) -> Schedule | None:
        """One strongly consistent GetItem."""
        key = _key(client_id, name)
        found = self._client.get_item(TableName=self._table, Key=key, ConsistentRead=True)
        return _decoded(found.get("Item"))

    def create(self, schedule: Schedule) -> Schedule | None:
        """One conditional PutItem; the loser gets the row from the failed condition."""
        conflict = self._put(_encode(schedule), ConditionExpression="attribute_not_exists(s)")
        return None if conflict is None else _decoded(conflict.item)

    def replace(self, schedule: Schedule, expected_version: int) -> Schedule | None:
        """One conditional PutItem. Raises LookupError if there is no row."""
        values = {":expected": {"N": str(expected_version)}}
        conflict = self._put(
            _encode(schedule), ConditionExpression="v = :expected", ExpressionAttributeValues=values
        )
        if conflict is None:
            return None
        existing = _decoded(conflict.item)
        if existing is None:
            raise LookupError(schedule.id)
        return existing

    def delete(self, client_id: str, name: str) -> bool:
        """One conditional PutItem; whether there was one."""
        left: Item = {**_key(client_id, name), "ttl": {"N": str(int(time.time()))}}
        return self._put(left, ConditionExpression="attribute_exists(s)") is None

    def page(self, client_id: str, after: str, limit: int) -> list[Schedule]:
        """A page by name, strongly consistent."""
        found: list[Schedule] = []
        above = " AND sk > :after" if after else ""
        values = {":after": {"S": after}} if after else {}
        for item in self._query(client_id, above, values, ConsistentRead=True, Limit=limit):
            if (schedule := _decoded(item)) is None:
                continue
            found.append(schedule)
            if len(found) == limit:
                break
        return found

    def due(self, client_id: str, before_ms: int) -> list[DueStep]:
        """The schedules that are due before a moment; a read unit for each 8 KB of all the client's."""
        items = self._query(
            client_id,
            "",
            {":before": {"N": str(before_ms)}},
            FilterExpression="d < :before",
            ProjectionExpression="sk, d",
        )
        return [
            DueStep(keys.schedule_id(client_id, item["sk"]["S"]), client_id, int(item["d"]["N"]))
            for item in items
        ]

    def _query(self, client_id: str, above: str, values: dict[str, Any], **more: Any) -> Iterator[Item]:
        pages = self._client.get_paginator("query").paginate(
            TableName=self._table,
            KeyConditionExpression=f"pk = :pk{above}",
            ExpressionAttributeValues={":pk": {"S": f"{SCHEDULE}{client_id}"}, **values},
            **more,
        )
        for page in pages:
            yield from page["Items"]

    def _put(self, item: Item, **condition: Any) -> ConditionFailed | None:
        return conditional(
            self._client.put_item,
            TableName=self._table,
            Item=item,
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
            **condition,
        )


class DynamoSchedules:
    """Implements `ports.Schedules`, within `DynamoStepStore`: each method is one read or one write."""

    _calls: AwsCalls
    _schedules: ScheduleItems

    async def get_schedule(self, client_id: str, name: str) -> Schedule | None:
        """The newest acknowledged row."""
        return await self._calls.start(self._schedules.get, client_id, name)

    async def create_schedule(self, schedule: Schedule) -> Schedule | None:
        """Insert the schedule unless its name is taken."""
        return await self._calls.start(self._schedules.create, schedule)

    async def replace_schedule(self, schedule: Schedule, expected_version: int) -> Schedule | None:
        """Write the schedule if it has the expected version; raises LookupError if there is none."""
        return await self._calls.start(self._schedules.replace, schedule, expected_version)

    async def delete_schedule(self, client_id: str, name: str) -> bool:
        """Delete the schedule; whether there was one."""
        return await self._calls.start(self._schedules.delete, client_id, name)

    async def list_schedules(self, client_id: str, *, after: str, limit: int) -> list[Schedule]:
        """A page of the client's schedules in the order of their names."""
        return await self._calls.start(self._schedules.page, client_id, after, limit)

    async def due_schedules(self, client_id: str, before_ms: int) -> list[DueStep]:
        """The client's schedules that are due before a moment."""
        return await self._calls.start(self._schedules.due, client_id, before_ms)


def _key(client_id: str, name: str) -> dict[str, Any]:
    return {"pk": {"S": f"{SCHEDULE}{client_id}"}, "sk": {"S": name}}


def _encode(schedule: Schedule) -> Item:
    record, payload = schedule_record(schedule)
    item: Item = {
        **_key(schedule.client_id, schedule.name),
        "v": {"N": str(schedule.version)},
        "s": {"S": orjson.dumps(record).decode()},
        "p": {"S": payload.decode()},
    }
    if (due_at_ms := schedule.found_due_ms) is not None:
        item["d"] = {"N": str(due_at_ms)}
    return item


def _decoded(item: Item | None) -> Schedule | None:
    if item is None or "s" not in item:
        return None
    return load_schedule(orjson.loads(item["s"]["S"]), item["p"]["S"].encode())
