"""How many runs failed for each cause, counted by the index: of the newest failed runs."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final

from atomic.adapters.aws import table
from atomic.adapters.aws.listing import Index, Range
from atomic.adapters.aws.rows import Item
from atomic.application.batches import side_by_side
from atomic.application.cause_query import SAMPLES_MAX, CauseGroup, CausePage, CauseQuery
from atomic.domain.steps import Step
from atomic.protocol.enums import Status

# How many entries of each of the four partitions are read, some 300 bytes each.
_READ_MAX: Final = 2_500
# And of how many it is counted how many need action: the dashboard asks every few seconds.
_COUNTED_MAX: Final = 1_000

# A cause, and the sort keys of its runs.
_Found = tuple[str, Sequence[str]]


async def causes(
    index: Index, query: CauseQuery, read: Callable[[Sequence[str]], Awaitable[dict[str, Step]]]
) -> CausePage:
    """The causes that most of the newest 10,000 failed runs failed for, at least: four queries.

    `read` reads rows by their ids: three of each cause.
    """
    wanted = Range(workflow_name=query.workflow_name, dismissed=query.dismissed, page=_READ_MAX)
    partitions = table.list_partitions(query.client_id, Status.FAILED)
    pages = await side_by_side(*(index.page(partition, wanted, None) for partition in partitions))
    found = _by_cause(index, [entry for page in pages for entry in page["Items"]])
    shown = found[: query.limit]
    newest = {cause_id: sorted(ages, reverse=True)[:SAMPLES_MAX] for cause_id, ages in shown}
    rows = await read([table.id_of(age) for ages in newest.values() for age in ages])
    groups = (_group(each, [rows.get(table.id_of(age)) for age in newest[each[0]]]) for each in shown)
    return CausePage(
        groups=[group for group in groups if group is not None],
        more=len(found) > query.limit,
        is_all=not any("LastEvaluatedKey" in page for page in pages),
    )


async def needing_action(index: Index, client_id: str) -> int:
    """How many of the newest 4,000 failed runs were not dismissed: four queries."""
    wanted = Range(dismissed=False, page=_COUNTED_MAX)
    partitions = table.list_partitions(client_id, Status.FAILED)
    pages = await side_by_side(*(index.page(each, wanted, None, Select="COUNT") for each in partitions))
    return sum(page["Count"] for page in pages)


def _by_cause(index: Index, entries: Iterable[Item]) -> list[_Found]:
    by_cause: dict[str, list[str]] = {}
    for entry in entries:
        by_cause.setdefault(entry["e"]["S"].removeprefix(table.DISMISSED), []).append(index.age(entry))
    return sorted(by_cause.items(), key=lambda each: (-len(each[1]), each[0]))


def _group(found: _Found, rows: Iterable[Step | None]) -> CauseGroup | None:
    """None when the index lags behind the rows: they were redriven since."""
    cause_id, ages = found
    samples = [row for row in rows if row and row.cause and row.cause.id == cause_id]
    if not samples or (cause := samples[0].cause) is None:
        return None
    return CauseGroup(
        cause=cause,
        count=len(ages),
        first_created_ms=table.created_of(min(ages)),
        last_created_ms=table.created_of(max(ages)),
        samples=samples,
    )
