"""What a store must do with large texts (`ports.Blobs`). Inherit `BlobContract` and define `store`."""

from dataclasses import replace
from hashlib import sha256

import pytest

from atomic.application.blobs import stored_apart, with_payload, with_response
from atomic.application.ports import Blobs, StepStore
from atomic.application.run_query import RunQuery
from atomic.application.server_store import ServerStore
from atomic.domain.blobs import INLINE_MAX_BYTES, Blob, at_hand, is_at_hand
from atomic.domain.outcomes import StoredBody
from atomic.domain.steps import Step
from atomic.protocol import keys
from atomic.protocol.constants import PAYLOAD_MAX_BYTES
from contract.builders import RETENTION_MS, a_child, a_root, a_spec, incompressible, settled
from contract.store_suite import StoreSuite, on_store, put

MEDIUM, LARGE = 20_000, 200_000
ID = keys.root_of(a_spec().run_id)


def asking(size: int) -> Step:
    """A root whose payload nothing makes smaller."""
    return a_root(a_spec(payload=b'"' + incompressible(size - 2) + b'"'))


def answered(step: Step, text: bytes) -> Step:
    """The step, settled with this answer."""
    return replace(settled(step, 2_000), response=StoredBody(text, "text", "text/plain"))


class BlobContract(StoreSuite):
    """Inherit and define `store`."""

    @on_store
    async def test_a_text_is_read_back_from_where_it_was_put(self, store: Blobs) -> None:
        for size in (2 * INLINE_MAX_BYTES, MEDIUM, LARGE, PAYLOAD_MAX_BYTES * 4 // 3):
            text = incompressible(size)
            digest = sha256(text).hexdigest()
            place = await store.put_blob(ID, digest, text, 9_000)
            assert place not in {"", "row"}
            assert await store.get_blob(ID, digest, place) == text

    @on_store
    async def test_what_was_never_put_is_not_there(self, store: Blobs) -> None:
        digest = sha256(b"").hexdigest()
        assert await store.get_blob(ID, digest, "table") is None
        assert await store.get_blob(ID, digest, "64-days") is None

    @on_store
    async def test_texts_are_told_apart_by_step_and_content_and_may_be_put_again(
        self, store: StepStore
    ) -> None:
        other = keys.step_id(keys.run_of(ID), "f" * 32)
        texts = {(step_id, sha256(t).hexdigest()): t for step_id in (ID, other) for t in _two(MEDIUM)}
        for (step_id, digest), text in [*texts.items(), *texts.items()]:
            assert await store.put_blob(step_id, digest, text, 9_000) == "table"
        for (step_id, digest), text in texts.items():
            assert await store.get_blob(step_id, digest, "table") == text

    @on_store
    async def test_a_row_gives_back_the_names_of_large_texts_and_not_the_texts(
        self, store: StepStore
    ) -> None:
        for size in (MEDIUM, LARGE):
            payload, response = _two(size)
            step = await stored_apart(
                store, answered(a_root(a_spec(key=str(size), payload=payload)), response)
            )
            await put(store, step)
            read = [await store.get(step.id), *await store.run(step.spec.run_id, after=None, limit=9)]
            read += [row for row in await store.list(RunQuery(client_id="acme")) if row.id == step.id]
            assert len(read) == 3
            for row in read:
                assert row is not None
                assert row.response is not None
                assert row == step
                assert not is_at_hand(row.spec.payload)
                assert not is_at_hand(row.response.text)
                row = await with_response(store, await with_payload(store, row))
                assert row.response is not None
                assert (at_hand(row.spec.payload), at_hand(row.response.text)) == (payload, response)

    @on_store
    async def test_a_page_of_children_has_no_text_either(self, store: StepStore) -> None:
        root = a_root()
        child = a_child("mail", root.spec)
        child = await stored_apart(store, answered(child, incompressible(MEDIUM)))
        await put(store, root, child)
        page = await store.child_steps(root.id, after="", limit=10, max_bytes=2_000_000)
        [step] = page.steps
        assert step == child
        assert step.response is not None
        assert not is_at_hand(step.response.text)

    @on_store
    async def test_a_text_that_is_not_stored_is_refused(self, store: StepStore) -> None:
        with pytest.raises(ValueError, match="is not stored"):
            await store.create(asking(MEDIUM))
        root = a_root()
        assert await store.create(root) is None
        with pytest.raises(ValueError, match="is not stored"):
            await store.replace(answered(root, incompressible(MEDIUM)), root.version)
        assert await store.get(root.id) == root

    @on_store
    async def test_a_row_that_lost_the_race_leaves_the_text_of_the_winner_alone(
        self, store: StepStore
    ) -> None:
        first, second = (a_root(a_spec(payload=text)) for text in _two(MEDIUM))
        await put(store, await stored_apart(store, first))
        lost = await store.create(await stored_apart(store, second))
        assert lost == first
        found = await with_payload(store, await _row(store, first.id))
        assert at_hand(found.spec.payload) == at_hand(first.spec.payload)

    @on_store
    async def test_a_later_answer_leaves_an_earlier_one_alone_until_its_row_is_written(
        self, store: StepStore
    ) -> None:
        before, after = _two(MEDIUM)
        root = a_root()
        row = await stored_apart(store, answered(root, before))
        await put(store, row)
        again = await stored_apart(store, replace(answered(root, after), version=row.version + 1))
        read = await with_response(store, await _row(store, root.id))
        assert read.response is not None
        assert at_hand(read.response.text) == before
        assert await store.replace(again, row.version) is None
        read = await with_response(store, await _row(store, root.id))
        assert read.response is not None
        assert at_hand(read.response.text) == after

    @on_store
    async def test_a_text_of_another_step_is_stored_anew(self, store: StepStore) -> None:
        child_run = await stored_apart(store, answered(a_root(a_spec(key="other")), incompressible(MEDIUM)))
        await put(store, child_run)
        read = await _row(store, child_run.id)
        link = await stored_apart(store, replace(settled(a_root(), 2_000), response=read.response))
        await put(store, link)
        found = await _row(store, link.id)
        assert found.response is not None
        assert isinstance(found.response.text, Blob)
        assert found.response.text.step_id == link.id
        assert found.response == child_run.response
        read = await with_response(store, found)
        assert read.response is not None
        assert is_at_hand(read.response.text)

    @on_store
    async def test_a_text_that_packs_well_is_read_back_wherever_it_is(self, store: StepStore) -> None:
        text = b'"' + b"x" * (PAYLOAD_MAX_BYTES - 2) + b'"'
        step = await stored_apart(store, answered(a_root(a_spec(payload=text)), text))
        await put(store, step)
        found = await with_response(store, await with_payload(store, await _row(store, step.id)))
        assert found == step
        assert at_hand(found.spec.payload) == text


class ServerBlobContract(BlobContract):
    """The same of a `ServerStore`, which deletes them itself."""

    @on_store
    async def test_a_text_is_deleted_when_its_time_is_over_and_its_row_is_gone(
        self, store: ServerStore
    ) -> None:
        row = await stored_apart(store, answered(asking(MEDIUM), incompressible(MEDIUM)))
        orphan = await stored_apart(store, asking(LARGE))
        await put(store, row)
        for now_ms, left in ((1_000 + RETENTION_MS, 3), (2_000 + RETENTION_MS, 0)):
            await store.purge(now_ms, 100)
            texts = [*_blobs(row), *_blobs(orphan)]
            found = [await store.get_blob(b.step_id, b.digest, b.place) for b in texts]
            assert sum(text is not None for text in found) == left

    @on_store
    async def test_a_text_that_is_put_again_before_its_row_is_not_deleted(self, store: ServerStore) -> None:
        await put(store, await stored_apart(store, settled(asking(MEDIUM), 2_000)))
        later = replace(asking(MEDIUM), created_at_ms=5_000_000, due_at_ms=5_000_000, version=2)
        later = await stored_apart(store, later)
        assert await store.purge(5_000_000, 100) == 1
        await put(store, later)
        found = await with_payload(store, await _row(store, later.id))
        assert is_at_hand(found.spec.payload)


def _two(size: int) -> tuple[bytes, bytes]:
    text = incompressible(size - 3)
    return b'"1' + text + b'"', b'"2' + text + b'"'


def _blobs(step: Step) -> list[Blob]:
    texts = [step.spec.payload, *([step.response.text] if step.response else [])]
    return [text for text in texts if isinstance(text, Blob)]


async def _row(store: StepStore, step_id: str) -> Step:
    row = await store.get(step_id)
    assert row is not None
    return row
