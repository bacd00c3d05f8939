"""What a store must do with the audit log (`ports.AuditLog`), and a `ServerStore` when its time is over."""

from typing import Any

from atomic.application.audit_log import ActQuery
from atomic.application.ports import StepStore
from atomic.application.server_store import ServerStore
from atomic.domain.acts import Act
from contract.store_suite import StoreSuite, on_store

# By the clock of DynamoDB, such a row has not expired.
UNTIL_MS = 4_000_000_000_000


def an_act(number: int = 1, *, at_ms: int = 1_000, **more: Any) -> Act:
    """An act by a key, on a run."""
    members: dict[str, Any] = {
        "client_id": "acme",
        "action": "cancelRun",
        "target": {"runId": "run_" + 32 * "a"},
        "by_kind": "key",
        "by": "k1",
        "source": "203.0.113.7",
        "user_agent": "curl/8.5.0 ü",
        "request_id": "r-1",
        "status": 200,
    }
    return Act(id=f"{number:032x}", at_ms=at_ms, **(members | more))


async def add(store: StepStore, *acts: Act) -> None:
    for act in acts:
        await store.add_act(act, UNTIL_MS)


async def found(store: StepStore, **query: Any) -> list[Act]:
    """All acts that fit, page by page."""
    acts: list[Act] = []
    after = None
    while True:
        page = await store.acts(ActQuery(client_id="acme", after=after, **query))
        acts += page.acts
        if (after := page.next_after) is None:
            return acts


class ActsContract(StoreSuite):
    """Inherit and define `store`."""

    @on_store
    async def test_an_act_is_kept_as_it_is(self, store: StepStore) -> None:
        act, given_up = an_act(), an_act(2, target={}, by="", by_kind="anybody", status=None)
        await add(store, act, given_up)
        assert await found(store) == [given_up, act]

    @on_store
    async def test_the_newest_comes_first_and_pages_have_each_once(self, store: StepStore) -> None:
        acts = [an_act(number, at_ms=1_000 + number // 3) for number in range(8)]
        await add(store, *acts[::2], *acts[1::2])
        for limit in (1, 3, 8, 9):
            assert await found(store, limit=limit) == acts[::-1]

    @on_store
    async def test_filters_select(self, store: StepStore) -> None:
        first = an_act(1, at_ms=1_000)
        second = an_act(2, at_ms=2_000, by="k2")
        third = an_act(3, at_ms=3_000, action="redriveStep")
        await add(store, first, second, third, an_act(4, client_id="acm"), an_act(5, client_id="acme2"))
        assert await found(store) == [third, second, first]
        assert await found(store, action="cancelRun", limit=1) == [second, first]
        assert await found(store, by="k2") == [second]
        assert await found(store, by="k2", action="redriveStep") == []
        assert await found(store, from_ms=2_000) == [third, second]
        assert await found(store, before_ms=2_000) == [first]
        assert await found(store, from_ms=1_001, before_ms=3_000, limit=1) == [second]
        assert await found(store, from_ms=3_000, before_ms=1_000) == []


class ServerActsContract(StoreSuite):
    """Inherit and define `store`, which gives a `ServerStore`."""

    @on_store
    async def test_a_purge_deletes_acts_whose_time_is_over(self, store: ServerStore) -> None:
        old, kept = an_act(1), an_act(2)
        await store.add_act(old, 5_000)
        await store.add_act(kept, 5_001)
        await store.purge(4_999, 10)
        assert await found(store) == [kept, old]
        await store.purge(5_000, 10)
        assert await found(store) == [kept]

    @on_store
    async def test_clear_deletes_acts(self, store: ServerStore) -> None:
        await add(store, an_act())
        await store.clear()
        assert await found(store) == []
