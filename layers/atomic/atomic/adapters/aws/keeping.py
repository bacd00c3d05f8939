"""Postpones the expiry of a run's rows, of the large texts that they name, and of its tags."""

from typing import TYPE_CHECKING, Any, Final

from atomic.adapters.aws import rows
from atomic.adapters.aws.blob_items import BlobItems
from atomic.adapters.aws.items import conditional
from atomic.adapters.aws.rows import Item
from atomic.adapters.aws.tag_items import TagItems

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

# Above every step and every note, below the large texts, which are not read.
_AFTER_ROWS: Final = "}"
_SET: Final = {"ttl": "#ttl", "x": "x", "y": "y"}


class Keeping:
    """The blocking calls for it."""

    def __init__(self, client: "DynamoDBClient", table_name: str, blobs: BlobItems, tags: TagItems) -> None:
        self._client = client
        self._table = table_name
        self._blobs = blobs
        self._tags = tags

    def keep(self, run_id: str, *, expiring_before_s: int, until_s: int) -> None:
        """Postpone the expiry of what expires before `expiring_before_s` to `until_s`."""
        pages = self._client.get_paginator("query").paginate(
            TableName=self._table,
            KeyConditionExpression="pk = :run AND sk BETWEEN :first AND :end",
            FilterExpression="#ttl < :before OR x < :before OR y < :before",
            ProjectionExpression="pk, sk, c, v, s, g, #ttl, x, y",
            ExpressionAttributeNames={"#ttl": "ttl"},
            ExpressionAttributeValues={
                ":run": {"S": run_id},
                ":first": {"S": "0"},
                ":end": {"S": _AFTER_ROWS},
                ":before": {"N": str(expiring_before_s)},
            },
            ConsistentRead=True,
        )
        for page in pages:
            for item in page["Items"]:
                self._keep(item, expiring_before_s, until_s)

    def _keep(self, item: Item, before_s: int, until_s: int) -> None:
        due = [name for name in _SET if name in item and int(item[name]["N"]) < before_s]
        # The small texts of the row are not read.
        bare = {**item, "p": {"S": "null"}}
        if "x" in due:
            for blob in rows.blobs_of(rows.decode(bare)):
                self._blobs.keep(blob.step_id, blob.digest, blob.place, until_s)
        if "y" in due:
            self._tags.put(rows.decode(bare), until_s)
        values: dict[str, Any] = {":until": {"N": str(until_s)}}
        # A row that was redriven in between is live and must not expire.
        conditional(
            self._client.update_item,
            TableName=self._table,
            Key={"pk": item["pk"], "sk": item["sk"]},
            UpdateExpression="SET " + ", ".join(f"{_SET[name]} = :until" for name in due),
            ConditionExpression=" AND ".join(f"{_SET[name]} = :{name}" for name in due),
            ExpressionAttributeNames={"#ttl": "ttl"} if "ttl" in due else {},
            ExpressionAttributeValues=values | {f":{name}": item[name] for name in due},
        )
