"""The tags of runs: an item for each tag of a root, in four partitions for each tag.

The items are written before the root, so no root is without them. Items of a root that was then not
written, or that another start wrote at another time, fit no row: the list leaves them out, and they expire.
"""

from typing import TYPE_CHECKING

from atomic.adapters.aws import table
from atomic.adapters.aws.rows import Item, tags_until_s
from atomic.domain.steps import Step

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


class TagItems:
    """The items of tags. Methods block, and raise the errors of botocore."""

    def __init__(self, client: "DynamoDBClient", table_name: str) -> None:
        self._client = client
        self._table = table_name

    def put(self, root: Step, until_s: int | None = None) -> None:
        """One write for each tag of a root: until the moment, or for as long as its run may be short."""
        for item in _items(root, tags_until_s(root) if until_s is None else until_s):
            self._client.put_item(TableName=self._table, Item=item)


def tag_keys(root: Step) -> list[Item]:
    """The keys of the items of a root's tags."""
    spec, shard = root.spec, table.shard_of(root)
    return [
        {
            "pk": {"S": table.tag_partitions(spec.client_id, tag)[shard]},
            "sk": {"S": table.age(root.created_at_ms, root.id)},
        }
        for tag in spec.tags
    ]


def _items(root: Step, until_s: int) -> list[Item]:
    members: Item = {
        "w": {"S": root.spec.workflow_name},
        "k": {"S": root.spec.idempotency_key},
        "ttl": {"N": str(until_s)},
    }
    return [{**key, **members} for key in tag_keys(root)]
