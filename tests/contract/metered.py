"""A DynamoDB (moto's) that meters: read and write units by partition and second, throttled like AWS's.

Every call of a client is billed by the sizes of the items that it touches, as the Developer Guide says:
a read by 4 KB of all items that were read (also those that a filter or a projection leaves out), half when
it is eventually consistent; a write by 1 KB of the larger of the item before and after, and each index
whose entry changes once more (twice when the entry moves). A conditional write that is refused is billed.

A partition that has spent its units of the current second is throttled: the next call is answered
`ProvisionedThroughputExceededException`, and botocore retries it. Real partitions also save up unused units
of five minutes; this one saves nothing.
"""

import base64
import json
import math
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Self

from botocore.awsrequest import AWSResponse
from moto.backends import get_backend
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.dynamodb.models.dynamo_type import DynamoType

from atomic.adapters.aws.table import TABLE

READ_UNITS_PER_S: Final = 3_000
WRITE_UNITS_PER_S: Final = 1_000
_READ_BYTES: Final = 4_096
_WRITE_BYTES: Final = 1_024
_PROJECTED: Final = TABLE["GlobalSecondaryIndexes"][0]["Projection"]["NonKeyAttributes"]
_REGION: Final = "eu-central-1"
_READS: Final = frozenset({"GetItem", "BatchGetItem", "Query"})
_WRITES: Final = frozenset({"PutItem", "UpdateItem", "DeleteItem"})

Item = Mapping[str, Any]


class Meter:
    """Meters all calls of a boto client while it is open. Totals are kept by partition.

    A partition is the value of a partition key, with the index's name in front if it is one: `run_…` or
    `list:acme#running#0`. `throttles` may be off, to measure only.
    """

    def __init__(self, client: Any, *, now_s: Callable[[], float], throttles: bool = True) -> None:
        self._client = client
        self._now_s = now_s
        self._throttles = throttles
        self._lock = threading.Lock()
        self._open_calls = threading.local()
        self._spent: defaultdict[tuple[str, str, int], float] = defaultdict(float)
        self.reads: defaultdict[str, float] = defaultdict(float)
        self.writes: defaultdict[str, float] = defaultdict(float)
        self.calls: Counter[str] = Counter()
        self.throttled = 0

    def __enter__(self) -> Self:
        events = self._client.meta.events
        events.register_first("before-send.dynamodb.*", self._sends, unique_id="meter-sends")
        events.register("after-call.dynamodb.*", self._answered, unique_id="meter-answered")
        return self

    def __exit__(self, *error: object) -> None:
        events = self._client.meta.events
        events.unregister("before-send.dynamodb.*", unique_id="meter-sends")
        events.unregister("after-call.dynamodb.*", unique_id="meter-answered")

    @property
    def read_units(self) -> float:
        """All read units so far."""
        return sum(self.reads.values())

    @property
    def write_units(self) -> float:
        """All write units so far, those of indexes included."""
        return sum(self.writes.values())

    def forget(self) -> None:
        """Begin to count anew."""
        for counter in (self.reads, self.writes, self.calls):
            counter.clear()
        self.throttled = 0

    def peak(self, kind: str) -> int:
        """The most units (`read` or `write`) that one partition spent within one second."""
        return math.ceil(max((n for (of, _, _), n in self._spent.items() if of == kind), default=0))

    # --- the two events ---

    def _sends(self, request: Any, **_: Any) -> AWSResponse | None:
        operation = _text(request.headers["X-Amz-Target"]).partition(".")[2]
        asked = json.loads(request.body)
        kind = "read" if operation in _READS else "write"
        limit = READ_UNITS_PER_S if kind == "read" else WRITE_UNITS_PER_S
        with self._lock:
            self.calls[operation] += 1
            second = int(self._now_s())
            is_spent = any(self._spent[kind, at, second] >= limit for at in _partitions(operation, asked))
            if self._throttles and is_spent:
                self.throttled += 1
                return _throttled(request.url)
        self._open_calls.call = (operation, asked, self._stored(operation, asked))
        return None

    def _answered(self, parsed: dict[str, Any], **_: Any) -> None:
        if parsed["ResponseMetadata"]["HTTPStatusCode"] == 200 or _is_refused(parsed):
            operation, asked, before = self._open_calls.call
            for kind, partition, units in self._bill(operation, asked, before, parsed):
                with self._lock:
                    self._spent[kind, partition, int(self._now_s())] += units
                    totals = self.reads if kind == "read" else self.writes
                    totals[partition] += units

    # --- units ---

    def _bill(
        self, operation: str, asked: Item, before: Item | None, parsed: Item
    ) -> Iterable[tuple[str, str, float]]:
        if operation == "GetItem":
            yield "read", asked["Key"]["pk"]["S"], _read_units([before or {}], asked)
        elif operation == "BatchGetItem":
            for name, wanted in asked["RequestItems"].items():
                for key in wanted["Keys"]:
                    yield "read", key["pk"]["S"], _read_units([_item(name, key) or {}], wanted)
        elif operation == "Query":
            [partition] = _partitions(operation, asked)
            yield "read", partition, _read_units(self._evaluated(asked, parsed), asked)
        elif operation in _WRITES:
            after = before if _is_refused(parsed) else self._stored(operation, asked)
            yield from _write_units(_key(operation, asked)["pk"]["S"], before, after)
        else:
            raise NotImplementedError(operation)

    def _stored(self, operation: str, asked: Item) -> Item | None:
        if operation == "GetItem" or operation in _WRITES:
            return _item(asked["TableName"], _key(operation, asked))
        return None

    def _evaluated(self, asked: Item, parsed: Item) -> list[Item]:
        """The items that a query read: those between where it began and where it ended."""
        table, index = _table(asked["TableName"]), asked.get("IndexName")
        names = asked.get("ExpressionAttributeNames", {})
        values = asked["ExpressionAttributeValues"]
        first, last = _range(asked["KeyConditionExpression"], names, values)
        hash_name, sort_name = ("pk", "sk") if index is None else (_partition_name(asked), "at")
        partition = _partition_value(asked)["S"]
        found = [
            item
            for item in table
            if item.get(hash_name, {}).get("S") == partition and first <= item[sort_name]["S"] <= last
        ]
        found.sort(key=lambda item: (item[sort_name]["S"], item["pk"]["S"]))
        if not asked.get("ScanIndexForward", True):
            found.reverse()
        begin = asked.get("ExclusiveStartKey")
        if begin is not None:
            keys = [(item["pk"]["S"], item["sk"]["S"]) for item in found]
            place = (begin["pk"]["S"], begin["sk"]["S"])
            found = found[keys.index(place) + 1 :] if place in keys else found
        read = found[: parsed["ScannedCount"]]
        return read if index is None else [_entry(item, index) for item in read]


