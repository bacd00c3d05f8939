"""Quotas count each new step once, and existing steps never."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from atomic.adapters.memory.store import MemoryStepStore
from atomic.application.admission import StorageMeter
from atomic.application.ports import StoreUnavailable
from atomic.domain.clients.client import Client
from atomic.domain.clients.quota import Quota
from atomic.testing import ApiReply, LocalAtomic, run
from contract.builders import a_spec
from scenarios.runtime import answer_ok


class Registry:
    """One client without a key, and without callback URLs."""

    callback_keys = ()

    def __init__(self, **limits: Any) -> None:
        self._client = Client(id="me", quota=Quota(**limits))

    async def authenticate(self, api_key: str | None, client_id: str) -> Client | None:
        return self._client

    async def get(self, client_id: str) -> Client | None:
        return self._client


def on(
    limits: dict[str, Any],
    body: Callable[[LocalAtomic, Callable[..., Awaitable[ApiReply]]], Awaitable[None]],
    store: MemoryStepStore | None = None,
) -> None:
    async def main() -> None:
        async with LocalAtomic(clients=Registry(**limits), store=store) as atomic:
            url = atomic.endpoint("/mail", answer_ok)

            async def start(key: str, **more: Any) -> ApiReply:
                document = {"workflowName": "w", "stepInvokeUrl": url, "idempotencyKey": key, **more}
                return await atomic.post("/me", document)

            await body(atomic, start)

    run(main())


def test_replays_cost_nothing() -> None:
    async def body(_: LocalAtomic, start: Callable[..., Awaitable[ApiReply]]) -> None:
        first = await start("a")
        assert first.headers["ratelimit-policy"] == '"starts";q=2;w=1'
        assert first.headers["ratelimit"] == '"starts";r=1;t=1'
        assert {(await start("a")).status for _ in range(50)} == {200}
        assert (await start("b")).status == 200
        refused = await start("c")
        assert (refused.status, refused.headers["retry-after"]) == (429, "1")
        assert refused.headers["ratelimit"] == '"starts";r=0;t=1'
        # The bucket is empty, but posts of existing steps are still answered.
        again = await start("b")
        assert (again.status, again.headers["idempotency-replayed"]) == (200, "true")
        # They do not return starts that they did not take.
        assert [(await start(key)).status for key in "bcbcbc"] == [200, 429] * 3
        await asyncio.sleep(1)
        assert [(await start(key)).status for key in "cde"] == [200, 200, 429]

    on({"starts_per_second": 2.0}, body)


def test_a_very_low_rate_is_one_start_a_day_at_most() -> None:
    async def body(_: LocalAtomic, start: Callable[..., Awaitable[ApiReply]]) -> None:
        assert (await start("a")).status == 200
        refused = await start("b")
        assert (refused.status, refused.headers["retry-after"]) == (429, "86400")

    on({"starts_per_second": 5e-324}, body)


def test_live_steps_are_bounded_and_free_again_when_they_end() -> None:
    async def body(atomic: LocalAtomic, start: Callable[..., Awaitable[ApiReply]]) -> None:
        async def wait_for(key: str) -> ApiReply:
            return await atomic.post(
                "/me",
                {
                    "workflowName": "w",
                    "kind": "event",
                    "stepName": "s",
                    "idempotencyKey": key,
                    "timeout": 1,
                },
            )

        waiting = [await wait_for(key) for key in "abc"]
        assert [reply.status for reply in waiting] == [504, 504, 504]
        assert {(await wait_for(key)).status for key in "defgh"} == {429}
        assert [(await wait_for(key)).status for key in "axaxax"] == [504, 429] * 3
        for reply in waiting[:2]:
            await atomic.post(f"/me/steps/{reply.json['id']}/result", 1)
        await asyncio.sleep(1)
        assert [(await wait_for(key)).status for key in "xyz"] == [504, 504, 429]
        assert (await start("mail")).status == 429

    on({"live_steps": 3}, body)


def test_concurrent_starts_do_not_exceed_the_limit() -> None:
    class Store(MemoryStepStore):
        """A store that is slow to count, like stores on a disk or a network."""

        async def count_live_of(self, client_id: str, enough: int) -> int:
            number = await super().count_live_of(client_id, enough)
            await asyncio.sleep(0.02)
            return number

    async def body(_: LocalAtomic, start: Callable[..., Awaitable[ApiReply]]) -> None:
        for attempt in range(3):
            keys = [f"{attempt}-{number}" for number in range(50)]
            replies = await asyncio.gather(*(start(key, delay=3_600_000, timeout=1) for key in keys))
            taken = [reply.status for reply in replies].count(504)
            assert taken == (7 if attempt == 0 else 0)
            await asyncio.sleep(attempt)

    on({"live_steps": 7}, body, Store())


def test_quick_steps_do_not_add_up() -> None:
    async def body(_: LocalAtomic, start: Callable[..., Awaitable[ApiReply]]) -> None:
        for number in range(40):
            assert (await start(f"k-{number}")).status == 200
            await asyncio.sleep(0.3)

    on({"live_steps": 2}, body)


def test_results_of_events_count_in_each_process() -> None:
    async def body(atomic: LocalAtomic, start: Callable[..., Awaitable[ApiReply]]) -> None:
        event = {"workflowName": "w", "idempotencyKey": "e", "kind": "event", "stepName": "e"}
        opened = await atomic.request(
            "POST", "/me", body=json.dumps(event).encode(), headers={"Prefer": "respond-async"}
        )
        # As in a process that has had no start of this client.
        atomic.engine.admission.meter._sums.clear()
        told = await atomic.post(f"/me/steps/{opened.json['id']}/result", "x" * 500)
        assert told.status == 200
        await asyncio.sleep(10)
        assert (await start("a")).status == 507

    on({"stored_bytes": 400}, body)


def test_stored_bytes_are_bounded_and_forgotten_by_the_day() -> None:
    async def body(atomic: LocalAtomic, start: Callable[..., Awaitable[ApiReply]]) -> None:
        payload = "x" * 98
        assert [(await start(key, payload=payload)).status for key in "abcd"] == [200, 200, 200, 507]
        # An existing step is not counted again.
        assert {(await start("a", payload=payload)).status for _ in range(20)} == {200}
        assert (await start("e", payload="")).status == 200
        await asyncio.sleep(29 * 24 * 3600)
        assert (await start("f", payload=payload)).status == 507
        await asyncio.sleep(3 * 24 * 3600)
        assert [(await start(key, payload=payload)).status for key in "ghij"] == [200, 200, 200, 507]

    # Three payloads of 100 bytes with answers of 11 bytes, and a payload of two bytes with its answer.
    on({"stored_bytes": 400}, body)


def test_an_early_event_is_stored_and_an_open_one_costs_nothing() -> None:
    async def body(atomic: LocalAtomic, start: Callable[..., Awaitable[ApiReply]]) -> None:
        async def tell(name: str) -> ApiReply:
            event = {"workflowName": "w", "idempotencyKey": "k", "name": name, "result": "x" * 98}
            return await atomic.post("/me/events", event)

        event = {"workflowName": "w", "idempotencyKey": "k", "kind": "event", "stepName": "open"}
        assert (await atomic.post("/me", {**event, "timeout": 1})).status == 504
        told = [await tell(name) for name in ("a", "b", "b", "c", "d")]
        assert [reply.status for reply in told] == [200, 200, 200, 200, 507]
        # Nothing is refused that is there already.
        assert [(await tell(name)).json["was"] for name in ("open", "a")] == ["open", "done"]

    # The event that is open has a payload of four bytes, and is the one live step.
    on({"stored_bytes": 350, "live_steps": 1}, body)


def test_early_events_are_starts() -> None:
    async def body(atomic: LocalAtomic, _: Callable[..., Awaitable[ApiReply]]) -> None:
        event = {"workflowName": "w", "idempotencyKey": "k"}
        told = [await atomic.post("/me/events", {**event, "name": name}) for name in "aabc"]
        assert [reply.status for reply in told] == [200, 200, 200, 429]

    on({"starts_per_second": 2.0}, body)


def test_what_is_refused_is_not_counted() -> None:
    async def body(_: LocalAtomic, start: Callable[..., Awaitable[ApiReply]]) -> None:
        payload = "x" * 98
        assert (await start("a", payload=payload)).status == 200
        nowhere = f"run_{'0' * 32}-root"
        for _ in range(20):
            assert (await start("a", payload=payload + "y")).status == 422
            assert (await start("b", payload=payload, parent=nowhere)).status == 404
        assert [(await start(key, payload=payload)).status for key in "cde"] == [200, 200, 507]

    on({"stored_bytes": 400, "live_steps": 30}, body)


def test_bytes_that_the_store_cannot_add_are_still_counted() -> None:
    class Store(MemoryStepStore):
        fails = False

        async def add_stored_bytes(self, client_id: str, size: int, *, day: int, since_day: int) -> int:
            if self.fails:
                raise StoreUnavailable
            return await super().add_stored_bytes(client_id, size, day=day, since_day=since_day)

    async def main() -> None:
        store, stored, day_ms = Store(), StorageMeter(), 24 * 3600 * 1000

        async def total(now_ms: int) -> int:
            return await stored.total(store, "me", now_ms=now_ms)

        stored.add("me", 1, 0)  # nothing is counted for this client yet
        stored.watch(Client(id="me", quota=Quota(stored_bytes=99)))
        stored.add("me", 10, 0)
        assert await total(0) == 10
        stored.add("me", 5, 0)
        store.fails = True
        assert await total(4_999) == 15
        with pytest.raises(StoreUnavailable):
            await total(5_000)
        await stored.flush(store, replace(a_spec(client_id="me"), retention_ms=day_ms), 5_000)
        store.fails = False
        assert await total(5_000) == 15
        assert await store.add_stored_bytes("me", 0, day=0, since_day=0) == 15

    asyncio.run(main())
