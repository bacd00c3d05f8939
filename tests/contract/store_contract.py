"""What every `StepStore` must do. A backend's test class inherits `StoreContract` and defines `store`."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from atomic.application.ports import DueStep, RunQuery, StepStore
from atomic.domain.outcomes import Response
from atomic.domain.steps import LIVE, Status, Step, StepOutline
from contract.builders import RETENTION_MS, a_child, a_full_step, a_root, a_spec, settled


def on_store(test: Callable[[Any, StepStore], Awaitable[None]]) -> Callable[[Any, Path], None]:
    """Run the test on a fresh store."""

    def run(self: "StoreContract", tmp_path: Path) -> None:
        async def body() -> None:
            async with self.store(tmp_path) as store:
                await asyncio.wait_for(test(self, store), 60)

        asyncio.run(body())

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run


async def put(store: StepStore, *steps: Step) -> None:
    """Insert the rows as they are."""
    for step in steps:
        assert await store.create(step) is None


def keyed(key: str, **more: Any) -> Step:
    """A root with this key."""
    spec_names = {name: more.pop(name) for name in ("client_id", "workflow_name") if name in more}
    return a_root(a_spec(key=key, **spec_names), **more)


class StoreContract:
    """Inherit and define `store`."""

    def store(self, directory: Path) -> AbstractAsyncContextManager[StepStore]:
        """A fresh, empty store that may use the directory."""
        raise NotImplementedError

    # --- create, get, replace ---

    @on_store
    async def test_what_is_created_is_read_back_equal(self, store: StepStore) -> None:
        for step in (a_full_step(), a_root()):
            assert await store.create(step) is None
            assert await store.get(step.id) == step

    @on_store
    async def test_a_payload_and_a_response_of_the_largest_size(self, store: StepStore) -> None:
        large = b'"' + b"x" * (256 * 1024 - 2) + b'"'
        step = replace(a_root(a_spec(payload=large)), response=Response(large, "text", None))
        await put(store, step)
        assert await store.get(step.id) == step

    @pytest.mark.parametrize(
        "response", [None, Response(b"", "text"), Response(b"AAE=", "base64", "image/x")]
    )
    def test_every_form_of_response(self, tmp_path: Path, response: Response | None) -> None:
        async def body() -> None:
            async with self.store(tmp_path) as store:
                step = replace(a_root(), response=response)
                await put(store, step)
                assert await store.get(step.id) == step

        asyncio.run(body())

    @on_store
    async def test_the_first_create_wins(self, store: StepStore) -> None:
        first = a_full_step()
        await put(store, first)
        later = replace(first, nonce="other", version=9)
        assert await store.create(later) == first
        assert await store.get(first.id) == first

    @on_store
    async def test_one_of_many_concurrent_creates_wins(self, store: StepStore) -> None:
        rivals = [replace(a_root(), nonce=f"{number}") for number in range(20)]
        answers = await asyncio.gather(*(store.create(rival) for rival in rivals))
        assert answers.count(None) == 1
        winner = rivals[answers.index(None)]
        assert all(answer in (None, winner) for answer in answers)

    @on_store
    async def test_nothing_is_found_under_an_unknown_id(self, store: StepStore) -> None:
        assert await store.get(a_root().id) is None

    @on_store
    async def test_replace_writes_the_expected_version(self, store: StepStore) -> None:
        step = a_root()
        await put(store, step)
        after = settled(step, 2_000)
        assert await store.replace(after, 1) is None
        assert await store.get(step.id) == after

    @on_store
    async def test_replace_of_another_version_changes_nothing(self, store: StepStore) -> None:
        step = a_root()
        await put(store, step)
        assert await store.replace(settled(step, 2_000), 2) == step
        assert await store.get(step.id) == step

    @on_store
    async def test_the_loser_of_a_race_gets_the_winners_row(self, store: StepStore) -> None:
        step = a_root()
        await put(store, step)
        rivals = [replace(step, version=2, nonce=f"{number}") for number in range(20)]
        answers = await asyncio.gather(*(store.replace(rival, 1) for rival in rivals))
        assert answers.count(None) == 1
        winner = rivals[answers.index(None)]
        assert all(answer in (None, winner) for answer in answers)
        assert await store.get(step.id) == winner

    @on_store
    async def test_replace_of_nothing_is_a_lookup_error(self, store: StepStore) -> None:
        beside = keyed("beside")
        missing, written = await asyncio.gather(
            store.replace(a_root(), 1), store.create(beside), return_exceptions=True
        )
        assert isinstance(missing, LookupError)
        assert written is None
        assert await store.get(beside.id) == beside

    @on_store
    async def test_a_new_step_takes_the_place_of_an_expired_one(self, store: StepStore) -> None:
        old = settled(a_root(), 2_000)
        await put(store, old)
        spec = a_spec(payload=b'{"userName":"bob"}', delay_ms=5)
        new = replace(a_root(spec, at_ms=old.created_at_ms + RETENTION_MS), version=old.version + 1)
        assert await store.replace(new, old.version + 1) == old
        assert await store.replace(new, old.version) is None
        assert await store.get(new.id) == new
        assert await store.list(RunQuery(client_id="acme", created_from_ms=new.created_at_ms)) == [new]

    # --- runs ---

    @on_store
    async def test_a_run_is_paged_in_the_order_of_ids(self, store: StepStore) -> None:
        steps = [a_root(), *(a_child(f"step {number}") for number in range(6))]
        await put(store, *steps, keyed("another run"), keyed("key-10"))
        expected = sorted(steps, key=lambda step: step.id)
        run_id, pages, after = steps[0].spec.run_id, [], None
        while page := await store.run(run_id, after=after, limit=3):
            pages.append(list(page))
            after = page[-1].id
        assert [len(page) for page in pages] == [3, 3, 1]
        assert [step for page in pages for step in page] == expected
        assert await store.run(a_root(a_spec(key="none")).spec.run_id, after=None, limit=3) == []

    @on_store
    async def test_the_outline_of_a_run(self, store: StepStore) -> None:
        root, child = a_root(), a_child("mail", status=Status.FAILED)
        await put(store, root, child, keyed("another run"))
        outline = await store.outline(root.spec.run_id)
        assert set(outline) == {
            StepOutline(root.id, None, Status.PENDING, None),
            StepOutline(child.id, root.id, Status.FAILED, child.finished_at_ms),
        }

    # --- list ---

    @on_store
    async def test_runs_are_listed_newest_first(self, store: StepStore) -> None:
        roots = [keyed(f"k{number}", at_ms=1_000 + number % 4) for number in range(12)]
        await put(store, *roots, a_child("mail", roots[0].spec), keyed("k1", client_id="other"))
        expected = sorted(roots, key=lambda step: (step.created_at_ms, step.id), reverse=True)
        assert await store.list(RunQuery(client_id="acme")) == expected
        assert await store.list(RunQuery(client_id="acme", limit=5)) == expected[:5]
        assert await store.list(RunQuery(client_id="nobody")) == []

    @on_store
    async def test_pages_meet_without_gap_or_overlap(self, store: StepStore) -> None:
        states = list(Status)
        roots = [keyed(f"k{n}", at_ms=1_000 + n // 7, status=states[n % 7]) for n in range(30)]
        await put(store, *roots)
        query, seen = RunQuery(client_id="acme", limit=4), []
        while page := await store.list(query):
            seen += page
            query = replace(query, after=(page[-1].created_at_ms, page[-1].id))
        assert seen == sorted(roots, key=lambda step: (step.created_at_ms, step.id), reverse=True)

    @on_store
    async def test_every_filter_and_all_of_them(self, store: StepStore) -> None:
        roots = [
            keyed(f"{prefix}-{number}", workflow_name=workflow, at_ms=1_000 + number, status=status)
            for number, status in enumerate(Status)
            for prefix in ("a", "b")
            for workflow in ("createUser", "createuser")
        ]
        await put(store, *roots)
        failed_at = 1_000 + list(Status).index(Status.FAILED)
        filters: dict[str, tuple[Any, Callable[[Step], bool]]] = {
            "status": (Status.FAILED, lambda step: step.status is Status.FAILED),
            "workflow_name": ("createUser", lambda step: step.spec.workflow_name == "createUser"),
            "key_prefix": ("a-", lambda step: step.spec.idempotency_key.startswith("a-")),
            "created_from_ms": (failed_at, lambda step: step.created_at_ms >= failed_at),
            "created_before_ms": (failed_at + 1, lambda step: step.created_at_ms <= failed_at),
        }
        for chosen in ([name] for name in filters):
            await _expect(store, roots, {name: filters[name] for name in chosen})
        await _expect(store, roots, filters)

    @on_store
    async def test_the_cursor_and_a_time_filter_together(self, store: StepStore) -> None:
        roots = [keyed(f"k{number}", at_ms=1_000 + number) for number in range(9)]
        await put(store, *roots)
        within = RunQuery(client_id="acme", created_from_ms=1_002, created_before_ms=1_007)
        assert await store.list(replace(within, after=(1_005, roots[5].id))) == roots[4:1:-1]
        assert await store.list(replace(within, after=(1_008, roots[8].id))) == roots[6:1:-1]

    @on_store
    async def test_a_key_prefix_is_taken_word_for_word(self, store: StepStore) -> None:
        names = ["a%b1", "a%b2", "aXb", "A%b", "a_b", "a*b", "a[b]", "a", "b", "~~", "a%"]
        roots = [keyed(name, at_ms=1_000 + number) for number, name in enumerate(names)]
        await put(store, *roots)
        for prefix in ("", "a", "A", "a%", "a%b", "a_", "a*", "a[", "a[b]", "~", "~~~", "a%b1", "aX"):
            found = await store.list(RunQuery(client_id="acme", key_prefix=prefix))
            keys = [step.spec.idempotency_key for step in found]
            assert keys == [name for name in reversed(names) if name.startswith(prefix)], prefix

    @on_store
    async def test_a_run_is_listed_under_its_newest_state(self, store: StepStore) -> None:
        root = a_root()
        await put(store, root)
        after = settled(root, 2_000)
        await store.replace(after, 1)
        assert await store.list(RunQuery(client_id="acme", status=Status.PENDING)) == []
        assert await store.list(RunQuery(client_id="acme", status=Status.SUCCEEDED)) == [after]

    # --- failed, due, with_status, count ---

    @on_store
    async def test_failed_steps_of_any_place_are_found(self, store: StepStore) -> None:
        root = keyed("order-1", status=Status.FAILED)
        child = a_child("mail", root.spec, status=Status.FAILED, at_ms=2_000)
        later = keyed("mail-2", workflow_name="mails", status=Status.FAILED, at_ms=3_000)
        live, foreign = keyed("order-3"), keyed("order-1", client_id="other", status=Status.FAILED)
        await put(store, root, child, later, live, foreign)

        async def found(**filters: Any) -> set[str]:
            return set(await store.failed(RunQuery(client_id="acme", **filters)))

        assert await found() == {root.id, child.id, later.id}
        assert await found(status=Status.SUCCEEDED) == {root.id, child.id, later.id}
        assert await found(workflow_name="mails") == {later.id}
        assert await found(key_prefix="order") == {root.id, child.id}
        assert await found(created_from_ms=2_000) == {child.id, later.id}
        assert await found(created_before_ms=2_000) == {root.id}
        assert len(await store.failed(RunQuery(client_id="acme", limit=2))) == 2

    @on_store
    async def test_due_steps_come_most_overdue_first(self, store: StepStore) -> None:
        roots = [keyed(f"k{number}", at_ms=1_000 - number) for number in range(5)]
        silent = replace(keyed("event"), due_at_ms=None)
        done = keyed("done", status=Status.SUCCEEDED)
        await put(store, *roots, silent, done)
        expected = [DueStep(step.id, step.created_at_ms) for step in reversed(roots)]
        assert await store.due(1_001, 100) == expected
        assert await store.due(1_000, 100) == expected[:-1]
        assert await store.due(1_001, 2) == expected[:2]
        await store.replace(settled(roots[4], 2_000), 1)
        assert await store.due(1_001, 100) == expected[1:]

    @on_store
    async def test_ids_of_a_state_are_paged(self, store: StepStore) -> None:
        for status in (Status.RUNNING, Status.WAITING, Status.CANCELLED):
            roots = [keyed(f"{status}-{number}", status=status) for number in range(5)]
            await put(store, *roots, a_child("mail", roots[0].spec))
            expected = sorted(root.id for root in roots)
            assert await store.with_status(status, after="", limit=3) == expected[:3]
            assert await store.with_status(status, after=expected[2], limit=3) == expected[3:]

    @on_store
    async def test_counts(self, store: StepStore) -> None:
        for number, status in enumerate(Status):
            root = keyed(f"k-{status}", status=status, at_ms=1_000 + number)
            await put(store, root, a_child("mail", root.spec, status=status, at_ms=500))
        await put(store, keyed("k", client_id="other", at_ms=1))
        counts = await store.count("acme", 1_002)
        assert counts.live == dict.fromkeys(LIVE, 2)
        assert counts.runs == dict.fromkeys(list(Status)[2:], 1)
        assert counts.dead_letters == 2
        assert counts.oldest_due_at_ms == 500

    @on_store
    async def test_counts_of_a_client_without_steps(self, store: StepStore) -> None:
        await put(store, a_root())
        counts = await store.count("nobody", 0)
        assert (counts.live, counts.runs, counts.dead_letters) == ({}, {}, 0)
        assert counts.oldest_due_at_ms is None

    # --- purge ---

    @on_store
    async def test_a_run_is_forgotten_when_its_root_is(self, store: StepStore) -> None:
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
    async def test_what_has_not_expired_stays(self, store: StepStore) -> None:
        root = a_root(status=Status.SUCCEEDED)
        later, live = a_child("later", at_ms=9_000, status=Status.FAILED), a_child("live")
        await put(store, root, later, live)
        assert await store.purge(1_000 + RETENTION_MS, 100) == 1
        assert await store.get(later.id) == later
        assert await store.get(live.id) == live
        assert await store.purge(9_000 + RETENTION_MS, 100) == 1  # its root is gone
        assert await store.get(live.id) == live

    @on_store
    async def test_a_purge_has_a_limit(self, store: StepStore) -> None:
        protected = a_child("protected", a_spec(key="0"), status=Status.FAILED)
        await put(store, a_root(a_spec(key="0")), protected)
        await put(store, *(keyed(f"k{n}", at_ms=2_000, status=Status.CANCELLED) for n in range(130)))
        now_ms = 2_000 + RETENTION_MS
        assert [await store.purge(now_ms, 70) for _ in range(3)] == [70, 60, 0]
        assert await store.get(protected.id) == protected


async def _expect(
    store: StepStore, roots: list[Step], filters: dict[str, tuple[Any, Callable[[Step], bool]]]
) -> None:
    values = {name: value for name, (value, _) in filters.items()}
    expected = [root for root in roots if all(fits(root) for _, fits in filters.values())]
    assert expected, "the filter finds nothing and so tells nothing"
    newest_first = sorted(expected, key=lambda step: (step.created_at_ms, step.id), reverse=True)
    assert await store.list(RunQuery(client_id="acme", **values)) == newest_first, values
