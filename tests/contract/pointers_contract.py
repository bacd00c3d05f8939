"""What a store must do with pointers (`ports.Pointers`), and a `ServerStore` when they have expired."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from atomic.application.ports import StepStore
from atomic.application.server_store import ServerStore
from atomic.domain.pointers import Pointer
from contract.store_suite import StoreSuite, on_store


def a_pointer(**more: Any) -> Pointer:
    members: dict[str, Any] = {
        "client_id": "acme",
        "kind": "singleton",
        "key": "sync@eu.west:1",
        "run_id": f"run_{32 * 'a'}",
        "expires_at_ms": 9_000_000_000_000,
    }
    return Pointer(**(members | more))


class PointersContract(StoreSuite):
    @on_store
    async def test_a_pointer_is_moved_from_one_version_to_the_next(self, store: StepStore) -> None:
        first = a_pointer()
        assert await store.get_pointer("acme", "singleton", first.key) is None
        assert await store.put_pointer(first) is None
        assert await store.get_pointer("acme", "singleton", first.key) == first
        # Each of these comes too late: the first one exists, and the second was not the one before.
        other = replace(first, run_id=f"run_{32 * 'b'}", is_held=True)
        assert await store.put_pointer(other) == first
        assert await store.put_pointer(replace(other, version=3)) == first
        assert await store.put_pointer(replace(other, version=2)) is None
        assert await store.put_pointer(replace(first, version=2)) == replace(other, version=2)
        assert await store.get_pointer("acme", "singleton", first.key) == replace(other, version=2)

    @on_store
    async def test_every_member_is_kept(self, store: StepStore) -> None:
        full = a_pointer(
            kind="debounce", is_held=True, first_ms=1_700_000_000_001, due_ms=1_700_000_060_002
        )
        await store.put_pointer(full)
        assert await store.get_pointer("acme", "debounce", full.key) == full

    @on_store
    async def test_clients_kinds_and_keys_are_apart(self, store: StepStore) -> None:
        apart = [
            a_pointer(),
            a_pointer(client_id="other"),
            a_pointer(kind="debounce"),
            a_pointer(key="sync"),
        ]
        for number, pointer in enumerate(apart):
            assert await store.put_pointer(replace(pointer, run_id=f"run_{number:032}")) is None
        for number, pointer in enumerate(apart):
            found = await store.get_pointer(pointer.client_id, pointer.kind, pointer.key)
            assert found is not None
            assert found.run_id == f"run_{number:032}"

    @on_store
    async def test_one_of_those_who_move_it_at_once_wins(self, store: StepStore) -> None:
        await store.put_pointer(a_pointer())
        moves = [a_pointer(version=2, run_id=f"run_{number:032}") for number in range(8)]
        found = await asyncio.gather(*(store.put_pointer(move) for move in moves))
        assert found.count(None) == 1
        winner = moves[found.index(None)]
        assert {existing for existing in found if existing is not None} == {winner}
        assert await store.get_pointer("acme", "singleton", winner.key) == winner

    @on_store
    async def test_what_does_not_exist_is_not_replaced(self, store: StepStore) -> None:
        with pytest.raises(LookupError):
            await store.put_pointer(a_pointer(version=2))


class ServerPointersContract(StoreSuite):
    @on_store
    async def test_a_pointer_is_purged_when_its_time_is_over(self, store: ServerStore) -> None:
        await store.put_pointer(a_pointer(expires_at_ms=1_000))
        await store.put_pointer(a_pointer(key="later", expires_at_ms=2_001))
        await store.purge(2_000, 10)
        assert await store.get_pointer("acme", "singleton", a_pointer().key) is None
        assert await store.get_pointer("acme", "singleton", "later") is not None

    @on_store
    async def test_clear_deletes_pointers(self, store: ServerStore) -> None:
        await store.put_pointer(a_pointer())
        await store.clear()
        assert await store.get_pointer("acme", "singleton", a_pointer().key) is None
