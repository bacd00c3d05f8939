"""The blocking calls that read and write steps. The store runs them in threads."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from atomic.adapters.aws import rows, table
from atomic.adapters.aws.rows import Item
from atomic.adapters.aws.tag_items import TagItems
from atomic.application.child_steps import ChildPage, first_page
from atomic.application.ports import StoreUnavailable
from atomic.domain.counters import Tally
from atomic.domain.outlines import StepOutline
from atomic.domain.steps import Step
from atomic.protocol import keys

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

# What BatchGetItem takes (API reference).
_BATCH_MAX: Final = 100
_BATCH_TRIES: Final = 6


@dataclass(frozen=True, slots=True)
class ConditionFailed:
    """The condition failed; the existing item, if any."""

    item: Item | None


def conditional(call: Callable[..., Any], **arguments: Any) -> ConditionFailed | None:
    """Make a conditional write; None if it was written."""
    answer = answered(call, **arguments)
    return answer if isinstance(answer, ConditionFailed) else None


def answered(call: Callable[..., Any], **arguments: Any) -> Any | ConditionFailed:
    """Make a conditional write; its answer if it was written."""
    try:
        return call(**arguments)
    except ClientError as error:
        if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
            raise
        response: dict[str, Any] = dict(error.response)
        return ConditionFailed(response.get("Item"))


class StepItems:
    """Steps in one table."""

    def __init__(self, client: "DynamoDBClient", table_name: str, tags: TagItems) -> None:
        self._client = client
        self._table = table_name
        self._tags = tags
        self._batch_gap_s = 0.05

    def create(self, step: Step) -> Step | None:
        """One conditional PutItem; the loser gets the row from the failed condition.

        Of a root with tags, the row is read before, which costs less than items of tags that nothing uses.
        """
        if step.is_root and step.spec.tags:
            if (existing := self.get(step.id)) is not None:
                return existing
            self._tags.put(step)
        encoded = rows.encode(step)
        conflict = self._put(encoded, ConditionExpression="attribute_not_exists(pk)")
        return None if conflict is None else _winner(conflict, step)

    def get(self, step_id: str) -> Step | None:
        """One strongly consistent GetItem."""
        found = self._client.get_item(TableName=self._table, Key=table.key_of(step_id), ConsistentRead=True)
        item = found.get("Item")
        return rows.decode(item) if rows.is_step(item) else None

    def replace(self, step: Step, expected_version: int) -> Step | None:
        """One conditional UpdateItem of what changes. Raises LookupError if there is no row."""
        encoded = rows.encode(step)
        conflict = self._update(step, encoded, expected_version)
        if conflict is None:
            return None
        if not rows.is_step(conflict.item):
            raise LookupError(step.id)
        existing = rows.decode(conflict.item)
        if existing.version != expected_version:
            return existing
        # `created_at_ms` differs: the identity starts again and replaces an expired row.
        if step.is_root:
            self._tags.put(step)
        values = {":expected": {"N": str(expected_version)}}
        conflict = self._put(encoded, ConditionExpression="v = :expected", ExpressionAttributeValues=values)
        return None if conflict is None else _winner(conflict, step)

    def list_live(self, root: Step) -> None:
        """Move the entry of a root in the listing index, unless its row has changed, which moves it too."""
        conditional(
            self._client.update_item,
            TableName=self._table,
            Key=table.key_of(root.id),
            UpdateExpression="SET lp = :partition, d = :due",
            ConditionExpression="v = :version",
            ExpressionAttributeValues={
                ":partition": {"S": table.list_partition(root, root.status)},
                ":due": {"N": str(root.due_at_ms)},
                ":version": {"N": str(root.version)},
            },
        )

    def run(self, run_id: str, after: str | None, limit: int) -> list[Step]:
        """A page of the run's steps, strongly consistent."""
        steps: list[Step] = []
        for item in self._query_run(run_id, after, Limit=limit):
            steps.append(rows.decode(item))
            if len(steps) == limit:
                break
        return steps

    def outline(self, run_id: str) -> list[StepOutline]:
        """The state of every step of the run, strongly consistent."""
        found = self._query_run(run_id, None, ProjectionExpression="pk, sk, v, s, g")
        return [rows.decode_outline(item) for item in found]

    def tally(self, run_id: str, created_ms: int) -> Tally | None:
        """What counters have of the run that began at this moment; None when it is gone.

        It costs half as much as a consistent read. A run that has ended long ago does not change.
        """
        found = self._query_run(run_id, None, ProjectionExpression="pk, sk, c, s, g", ConsistentRead=False)
        return rows.tally_of(found, created_ms)

    def children(self, parent_id: str, after: str, limit: int) -> list[StepOutline]:
        """A page of the step's children, strongly consistent."""
        children: list[StepOutline] = []
        wanted = _children_after(parent_id, after)
        found = self._query(*wanted, ProjectionExpression="pk, sk, v, s, g", Limit=limit)
        for item in found:
            child = rows.decode_outline(item)
            if child.parent == parent_id:
                children.append(child)
            if len(children) == limit:
                break
        return children

    def child_steps(self, parent_id: str, after: str, limit: int, max_bytes: int) -> ChildPage:
        """A page of the step's children, whole; half the price of a consistent read."""
        # One more tells whether there are more.
        found = self._query(*_children_after(parent_id, after), ConsistentRead=False, Limit=limit + 1)
        steps = (rows.decode(item) for item in found)
        own = (step for step in steps if step.spec.parent == parent_id)
        return first_page(own, limit=limit, max_bytes=max_bytes)

    def many(self, ids: Sequence[str]) -> dict[str, Step]:
        """The rows that exist, by id, strongly consistent."""
        steps: dict[str, Step] = {}
        for start in range(0, len(ids), _BATCH_MAX):
            part = [table.key_of(step_id) for step_id in ids[start : start + _BATCH_MAX]]
            for item in self._batch(part, ConsistentRead=True):
                step = rows.decode(item)
                steps[step.id] = step
        return steps

    def at_rest(self, ids: Sequence[str]) -> frozenset[str]:
        """Which of these steps are at rest. The rows may be a moment old; such a step stays at rest."""
        wanted, found = [table.key_of(step_id) for step_id in dict.fromkeys(ids)], list[Item]()
        for start in range(0, len(wanted), _BATCH_MAX):
            found += self._batch(wanted[start : start + _BATCH_MAX], ProjectionExpression="pk, sk, s, g")
        resting = (item for item in found if rows.is_at_rest(item))
        return frozenset(keys.step_id(item["pk"]["S"], item["sk"]["S"]) for item in resting)

    def _put(self, encoded: rows.Encoded, **condition: Any) -> ConditionFailed | None:
        return conditional(
            self._client.put_item,
            TableName=self._table,
            Item=encoded.item,
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
            **condition,
        )

    def _update(self, step: Step, encoded: rows.Encoded, expected_version: int) -> ConditionFailed | None:
        sets = {name: value for name, value in encoded.changing.items() if value is not None}
        removes = [f"#{name}" for name in encoded.changing if name not in sets]
        expression = "SET " + ", ".join(f"#{name} = :{name}" for name in sets)
        if removes:
            expression += " REMOVE " + ", ".join(removes)
        return conditional(
            self._client.update_item,
            TableName=self._table,
            Key=table.key_of(step.id),
            UpdateExpression=expression,
            ConditionExpression="#v = :expected AND c = :created",
            ExpressionAttributeNames={f"#{name}": name for name in encoded.changing},
            ExpressionAttributeValues={
                **{f":{name}": value for name, value in sets.items()},
                ":expected": {"N": str(expected_version)},
                ":created": encoded.fixed["c"],
            },
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
        )

    def _query_run(self, run_id: str, after: str | None, **options: Any) -> Iterator[Item]:
        first = "0" if after is None else keys.position_of(after) + "!"
        yield from self._query(run_id, first, keys.AFTER_STEPS, **options)

    def _query(self, run_id: str, first: str, end: str, **options: Any) -> Iterator[Item]:
        """The steps of a run between two positions, strongly consistent unless told otherwise."""
        if first > end:
            return
        pages = self._client.get_paginator("query").paginate(
            TableName=self._table,
            KeyConditionExpression="pk = :run AND sk BETWEEN :first AND :end",
            ExpressionAttributeValues={":run": {"S": run_id}, ":first": {"S": first}, ":end": {"S": end}},
            **{"ConsistentRead": True, **options},
        )
        for page in pages:
            yield from filter(rows.is_step, page["Items"])

    def _batch(self, wanted: list[Item], **options: Any) -> Iterator[Item]:
        for attempt in range(_BATCH_TRIES):
            request: Any = {self._table: {"Keys": wanted, **options}}
            found: Any = self._client.batch_get_item(RequestItems=request)
            yield from filter(rows.is_step, found["Responses"].get(self._table, []))
            wanted = found.get("UnprocessedKeys", {}).get(self._table, {}).get("Keys", [])
            if not wanted:
                return
            # botocore does not retry the unprocessed keys of a batch.
            time.sleep(self._batch_gap_s * 2**attempt)
        raise StoreUnavailable(f"DynamoDB left {len(wanted)} keys of a batch unread")


def _winner(conflict: ConditionFailed, step: Step) -> Step:
    if conflict.item is None:
        raise StoreUnavailable(f"the row of {step.id} was deleted while it was being written")
    if not rows.is_step(conflict.item):
        raise StoreUnavailable(f"the run of {step.id} is being erased", kind="erased run")
    return rows.decode(conflict.item)


def _children_after(parent_id: str, after: str) -> tuple[str, str, str]:
    """The run of a step's children, and their positions after an id: the first one and the end."""
    first, end = (keys.position_of(step_id) for step_id in keys.children_range(parent_id))
    first = max(first, keys.position_of(after) + "!" if after else "")
    return keys.run_of(parent_id), first, end
