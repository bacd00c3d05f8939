"""Reads the two indexes and the items of tags: many partitions, each in order, merged.

Indexes lag behind the table by some milliseconds, so their entries are checked against the rows where it
matters.
"""

from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from atomic.adapters.aws import table
from atomic.adapters.aws.calls import AwsCalls
from atomic.adapters.aws.rows import Item
from atomic.application.batches import side_by_side
from atomic.application.run_query import Counted, RunQuery

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

# Above every sort key of an index.
_END: Final = "~"
# The pages of a list become longer up to this many entries, some 150 KB.
_PAGE_MAX: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """Which entries of a partition: sort keys from `first` to below `end`, and a filter."""

    first: str = "0"
    end: str = _END
    workflow_name: str | None = None
    key_prefix: str | None = None
    key_part: str | None = None
    cause: str | None = None
    # Only failed runs: those that were dismissed, or those that need action.
    dismissed: bool | None = None
    newest_first: bool = True
    due_before_ms: int | None = None
    # How many entries one call evaluates; None for as many as it can (1 MB).
    page: int | None = None

    @classmethod
    def of(cls, query: RunQuery) -> "Range":
        """The filter of a query of runs or dead letters, without its status."""
        ends = [_END]
        if query.created_before_ms is not None:
            ends.append(table.age(query.created_before_ms))
        if query.after is not None:
            ends.append(table.age(*query.after))
        is_filtered = query.workflow_name is not None or query.is_of_failed
        is_filtered = is_filtered or bool(query.key_prefix or query.key_part)
        return cls(
            first=table.age(query.created_from_ms or 0),
            end=min(ends),
            workflow_name=query.workflow_name,
            key_prefix=query.key_prefix,
            key_part=query.key_part,
            cause=query.cause,
            dismissed=query.dismissed,
            page=None if is_filtered else query.limit,
        )


class Index:
    """One index of the table, or items of it that are as one."""

    def __init__(
        self,
        calls: AwsCalls,
        client: "DynamoDBClient",
        *,
        target: Mapping[str, str],
        partition: str,
        sort: str = "at",
    ) -> None:
        self._calls = calls
        self._client = client
        self._target: Any = target
        self._partition = partition
        self._sort = sort

    @classmethod
    def of_roots(cls, calls: AwsCalls, client: "DynamoDBClient", table_name: str) -> "Index":
        """The index of root steps."""
        target = {"TableName": table_name, "IndexName": table.LIST_INDEX}
        return cls(calls, client, target=target, partition="lp")

    @classmethod
    def of_failed(cls, calls: AwsCalls, client: "DynamoDBClient", table_name: str) -> "Index":
        """The index of dead letters."""
        target = {"TableName": table_name, "IndexName": table.FAILED_INDEX}
        return cls(calls, client, target=target, partition="fp")

    @classmethod
    def of_tags(cls, calls: AwsCalls, client: "DynamoDBClient", table_name: str) -> "Index":
        """The items of tags, which are read as an index is."""
        return cls(calls, client, target={"TableName": table_name}, partition="pk", sort="sk")

    def age(self, entry: Item) -> str:
        """The sort key of an entry: when its step was created, and its id."""
        return str(entry[self._sort]["S"])

    async def merged(self, ranges: Mapping[str, Range]) -> AsyncIterator[Item]:
        """The wanted entries of the partitions in the order of their sort keys, which is one for all."""
        streams = [_Stream(self, partition, wanted) for partition, wanted in ranges.items()]
        await side_by_side(*(stream.fill() for stream in streams))
        choose = max if all(wanted.newest_first for wanted in ranges.values()) else min
        while open_streams := [stream for stream in streams if stream.entries]:
            stream = choose(open_streams, key=lambda stream: self.age(stream.entries[0]))
            yield stream.entries.popleft()
            await stream.fill()

    async def count(self, partitions: Sequence[str], wanted: Range, enough: int) -> Counted:
        """How many entries the partitions have; each is counted to `enough`. Only numbers come back."""
        found = await side_by_side(*(self._count(partition, wanted, enough) for partition in partitions))
        return Counted(sum(each.number for each in found), all(each.is_all for each in found))

    async def due(self, partitions: Sequence[str], enough: int) -> "Due":
        """When the steps of the partitions are due; the oldest of each partition, `enough` at most."""
        first = Range(newest_first=False, page=enough)
        found = await side_by_side(*(self.page(partition, first, None) for partition in partitions))
        entries = [entry for page in found for entry in page["Items"]]
        return Due(
            Counted(len(entries), not any("LastEvaluatedKey" in page for page in found)),
            min((int(entry["d"]["N"]) for entry in entries if "d" in entry), default=None),
        )

    async def page(self, partition: str, wanted: Range, after: Item | None, **options: Any) -> Any:
        """One answer of Query; `after` is the key where the last one ended."""
        filters, values = _of_failed(wanted)
        values |= {":partition": partition, ":first": wanted.first, ":end": wanted.end}
        typed: dict[str, Any] = {}
        if wanted.workflow_name is not None:
            filters.append("w = :workflow")
            values[":workflow"] = wanted.workflow_name
        if wanted.key_prefix:
            filters.append("begins_with(k, :prefix)")
            values[":prefix"] = wanted.key_prefix
        if wanted.key_part:
            filters.append("contains(k, :part)")
            values[":part"] = wanted.key_part
        if wanted.due_before_ms is not None:
            filters.append("d < :due")
            typed[":due"] = {"N": str(wanted.due_before_ms)}
        options |= {"FilterExpression": " AND ".join(filters)} if filters else {}
        options |= {"ExclusiveStartKey": after} if after is not None else {}
        options |= {"Limit": wanted.page} if wanted.page is not None else {}
        return await self._calls.start(
            self._client.query,
            **self._target,
            KeyConditionExpression=f"{self._partition} = :partition AND #at BETWEEN :first AND :end",
            ExpressionAttributeNames={"#at": self._sort},
            ExpressionAttributeValues=typed | {name: {"S": value} for name, value in values.items()},
            ScanIndexForward=not wanted.newest_first,
            **options,
        )

    async def _count(self, partition: str, wanted: Range, enough: int) -> Counted:
        found: Any = {}
        number = 0
        while number < enough and (not found or "LastEvaluatedKey" in found):
            wanted = replace(wanted, page=enough - number)
            found = await self.page(partition, wanted, found.get("LastEvaluatedKey"), Select="COUNT")
            number += found["Count"]
        return Counted(number, "LastEvaluatedKey" not in found)


