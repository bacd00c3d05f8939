"""Runs that live longer than the outcomes of their steps are kept: none of their rows may expire."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final, cast

import pytest

from atomic.adapters.aws import table
from atomic.adapters.aws.calls import AwsCalls, T
from atomic.adapters.aws.dynamodb import DynamoStepStore
from atomic.adapters.aws.listing import Index
from atomic.adapters.aws.live_roots import DynamoLiveRoots
from atomic.adapters.aws.long_runs import DAY_MS, EndedRuns, LongRuns
from atomic.adapters.aws.rows import GRACE_S
from atomic.application.maintenance import Walk
from atomic.domain.events import Redriven, ResultPosted, WaiterAdded
from atomic.domain.outcomes import StoredBody
from atomic.domain.steps import Step, changed
from atomic.domain.transitions import transition
from atomic.protocol.enums import Status
from contract.aws import TABLE_NAME, Aws, Recorder
from contract.builders import a_child, a_root, settled
from contract.metered import Meter
from contract.store_suite import keyed, put
from unit.aws.test_items import NOW, items, on_table, ttls
from unit.strategies import claimed

DAYS_30: Final = 30 * DAY_MS
HOUR_MS: Final = 3_600_000


class Upkeep:
    """The daily work on one client, at chosen times."""

    def __init__(self, runs: LongRuns) -> None:
        self._runs = runs
        self._last_ms = 0

    @classmethod
    def of(cls, account: Aws, store: DynamoStepStore) -> "Upkeep":
        """On a table."""
        index = (account.calls, account.dynamodb, TABLE_NAME)
        roots = DynamoLiveRoots(Index.of_roots(*index), Index.of_failed(*index))
        return cls(LongRuns(account.calls, roots, EndedRuns(account.dynamodb, TABLE_NAME), store.keep))

    async def on(self, at_ms: int, retention_ms: int = DAYS_30) -> None:
        """A whole walk."""
        left = dict.fromkeys(self._runs.parts("acme"), "")
        walk = Walk(client_id="acme", began_ms=at_ms, last_began_ms=self._last_ms, left=left)
        await self._runs.extend(walk, retention_ms, lambda: True)
        assert walk.is_over
        self._last_ms = at_ms


class Here(AwsCalls):
    """Makes the calls at once."""

    def start(self, call: Callable[..., T], /, *args: Any, **kwargs: Any) -> "asyncio.Future[T]":
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        done.set_result(call(*args, **kwargs))
        return done


def kept_30_days(step: Step) -> Step:
    """The step with the usual retention."""
    expires_at_ms = None if step.finished_at_ms is None else step.finished_at_ms + DAYS_30
    return replace(step, spec=replace(step.spec, retention_ms=DAYS_30), expires_at_ms=expires_at_ms)


class OneRun:
    """A live run whose rows have nothing but their expiry: what `LongRuns` uses of a table."""

    def __init__(self, created_ms: int) -> None:
        self.created_ms = created_ms
        self.expiries_s: list[int] = []
        self.reads = 0

    def parts(self, client_id: str) -> dict[str, Status]:
        del client_id
        return {"live": Status.WAITING}

    async def old_runs(
        self, client_id: str, part: str, *, after: str, before_ms: int, limit: int
    ) -> tuple[list[tuple[int, str]], str | None]:
        del client_id, part, after, limit
        return ([(self.created_ms, "run")] if self.created_ms < before_ms else []), None

    def page(self, client_id: str, first: str, limit: int) -> list[tuple[str, str, int]]:
        del client_id, first, limit
        return []

    async def keep(self, run_id: str, before_s: int, until_s: int) -> None:
        del run_id
        self.reads += 1
        self.expiries_s = [until_s if at_s < before_s else at_s for at_s in self.expiries_s]


@pytest.mark.parametrize("retention_days", [1, 2, 3, 5, 30, 60])
@pytest.mark.parametrize("lost", [False, True])
def test_no_row_of_a_live_run_expires(retention_days: int, lost: bool) -> None:
    """A step ends each hour of three periods; every third daily walk is lost."""

    async def body() -> None:
        run = OneRun(NOW)
        upkeep = Upkeep(LongRuns(Here(), cast("Any", run), cast("Any", run), run.keep))
        days = 3 * retention_days + 10
        for hour in range(1, 24 * days):
            now_ms = NOW + hour * HOUR_MS
            run.expiries_s.append((now_ms + retention_days * DAY_MS) // 1000 + GRACE_S)
            if hour % 24 == 0 and not (lost and hour % 72 == 0):
                await upkeep.on(now_ms, retention_days * DAY_MS)
            assert min(run.expiries_s) * 1000 > now_ms, hour
        # The run is read once in a period, not once a day.
        assert run.reads <= (days - 1) // max(retention_days - 1, 1)

    asyncio.run(body())


@on_table
async def test_a_run_is_read_once_in_its_retention(account: Aws, store: DynamoStepStore) -> None:
    upkeep, root = Upkeep.of(account, store), keyed("k", at_ms=NOW)
    await put(store, root, a_child("mail", root.spec, at_ms=NOW, status=Status.SUCCEEDED))
    for day, reads in ((1, 0), (28, 0), (29, 1), (30, 0), (57, 0), (58, 1)):
        with Meter(account.dynamodb, now_s=lambda: 0.0) as meter:
            await upkeep.on(NOW + day * DAY_MS)
        assert meter.reads.get(root.spec.run_id, 0) == reads, day


@on_table
async def test_the_end_of_a_long_run_is_one_write_more(account: Aws, store: DynamoStepStore) -> None:
    upkeep = Upkeep.of(account, store)
    long, short = keyed("long", at_ms=NOW), keyed("short", at_ms=NOW)
    steps = [a_child("mail", root.spec, at_ms=NOW, status=Status.SUCCEEDED) for root in (long, short)]
    await put(store, long, short, *steps)
    own = ttls(account)[steps[0].position]
    end_ms = NOW + 40 * DAY_MS
    with Recorder(account.dynamodb) as recorder:
        await store.replace(settled(long, end_ms), 1)
        assert recorder.operations == ["PutItem", "UpdateItem"]
        recorder.calls.clear()
        await store.replace(settled(short, NOW + DAY_MS), 1)
        assert recorder.operations == ["UpdateItem"]
    await upkeep.on(end_ms + DAY_MS)
    found = ttls(account)
    # As long as the root.
    assert found[steps[0].position] == (end_ms + long.spec.retention_ms) // 1000 + GRACE_S
    assert found[steps[1].position] == own
    with Recorder(account.dynamodb) as recorder:
        await upkeep.on(end_ms + 3 * DAY_MS)
        assert "UpdateItem" not in recorder.operations


@on_table
async def test_a_run_that_is_redriven_keeps_what_it_has_done(account: Aws, store: DynamoStepStore) -> None:
    """It failed on its first day. When its period had passed, nothing of it was live."""
    for redriven_on, writes in ((1, 1), (28, 1), (29, 2), (29.9, 2)):
        upkeep, root = Upkeep.of(account, store), kept_30_days(keyed(str(redriven_on), at_ms=NOW))
        failed = settled(root, NOW, Status.FAILED)
        done = kept_30_days(a_child("mail", root.spec, at_ms=NOW, status=Status.SUCCEEDED))
        await put(store, failed, done)
        for day in (1, 28, 29, 30, 31, 33, 57, 58, 60, 87, 89):
            now_ms = NOW + day * DAY_MS
            if day - 1 < redriven_on <= day:
                again = transition(failed, Redriven(1), NOW + int(redriven_on * DAY_MS))
                with Recorder(account.dynamodb) as recorder:
                    await store.replace(again, failed.version)
                assert len(recorder.calls) == writes
            await upkeep.on(now_ms)
            if day >= redriven_on:
                left_s = (ttls(account)[done.position] or 0) - now_ms // 1000
                assert left_s > 2 * DAY_MS // 1000, (redriven_on, day)


@on_table
async def test_a_run_that_no_walk_finds_keeps_what_it_has_done(
    account: Aws, store: DynamoStepStore
) -> None:
    """Whenever a walk reads the runs in a state, this one has another."""
    upkeep = Upkeep.of(account, store)
    root = kept_30_days(keyed("busy", at_ms=NOW, status=Status.WAITING))
    done = kept_30_days(a_child("mail", root.spec, at_ms=NOW, status=Status.SUCCEEDED))
    await put(store, root, done)
    now_ms = NOW

    def move(params: dict[str, Any], **_: Any) -> None:
        nonlocal root
        if params["ExpressionAttributeValues"].get(":partition") != {
            "S": table.list_partition(root, root.status)
        }:
            return
        after = changed(root, status=Status.WAITING, due_at_ms=now_ms)
        if root.status is Status.WAITING:
            after = claimed(replace(root, status=Status.PENDING, due_at_ms=now_ms))
        written = asyncio.run_coroutine_threadsafe(store.replace(after, root.version), loop)
        assert written.result(5) is None
        root = after

    loop, event = asyncio.get_running_loop(), "provide-client-params.dynamodb.Query"
    account.dynamodb.meta.events.register(event, move, unique_id="move")
    try:
        for day in (1, 28, 29, 30, 31, 33, 57, 58, 59, 60, 87, 88, 89):
            now_ms = NOW + day * DAY_MS
            await upkeep.on(now_ms)
            left_s = (ttls(account)[done.position] or 0) - now_ms // 1000
            assert left_s > 2 * DAY_MS // 1000, day
    finally:
        account.dynamodb.meta.events.unregister(event, unique_id="move")
    assert root.attempt_count > 10


@on_table
async def test_many_long_runs_end_on_a_day(account: Aws, store: DynamoStepStore) -> None:
    roots = [keyed(f"k-{number}", at_ms=NOW) for number in range(30)]
    steps = [a_child("mail", root.spec, at_ms=NOW, status=Status.SUCCEEDED) for root in roots]
    await put(store, *roots, *steps)
    for number, root in enumerate(roots):
        await store.replace(settled(root, NOW + 40 * DAY_MS + number), 1)
    await Upkeep.of(account, store).on(NOW + 41 * DAY_MS)
    kept = [ttls(account)[step.position] or 0 for step in steps]
    assert min(kept) >= (NOW + 40 * DAY_MS) // 1000 + GRACE_S


@on_table
async def test_a_step_that_is_redriven_meanwhile_is_not_made_to_expire(
    account: Aws, store: DynamoStepStore
) -> None:
    root, dead = a_root(at_ms=NOW), a_child("dead", at_ms=NOW, status=Status.FAILED)
    await put(store, root, dead)
    existing = next(item for item in items(account) if item["sk"]["S"] == dead.position)
    await store.replace(transition(dead, Redriven(generation=1), NOW), dead.version)
    store._keeping._keep(existing, 2**31, 2**31)
    assert ttls(account)[dead.position] is None


@on_table
async def test_an_open_event_expires_with_a_run_that_has_ended_and_not_before(
    account: Aws, store: DynamoStepStore
) -> None:
    upkeep = Upkeep.of(account, store)
    root, event = a_root(at_ms=NOW), a_child("event", at_ms=NOW)
    event = replace(event, spec=replace(event.spec, kind="event"), due_at_ms=None)
    own_s = (NOW + event.spec.retention_ms) // 1000 + GRACE_S
    await put(store, root, event)
    assert ttls(account) == {"root": None, event.position: own_s}
    # While its run is live, maintenance postpones its expiry, and other writes keep that.
    day_1 = NOW + DAY_MS + 1
    await upkeep.on(day_1, retention_ms=DAY_MS)
    kept_s = ttls(account)[event.position]
    assert kept_s is not None
    assert kept_s > day_1 // 1000 + GRACE_S
    waited_for = transition(event, WaiterAdded(root.id), NOW)
    await store.replace(waited_for, 1)
    assert ttls(account)[event.position] == kept_s
    # The write for the end of the run, and the event's own.
    await store.replace(settled(root, day_1 + DAY_MS), 1)
    assert ttls(account)[event.position] == kept_s
    result = transition(waited_for, ResultPosted(StoredBody(b"1", "json")), day_1)
    await store.replace(result, 2)
    assert ttls(account)[event.position] == (result.expires_at_ms or 0) // 1000 + GRACE_S
    assert await store.get(event.id) == result


@on_table
async def test_a_step_whose_first_attempt_died_unnoticed_expires_with_its_run(
    account: Aws, store: DynamoStepStore
) -> None:
    """Nobody was told of it, so it may have no wake-up. Any later write shows that it has one."""
    running = replace(a_child("mail", at_ms=NOW, status=Status.RUNNING), attempt_count=1, nonce="n")
    running = replace(running, has_no_wakeup=True)
    root = a_root(at_ms=NOW, status=Status.RUNNING)
    await put(store, root, running, a_child("later", at_ms=NOW))
    own_s = (NOW + running.spec.retention_ms) // 1000 + GRACE_S
    later = a_child("later").position
    assert ttls(account) == {"root": None, running.position: own_s, later: None}
    await store.replace(transition(running, WaiterAdded(root.id), NOW), 1)
    assert ttls(account)[running.position] is None
