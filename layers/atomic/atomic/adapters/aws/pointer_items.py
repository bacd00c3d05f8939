"""Pointers: one item each, in a partition of its own. They expire."""

from typing import TYPE_CHECKING, Any

from atomic.adapters.aws.calls import AwsCalls
from atomic.adapters.aws.items import conditional
from atomic.adapters.aws.rows import Item
from atomic.adapters.aws.table import POINTER
from atomic.domain.pointers import Pointer, PointerKind

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


class PointerItems:
    """The items of pointers. Methods block, and raise the errors of botocore."""

    def __init__(self, client: "DynamoDBClient", table_name: str) -> None:
        self._client = client
        self._table = table_name

    def get(self, client_id: str, kind: PointerKind, key: str) -> Pointer | None:
        """One strongly consistent GetItem."""
        at = _key(client_id, kind, key)
        item = self._client.get_item(TableName=self._table, Key=at, ConsistentRead=True).get("Item")
        return None if item is None else _decoded(item, client_id, kind, key)

    def put(self, pointer: Pointer) -> Pointer | None:
        """One conditional PutItem. Raises LookupError if there is none."""
        condition: dict[str, Any] = {"ConditionExpression": "attribute_not_exists(pk)"}
        if pointer.version > 1:
            condition = {
                "ConditionExpression": "v = :before",
                "ExpressionAttributeValues": {":before": {"N": str(pointer.version - 1)}},
            }
        conflict = conditional(
            self._client.put_item,
            TableName=self._table,
            Item=_encode(pointer),
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
            **condition,
        )
        if conflict is None:
            return None
        if conflict.item is None:
            raise LookupError(pointer.key)
        return _decoded(conflict.item, pointer.client_id, pointer.kind, pointer.key)


class DynamoPointers:
    """Implements `ports.Pointers`, within `DynamoStepStore`: each method is one read or one write."""

    _calls: AwsCalls
    _pointers: PointerItems

    async def get_pointer(self, client_id: str, kind: PointerKind, key: str) -> Pointer | None:
        """The newest acknowledged pointer."""
        return await self._calls.start(self._pointers.get, client_id, kind, key)

    async def put_pointer(self, pointer: Pointer) -> Pointer | None:
        """Write the pointer if the one before has the version before."""
        return await self._calls.start(self._pointers.put, pointer)


def _key(client_id: str, kind: PointerKind, key: str) -> dict[str, Any]:
    return {"pk": {"S": f"{POINTER}{client_id}#{kind}#{key}"}, "sk": {"S": "pointer"}}


def _encode(pointer: Pointer) -> Item:
    item: Item = {
        **_key(pointer.client_id, pointer.kind, pointer.key),
        "v": {"N": str(pointer.version)},
        "j": {"S": pointer.run_id},
        "ttl": {"N": str(pointer.expires_at_ms // 1000)},
    }
    if pointer.is_held:
        item["h"] = {"BOOL": True}
    if pointer.due_ms:
        item["y"], item["d"] = {"N": str(pointer.first_ms)}, {"N": str(pointer.due_ms)}
    return item


def _decoded(item: Item, client_id: str, kind: PointerKind, key: str) -> Pointer:
    return Pointer(
        client_id=client_id,
        kind=kind,
        key=key,
        run_id=item["j"]["S"],
        version=int(item["v"]["N"]),
        is_held="h" in item,
        first_ms=int(item["y"]["N"]) if "y" in item else 0,
        due_ms=int(item["d"]["N"]) if "d" in item else 0,
        expires_at_ms=int(item["ttl"]["N"]) * 1000,
    )
