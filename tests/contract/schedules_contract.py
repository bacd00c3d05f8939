"""What a store must do with schedules (`ports.Schedules`), and a `ServerStore` when they are due."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from atomic.application.ports import DueStep, StepStore
from atomic.application.server_store import ServerStore
from atomic.domain.cadence import AnyOf, At, Cadence, Cron, Every
from atomic.domain.hooks import Gap, Told
from atomic.domain.retry import RetryPolicy
from atomic.domain.schedules import Plan, Schedule, at_moment
from atomic.protocol.enums import Status
from contract.builders import a_spec
from contract.store_suite import StoreSuite, keyed, on_store, put

_CADENCES: tuple[Cadence, ...] = (
    Cron("0 9 * * 1-5", "Europe/Berlin", "literal"),
    Every(timedelta(seconds=90), at_moment(1_500)),
    At((at_moment(1_000), at_moment(7_000))),
    AnyOf((Cron("@daily", "Europe/Berlin"), Cron("0 12 * * SUN", "Europe/Berlin"))),
)


def a_schedule(name: str = "digest", *, client_id: str = "acme", **more: Any) -> Schedule:
    """A schedule that is due every minute."""
    members: dict[str, Any] = {
        "plan": Plan(cadence=Every(timedelta(minutes=1), at_moment(0))),
        "start": a_spec(client_id=client_id, key=name, retry=RetryPolicy(count=7)),
        "created_at_ms": 1_000,
        "updated_at_ms": 1_000,
        "next_slot_ms": 60_000,
        "due_at_ms": 60_000,
    }
    return Schedule(client_id=client_id, name=name, **(members | more))


def a_gap(**more: Any) -> Gap:
    """Missed slots that a hook is to be told of."""
    told = (Told("pager", "https://app.example/pager"),)
    members: dict[str, Any] = {
        "at_ms": 80_000,
        "first_ms": 60_000,
        "last_ms": 70_000,
        "count": 1,
        "told": told,
    }
    return Gap(**(members | more))


def a_full_schedule(cadence: Cadence) -> Schedule:
    """A schedule of which no member has its default."""
    plan = Plan(
        cadence=cadence,
        overlap="queue",
        catch_up="all",
        catch_up_window_ms=1,
        spread_ms=2,
        until_ms=3,
        limit=4,
        pause_after_failures=5,
    )
    return a_schedule(
        plan=plan,
        start=a_spec(payload=b'"' + b"x" * 20_000 + b'"', attempt_timeout_ms=77, fails_if_lost=True),
        note="paused for tests",
        paused=True,
        due_at_ms=None,
        last_slot_ms=6,
        last_run="run_" + 32 * "a",
        last_started_ms=7,
        judged_run="run_" + 32 * "b",
        failures=8,
        started=9,
        skipped=10,
        missed=11,
        queued_ms=12,
        refused="too many",
        last_root="run_" + 32 * "c" + "-root",
        former_names=("weekly", "monthly"),
        former_until_ms=14,
        next_wall_ms=15,
        tzdata="2026f",
        owes=(a_gap(), a_gap(at_ms=90_000, count=2)),
        version=13,
    )


class SchedulesContract(StoreSuite):
    """Inherit and define `store`."""

    @on_store
    async def test_a_schedule_is_kept_as_it_is(self, store: StepStore) -> None:
        for cadence in _CADENCES:
            wanted = a_full_schedule(cadence)
            assert await store.create_schedule(wanted) is None
            assert await store.get_schedule("acme", "digest") == wanted
            assert [*await store.list_schedules("acme", after="", limit=10)] == [wanted]
            assert await store.delete_schedule("acme", "digest")
        assert await store.get_schedule("acme", "digest") is None
        assert not await store.delete_schedule("acme", "digest")

    @on_store
    async def test_a_name_is_taken_once_and_by_one_client(self, store: StepStore) -> None:
        first, other = a_schedule(), a_schedule(client_id="other")
        assert await store.create_schedule(first) is None
        assert await store.create_schedule(replace(first, note="second")) == first
        assert await store.create_schedule(other) is None
        assert await store.get_schedule("other", "digest") == other
        assert await store.delete_schedule("acme", "digest")
        assert await store.get_schedule("other", "digest") == other

    @on_store
    async def test_a_write_needs_the_version_of_the_row(self, store: StepStore) -> None:
        first = a_schedule()
        second = replace(first, version=2, note="second", due_at_ms=None)
        with pytest.raises(LookupError):
            await store.replace_schedule(second, 1)
        await store.create_schedule(first)
        assert await store.replace_schedule(second, 1) is None
        assert await store.get_schedule("acme", "digest") == second
        assert await store.replace_schedule(replace(first, version=3), 1) == second
        assert await store.get_schedule("acme", "digest") == second

    @on_store
    async def test_a_list_has_the_schedules_of_a_client_by_name(self, store: StepStore) -> None:
        named = [a_schedule(name) for name in ("a", "b", "b.1", "c", "d-2")]
        for each in (
            *reversed(named),
            a_schedule("b", client_id="acm"),
            a_schedule("b", client_id="acme2"),
        ):
            await store.create_schedule(each)
        assert [*await store.list_schedules("acme", after="", limit=2)] == named[:2]
        assert [*await store.list_schedules("acme", after="b", limit=10)] == named[2:]
        assert [*await store.list_schedules("acme", after="d-2", limit=10)] == []


class ServerSchedulesContract(StoreSuite):
    """Inherit and define `store`, which gives a `ServerStore`."""

    @on_store
    async def test_schedules_are_due_beside_steps(self, store: ServerStore) -> None:
        step = replace(keyed("k", status=Status.PENDING), due_at_ms=3_000)
        await put(store, step)
        early, late = a_schedule("early", due_at_ms=2_000), a_schedule("late", due_at_ms=4_000)
        theirs = a_schedule("theirs", client_id="other", due_at_ms=3_500)
        for each in (late, early, theirs, a_schedule("never", due_at_ms=None)):
            await store.create_schedule(each)
        due = [*await store.due(10_000, 10)]
        assert due[0] == DueStep(early.id, "acme", 2_000)
        assert sorted(each.id for each in due) == sorted([early.id, late.id, theirs.id, step.id])
        assert [each.id for each in await store.due(2_001, 10)] == [early.id]
        assert [*await store.due(2_000, 10)] == []
        await store.replace_schedule(replace(early, version=2, due_at_ms=None), 1)
        assert (await store.due(10_000, 1))[0].id == step.id

    @on_store
    async def test_a_schedule_that_owes_something_is_due_even_when_it_is_paused(
        self, store: ServerStore
    ) -> None:
        owing = a_schedule(due_at_ms=None, paused=True, owes=(a_gap(),))
        await store.create_schedule(owing)
        assert [*await store.due(90_000, 10)] == [DueStep(owing.id, "acme", 80_000)]
        await store.replace_schedule(replace(owing, version=2, owes=()), 1)
        assert [*await store.due(90_000, 10)] == []

    @on_store
    async def test_clear_deletes_schedules(self, store: ServerStore) -> None:
        await store.create_schedule(a_schedule())
        await store.clear()
        assert await store.get_schedule("acme", "digest") is None
