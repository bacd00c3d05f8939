"""What maintenance has counted of a client, and what it is told: one small item.

| attribute | what |
|---|---|
| n, t | the number of live roots by state, as JSON; when they were counted |
| o | when the first of them was due, if it was overdue |
| x, xt | the number of dead letters; when they were counted |
| u | until when a walk over the live roots goes on |
| e | when the retention of long runs was last extended |
| m | the shortest retention of the stack that was ever in force |
| s | the shortest that a workflow has ever had of its own, in days; written with the client |

Times are in milliseconds since the epoch.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from atomic.adapters.aws.calls import AwsCalls
from atomic.adapters.aws.table import COUNT
from atomic.protocol.enums import Status

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientCounts:
    """The item of a client; all zero when maintenance has not come to the client yet."""

    live: Mapping[Status, int] = field(default_factory=dict)
    counted_at_ms: int = 0
    oldest_due_at_ms: int | None = None
    dead_letters: int = 0
    dead_letters_at_ms: int = 0
    busy_until_ms: int = 0
    extended_at_ms: int = 0
    retention_min_ms: int | None = None
    workflow_days_min: int | None = None


class CountItems:
    """The items of counts."""

    def __init__(self, calls: AwsCalls, client: "DynamoDBClient", table_name: str) -> None:
        self._calls = calls
        self._client = client
        self._table = table_name

    async def load(self, client_id: str) -> ClientCounts:
        """What was counted; half a read unit."""
        answer = await self._calls.start(self._client.get_item, TableName=self._table, Key=_key(client_id))
        item: Any = answer.get("Item", {})
        return ClientCounts(
            live={Status(state): number for state, number in json.loads(_text(item, "n", "{}")).items()},
            counted_at_ms=_int(item, "t") or 0,
            oldest_due_at_ms=_int(item, "o"),
            dead_letters=_int(item, "x") or 0,
            dead_letters_at_ms=_int(item, "xt") or 0,
            busy_until_ms=_int(item, "u") or 0,
            extended_at_ms=_int(item, "e") or 0,
            retention_min_ms=_int(item, "m"),
            workflow_days_min=_int(item, "s"),
        )

    async def save_live(
        self, client_id: str, live: Mapping[Status, int], at_ms: int, oldest_due_at_ms: int | None
    ) -> None:
        """Write what a walk has counted."""
        numbers = {state.value: number for state, number in live.items()}
        values = {
            "n": {"S": json.dumps(numbers)},
            "t": _number(at_ms),
            "o": _number(oldest_due_at_ms),
            "u": None,
        }
        await self._set(client_id, values)

    async def save_dead_letters(self, client_id: str, number: int, at_ms: int) -> None:
        """Write how many dead letters a walk has counted."""
        await self._set(client_id, {"x": _number(number), "xt": _number(at_ms)})

    async def save_busy(self, client_id: str, until_ms: int) -> None:
        """A walk goes on for a while; no other one is to begin."""
        await self._set(client_id, {"u": _number(until_ms)})

    async def save_extended(self, client_id: str, at_ms: int, retention_min_ms: int) -> None:
        """The retention of the client's long runs was extended."""
        await self._set(client_id, {"e": _number(at_ms), "m": _number(retention_min_ms)})

    async def _set(self, client_id: str, values: Mapping[str, dict[str, Any] | None]) -> None:
        sets = {name: value for name, value in values.items() if value is not None}
        expression = "SET " + ", ".join(f"#{name} = :{name}" for name in sets)
        if removed := [f"#{name}" for name in values if name not in sets]:
            expression += " REMOVE " + ", ".join(removed)
        await self._calls.start(
            self._client.update_item,
            TableName=self._table,
            Key=_key(client_id),
            UpdateExpression=expression,
            ExpressionAttributeNames={f"#{name}": name for name in values},
            ExpressionAttributeValues={f":{name}": value for name, value in sets.items()},
        )


def shortest_days_update(client_id: str, table_name: str, days: int) -> dict[str, Any]:
    """The request that tells maintenance the shortest retention that a workflow has ever had."""
    return {
        "TableName": table_name,
        "Key": _key(client_id),
        "UpdateExpression": "SET #s = :s",
        "ExpressionAttributeNames": {"#s": "s"},
        "ExpressionAttributeValues": {":s": _number(days)},
    }


def _key(client_id: str) -> dict[str, Any]:
    return {"pk": {"S": f"{COUNT}{client_id}"}, "sk": {"S": "count"}}


def _number(value: int | None) -> dict[str, Any] | None:
    return None if value is None else {"N": str(value)}


def _int(item: Mapping[str, Any], name: str) -> int | None:
    return int(item[name]["N"]) if name in item else None


def _text(item: Mapping[str, Any], name: str, default: str) -> str:
    return str(item[name]["S"]) if name in item else default
