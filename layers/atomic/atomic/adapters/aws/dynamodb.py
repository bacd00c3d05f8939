"""The step store of an AWS runtime, in one DynamoDB table."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from atomic.adapters.aws import table
from atomic.adapters.aws.act_items import ActItems, DynamoAuditLog
from atomic.adapters.aws.blob_items import BlobItems
from atomic.adapters.aws.calls import AwsCalls
from atomic.adapters.aws.causes import causes, needing_action
from atomic.adapters.aws.client_counts import ClientCounts, CountItems
from atomic.adapters.aws.counter_items import CounterItems, DynamoCounters
from atomic.adapters.aws.erased_runs import ErasedRuns
from atomic.adapters.aws.items import StepItems
from atomic.adapters.aws.keeping import Keeping
from atomic.adapters.aws.listing import Due, Index, Range
from atomic.adapters.aws.long_runs import EndedRuns, noted
from atomic.adapters.aws.pointer_items import DynamoPointers, PointerItems
from atomic.adapters.aws.schedule_items import DynamoSchedules, ScheduleItems
from atomic.adapters.aws.storage_items import StorageItems
from atomic.adapters.aws.tag_items import TagItems
from atomic.application.batches import side_by_side
from atomic.application.cause_query import CausePage, CauseQuery
from atomic.application.child_steps import ChildPage
from atomic.application.ports import CountedLive, Counts
from atomic.application.run_query import Counted, ListPage, RunQuery
from atomic.domain.blobs import Place
from atomic.domain.outlines import StepOutline
from atomic.domain.steps import Step
from atomic.protocol.enums import LIVE, Status

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

# How many entries of each partition `count` reads and counts.
_READ_MAX: Final = 100
_COUNTED_MAX: Final = 1_000
# Longer than the lease of an attempt that the API function makes, and the way of its watchdog.
_INLINE_MS: Final = 120_000
# How many rows a list reads at a time, at least, once some of the newest did not fit.
_ROWS_AT_ONCE: Final = 100
_ROWS_MAX: Final = 500


class DynamoStepStore(DynamoSchedules, DynamoPointers, DynamoAuditLog, DynamoCounters):
    """Implements `ports.StepStore` on a table as `adapters.aws.table` describes it.

    A step that succeeds at once is two writes and no read. Only root steps and dead letters are in an
    index, since an index doubles the writes. So live steps are counted as live roots, and maintenance sees
    roots only: SQS keeps the wake-ups of other steps, and a post that attaches to an overdue step sends its
    wake-up again (`application.start`).
    """

    def __init__(
        self,
        calls: AwsCalls,
        client: "DynamoDBClient",
        *,
        table_name: str,
        blobs: BlobItems,
        now_ms: Callable[[], int],
    ) -> None:
        self._calls = calls
        tags = TagItems(client, table_name)
        self._items = StepItems(client, table_name, tags)
        self._blobs = blobs
        self._keeping = Keeping(client, table_name, blobs, tags)
        self._erased = ErasedRuns(client, table_name, blobs)
        self._stored = StorageItems(client, table_name)
        self._schedules = ScheduleItems(client, table_name)
        self._pointers = PointerItems(client, table_name)
        self._acts = ActItems(client, table_name)
        self._counters = CounterItems(client, table_name)
        self._ended = EndedRuns(client, table_name)
        self._counts = CountItems(calls, client, table_name)
        self._roots = Index.of_roots(calls, client, table_name)
        self._failed = Index.of_failed(calls, client, table_name)
        self._tagged = Index.of_tags(calls, client, table_name)
        self._now_ms = now_ms

    async def create(self, step: Step) -> Step | None:
        """Insert the step unless its id is taken: one write, and one more and a read for its tags."""
        return await self._calls.start(self._items.create, step)

    async def get(self, step_id: str) -> Step | None:
        """The newest acknowledged row."""
        return await self._calls.start(self._items.get, step_id)

    async def replace(self, step: Step, expected_version: int) -> Step | None:
        """Write the row if it has the expected version; raises LookupError if there is none: one write.

        A step with another `created_at_ms` than the row's is a new one, and all of it is written.
        """
        if (note := noted(step)) is not None:
            await self._calls.start(self._ended.note, step, *note)
        return await self._calls.start(self._items.replace, step, expected_version)

    async def list_live(self, step: Step) -> None:
        """List a root as live that is listed as if it had succeeded: one write; nothing for others."""
        if step.is_root and table.is_begun_inline(step):
            await self._calls.start(self._items.list_live, step)

    async def run(self, run_id: str, *, after: str | None, limit: int) -> Sequence[Step]:
        """A page of the run's steps in the order of their ids."""
        return await self._calls.start(self._items.run, run_id, after, limit)

    async def outline(self, run_id: str) -> Sequence[StepOutline]:
        """The state of every step of the run."""
        return await self._calls.start(self._items.outline, run_id)

    async def children(self, parent_id: str, *, after: str, limit: int) -> Sequence[StepOutline]:
        """A page of the step's children in the order of their ids."""
        return await self._calls.start(self._items.children, parent_id, after, limit)

    async def child_steps(self, parent_id: str, *, after: str, limit: int, max_bytes: int) -> ChildPage:
        """A page of the step's children in the order of their ids, whole, eventually consistent."""
        return await self._calls.start(self._items.child_steps, parent_id, after, limit, max_bytes)

    async def at_rest(self, step_ids: Sequence[str]) -> frozenset[str]:
        """Which of these steps have ended and concern nobody any more. Half a read unit a step."""
        return await self._calls.start(self._items.at_rest, step_ids)

    async def erase(self, client_id: str, run_id: str, root: Step | None) -> bool:
        """Delete all of a run, if its root is still this row: a write for each item, two for the root."""
        return await self._calls.start(self._erased.erase, client_id, run_id, root)

    async def list(self, query: RunQuery) -> ListPage:
        """Root steps that fit, newest first. A run that changes its status meanwhile may be left out.

        A page reads some 500 rows at most: a tag may have many runs that do not fit the rest of the query.
        """
        index, ranges = self._ranges(query)
        found: dict[str, Step] = {}
        # By their sort keys. A root that changes its state meanwhile may be in two partitions.
        candidates: dict[str, None] = {}
        enough, left = query.limit, _ROWS_MAX
        async for entry in index.merged(ranges):
            candidates[index.age(entry)] = None
            if len(candidates) < enough:
                continue
            found |= await self._fitting([*candidates], query)
            if len(found) >= query.limit:
                break
            left -= len(candidates)
            if left <= 0:
                last = next(reversed(candidates))
                return ListPage(found.values(), (table.created_of(last), table.id_of(last)))
            candidates, enough = {}, max(query.limit, _ROWS_AT_ONCE)
        else:
            found |= await self._fitting([*candidates], query)
        return ListPage.of(list(found.values())[: query.limit], query)

    async def count_runs(self, query: RunQuery, enough: int) -> Counted:
        """The entries of the index that fit, in four partitions of each status: a read unit for each 54.

        So many are counted that a Query reads 1 MB of a partition, or fewer. Of runs with a tag, a page.
        """
        if query.tags:
            page = await self.list(replace(query, limit=_ROWS_MAX))
            return Counted(len(page), page.after is None)
        partitions = [
            p for status in query.statuses for p in table.list_partitions(query.client_id, status)
        ]
        return await self._roots.count(partitions, Range.of(query), min(enough, _COUNTED_MAX))

    def _ranges(self, query: RunQuery) -> tuple[Index, dict[str, Range]]:
        """Where the runs of a query are found: four partitions of a tag, or four of each status."""
        wanted = Range.of(query)
        if query.tags:
            # Items of tags do not tell what became of the run.
            wanted = replace(wanted, cause=None, dismissed=None)
            return self._tagged, dict.fromkeys(table.tag_partitions(query.client_id, query.tags[0]), wanted)
        statuses = query.statuses
        ranges = {p: wanted for status in statuses for p in table.list_partitions(query.client_id, status)}
        if Status.RUNNING in statuses and Status.SUCCEEDED not in statuses:
            # Others are listed as if they had succeeded, but not for longer than their lease.
            recent = replace(wanted, first=max(wanted.first, table.age(self._now_ms() - _INLINE_MS)))
            ranges |= dict.fromkeys(table.list_partitions(query.client_id, Status.SUCCEEDED), recent)
        return self._roots, ranges

    async def failed(self, query: RunQuery) -> Sequence[str]:
        """Ids of the failed steps that fit, newest first."""
        ids: dict[str, None] = {}
        ranges = dict.fromkeys(table.failed_partitions(query.client_id), Range.of(query))
        async for entry in self._failed.merged(ranges):
            ids[table.id_of(entry["at"]["S"])] = None
            if len(ids) == query.limit:
                break
        return list(ids)

    async def causes(self, query: CauseQuery) -> CausePage:
        """The causes of the newest 10,000 failed runs: four queries, and three rows of each cause."""
        return await causes(self._roots, query, lambda ids: self._calls.start(self._items.many, ids))

    async def count(self, client_id: str, created_from_ms: int) -> Counts:
        """How many of the client's steps are in which state: of the live ones, roots; dead letters all.

        Each partition of an index is read to a bound: 52 queries, some 850 read units at most. Where there
        are more live roots or dead letters, maintenance has counted them.
        """
        recent = Range(first=table.age(created_from_ms))
        found: list[Any] = await side_by_side(
            side_by_side(*(self._live(client_id, state) for state in LIVE)),
            side_by_side(*(self._runs(client_id, state, recent) for state in Status)),
            self._failed.count(table.failed_partitions(client_id), Range(), _COUNTED_MAX),
            needing_action(self._roots, client_id),
        )
        live, runs, dead, needs_action = found
        counts = Counts(
            live={state: due.counted.number for state, due in zip(LIVE, live, strict=True)},
            runs={state: each.number for state, each in zip(Status, runs, strict=True) if each.number},
            dead_letters=dead.number,
            needs_action=needs_action,
            oldest_due_at_ms=min((d.first_ms for d in live if d.first_ms is not None), default=None),
            has_all_runs=all(each.is_all for each in runs),
            live_are_roots=True,
        )
        if not (dead.is_all and all(due.counted.is_all for due in live)):
            counts = _at_least(counts, await self._counts.load(client_id))
        return replace(counts, live={state: number for state, number in counts.live.items() if number})

    async def counted_live(self, client_id: str) -> CountedLive | None:
        """The live roots as maintenance has counted them, minutes ago: half a read unit."""
        counted = await self._counts.load(client_id)
        if not counted.counted_at_ms:
            return None
        return CountedLive(sum(counted.live.values()), counted.counted_at_ms)

    async def count_live_of(self, client_id: str, enough: int) -> int:
        """The live roots of the client: 16 queries, and a read unit for each 54 roots."""
        partitions = [p for state in LIVE for p in table.list_partitions(client_id, state)]
        return (await self._roots.count(partitions, Range(), enough)).number

    async def add_stored_bytes(self, client_id: str, size: int, *, day: int, since_day: int) -> int:
        """Add to the stored bytes of the client: one write, and one read of a small item for each day."""
        return await self._calls.start(self._stored.add, client_id, size, day, since_day)

    async def keep(self, run_id: str, expiring_before_s: int, until_s: int) -> None:
        """Postpone what of the run's rows and large texts expires before a moment to another one."""
        await self._calls.start(
            self._keeping.keep, run_id, expiring_before_s=expiring_before_s, until_s=until_s
        )

    async def put_blob(self, step_id: str, digest: str, text: bytes, until_ms: int) -> Place:
        """Store a large text, unless it is small when deflated: one write of an item or of an object."""
        return await self._calls.start(self._blobs.put, step_id, digest, text, until_ms)

    async def get_blob(self, step_id: str, digest: str, place: Place) -> bytes | None:
        """A large text: one read."""
        return await self._calls.start(self._blobs.get, step_id, digest, place)

    async def _live(self, client_id: str, state: Status) -> Due:
        return await self._roots.due(table.list_partitions(client_id, state), _READ_MAX)

    async def _runs(self, client_id: str, state: Status, recent: Range) -> Counted:
        return await self._roots.count(table.list_partitions(client_id, state), recent, _COUNTED_MAX)

    async def _fitting(self, ages: Sequence[str], query: RunQuery) -> dict[str, Step]:
        """The rows of these sort keys, in their order, that fit.

        An index may lag, and does not know everything. A tag may be of a start that came to nothing.
        """
        ids = dict.fromkeys(map(table.id_of, ages))
        existing = await self._calls.start(self._items.many, [*ids])
        steps = {table.age(step.created_at_ms, step.id): step for step in existing.values()}
        found = [steps[age] for age in ages if age in steps]
        return {step.id: step for step in found if step.status in query.statuses and query.fits(step)}


def _at_least(counts: Counts, counted: ClientCounts) -> Counts:
    """What was counted to a bound now, and completely some minutes ago."""
    due = [ms for ms in (counts.oldest_due_at_ms, counted.oldest_due_at_ms) if ms is not None]
    return replace(
        counts,
        live={state: max(number, counted.live.get(state, 0)) for state, number in counts.live.items()},
        dead_letters=max(counts.dead_letters, counted.dead_letters),
        oldest_due_at_ms=min(due, default=None),
        counted_at_ms=counted.counted_at_ms,
    )
