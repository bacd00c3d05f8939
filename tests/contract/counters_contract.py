"""What a store must count of runs (`ports.Counters`), and when a `ServerStore` deletes counters."""

import random
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from atomic.application.counter_store import CounterQuery, order_of
from atomic.application.ports import StepStore
from atomic.application.server_store import ServerStore
from atomic.domain.counters import (
    HOUR_MS,
    KEPT_MS,
    MINUTE_MS,
    MINUTES_KEPT_MS,
    NAMES_MAX,
    OTHER,
    Counter,
    Tally,
    retries_of,
    summed,
    tally_of,
    total,
    workflow_counts,
)
from atomic.domain.histograms import BOUNDS_MS
from atomic.domain.interventions import redriven
from atomic.domain.steps import Attempt, Step
from atomic.protocol.enums import Status
from contract.builders import a_child, settled
from contract.store_suite import StoreSuite, keyed, on_store, put

T0_MS = 450_000 * HOUR_MS


async def write(store: StepStore, step: Step, **changes: Any) -> Step:
    """Write the next version of a row."""
    after = replace(step, version=step.version + 1, **changes)
    assert await store.replace(after, step.version) is None
    return after


async def end(store: StepStore, step: Step, at_ms: int, status: Status = Status.SUCCEEDED) -> Step:
    after = settled(step, at_ms, status)
    assert await store.replace(after, step.version) is None
    return after


async def begun(store: StepStore, step: Step, **changes: Any) -> Step:
    """A step that is called."""
    attempt = Attempt(number=1, generation=step.generation, started_at_ms=step.created_at_ms)
    log = (*step.attempt_log, attempt)
    return await write(store, step, status=Status.RUNNING, attempt_log=log, **changes)


async def retried(store: StepStore, step: Step) -> Step:
    """A step that fails once more, and is called again."""
    retrying = await write(store, step, status=Status.RETRYING, retries_used=step.retries_used + 1)
    return await begun(store, retrying)


