"""Stored bytes by client and day: one small item each, which DynamoDB deletes when it expires."""

from typing import TYPE_CHECKING, Any, Final

from atomic.adapters.aws.table import STORED

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_DAY_S: Final = 24 * 3600


class StorageItems:
    """The stored bytes of clients. Methods block, and raise the errors of botocore."""

    def __init__(self, client: "DynamoDBClient", table_name: str) -> None:
        self._client = client
        self._table = table_name

    def add(self, client_id: str, size: int, day: int, since_day: int) -> int:
        """Add to a day, unless it is 0; the sum of the days from `since_day` on."""
        partition = {"S": f"{STORED}{client_id}"}
        if size:
            self._client.update_item(
                TableName=self._table,
                Key={"pk": partition, "sk": {"S": _day(day)}},
                UpdateExpression="ADD b :size SET #ttl = :ttl",
                ExpressionAttributeNames={"#ttl": "ttl"},
                ExpressionAttributeValues={
                    ":size": {"N": str(size)},
                    ":ttl": {"N": str((2 * day - since_day + 2) * _DAY_S)},
                },
            )
        pages = self._client.get_paginator("query").paginate(
            TableName=self._table,
            KeyConditionExpression="pk = :pk AND sk >= :since",
            ExpressionAttributeValues={":pk": partition, ":since": {"S": _day(since_day)}},
            ConsistentRead=True,
        )
        items: list[Any] = [item for page in pages for item in page["Items"]]
        return sum(int(item["b"]["N"]) for item in items)


def _day(number: int) -> str:
    return f"{number:08d}"
