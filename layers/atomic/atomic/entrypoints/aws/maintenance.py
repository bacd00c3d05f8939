"""The maintenance function: finds overdue steps, counts, and keeps the rows that long runs still need.

A schedule asks for a round over all clients. The round sends one message for each client, and the function
takes these messages up to ten at a time. It works on a client for a bounded time, and then sends another
message, by which the work goes on. So no client delays another one, and no invocation takes long.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from atomic.adapters.aws.client_counts import ClientCounts, CountItems
from atomic.adapters.aws.client_store import DynamoClientStore
from atomic.adapters.aws.counter_items import CounterItems
from atomic.adapters.aws.counting import HourCounts, begin_count
from atomic.adapters.aws.items import StepItems
from atomic.adapters.aws.listing import Index
from atomic.adapters.aws.live_roots import DynamoLiveRoots
from atomic.adapters.aws.long_runs import EndedRuns, LongRuns
from atomic.adapters.aws.maintenance_queue import Errand, MaintenanceQueue, Work
from atomic.adapters.aws.tag_items import TagItems
from atomic.application.maintenance import FLOW_PART, Walk, live_of, sweep_client, sweep_schedules
from atomic.domain.retentions import DAY_MS
from atomic.entrypoints.aws.wiring import AwsRuntime
from atomic.protocol.enums import LIVE, Status

_log: Final = logging.getLogger("atomic.maintenance")

# How long one message is worked on, and how many at the same time.
_BUDGET_S: Final = 20.0
_AT_ONCE: Final = 4
_CLIENTS_PAGE: Final = 500
# When a walk has not gone on for so long, the next round begins a new one.
_BUSY_MS: Final = 10 * 60_000
_DEAD_LETTERS_EVERY_MS: Final = 3_600_000


class MaintenanceFunction:
    """The Lambda handler.

    `work` of the schedule's event says what to do: `sweep` often, `count` twice an hour, `purge` daily.
    Messages of SQS say it in their bodies; those that failed are reported, so that SQS delivers only them
    again.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        runtime = self.runtime = AwsRuntime(environ)
        calls, (dynamodb, sqs, _) = runtime.calls, runtime.clients
        table_name = runtime.settings.table
        self._clients = DynamoClientStore(dynamodb, table_name)
        self._counts = CountItems(calls, dynamodb, table_name)
        self._queue = MaintenanceQueue(calls, sqs, runtime.settings.maintenance_queue_url)
        self._roots = DynamoLiveRoots(
            Index.of_roots(calls, dynamodb, table_name), Index.of_failed(calls, dynamodb, table_name)
        )
        self._long_runs = LongRuns(calls, self._roots, EndedRuns(dynamodb, table_name), runtime.store.keep)
        self._retention_ms = runtime.engine.settings.retention_ms
        self._counters = CounterItems(dynamodb, table_name)
        self._hours = HourCounts(
            calls,
            Index.of_roots(calls, dynamodb, table_name),
            StepItems(dynamodb, table_name, TagItems(dynamodb, table_name)),
            self._counters,
            tell=runtime.metrics.workflow_counted,
            told_max=runtime.settings.workflow_metrics,
        )
        self._works = {"sweep": self._sweep, "purge": self._purge, "count": self._count}

    def __call__(self, event: Mapping[str, Any], _context: Any) -> dict[str, Any]:
        """Do what the event asks for."""
        if "Records" in event:
            return self.runtime.run(self._take_all(event["Records"]))
        work: Work = event["work"]
        return self.runtime.run(self._go_round(Errand(work=work, asked_at_ms=self._now_ms())))

    async def _take_all(self, records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        some = asyncio.Semaphore(_AT_ONCE)

        async def take(record: Mapping[str, Any]) -> None:
            async with some:
                await self._take(Errand.parse(record["body"]))

        ends = await asyncio.gather(*map(take, records), return_exceptions=True)
        failures = []
        for record, error in zip(records, ends, strict=True):
            if isinstance(error, BaseException):
                _log.error("maintenance failed", exc_info=error, extra={"messageId": record["messageId"]})
                failures.append({"itemIdentifier": record["messageId"]})
        return {"batchItemFailures": failures}

    async def _take(self, errand: Errand) -> None:
        if errand.client_id is None:
            await self._go_round(errand)
        else:
            await self._works[errand.work](errand, errand.client_id, _budget())

    async def _go_round(self, errand: Errand) -> dict[str, int]:
        """Send a message for each client; their number. The rest of a long round follows by a message."""
        after, number, may_go_on = errand.after, 0, _budget()
        while True:
            page = await self.runtime.calls.start(self._clients.page, after, _CLIENTS_PAGE)
            await self._queue.send(replace(errand, after="", client_id=each) for each in page)
            number += len(page)
            if len(page) < _CLIENTS_PAGE:
                return {"clients": number}
            after = page[-1]
            if not may_go_on():
                await self._queue.send([replace(errand, after=after)])
                return {"clients": number}

    async def _sweep(self, errand: Errand, client_id: str, may_go_on: Callable[[], bool]) -> None:
        """Wake overdue roots, and count the live ones; from time to time, count the dead letters."""
        counts = await self._counts.load(client_id)
        walk = errand.walk or self._begin_sweep(errand, client_id, counts)
        if walk is None or walk.began_ms < counts.counted_at_ms:
            # Another walk is under way, or was begun later and has ended.
            return
        if errand.walk is None:
            await sweep_schedules(self.runtime.engine, self.runtime.store, walk)
        await sweep_client(self.runtime.engine, self._roots, self.runtime.flow, walk, may_go_on)
        if walk.is_over:
            await self._save(walk, counts)
        else:
            await self._counts.save_busy(client_id, self._now_ms() + _BUSY_MS)
            await self._queue.send([replace(errand, walk=walk)])

    def _begin_sweep(self, errand: Errand, client_id: str, counts: ClientCounts) -> Walk | None:
        now_ms = self._now_ms()
        if counts.counted_at_ms >= errand.asked_at_ms or counts.busy_until_ms > now_ms:
            return None
        has_all = now_ms - counts.dead_letters_at_ms >= _DEAD_LETTERS_EVERY_MS
        parts = self._roots.parts(client_id).items()
        left = {part: "" for part, state in parts if has_all or state in LIVE} | {FLOW_PART: ""}
        last_began_ms = counts.counted_at_ms
        return Walk(client_id=client_id, began_ms=now_ms, last_began_ms=last_began_ms, left=left)

    async def _save(self, walk: Walk, counts: ClientCounts) -> None:
        """Write what was counted, unless it is known."""
        live, failed = live_of(walk), walk.seen.get(Status.FAILED.value)
        if live or counts.live or counts.busy_until_ms or not counts.counted_at_ms:
            await self._counts.save_live(walk.client_id, live, walk.began_ms, walk.oldest_due_at_ms)
        if failed is not None:
            await self._counts.save_dead_letters(walk.client_id, failed, walk.began_ms)
        lasted_s = max(0.0, (self._now_ms() - walk.began_ms) / 1000)
        self.runtime.metrics.swept(sum(live.values()), lasted_s)

    async def _purge(self, errand: Errand, client_id: str, may_go_on: Callable[[], bool]) -> None:
        """Extend the retention of rows that long runs still need; DynamoDB deletes the others."""
        counts = await self._counts.load(client_id)
        servers_ms = self._servers_shortest_ms(counts)
        walk = errand.walk or Walk(
            client_id=client_id,
            began_ms=self._now_ms(),
            last_began_ms=counts.extended_at_ms,
            left=dict.fromkeys(self._long_runs.parts(client_id), ""),
        )
        if counts.extended_at_ms >= (errand.asked_at_ms if errand.walk is None else walk.began_ms):
            return
        shortest_ms = min(servers_ms, _workflows_shortest_ms(counts) or servers_ms)
        await self._long_runs.extend(walk, shortest_ms, may_go_on)
        if walk.is_over:
            await self._counts.save_extended(client_id, walk.began_ms, servers_ms)
        else:
            await self._queue.send([replace(errand, walk=walk)])

    async def _count(self, errand: Errand, client_id: str, may_go_on: Callable[[], bool]) -> None:
        """Count the client's runs by hour and workflow."""
        calls, now_ms = self.runtime.calls, self._now_ms()
        plan = await calls.start(self._counters.load_plan, client_id)
        walk = errand.walk
        counts = await self._counts.load(client_id)
        if walk is None:
            if plan.began_ms >= errand.asked_at_ms or plan.busy_until_ms > now_ms:
                return
            walk = begin_count(client_id, plan, now_ms, self._servers_shortest_ms(counts))
        elif walk.began_ms != plan.began_ms:
            # Another walk was begun later.
            return
        some_kept_ms = _workflows_shortest_ms(counts)
        await self._hours.count(walk, plan, now_ms, may_go_on, some_kept_ms=some_kept_ms)
        plan.busy_until_ms = 0 if walk.is_over else now_ms + _BUSY_MS
        await calls.start(self._counters.save_plan, client_id, plan)
        if not walk.is_over:
            await self._queue.send([replace(errand, walk=walk)])

    def _servers_shortest_ms(self, counts: ClientCounts) -> int:
        """The shortest retention of the stack that was ever in force."""
        return min(self._retention_ms, counts.retention_min_ms or self._retention_ms)

    def _now_ms(self) -> int:
        return self.runtime.engine.clock.now_ms()


def _workflows_shortest_ms(counts: ClientCounts) -> int | None:
    """The shortest retention that a workflow of the client has ever had of its own."""
    return None if counts.workflow_days_min is None else counts.workflow_days_min * DAY_MS


def _budget() -> Callable[[], bool]:
    until_s = time.monotonic() + _BUDGET_S
    return lambda: time.monotonic() < until_s
