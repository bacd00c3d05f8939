"""The counters: one item for each hour of a client, which has all of its workflows, and expires by itself.

Maintenance writes them (`counting`), and no run does. Beside them is the plan of maintenance: which hours
it will look at again.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from atomic.adapters.aws.calls import AwsCalls
from atomic.adapters.aws.packing import pack_text, unpack_text
from atomic.adapters.aws.rows import GRACE_S, Item
from atomic.adapters.aws.table import HOURS, age, created_of
from atomic.application.counter_store import CounterPage, CounterQuery
from atomic.domain.counters import (
    KEPT_MS,
    NUMBERS,
    Counter,
    Tally,
    WorkflowCount,
    numbers_of,
    tally_of_columns,
    tally_of_numbers,
    workflow_counts,
)
from atomic.domain.histograms import BOUNDS_MS

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

# Above every hour.
_PLAN: Final = "plan"
# In the text of an hour: how many bounds its durations have.
_BOUNDS: Final = "bounds"
_FIRST_NUMBERS: Final = (
    "started",
    "succeeded",
    "failed",
    "cancelled",
    "retries",
    "duration_ms_sum",
    "last_started_ms",
)


class Look(NamedTuple):
    """When an hour was looked at last, and how many live and failed roots it had then."""

    at_ms: int = 0
    live: int = 0
    failed: int = 0


@dataclass(slots=True, kw_only=True)
class Plan:
    """What maintenance still counts of a client.

    `next_ms`: the first hour that was never counted. `open`: the hours before it whose runs may still
    change. `began_ms`: when a walk over them began. `busy_until_ms`: until when one goes on.
    """

    next_ms: int = 0
    open: dict[int, Look] = field(default_factory=dict)
    began_ms: int = 0
    busy_until_ms: int = 0


class CounterItems:
    """The items of counters. Methods block, and raise the errors of botocore."""

    def __init__(self, client: "DynamoDBClient", table_name: str) -> None:
        self._client = client
        self._table = table_name

    def put(self, client_id: str, hour_ms: int, tallies: dict[str, Tally], at_ms: int) -> None:
        """Write what was counted of an hour: one write."""
        numbers = {name: numbers_of(tally) for name, tally in tallies.items()}
        text = json.dumps({_BOUNDS: len(BOUNDS_MS), "of": numbers})
        self._put(client_id, age(hour_ms), text, at_ms, hour_ms)

    def page(self, query: CounterQuery) -> CounterPage:
        """A page of counters: half a read unit for four small hours."""
        last_ms = query.before_ms - 1
        if query.after is not None:
            last_ms = min(last_ms, query.after[0] + query.every_ms - 1)
        return query.page(self._newest_first(query.client_id, query.from_ms, last_ms))

    def since(self, client_id: str, from_ms: int) -> list[Counter]:
        """All counters of the hours from a moment on."""
        return [*self._newest_first(client_id, from_ms, None)]

    def hour(self, client_id: str, hour_ms: int) -> dict[str, Tally]:
        """The counters of an hour, as they were counted last."""
        item = self._get(client_id, age(hour_ms))
        return {each.workflow_name: each.tally for each in _counters(item)} if item else {}

    def load_plan(self, client_id: str) -> Plan:
        """The plan, strongly consistent; a new one when there is none."""
        item = self._get(client_id, _PLAN)
        if item is None:
            return Plan()
        known = json.loads(unpack_text(item["j"]))
        known["open"] = {int(hour_ms): Look(*look) for hour_ms, look in known["open"].items()}
        return Plan(**known)

    def save_plan(self, client_id: str, plan: Plan) -> None:
        """Write the plan."""
        self._put(client_id, _PLAN, json.dumps(asdict(plan)), plan.began_ms, plan.began_ms)

    def _get(self, client_id: str, sk: str) -> Item | None:
        key = _key(client_id, sk)
        found: Any = self._client.get_item(TableName=self._table, Key=key, ConsistentRead=True)
        item: Item | None = found.get("Item")
        return item

    def _put(self, client_id: str, sk: str, text: str, at_ms: int, kept_from_ms: int) -> None:
        item = {
            **_key(client_id, sk),
            "j": pack_text(text.encode()),
            "c": {"N": str(at_ms)},
            "ttl": {"N": str((kept_from_ms + KEPT_MS) // 1000 + GRACE_S)},
        }
        self._client.put_item(TableName=self._table, Item=item)

    def _newest_first(self, client_id: str, from_ms: int, last_ms: int | None) -> Iterator[Counter]:
        last = _PLAN if last_ms is None else age(last_ms)
        first = age(from_ms)
        if last < first:
            # DynamoDB refuses such a range.
            return
        pages = self._client.get_paginator("query").paginate(
            TableName=self._table,
            KeyConditionExpression="pk = :pk AND sk BETWEEN :first AND :last",
            ExpressionAttributeValues={
                ":pk": {"S": f"{HOURS}{client_id}"},
                ":first": {"S": first},
                ":last": {"S": last},
            },
            ScanIndexForward=False,
        )
        for page in pages:
            for item in page["Items"]:
                if item["sk"]["S"] != _PLAN:
                    yield from _counters(item)


class DynamoCounters:
    """Implements `ports.Counters`, within `DynamoStepStore`: as maintenance has counted."""

    # An item for each minute would be a write for each, and maintenance counts each half hour.
    has_minutes = False
    _calls: AwsCalls
    _counters: CounterItems

    async def counters(self, query: CounterQuery) -> CounterPage:
        """A page of counters."""
        return await self._calls.start(self._counters.page, query)

    async def workflows(
        self, client_id: str, *, from_ms: int, recent_from_ms: int, after: str | None, limit: int
    ) -> Sequence[WorkflowCount]:
        """The workflows of these hours; all of their items are read."""
        found = await self._calls.start(self._counters.since, client_id, from_ms)
        counts = workflow_counts(found, [each for each in found if each.began_ms >= recent_from_ms])
        return [each for each in counts if after is None or each.name > after][:limit]


def _counters(item: Any) -> list[Counter]:
    """The counters of an hour, by name."""
    hour_ms, at_ms = created_of(item["sk"]["S"]), int(item["c"]["N"])
    known = json.loads(unpack_text(item["j"]))
    # Items of before are of names alone, one of which may be this.
    is_new = isinstance(known.get(_BOUNDS), int)
    read, numbers = (tally_of_numbers, known["of"]) if is_new else (_first_tally, known)
    return [Counter(hour_ms, name, read(flat), at_ms) for name, flat in sorted(numbers.items())]


def _first_tally(flat: Sequence[int]) -> Tally:
    """A tally as it was first written: without the least and the most duration, and with 16 bounds.

    Its durations are left out: it is unknown where between two bounds each of them was.
    """
    numbers = [*flat[: len(_FIRST_NUMBERS)], *(0 for _ in range(len(_FIRST_NUMBERS) - len(flat)))]
    of = dict(zip(_FIRST_NUMBERS, numbers, strict=True))
    return tally_of_columns([of.get(name, 0) for name in NUMBERS], ())


def _key(client_id: str, sk: str) -> Item:
    return {"pk": {"S": f"{HOURS}{client_id}"}, "sk": {"S": sk}}
