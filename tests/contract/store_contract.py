"""What every `StepStore` must do. A backend's test class inherits `StoreContract` and defines `store`."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from atomic.application.child_steps import ChildPage
from atomic.application.ports import StepStore
from atomic.application.run_query import RunQuery
from atomic.domain.messages import note, number_of, renumbered
from atomic.domain.outcomes import StoredBody
from atomic.domain.outlines import StepOutline
from atomic.domain.steps import Watch
from atomic.domain.transitions import begin
from atomic.protocol import keys
from atomic.protocol.enums import Status
from contract.builders import (
    RETENTION_MS,
    a_child,
    a_full_step,
    a_root,
    a_spec,
    incompressible,
    settled,
)
from contract.store_queries import QueryContract
from contract.store_suite import keyed, on_store, put


class StoreContract(QueryContract):
    """Inherit and define `store`."""

    # --- create, get, replace ---

    @on_store
    async def test_what_is_created_is_read_back_equal(self, store: StepStore) -> None:
        for step in (a_full_step(), a_root()):
            assert await store.create(step) is None
            assert await store.get(step.id) == step

    @pytest.mark.parametrize(
        "response", [None, StoredBody(b"", "text"), StoredBody(b"AAE=", "base64", "image/x")]
    )
    def test_every_form_of_response(self, tmp_path: Path, response: StoredBody | None) -> None:
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
    async def test_an_unknown_id_is_not_found(self, store: StepStore) -> None:
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
        tried = {"attempt_count": 12, "retries_used": 3, "retries_before": 8, "version": 3}
        root, child = a_root(), replace(a_child("mail", status=Status.FAILED), **tried)
        await put(store, root, child, keyed("another run"))
        outline = await store.outline(root.spec.run_id)
        assert set(outline) == {
            StepOutline(root.id, None, Status.PENDING, None, 0, due_at_ms=root.due_at_ms),
            StepOutline(child.id, root.id, Status.FAILED, child.finished_at_ms, 12, retries=11, version=3),
        }

    @on_store
    async def test_a_note_is_a_row_and_no_step(self, store: StepStore) -> None:
        root, event = a_root(), replace(a_child("e").spec, kind="event")
        written = note(event, "m-1", 3, 1_000)
        await put(store, root)
        assert await store.create(written) is None
        assert await store.create(replace(written)) == written
        after = renumbered(written, 4)
        assert await store.replace(after, 1) is None
        assert await store.replace(replace(after), 1) == after
        assert (await store.get(written.id), number_of(after)) == (after, 4)
        assert await store.run(root.spec.run_id, after=None, limit=10) == [root]
        assert [outline.id for outline in await store.outline(root.spec.run_id)] == [root.id]
        assert await store.children(root.id, after="", limit=10) == []
        assert await store.child_steps(root.id, after="", limit=10, max_bytes=10_000) == ChildPage([], None)

    @on_store
    async def test_the_children_of_a_step_are_paged_in_the_order_of_ids(self, store: StepStore) -> None:
        root = a_root()
        children = sorted((a_child(f"step {number}") for number in range(7)), key=lambda step: step.id)
        below = [a_child(f"below {number}", parent=children[0].id) for number in range(3)]
        # The ids of another parent's children may begin with the same digits.
        stranger = a_child("stranger", parent=f"{root.spec.run_id}-{'0' * 32}")
        stranger = replace(
            stranger,
            id=keys.step_id(root.spec.run_id, children[3].position[:8] + stranger.position[8:]),
        )
        await put(store, root, *children, *below, stranger, keyed("another run"))
        pages, after = [], ""
        while page := await store.children(root.id, after=after, limit=3):
            pages.append([child.id for child in page])
            after = page[-1].id
        assert [len(page) for page in pages] == [3, 3, 1]
        assert [step_id for page in pages for step_id in page] == [child.id for child in children]
        found = await store.children(children[0].id, after="", limit=10)
        assert {child.id for child in found} == {step.id for step in below}
        for childless in (children[1].id, a_root(a_spec(key="none")).id):
            assert await store.children(childless, after="", limit=3) == []

    @on_store
    async def test_what_is_returned_of_a_child(self, store: StepStore) -> None:
        root, plain = a_root(), a_child("plain")
        awaited = replace(a_child("awaited", status=Status.SUCCEEDED), awaited=True, attempt_count=4)
        later = replace(a_child("later"), waiters=(root.id,))
        nap = a_child("nap")
        watches = (Watch(root.id, 2, nap.id), Watch(plain.id, 1))
        nap = replace(nap, spec=replace(nap.spec, kind="timer"), due_at_ms=9_000, watches=watches)
        await put(store, root, plain, awaited, later, nap)
        pending = (root.id, Status.PENDING, None, 0)
        due_at_ms = plain.due_at_ms
        assert set(await store.children(root.id, after="", limit=10)) == {
            StepOutline(plain.id, *pending, awaited=False, due_at_ms=due_at_ms),
            StepOutline(awaited.id, root.id, Status.SUCCEEDED, awaited.finished_at_ms, 4, awaited=True),
            StepOutline(later.id, *pending, awaited=True, due_at_ms=due_at_ms),
            StepOutline(nap.id, *pending, kind="timer", due_at_ms=9_000, watches=watches),
        }

    @on_store
    async def test_the_children_of_a_step_are_read_whole(self, store: StepStore) -> None:
        root, plain = a_root(), a_spec()
        spec = replace(plain, kind="value", url="", step_name="now", parent=root.id)
        value = begin(spec, keys.identity("acme", "w", root.id, "value", "now", "k"), 1_000, None)
        children = sorted(
            (value, a_child("live"), settled(a_child("done"), 2_000), a_child("no", status=Status.FAILED)),
            key=lambda step: step.id,
        )
        # Another parent's digits may be the same.
        stranger = a_child("stranger", parent=f"{root.spec.run_id}-{'0' * 32}")
        stranger_id = keys.step_id(root.spec.run_id, children[1].position[:8] + stranger.position[8:])
        below = a_child("below", parent=children[0].id)
        await put(store, root, *children, replace(stranger, id=stranger_id), below, keyed("another run"))
        for limit in (1, 2, 3, 4, 1000):
            found, after = [], ""
            while True:
                page = await store.child_steps(root.id, after=after, limit=limit, max_bytes=10**6)
                assert 1 <= len(page.steps) <= limit
                found += page.steps
                if page.next_after is None:
                    break
                assert page.next_after == page.steps[-1].id
                after = page.next_after
            assert found == children
        for childless, after in ((children[1].id, ""), (root.id, children[-1].id)):
            none = await store.child_steps(childless, after=after, limit=3, max_bytes=10**6)
            assert none == ChildPage([], None)

    @on_store
    async def test_a_page_of_whole_children_is_bounded_by_their_size(self, store: StepStore) -> None:
        root, text = a_root(), b'"' + incompressible(90_000) + b'"'
        large = [
            replace(settled(a_child(f"{n}"), 2_000), response=StoredBody(text, "json", "application/json"))
            for n in range(5)
        ]
        children = sorted(large, key=lambda step: step.id)
        await put(store, root, *children)
        sizes, after = [], ""
        while after is not None:
            page = await store.child_steps(root.id, after=after, limit=1000, max_bytes=200_000)
            assert list(page.steps) == children[sum(sizes) : sum(sizes) + len(page.steps)]
            sizes.append(len(page.steps))
            after = page.next_after
        assert sizes == [2, 2, 1]
        tiny = await store.child_steps(root.id, after="", limit=1000, max_bytes=1)
        assert (list(tiny.steps), tiny.next_after) == (children[:1], children[0].id)

    # --- stored bytes ---

    @on_store
    async def test_stored_bytes_are_added_up_by_day(self, store: StepStore) -> None:
        async def add(client_id: str, size: int, day: int) -> int:
            return await store.add_stored_bytes(client_id, size, day=day, since_day=day - 30)

        assert await add("acme", 0, 20_000) == 0
        assert [await add("acme", size, 20_000) for size in (100, 0, 50, -30)] == [100, 100, 150, 120]
        assert await add("other", 7, 20_000) == 7
        assert await add("acme", 1, 20_030) == 121
        # By now the first day is no longer counted.
        assert [await add("acme", size, 20_031) for size in (0, 1)] == [1, 2]
        assert await add("acme", 0, 20_061) == 1

    @on_store
    async def test_concurrent_additions_are_all_counted(self, store: StepStore) -> None:
        await asyncio.gather(*(store.add_stored_bytes("acme", 1, day=5, since_day=0) for _ in range(20)))
        assert await store.add_stored_bytes("acme", 0, day=5, since_day=0) == 20
