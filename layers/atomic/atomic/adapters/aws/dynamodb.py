"""The step store of an AWS runtime, in one DynamoDB table."""

import heapq
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from atomic.adapters.aws import rows, table
from atomic.adapters.aws.calls import AwsCalls
from atomic.adapters.aws.items import StepItems
from atomic.adapters.aws.listing import Index, Range
from atomic.adapters.aws.storage_items import StorageItems
from atomic.application.batches import side_by_side
from atomic.application.child_steps import ChildPage
from atomic.application.ports import Counts, DueStep, RunQuery
from atomic.application.round_robin import due_in_turns
from atomic.domain.steps import Step, StepOutline
from atomic.protocol.enums import LIVE, Status

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

ClientIds = Callable[[], Awaitable[Sequence[str]]]

# A run that is live for longer than this may outlive the retention of its steps; see `purge`.
_LONG_MS: Final = 24 * 3600 * 1000
_KEPT_ON_S: Final = 32 * 24 * 3600


class DynamoStepStore:
    """Implements `ports.StepStore` on a table as `adapters.aws.table` describes it.

    A step that succeeds at once is two writes and no read. Only root steps and dead letters are in an
    index, since an index doubles the writes. So `due`, `with_status` and the live steps of `count` cover
    roots only: SQS keeps the wake-ups of other steps, and a post that attaches to an overdue step sends its
    wake-up again (`application.start`).

    `client_ids` names all clients; `due`, `with_status` and `purge` query the runs of each.
    """

    def __init__(
        self, calls: AwsCalls, client: "DynamoDBClient", *, table_name: str, client_ids: ClientIds
    ) -> None:
        self._calls = calls
        self._items = StepItems(client, table_name)
        self._stored = StorageItems(client, table_name)
        self._client_ids = client_ids
        self._roots = Index(calls, client, table_name=table_name, name=table.LIST_INDEX, partition="lp")
        self._failed = Index(calls, client, table_name=table_name, name=table.FAILED_INDEX, partition="fp")

    async def create(self, step: Step) -> Step | None:
        """Insert the step unless its id is taken: one write."""
        return await self._calls.start(self._items.create, step)

    async def get(self, step_id: str) -> Step | None:
        """The newest acknowledged row."""
        return await self._calls.start(self._items.get, step_id)

    async def replace(self, step: Step, expected_version: int) -> Step | None:
        """Write the row if it has the expected version; raises LookupError if there is none: one write.

        A step with another `created_at_ms` than the row's is a new one, and all of it is written.
        """
        if step.is_root and _is_long(step):
            until_s = rows.ttl_s(step) or 0
            await self._keep(step.spec.run_id, expiring_before_s=until_s, until_s=until_s)
        return await self._calls.start(self._items.replace, step, expected_version)

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

    async def list(self, query: RunQuery) -> Sequence[Step]:
        """Root steps that fit, newest first. A run that changes its status meanwhile may be left out."""
        statuses = list(Status) if query.status is None else [query.status]
        partitions = [p for status in statuses for p in table.list_partitions(query.client_id, status)]
        found: dict[str, Step] = {}
        candidates: list[str] = []
        async for entry in self._roots.merged(partitions, Range.of(query)):
            candidates.append(table.id_of(entry["at"]["S"]))
            if len(found) + len(candidates) >= query.limit:
                found |= await self._fitting(candidates, query)
                candidates = []
            if len(found) >= query.limit:
                break
        found |= await self._fitting(candidates, query)
        return list(found.values())[: query.limit]

    async def failed(self, query: RunQuery) -> Sequence[str]:
        """Ids of the failed steps that fit, newest first."""
        ids: dict[str, None] = {}
        async for entry in self._failed.merged(table.failed_partitions(query.client_id), Range.of(query)):
            ids[table.id_of(entry["at"]["S"])] = None
            if len(ids) == query.limit:
                break
        return list(ids)

    async def due(self, before_ms: int, limit: int) -> Sequence[DueStep]:
        """Live root steps that are due before the moment, clients in turns, the most overdue first."""
        found = await self._roots.due(await self._partitions(LIVE))
        return due_in_turns((s for s in found if s is not None and s.due_at_ms < before_ms), limit)

    async def with_status(self, status: Status, *, after: str, limit: int) -> Sequence[str]:
        """A page of the ids of root steps in a state, in their order."""
        entries = self._roots.merged(await self._partitions([status]), Range())
        ids = {table.id_of(entry["at"]["S"]) async for entry in entries}
        return heapq.nsmallest(limit, (step_id for step_id in ids if step_id > after))

    async def count(self, client_id: str, created_from_ms: int) -> Counts:
        """How many of the client's steps are in which state: of the live ones, roots; dead letters all."""
        recent = Range(first=table.age(created_from_ms))
        found: list[Any] = await side_by_side(
            side_by_side(*(self._roots.due(table.list_partitions(client_id, state)) for state in LIVE)),
            side_by_side(
                *(self._roots.count(table.list_partitions(client_id, state), recent) for state in Status)
            ),
            self._failed.count(table.failed_partitions(client_id), Range()),
        )
        live, runs, dead_letters = found
        due = [step.due_at_ms for steps in live for step in steps if step is not None]
        return Counts(
            live={state: len(steps) for state, steps in zip(LIVE, live, strict=True) if steps},
            runs={state: number for state, number in zip(Status, runs, strict=True) if number},
            dead_letters=dead_letters,
            oldest_due_at_ms=min(due, default=None),
        )

    async def add_stored_bytes(self, client_id: str, size: int, *, day: int, since_day: int) -> int:
        """Add to the stored bytes of the client: one write, and one read of a small item for each day."""
        return await self._calls.start(self._stored.add, client_id, size, day, since_day)

    async def purge(self, now_ms: int, limit: int) -> int:
        """Postpone the expiry of rows that DynamoDB must keep. Returns 0: DynamoDB deletes rows itself.

        A step is kept at least as long as its run, so the expiry of all rows of a run that is live for more
        than a day is postponed. Call it once a day: an expired row stays for two more days. It reads every
        such run completely, the oldest first, which are the most urgent ones. It works on `limit` runs at a
        time.
        """
        long_ago = Range(end=table.age(now_ms - _LONG_MS), newest_first=False)
        runs: list[str] = []
        async for entry in self._roots.merged(await self._partitions(LIVE), long_ago):
            runs.append(entry["pk"]["S"])
            if len(runs) == limit:
                await self._keep_all(runs, now_ms)
                runs = []
        await self._keep_all(runs, now_ms)
        return 0

    async def _fitting(self, ids: Sequence[str], query: RunQuery) -> dict[str, Step]:
        """The rows of the ids, in their order, that fit: an index may lag, and does not know everything."""
        existing = await self._calls.start(self._items.many, ids)
        steps = [existing[step_id] for step_id in ids if step_id in existing]
        return {step.id: step for step in steps if query.status in {None, step.status} and query.fits(step)}

    async def _partitions(
        self, statuses: "set[Status] | frozenset[Status] | Sequence[Status]"
    ) -> Sequence[str]:
        clients = await self._client_ids()
        return [
            p for client in clients for status in statuses for p in table.list_partitions(client, status)
        ]

    async def _keep_all(self, runs: Sequence[str], now_ms: int) -> None:
        now_s = now_ms // 1000
        until = {"expiring_before_s": now_s + rows.GRACE_S, "until_s": now_s + _KEPT_ON_S}
        await side_by_side(*(self._keep(run_id, **until) for run_id in runs))

    async def _keep(self, run_id: str, *, expiring_before_s: int, until_s: int) -> None:
        await self._calls.start(
            self._items.keep, run_id, expiring_before_s=expiring_before_s, until_s=until_s
        )


def _is_long(step: Step) -> bool:
    """Whether the run ends with this write, after more than a day."""
    return step.finished_at_ms is not None and step.finished_at_ms - step.created_at_ms > _LONG_MS
