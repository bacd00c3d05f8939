"""The requests that flow control makes of its table, in memory: what a test of a thousand crashes needs.

The contract runs on moto, which reads the conditions as DynamoDB does. Here they are known by their texts.
"""

from bisect import bisect_left, insort
from typing import Any

from botocore.exceptions import ClientError

Item = dict[str, Any]
_CONDITIONS = {
    "attribute_not_exists(pk)": lambda item, _: item is None,
    "v = :before": lambda item, values: item is not None and item["v"] == values[":before"],
    "o = :writer": lambda item, values: item is not None and item["o"] == values[":writer"],
}


class FlowTableFake:
    """A client with one table. Each request is one moment."""

    def __init__(self) -> None:
        self._items: dict[str, dict[str, Item]] = {}
        self._order: dict[str, list[str]] = {}
        self.requests = 0

    def get_item(self, *, Key: Item, **_: Any) -> Item:
        """Read an item."""
        self.requests += 1
        found = self._found(Key)
        return {} if found is None else {"Item": found}

    def put_item(self, *, Item: Item, **asked: Any) -> Item:
        """Write an item."""
        self._check("PutItem", Item, asked)
        pk, sk = Item["pk"]["S"], Item["sk"]["S"]
        if sk not in self._items.setdefault(pk, {}):
            insort(self._order.setdefault(pk, []), sk)
        self._items[pk][sk] = Item
        return {}

    def delete_item(self, *, Key: Item, **asked: Any) -> Item:
        """Delete an item."""
        self._check("DeleteItem", Key, asked)
        pk, sk = Key["pk"]["S"], Key["sk"]["S"]
        if self._items.get(pk, {}).pop(sk, None) is not None:
            self._order[pk].remove(sk)
        return {}

    def query(
        self, *, KeyConditionExpression: str, ExpressionAttributeValues: Item, Limit: int, **_: Any
    ) -> Item:
        """The first items of a partition, or the keys of a client after one."""
        self.requests += 1
        if KeyConditionExpression == "pk = :line":
            pk = ExpressionAttributeValues[":line"]["S"]
            order = self._order.get(pk, [])
            found = [self._items[pk][sk] for sk in order[:Limit]]
            return {"Items": found, **({"LastEvaluatedKey": {}} if len(order) > Limit else {})}
        assert KeyConditionExpression == "lp = :keys AND #at > :after"
        wanted, after = (ExpressionAttributeValues[name]["S"] for name in (":keys", ":after"))
        listed = sorted(
            item["at"]["S"]
            for items in self._items.values()
            for item in items.values()
            if item.get("lp", {}).get("S") == wanted
        )
        rest = listed[bisect_left(listed, after + "\0") :]
        more = {"LastEvaluatedKey": {}} if len(rest) > Limit else {}
        return {"Items": [{"at": {"S": key}} for key in rest[:Limit]], **more}

    def _found(self, key: Item) -> Item | None:
        return self._items.get(key["pk"]["S"], {}).get(key["sk"]["S"])

    def _check(self, operation: str, key: Item, asked: Item) -> None:
        self.requests += 1
        if (condition := asked.get("ConditionExpression")) is None:
            return
        found = self._found(key)
        if not _CONDITIONS[condition](found, asked.get("ExpressionAttributeValues", {})):
            answer: Any = {"Error": {"Code": "ConditionalCheckFailedException", "Message": ""}}
            raise ClientError(answer | ({"Item": found} if found else {}), operation)