class CountersContract(StoreSuite):
    """Inherit and define `store`. A store that counts later defines `count`."""

    async def count(self, store: StepStore) -> None:
        """Bring the counters up to date."""

    async def found(self, store: StepStore, **query: Any) -> list[Counter]:
        """All counters that fit, as they are now, page by page."""
        await self.count(store)
        return await self.read(store, **query)

    async def read(self, store: StepStore, **query: Any) -> list[Counter]:
        """The same, as they were counted."""
        wanted = {"client_id": "acme", "from_ms": T0_MS - KEPT_MS, "before_ms": T0_MS + KEPT_MS, **query}
        counters: list[Counter] = []
        after = None
        while True:
            page = await store.counters(CounterQuery(after=after, **wanted))
            counters += [replace(counter, counted_at_ms=None) for counter in page.counters]
            if (after := page.next_after) is None:
                return counters

    @on_store
    async def test_a_run_counts_in_the_hour_of_its_start(self, store: StepStore) -> None:
        roots = [keyed(f"k-{number}", at_ms=T0_MS + HOUR_MS - 2 + number) for number in range(4)]
        await put(store, *roots)
        await end(store, roots[1], T0_MS + 5 * HOUR_MS)
        tallies = [
            Counter(
                T0_MS + HOUR_MS, "createUser", Tally(started=2, last_started_ms=roots[3].created_at_ms)
            ),
            Counter(
                T0_MS,
                "createUser",
                total(
                    [tally_of(roots[0]), tally_of(settled(roots[1], T0_MS + 5 * HOUR_MS))],
                ),
            ),
        ]
        assert await self.found(store) == tallies

    @on_store
    async def test_each_end_and_each_duration_counts_once(self, store: StepStore) -> None:
        ends: list[Step] = []
        for number, lasted_ms in enumerate([0, *(b + more for b in BOUNDS_MS for more in (0, 1))]):
            root = keyed(f"k-{number}", at_ms=T0_MS + number)
            await put(store, root)
            running = await begun(store, root)
            ends.append(await end(store, running, root.created_at_ms + lasted_ms))
        for status in (Status.FAILED, Status.CANCELLED):
            root = keyed(f"k-{status}", at_ms=T0_MS)
            await put(store, root)
            ends.append(await end(store, root, T0_MS + 7, status))
        # A settled row that is written again, as when it is noted that an answer came late.
        again = [await write(store, root) for root in ends]
        assert await self.found(store) == [Counter(T0_MS, "createUser", total(map(tally_of, again)))]

    @on_store
    async def test_a_redriven_run_is_no_longer_among_those_that_failed(self, store: StepStore) -> None:
        root = keyed("k", at_ms=T0_MS)
        await put(store, root)
        failed = await end(store, await retried(store, root), T0_MS + 5, Status.FAILED)
        [counter] = await self.found(store)
        assert (counter.tally.failed, counter.tally.live, counter.tally.retries) == (1, 0, 1)
        live = redriven(failed, T0_MS + HOUR_MS)
        assert await store.replace(live, failed.version) is None
        [counter] = await self.found(store)
        assert (counter.tally.failed, counter.tally.live, counter.tally.retries) == (0, 1, 1)
        await end(store, await retried(store, live), T0_MS + 2 * HOUR_MS)
        [counter] = await self.found(store)
        assert counter.tally == replace(tally_of(settled(root, T0_MS + 2 * HOUR_MS)), retries=2)

    @on_store
    async def test_retries_of_all_steps_count_with_their_run(self, store: StepStore) -> None:
        root = keyed("k", at_ms=T0_MS)
        child = a_child("mail", root.spec, at_ms=T0_MS + 3 * HOUR_MS)
        await put(store, root, child)
        await retried(store, await retried(store, child))
        # A suspension and what follows it is no retry, nor is a call that could not be made.
        waiting = await write(store, root, status=Status.WAITING, attempt_count=1)
        once = await retried(store, await begun(store, waiting, attempt_count=2))
        deferred = await write(store, once, status=Status.RETRYING)
        await begun(store, deferred)
        [counter] = await self.found(store)
        assert (counter.tally.started, counter.tally.retries) == (1, 3)

    @on_store
    async def test_steps_below_a_root_are_no_runs(self, store: StepStore) -> None:
        root = keyed("k", at_ms=T0_MS)
        child = a_child("mail", root.spec, at_ms=T0_MS)
        await put(store, root, child)
        await end(store, child, T0_MS + 1, Status.FAILED)
        assert await self.found(store) == [Counter(T0_MS, "createUser", tally_of(root))]

    @on_store
    async def test_pages_have_each_once_and_filters_select(self, store: StepStore) -> None:
        for name in "bca":
            for hour in (0, 2, 1):
                at_ms = T0_MS + hour * HOUR_MS
                await put(store, keyed(f"{name}{hour}", workflow_name=name, at_ms=at_ms))
        await put(store, keyed("other", client_id="acm", at_ms=T0_MS))
        await self.count(store)
        everything = [(hour, name) for hour in (2, 1, 0) for name in "abc"]

        async def names(**query: Any) -> list[tuple[int, str]]:
            found = await self.read(store, **query)
            return [((each.began_ms - T0_MS) // HOUR_MS, each.workflow_name) for each in found]

        for limit in (1, 2, 8, 9, 10):
            assert await names(limit=limit) == everything
        assert await names(workflow_name="b", limit=1) == [(2, "b"), (1, "b"), (0, "b")]
        middle = {"from_ms": T0_MS + HOUR_MS, "before_ms": T0_MS + 2 * HOUR_MS}
        assert await names(**middle, limit=2) == [(1, "a"), (1, "b"), (1, "c")]
        assert await names(from_ms=T0_MS + 3 * HOUR_MS) == []

    @on_store
    async def test_hours_and_workflows_are_summed_up(self, store: StepStore) -> None:
        first_ms = T0_MS - T0_MS % (3 * HOUR_MS)
        for number, name in enumerate("abcabcab"):
            root = keyed(f"k-{number}", workflow_name=name, at_ms=first_ms + number * HOUR_MS)
            await put(store, root)
            if number % 2:
                await end(store, root, root.created_at_ms + number * 40)
        plain = await self.found(store, from_ms=first_ms)
        for every in (1, 3):
            for all_names in (False, True):
                sums = {"from_ms": first_ms, "every_ms": every * HOUR_MS, "all_names": all_names}
                expected = sorted(summed(plain, every * HOUR_MS, all_names), key=order_of)
                assert sum(each.tally.started for each in expected) == 8
                for limit in (1, 2, 9):
                    assert await self.read(store, **sums, limit=limit) == expected
        of_b = {"from_ms": first_ms, "workflow_name": "b", "every_ms": 3 * HOUR_MS}
        found = await self.read(store, **of_b, limit=1)
        assert [each.began_ms - first_ms for each in found] == [6 * HOUR_MS, 3 * HOUR_MS, 0]
        assert [each.tally.started for each in found] == [1, 1, 1]
        [everything] = await self.read(
            store, from_ms=first_ms, every_ms=3 * HOUR_MS, all_names=True, before_ms=first_ms + 3 * HOUR_MS
        )
        assert (everything.workflow_name, everything.tally.started) == (OTHER, 3)

    @on_store
    async def test_workflows_are_the_sums_of_their_counters(self, store: StepStore) -> None:
        for number, name in enumerate("abcab"):
            root = keyed(f"k-{number}", workflow_name=name, at_ms=T0_MS + number * HOUR_MS)
            await put(store, root)
            if number % 2:
                await end(store, root, root.created_at_ms + 70)
        recent_ms, from_ms = T0_MS + 3 * HOUR_MS, T0_MS + HOUR_MS
        kept = await self.found(store, from_ms=from_ms)
        expected = workflow_counts(kept, [each for each in kept if each.began_ms >= recent_ms])

        async def names(after: str | None, limit: int) -> Any:
            return await store.workflows(
                "acme", from_ms=from_ms, recent_from_ms=recent_ms, after=after, limit=limit
            )

        assert await names(None, 10) == expected
        assert [each.name for each in expected] == ["a", "b", "c"]
        assert (expected[1].live, expected[1].recent.started) == (1, 1)
        assert await names(None, 2) == expected[:2]
        assert await names("a", 1) == expected[1:2]
        assert await store.workflows("acm", from_ms=0, recent_from_ms=recent_ms, after=None, limit=9) == []

    @on_store
    async def test_the_counters_equal_the_rows_after_any_writes(self, store: StepStore) -> None:
        seed = random.randrange(2**32)
        print("seed", seed)
        draw = random.Random(seed)
        steps: dict[str, Step] = {}
        for number in range(12):
            root = keyed(
                f"k-{number}", workflow_name=draw.choice("ab"), at_ms=T0_MS + draw.randrange(2 * HOUR_MS)
            )
            child = a_child("mail", root.spec, at_ms=root.created_at_ms)
            steps |= {root.id: root, child.id: child}
        await put(store, *steps.values())
        ways: list[Callable[[Step], Awaitable[Step]]] = [
            lambda step: begun(store, step),
            lambda step: write(store, step, status=Status.WAITING),
            lambda step: retried(store, step),
            lambda step: end(store, step, step.created_at_ms + draw.randrange(HOUR_MS), Status.FAILED),
            lambda step: end(store, step, step.created_at_ms + draw.randrange(HOUR_MS)),
            lambda step: end(store, step, step.created_at_ms + 1, Status.CANCELLED),
        ]
        for _ in range(150):
            step = steps[draw.choice([*steps])]
            if step.status is Status.FAILED:
                steps[step.id] = live = redriven(step, step.created_at_ms + HOUR_MS)
                assert await store.replace(live, step.version) is None
            elif not step.is_settled:
                steps[step.id] = await draw.choice(ways)(step)
        assert await self.found(store) == counted(steps.values())
        if store.has_minutes:
            for every_ms in (MINUTE_MS, 5 * MINUTE_MS):
                found = await self.found(store, every_ms=every_ms, limit=7)
                assert found == counted(steps.values(), every_ms)

    @on_store
    async def test_minutes_are_counted_and_summed_up(self, store: StepStore) -> None:
        if not store.has_minutes:
            pytest.skip("this store counts hours only")
        for number, name in enumerate("abcab"):
            root = keyed(f"k-{number}", workflow_name=name, at_ms=T0_MS + number * 40_000)
            await put(store, root)
            await end(store, root, root.created_at_ms + number * 3 * MINUTE_MS)

        async def starts(**query: Any) -> list[tuple[int, str, int]]:
            found = await self.found(store, **query)
            return [
                ((each.began_ms - T0_MS) // MINUTE_MS, each.workflow_name, each.tally.started)
                for each in found
            ]

        by_minute = [(2, "a", 1), (2, "b", 1), (1, "c", 1), (0, "a", 1), (0, "b", 1)]
        for limit in (1, 2, 9):
            found = await starts(every_ms=MINUTE_MS, limit=limit)
            assert found == by_minute
            together = await starts(every_ms=2 * MINUTE_MS, all_names=True, limit=limit)
            assert together == [(2, OTHER, 2), (0, OTHER, 3)]
        of_a = {"every_ms": MINUTE_MS, "workflow_name": "a", "before_ms": T0_MS + 2 * MINUTE_MS}
        assert await starts(**of_a) == [(0, "a", 1)]
        recent_ms = T0_MS + MINUTE_MS
        counts = await store.workflows("acme", from_ms=T0_MS, recent_from_ms=recent_ms, after=None, limit=9)
        assert [(each.name, each.live, each.recent.started) for each in counts] == [
            ("a", 0, 1),
            ("b", 0, 1),
            ("c", 0, 1),
        ]
        assert counts[0].recent.duration_ms_max == 9 * MINUTE_MS


class ServerCountersContract(CountersContract):
    """Inherit and define `store`, which gives a `ServerStore`."""

    @on_store
    async def test_names_are_bounded_in_each_hour(self, store: StepStore) -> None:
        roots = [
            keyed(f"k-{number}", workflow_name=f"w-{number:03d}", at_ms=T0_MS + number)
            for number in range(NAMES_MAX + 2)
        ]
        await put(store, *roots)
        for root in (roots[0], roots[-1]):
            await end(store, root, T0_MS + HOUR_MS)
        other, *named = await self.found(store)
        assert other.workflow_name == OTHER
        names = [each.workflow_name for each in named]
        assert len(names) == NAMES_MAX
        assert set(names) < {root.spec.workflow_name for root in roots}
        assert other.tally.started == 2
        everything = total(each.tally for each in (other, *named))
        assert (everything.started, everything.succeeded) == (NAMES_MAX + 2, 2)
        next_hour = keyed("next", workflow_name="w-201", at_ms=T0_MS + HOUR_MS)
        await put(store, next_hour)
        [counter] = await self.found(store, from_ms=T0_MS + HOUR_MS)
        assert counter.workflow_name == "w-201"

    @on_store
    async def test_a_name_that_is_counted_with_others_in_an_hour_is_so_in_its_minutes(
        self, store: StepStore
    ) -> None:
        roots = [
            keyed(f"k-{number}", workflow_name=f"w-{number:03d}", at_ms=T0_MS + number)
            for number in range(NAMES_MAX + 1)
        ]
        await put(store, *roots)
        for number in (1, 2):
            again = keyed(
                f"again-{number}",
                workflow_name=roots[-1].spec.workflow_name,
                at_ms=T0_MS + number * MINUTE_MS,
            )
            await put(store, again)
            await end(store, again, T0_MS + HOUR_MS, Status.FAILED)
        named = roots[0].spec.workflow_name
        await put(store, keyed("named", workflow_name=named, at_ms=T0_MS + MINUTE_MS))
        later = await self.found(store, every_ms=MINUTE_MS, from_ms=T0_MS + MINUTE_MS)
        assert [(each.workflow_name, each.tally.failed) for each in later] == [
            (OTHER, 1),
            (OTHER, 1),
            (named, 0),
        ]

    @on_store
    async def test_an_erased_run_stays_counted(self, store: ServerStore) -> None:
        root = keyed("k", at_ms=T0_MS)
        await put(store, root)
        done = await end(store, root, T0_MS + 5)
        counted = await self.found(store)
        assert await store.erase("acme", root.spec.run_id, done)
        assert await self.found(store) == counted
        # The next run of the key is another one.
        await put(store, replace(root, created_at_ms=T0_MS + 9))
        [counter] = await self.found(store)
        assert (counter.tally.started, counter.tally.succeeded) == (2, 1)

    @on_store
    async def test_an_identity_that_starts_again_after_its_row_expired_is_another_run(
        self, store: ServerStore
    ) -> None:
        root = keyed("k", at_ms=T0_MS)
        await put(store, root)
        failed = await end(store, root, T0_MS + 5, Status.FAILED)
        again = replace(root, created_at_ms=T0_MS + HOUR_MS, version=failed.version + 1)
        assert await store.replace(again, failed.version) is None
        await end(store, again, T0_MS + HOUR_MS + 3)
        now, before = await self.found(store)
        assert (now.tally.started, now.tally.succeeded) == (1, 1)
        assert (before.tally.started, before.tally.failed) == (1, 1)

    @on_store
    async def test_a_purge_deletes_the_counters_of_old_hours(self, store: ServerStore) -> None:
        for hour in (0, 1):
            await put(store, keyed(f"k-{hour}", at_ms=T0_MS + hour * HOUR_MS))
        if store.has_minutes:
            await store.purge(T0_MS + MINUTES_KEPT_MS - 1, 10)
            assert len(await self.found(store, every_ms=MINUTE_MS)) == 2
            await store.purge(T0_MS + MINUTES_KEPT_MS, 10)
            left = await self.found(store, every_ms=MINUTE_MS)
            assert [each.began_ms for each in left] == [T0_MS + HOUR_MS]
        await store.purge(T0_MS + KEPT_MS - 1, 10)
        assert len(await self.found(store)) == 2
        await store.purge(T0_MS + KEPT_MS, 10)
        assert [each.began_ms for each in await self.found(store)] == [T0_MS + HOUR_MS]
        await store.clear()
        assert await self.found(store) == []


def counted(steps: Any, every_ms: int = HOUR_MS) -> list[Counter]:
    """The counters that follow from the rows."""
    by_span: dict[tuple[int, str], list[Tally]] = {}
    for root in steps:
        if root.is_root:
            used = sum(retries_of(each) for each in steps if each.spec.run_id == root.spec.run_id)
            at_ms = root.created_at_ms
            key = (at_ms % every_ms - at_ms, root.spec.workflow_name)
            by_span.setdefault(key, []).append(tally_of(root, used))
    return [Counter(-began, name, total(each)) for (began, name), each in sorted(by_span.items())]
