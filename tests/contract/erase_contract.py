"""What a store must do to erase a run. Inherit `EraseContract` and define `store`."""

from dataclasses import replace
from hashlib import sha256

from atomic.application.blobs import with_payload
from atomic.application.ports import StepStore
from atomic.application.run_query import RunQuery
from atomic.domain.blobs import Blob, at_hand
from atomic.domain.steps import Step
from atomic.protocol import keys
from contract.builders import a_child, a_root, a_spec, incompressible, settled
from contract.store_suite import StoreSuite, keyed, on_store, put

MEDIUM, LARGE = 20_000, 200_000


async def a_run(store: StepStore) -> Step:
    """A run that has failed, with large texts of each kind of place, and one that no row names."""
    payloads = [b'"' + incompressible(size) + b'"' for size in (MEDIUM, LARGE)]
    root = settled(a_root(a_spec(key="erased", payload=payloads[0], tags=("customer:c-17",))), 2_000)
    child = settled(a_child("child", root.spec), 2_000)
    child = replace(child, spec=replace(child.spec, payload=payloads[1]))
    await put(store, root, child)
    orphan = incompressible(LARGE)
    await store.put_blob(root.id, sha256(orphan).hexdigest(), orphan, 9_000)
    return root


class EraseContract(StoreSuite):
    """The tests."""

    @on_store
    async def test_all_of_a_run_is_erased_and_nothing_else(self, store: StepStore) -> None:
        root = await a_run(store)
        other = settled(keyed("other"), 2_000)
        await put(store, other)
        run_id = root.spec.run_id
        before = await store.run(run_id, after=None, limit=10)
        assert len(before) == 2

        assert await store.erase("acme", run_id, root)

        assert await store.get(root.id) is None
        assert [*await store.run(run_id, after=None, limit=10)] == [*await store.outline(run_id)] == []
        for step in before:
            text = step.spec.payload
            assert isinstance(text, Blob)
            assert await store.get_blob(step.id, text.digest, text.place) is None
        assert [step.id for step in await store.list(RunQuery(client_id="acme"))] == [other.id]
        assert await store.list(RunQuery(client_id="acme", tags=("customer:c-17",))) == []
        assert await store.get(other.id) is not None

    @on_store
    async def test_a_run_that_has_changed_or_is_another_client_s_is_left_alone(
        self, store: StepStore
    ) -> None:
        root = await a_run(store)
        run_id = root.spec.run_id
        changed = replace(root, version=root.version + 1)
        for client_id, row in (("acme", changed), ("acme", None), ("other", None)):
            assert not await store.erase(client_id, run_id, row)
        for step in await store.run(run_id, after=None, limit=10):
            assert at_hand((await with_payload(store, step)).spec.payload)
        assert not await store.erase("acme", keys.run_id("acme", "w", "never"), None)

    @on_store
    async def test_its_identity_may_begin_anew(self, store: StepStore) -> None:
        root = await a_run(store)
        assert await store.erase("acme", root.spec.run_id, root)
        assert not await store.erase("acme", root.spec.run_id, None)
        anew = a_root(root.spec, at_ms=5_000)
        await put(store, anew)
        found = await store.get(root.id)
        assert found is not None
        assert replace(found, spec=anew.spec) == anew
