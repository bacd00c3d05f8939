"""Deletes all of a run: its items, those of its tags, and its objects in the bucket.

Its root goes last. First it becomes a tombstone: an item without a record, which no read finds, which says
whose run it was and where its tags are, and whose place nobody takes. So what an erase leaves that is
interrupted is no run, no other run has its id, and another call ends it.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from atomic.adapters.aws import table
from atomic.adapters.aws.blob_items import BlobItems
from atomic.adapters.aws.items import ConditionFailed, answered
from atomic.adapters.aws.rows import Item
from atomic.adapters.aws.tag_items import tag_keys
from atomic.domain.steps import Step
from atomic.protocol import keys

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


class ErasedRuns:
    """The blocking calls for it."""

    def __init__(self, client: "DynamoDBClient", table_name: str, blobs: BlobItems) -> None:
        self._client = client
        self._table = table_name
        self._blobs = blobs

    def erase(self, client_id: str, run_id: str, root: Step | None) -> bool:
        """Delete the run, if its root is still this row; without one, if its root is a tombstone."""
        tombstone = self._tombstone(client_id, run_id) if root is None else self._bury(client_id, root)
        if tombstone is None:
            return False
        place = table.key_of(keys.root_of(run_id))
        for key in (*(each["M"] for each in tombstone["tk"]["L"]), *self._items(run_id)):
            if key != place:
                self._client.delete_item(TableName=self._table, Key=key)
        self._blobs.erase(run_id)
        self._client.delete_item(TableName=self._table, Key=place)
        return True

    def _bury(self, client_id: str, root: Step) -> Item | None:
        """Make a tombstone of the root; None when it is another row by now."""
        tombstone: Item = {
            **table.key_of(root.id),
            "o": {"S": client_id},
            "tk": {"L": [{"M": key} for key in tag_keys(root)]},
        }
        written: Any = answered(
            self._client.put_item,
            TableName=self._table,
            Item=tombstone,
            # A repeated write finds its own tombstone.
            ConditionExpression="v = :v OR o = :owner",
            ExpressionAttributeValues={":owner": {"S": client_id}, ":v": {"N": str(root.version)}},
        )
        return None if isinstance(written, ConditionFailed) else tombstone

    def _tombstone(self, client_id: str, run_id: str) -> Item | None:
        """What an interrupted erase has left of a root of this client."""
        found = self._client.get_item(
            TableName=self._table, Key=table.key_of(keys.root_of(run_id)), ConsistentRead=True
        )
        item: Item = found.get("Item", {})
        return item if item.get("o") == {"S": client_id} else None

    def _items(self, run_id: str) -> Iterator[Item]:
        pages = self._client.get_paginator("query").paginate(
            TableName=self._table,
            KeyConditionExpression="pk = :run",
            ExpressionAttributeValues={":run": {"S": run_id}},
            ProjectionExpression="pk, sk",
            ConsistentRead=True,
        )
        for page in pages:
            yield from page["Items"]
