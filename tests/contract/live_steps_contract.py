"""What the `LiveSteps` of a `ServerStore` must do. Inherit `LiveStepsContract` and define `store`."""

from dataclasses import replace

from atomic.application.ports import LiveStep, LiveSteps, ServerStore
from atomic.domain.steps import Attempt
from atomic.protocol.enums import LIVE, Status
from contract.builders import a_child, settled
from contract.store_suite import StoreSuite, keyed, on_store, put


class LiveStepsContract(StoreSuite):
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
