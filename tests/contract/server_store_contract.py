"""What a `ServerStore` must do beside a `StepStore`: live steps, due steps, expired rows."""

from dataclasses import replace

from atomic.application.ports import DueStep
from atomic.application.server_store import LiveStep, LiveSteps, ServerStore
from atomic.domain.steps import Attempt
from atomic.protocol.enums import LIVE, Status
from contract.builders import RETENTION_MS, a_child, a_root, a_spec, an_owed, settled
from contract.store_suite import StoreSuite, keyed, on_store, put


class ServerStoreContract(StoreSuite):
    """Inherit and define `store`, which gives a `ServerStore`."""

    @on_store
    async def test_live_steps_have_the_status_of_their_runs_root(self, store: ServerStore) -> None:
        expected = []
        for kind in ("http", "timer", "event"):
            for status in (*Status, None):
                root = keyed(f"{kind}-{status}", status=status or Status.PENDING)
                child = a_child("mail", root.spec)
                child = replace(child, spec=replace(child.spec, kind=kind))
                await put(store, child, *([root] if status else []))
                expected.append(LiveStep(child.id, kind == "http", child.created_at_ms, status))
                if status is Status.PENDING:
                    expected.append(LiveStep(root.id, True, root.created_at_ms, status))
        expected.sort(key=lambda step: step.id)
        assert [*await store.live(Status.PENDING, after="", limit=100)] == expected
        assert [*await store.live(Status.PENDING, after="", limit=3)] == expected[:3]
        assert [*await store.live(Status.PENDING, after=expected[2].id, limit=3)] == expected[3:6]
        # The two roots; settled steps are left out.
        assert len(await store.live(Status.RETRYING, after="", limit=100)) == 3

    @on_store
    async def test_live_steps_have_the_latest_time_in_their_rows(self, store: ServerStore) -> None:
        tries = [Attempt(number=n, generation=1, started_at_ms=5_000 * n) for n in (1, 2)]
        begun, ended = tries[1], replace(tries[1], ended_at_ms=10_700)
        rows = {
            1_000: (),
            10_000: (tries[0], begun),
            10_700: (tries[0], ended),
            5_000: (tries[0],),
        }
        for known_ms, attempts in rows.items():
            row = keyed(f"k{known_ms}", status=Status.RETRYING, at_ms=1_000)
            await put(store, replace(row, attempt_log=attempts))
        found = await store.live(Status.RETRYING, after="", limit=100)
        assert sorted(step.last_recorded_ms for step in found) == sorted(rows)

    @on_store
    async def test_live_steps_of_all_clients_are_counted(self, store: ServerStore) -> None:
        live: LiveSteps = store
        assert await live.count_live() == 0
        root = keyed("k")
        await put(store, root, a_child("mail", root.spec), keyed("k", client_id="other"))
        await put(store, *(keyed(f"k-{status}", status=status) for status in Status))
        assert await live.count_live() == 3 + len(LIVE)
        assert await store.replace(settled(root, 2_000), 1) is None
        assert await live.count_live() == 2 + len(LIVE)

    # --- due, with_status ---

    @on_store
    async def test_due_steps_come_most_overdue_first(self, store: ServerStore) -> None:
        roots = [keyed(f"k{number}", at_ms=1_000 - number) for number in range(5)]
        silent = replace(keyed("event"), due_at_ms=None)
        done = keyed("done", status=Status.SUCCEEDED)
        await put(store, *roots, silent, done)
        expected = [DueStep(step.id, "acme", step.created_at_ms) for step in reversed(roots)]
        assert await store.due(1_001, 100) == expected
        assert await store.due(1_000, 100) == expected[:-1]
        assert await store.due(1_001, 2) == expected[:2]
        await store.replace(settled(roots[4], 2_000), 1)
        assert await store.due(1_001, 100) == expected[1:]

    @on_store
    async def test_due_steps_are_taken_round_robin_by_client(self, store: ServerStore) -> None:
        busy = [keyed(f"b{number}", at_ms=1_000 + number) for number in range(9)]
        calm = [keyed(f"c{number}", client_id="other", at_ms=5_000 + number) for number in range(2)]
        await put(store, *busy, *calm)

        async def found(before_ms: int, limit: int) -> list[str]:
            return [step.id for step in await store.due(before_ms, limit)]

        expected = [busy[0], calm[0], busy[1], calm[1], *busy[2:]]
        assert await found(9_000, 100) == [step.id for step in expected]
        for limit in (1, 2, 3, 4, 5):
            assert await found(9_000, limit) == [step.id for step in expected[:limit]]
        assert await found(5_001, 4) == [step.id for step in (busy[0], calm[0], *busy[1:3])]
        assert await found(5_000, 2) == [step.id for step in busy[:2]]
        assert await found(1_000, 2) == []

    @on_store
    async def test_a_row_that_owes_something_is_due_whatever_its_state(self, store: ServerStore) -> None:
        done = replace(settled(keyed("done"), 5_000), version=1, owes=(an_owed(at_ms=5_000),))
        paused = replace(keyed("paused", at_ms=9_000), owes=(an_owed("run.paused", 6_000),))
        await put(store, done, paused)
        expected = [DueStep(done.id, "acme", 5_000), DueStep(paused.id, "acme", 6_000)]
        assert await store.due(6_001, 100) == expected
        assert await store.due(5_000, 100) == []
        for row in (done, paused):
            await store.replace(replace(row, version=2, owes=()), 1)
        assert await store.due(9_001, 100) == [DueStep(paused.id, "acme", 9_000)]

    @on_store
    async def test_ids_of_a_state_are_paged(self, store: ServerStore) -> None:
        for status in (Status.RUNNING, Status.WAITING, Status.CANCELLED):
            roots = [keyed(f"{status}-{number}", status=status) for number in range(5)]
            await put(store, *roots, a_child("mail", roots[0].spec))
            expected = sorted(root.id for root in roots)
            assert await store.with_status(status, after="", limit=3) == expected[:3]
            assert await store.with_status(status, after=expected[2], limit=3) == expected[3:]

    @on_store
    async def test_live_steps_that_are_no_roots_count_and_are_found(self, store: ServerStore) -> None:
        steps = {}
        for status in LIVE:
            root = keyed(f"k-{status}", status=status, at_ms=1_000)
            steps[status] = [root, a_child("mail", root.spec, status=status, at_ms=500)]
            await put(store, *steps[status])
        counts = await store.count("acme", 0)
        assert counts.live == dict.fromkeys(LIVE, 2)
        assert counts.runs == dict.fromkeys(LIVE, 1)
        assert counts.oldest_due_at_ms == 500
        children = {child.id for _, child in steps.values()}
        assert {step.id for step in await store.due(501, 100)} == children
        for status, both in steps.items():
            assert await store.with_status(status, after="", limit=5) == sorted(step.id for step in both)

    # --- everything away ---

    @on_store
    async def test_after_a_clear_nothing_is_there(self, store: ServerStore) -> None:
        root, child = a_root(), a_child("mail", status=Status.SUCCEEDED)
        await put(store, root, child)
        await store.put_blob(root.id, "d", b"text", 10**15)
        assert await store.add_stored_bytes("me", 5, day=1, since_day=0) == 5

        await store.clear()

        assert [await store.get(step.id) for step in (root, child)] == [None, None]
        assert await store.get_blob(root.id, "d", "table") is None
        assert await store.add_stored_bytes("me", 7, day=1, since_day=0) == 7
        assert await store.count_live() == 0
        assert await store.create(root) is None

    # --- purge ---

    @on_store
    async def test_a_run_is_purged_with_its_root(self, store: ServerStore) -> None:
        root, child = a_root(), a_child("mail", status=Status.SUCCEEDED)
        await put(store, root, child)
        assert await store.purge(child.expires_at_ms or 0, 100) == 0  # the root is live
        root = settled(root, 5_000)
        await store.replace(root, 1)
        assert await store.purge(5_000 + RETENTION_MS - 1, 100) == 0  # the root is remembered
        assert await store.purge(5_000 + RETENTION_MS, 100) == 2
        assert await store.get(root.id) is None
        assert await store.get(child.id) is None

    @on_store
    async def test_what_owes_something_is_not_purged(self, store: ServerStore) -> None:
        done = replace(settled(a_root(), 5_000), version=1, owes=(an_owed(),))
        left = replace(a_child("left", at_ms=5_000, status=Status.FAILED), owes=(an_owed("step.failed"),))
        await put(store, done, a_child("mail", status=Status.SUCCEEDED), left)
        assert await store.purge(10**13, 100) == 0
        await store.replace(replace(done, version=2, owes=()), 1)
        assert await store.purge(10**13, 100) == 2
        assert await store.get(left.id) == left

    @on_store
    async def test_the_root_of_the_next_run_keeps_nothing_of_the_last_one(self, store: ServerStore) -> None:
        old, child = settled(a_root(), 2_000), a_child("mail", status=Status.SUCCEEDED)
        await put(store, replace(old, version=1), child)
        expires_at_ms = child.expires_at_ms or 0
        for created_at_ms, purged in ((expires_at_ms - 1, 0), (expires_at_ms, 1)):
            existing = await store.get(old.id)
            assert existing is not None
            new = replace(a_root(at_ms=created_at_ms), version=existing.version + 1)
            assert await store.replace(new, existing.version) is None
            assert await store.purge(expires_at_ms, 100) == purged
        assert await store.get(child.id) is None
        assert await store.get(old.id) == new

    @on_store
    async def test_unexpired_rows_stay(self, store: ServerStore) -> None:
        root = a_root(status=Status.SUCCEEDED)
        later, live = a_child("later", at_ms=9_000, status=Status.FAILED), a_child("live")
        await put(store, root, later, live)
        assert await store.purge(1_000 + RETENTION_MS, 100) == 1
        assert await store.get(later.id) == later
        assert await store.get(live.id) == live
        assert await store.purge(9_000 + RETENTION_MS, 100) == 1  # its root is gone
        assert await store.get(live.id) == live

    @on_store
    async def test_a_purge_has_a_limit(self, store: ServerStore) -> None:
        protected = a_child("protected", a_spec(key="0"), status=Status.FAILED)
        await put(store, a_root(a_spec(key="0")), protected)
        await put(store, *(keyed(f"k{n}", at_ms=2_000, status=Status.CANCELLED) for n in range(130)))
        now_ms = 2_000 + RETENTION_MS
        assert [await store.purge(now_ms, 70) for _ in range(3)] == [70, 60, 0]
        assert await store.get(protected.id) == protected
