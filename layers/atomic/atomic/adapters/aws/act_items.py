"""The audit log: one item for each act, all of a client in one partition, which expire by themselves.

A function may add items and read them. None may change or delete one.
"""

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Final

import orjson

from atomic.adapters.aws.calls import AwsCalls
from atomic.adapters.aws.rows import Item
from atomic.adapters.aws.table import ACTS, age
from atomic.application.audit_log import ActPage, ActQuery
from atomic.domain.acts import Act, act_record, load_act

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

# How many items a page of a filter reads at most: some 400 KB, 50 read units.
_READ_MAX: Final = 1_000
# Above the keys of all acts, and of those of a moment.
_ABOVE: Final = "~"


class ActItems:
    """The items of acts. Methods block, and raise the errors of botocore."""

    def __init__(self, client: "DynamoDBClient", table_name: str) -> None:
        self._client = client
        self._table = table_name

    def add(self, act: Act, until_ms: int) -> None:
        """One PutItem."""
        item: Item = {
            "pk": {"S": f"{ACTS}{act.client_id}"},
            "sk": {"S": age(act.at_ms, act.id)},
            "s": {"S": orjson.dumps(act_record(act)).decode()},
            "ttl": {"N": str(until_ms // 1000)},
        }
        self._client.put_item(TableName=self._table, Item=item)

    def page(self, query: ActQuery) -> ActPage:
        """The newest items of a range that fit: a read unit for some 20 of them."""
        found: list[Act] = []
        items = self._newest_first(query)
        last: tuple[int, str] | None = None
        for item in islice(items, _READ_MAX):
            act = load_act(orjson.loads(item["s"]["S"]))
            last = (act.at_ms, act.id)
            if query.fits(act):
                found.append(act)
                if len(found) == query.limit:
                    break
        return ActPage(found, None if next(items, None) is None else last)

    def _newest_first(self, query: ActQuery) -> Iterator[Item]:
        first, last = age(query.from_ms or 0), _ABOVE
        if query.before_ms is not None:
            last = age(query.before_ms)
        if query.after is not None:
            last = min(last, age(*query.after))
        if last < first:
            # DynamoDB refuses such a range.
            return iter(())
        pages = self._client.get_paginator("query").paginate(
            TableName=self._table,
            KeyConditionExpression="pk = :pk AND sk BETWEEN :first AND :last",
            ExpressionAttributeValues={
                ":pk": {"S": f"{ACTS}{query.client_id}"},
                ":first": {"S": first},
                ":last": {"S": last},
            },
            ScanIndexForward=False,
            ConsistentRead=True,
            PaginationConfig={"PageSize": min(_READ_MAX, query.limit + 1)},
        )
        return (item for page in pages for item in page["Items"])


class DynamoAuditLog:
    """Implements `ports.AuditLog`, within `DynamoStepStore`."""

    _calls: AwsCalls
    _acts: ActItems

    async def add_act(self, act: Act, until_ms: int) -> None:
        """Add a row: one write."""
        await self._calls.start(self._acts.add, act, until_ms)

    async def acts(self, query: ActQuery) -> ActPage:
        """A page of the acts that fit, newest first."""
        return await self._calls.start(self._acts.page, query)