def _of_failed(wanted: Range) -> tuple[list[str], dict[str, str]]:
    """The conditions of failed runs by their causes, and the values in them."""
    filters, values = list[str](), dict[str, str]()
    if wanted.cause is not None:
        filters.append("e IN (:open, :dismissed)")
        values[":open"] = table.mark_of(wanted.cause, dismissed=False)
        values[":dismissed"] = table.mark_of(wanted.cause, dismissed=True)
    if wanted.dismissed is not None:
        is_dismissed = "begins_with(e, :mark)"
        filters.append(is_dismissed if wanted.dismissed else f"attribute_exists(e) AND NOT {is_dismissed}")
        values[":mark"] = table.DISMISSED
    return filters, values


@dataclass(frozen=True, slots=True)
class Due:
    """How many steps were read, and when the first of them is due."""

    counted: Counted
    first_ms: int | None


class _Stream:
    """The entries of one partition, a page at a time."""

    def __init__(self, index: Index, partition: str, wanted: Range) -> None:
        self.entries: deque[Item] = deque()
        self._index = index
        self._partition = partition
        self._wanted = wanted
        self._next: Item | None = None
        # BETWEEN refuses a range that ends before it begins.
        self._is_done = wanted.first >= wanted.end

    async def fill(self) -> None:
        """Load the next entries, unless some are loaded or the partition has no more."""
        while not self.entries and not self._is_done:
            found = await self._index.page(self._partition, self._wanted, self._next)
            # BETWEEN includes its end.
            age, end = self._index.age, self._wanted.end
            self.entries += [entry for entry in found["Items"] if age(entry) != end]
            self._next = found.get("LastEvaluatedKey")
            self._is_done = self._next is None
            if (page := self._wanted.page) is not None:
                # The entries so far were not enough, so many may not fit.
                self._wanted = replace(self._wanted, page=min(2 * page, _PAGE_MAX))
