"""The leases of a destination: numbered items, each held by one Lambda environment for a while.

A lease is taken by one conditional write, so no number ever has two holders. A lease that is not renewed
expires, since an environment may be killed or frozen at any moment. The item of a free lease stays: it
records that the destination was slow. There are no more items than numbers.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from atomic.adapters.aws.items import conditional
from atomic.adapters.aws.table import LEASE
from atomic.application.destinations import Destination

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_KEPT_S: Final = 24 * 3600


@dataclass(frozen=True, slots=True)
class Lease:
    """A lease: its holder and end, the runs it is for, and until when the destination counts as slow."""

    number: int
    holder: str
    until_ms: int
    slow_until_ms: int = 0
    runs: frozenset[str] = frozenset()


class LeaseItems:
    """The leases for one kind of invoker. Methods block, and raise the errors of botocore."""

    def __init__(self, client: "DynamoDBClient", table_name: str, *, invoker: str) -> None:
        self._client = client
        self._table = table_name
        self._invoker = invoker

    def read(self, destination: Destination) -> list[Lease]:
        """The leases that were taken lately, eventually consistent. One read, mostly empty."""
        pages = self._client.get_paginator("query").paginate(
            TableName=self._table,
            KeyConditionExpression="pk = :pk AND begins_with(sk, :invoker)",
            ExpressionAttributeValues={
                ":pk": {"S": _partition(destination)},
                ":invoker": {"S": f"{self._invoker}#"},
            },
        )
        return [_lease(item) for page in pages for item in page["Items"]]

    def take(self, destination: Destination, lease: Lease, *, now_ms: int) -> bool:
        """Take or renew the lease; False if another environment holds it. One write."""
        sets = {"h": {"S": lease.holder}, "u": _number(lease.until_ms), "i": {"SS": sorted(lease.runs)}}
        if lease.slow_until_ms:
            sets["z"] = _number(lease.slow_until_ms)
        sets["ttl"] = _number(now_ms // 1000 + _KEPT_S)
        conflict = conditional(
            self._client.update_item,
            TableName=self._table,
            Key=self._key(destination, lease.number),
            UpdateExpression="SET " + ", ".join(f"#{name} = :{name}" for name in sets),
            ConditionExpression="attribute_not_exists(pk) OR #u < :now OR #h = :h",
            ExpressionAttributeNames={f"#{name}": name for name in sets},
            ExpressionAttributeValues={f":{name}": value for name, value in sets.items()}
            | {":now": _number(now_ms)},
        )
        return conflict is None

    def free(self, destination: Destination, lease: Lease) -> None:
        """Release the lease, unless another environment holds it by now. One write."""
        conditional(
            self._client.update_item,
            TableName=self._table,
            Key=self._key(destination, lease.number),
            UpdateExpression="SET u = :nobody",
            ConditionExpression="h = :h",
            ExpressionAttributeValues={":nobody": _number(0), ":h": {"S": lease.holder}},
        )

    def _key(self, destination: Destination, number: int) -> dict[str, Any]:
        return {"pk": {"S": _partition(destination)}, "sk": {"S": f"{self._invoker}#{number:04d}"}}


def _partition(destination: Destination) -> str:
    client_id, origin = destination
    return f"{LEASE}{client_id}#{origin}"


def _lease(item: Any) -> Lease:
    return Lease(
        number=int(item["sk"]["S"].rpartition("#")[2]),
        holder=item["h"]["S"],
        until_ms=int(item["u"]["N"]),
        slow_until_ms=int(item["z"]["N"]) if "z" in item else 0,
        runs=frozenset(item["i"]["SS"]),
    )


def _number(value: int) -> dict[str, Any]:
    return {"N": str(value)}