def size_of(item: Item) -> int:
    """The size of an item in bytes, as DynamoDB counts it."""
    return sum(len(name.encode()) + _value_bytes(value) for name, value in item.items())


def _value_bytes(typed: Item) -> int:
    [(kind, value)] = typed.items()
    if kind == "S":
        return len(value.encode())
    if kind == "N":
        return 1 + math.ceil(len(value.strip("-").replace(".", "")) / 2)
    if kind == "B":
        return len(base64.b64decode(value)) if isinstance(value, str) else len(value)
    return 1


def _read_units(items: Iterable[Item], asked: Item) -> float:
    units = max(1, math.ceil(sum(map(size_of, items)) / _READ_BYTES))
    return units if asked.get("ConsistentRead") else units / 2


def _write_units(
    partition: str, before: Item | None, after: Item | None
) -> Iterable[tuple[str, str, float]]:
    size = max(size_of(before or {}), size_of(after or {}))
    yield "write", partition, max(1, math.ceil(size / _WRITE_BYTES))
    for index, name in (("list", "lp"), ("failed", "fp")):
        old, new = (_entry(item, index) if item and name in item else None for item in (before, after))
        if old == new:
            continue
        moved = old is not None and new is not None and _sort(old, name) != _sort(new, name)
        for entry in [old, new] if moved else [new or old]:
            assert entry is not None
            units = max(1, math.ceil(size_of(entry) / _WRITE_BYTES))
            yield "write", f"{index}:{entry[name]['S']}", units


def _sort(entry: Item, name: str) -> tuple[str, str]:
    return entry[name]["S"], entry["at"]["S"]


def _entry(item: Item, index: str) -> dict[str, Any]:
    name = "lp" if index == "list" else "fp"
    return {each: item[each] for each in ("pk", "sk", name, "at", *_PROJECTED) if each in item}


# --- what a request says ---


def _key(operation: str, asked: Item) -> Item:
    wanted = asked["Item"] if operation == "PutItem" else asked["Key"]
    return {name: wanted[name] for name in ("pk", "sk")}


def _partitions(operation: str, asked: Item) -> list[str]:
    if operation == "Query":
        index = asked.get("IndexName")
        return [(f"{index}:" if index else "") + str(_partition_value(asked)["S"])]
    if operation == "BatchGetItem":
        return [key["pk"]["S"] for wanted in asked["RequestItems"].values() for key in wanted["Keys"]]
    if operation == "GetItem" or operation in _WRITES:
        return [str(_key(operation, asked)["pk"]["S"])]
    return []


def _partition_name(asked: Item) -> str:
    name = asked["KeyConditionExpression"].split("=")[0].strip()
    return str(asked.get("ExpressionAttributeNames", {}).get(name, name))


def _partition_value(asked: Item) -> Item:
    placeholder = asked["KeyConditionExpression"].split("=", 1)[1].split()[0]
    value: Item = asked["ExpressionAttributeValues"][placeholder]
    return value


def _range(condition: str, names: Item, values: Item) -> tuple[str, str]:
    """The sort keys that a condition of Atomic's queries means: BETWEEN, >=, > or all."""
    del names
    words = condition.replace(" AND ", " ").split()[3:]
    if not words:
        return "", "\U0010ffff"
    if words[1] == "BETWEEN":
        return values[words[2]]["S"], values[words[3]]["S"]
    return values[words[2]]["S"] + ("\0" if words[1] == ">" else ""), "\U0010ffff"


# --- what moto has stored ---


def _table(name: str) -> list[Item]:
    return [item.to_json()["Attributes"] for item in _backend(name).all_items()]


def _item(name: str, key: Item) -> Item | None:
    found = _backend(name).get_item(DynamoType(key["pk"]), DynamoType(key["sk"]))
    return None if found is None else dict(found.to_json()["Attributes"])


def _backend(name: str) -> Any:
    return get_backend("dynamodb")[DEFAULT_ACCOUNT_ID][_REGION].tables[name]


def _is_refused(parsed: Item) -> bool:
    return bool(parsed.get("Error", {}).get("Code") == "ConditionalCheckFailedException")


def _throttled(url: str) -> AWSResponse:
    error = {
        "__type": "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException",
        "message": "Throughput exceeds the current capacity of one or more partitions.",
    }
    headers: Any = {"x-amzn-requestid": "throttled"}
    return AWSResponse(url, 400, headers, _Raw(json.dumps(error).encode()))


class _Raw:
    """The body of an answer as botocore reads it."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self, **_: Any) -> Iterable[bytes]:
        yield self._body

    def read(self) -> bytes:
        return self._body


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
