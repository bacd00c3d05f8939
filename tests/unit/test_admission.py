"""The reservation of a new step is released if nothing was started, and kept otherwise."""

import asyncio
from contextlib import nullcontext
from typing import Any

import pytest

from atomic.adapters.memory.store import MemoryStepStore
from atomic.application.admission import Admission, Refused, Reservation
from atomic.application.ports import CountedLive, StoreUnavailable
from atomic.domain.clients.client import Client
from atomic.domain.clients.quota import Quota
from atomic.testing import LocalAtomic, run
from contract.builders import a_spec
from scenarios.runtime import answer_ok

NOW_MS = 1_000_000_000_000


class Ledger(MemoryStepStore):
    """Counts how often a client's stored bytes are requested."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0

    async def add_stored_bytes(self, client_id: str, size: int, *, day: int, since_day: int) -> int:
        self.asked += 1
        return await super().add_stored_bytes(client_id, size, day=day, since_day=since_day)


async def reserve(admission: Admission, key: str, **quota: Any) -> Reservation | Refused:
    client, spec = Client(id="me", quota=Quota(**quota)), a_spec(key=key, payload=b"12")
    return await admission.reserve(MemoryStepStore(), client, spec, NOW_MS)


async def held(admission: Admission, key: str, **quota: Any) -> Reservation:
    reservation = await reserve(admission, key, **quota)
    assert isinstance(reservation, Reservation)
    return reservation


@pytest.mark.parametrize(
    ("quota", "of"),
    [({"starts_per_second": 1}, "rate"), ({"live_steps": 1}, "steps"), ({"stored_bytes": 3}, "storage")],
)
@pytest.mark.parametrize(
    ("error", "comes_back"),
    [
        (None, True),
        (ValueError("refused"), True),
        (StoreUnavailable("who knows"), False),
        (asyncio.CancelledError(), False),
    ],
)
def test_an_unused_reservation_is_released_unless_the_result_is_unknown(
    quota: dict[str, Any], of: str, error: BaseException | None, comes_back: bool
) -> None:
    async def main() -> None:
        admission = Admission()
        with pytest.raises(type(error)) if error else nullcontext():
            async with await held(admission, "a", **quota):
                if error:
                    raise error
        second = await reserve(admission, "b", **quota)
        assert isinstance(second, Reservation) is comes_back
        if isinstance(second, Refused):
            assert second.of == of

    asyncio.run(main())


def test_the_reservation_of_a_started_step_is_kept() -> None:
    async def main() -> None:
        admission = Admission()
        async with await held(admission, "a", live_steps=1) as reservation:
            reservation.keep()
        assert isinstance(await reserve(admission, "b", live_steps=1), Refused)

    asyncio.run(main())


def test_a_refusal_by_one_limit_takes_nothing_of_the_others() -> None:
    async def main() -> None:
        admission = Admission()
        most = {"stored_bytes": 4, "live_steps": 5}
        async with await held(admission, "a", **most, starts_per_second=0.001) as reservation:
            reservation.keep()
        for number in range(10):
            refused = await reserve(admission, f"b{number}", **most, starts_per_second=0.001)
            assert isinstance(refused, Refused)
            assert refused.of == "rate"
        assert isinstance(await reserve(admission, "c", **most), Reservation)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("quota", "asked"), [({}, False), ({"live_steps": 9}, False), ({"stored_bytes": 999}, True)]
)
def test_stored_bytes_are_read_only_for_clients_with_a_limit(quota: dict[str, Any], asked: bool) -> None:
    class Registry:
        async def authenticate(self, api_key: str | None, client_id: str) -> Client | None:
            return await self.get(client_id)

        async def get(self, client_id: str) -> Client | None:
            return Client(id="me", quota=Quota(**quota))

    async def main() -> None:
        store = Ledger()
        async with LocalAtomic(store=store, clients=Registry()) as atomic:
            url = atomic.endpoint("/mail", answer_ok)
            for number in range(3):
                start = {"workflowName": "w", "stepInvokeUrl": url, "idempotencyKey": f"k-{number}"}
                assert (await atomic.post("/me", start)).status == 200
                await asyncio.sleep(10)
        assert (store.asked > 0) is asked

    run(main())


def test_a_client_whose_limit_is_removed_is_not_counted_any_more() -> None:
    async def main() -> None:
        admission, store = Admission(), Ledger()
        admission.meter.watch(Client(id="acme", quota=Quota(stored_bytes=9)))
        spec = a_spec(key="a")
        await admission.meter.flush(store, spec, NOW_MS)
        assert store.asked == 1
        admission.meter.watch(Client(id="acme"))
        await admission.meter.flush(store, spec, NOW_MS + 60_000)
        assert store.asked == 1

    asyncio.run(main())


class ManyProcesses(MemoryStepStore):
    """A store whose live steps are counted every five minutes, and which tells what counting them cost."""

    def __init__(self) -> None:
        super().__init__()
        self.live = 0
        self.counted = CountedLive(0, 0)
        self.counts = self.read = 0

    async def counted_live(self, client_id: str) -> CountedLive | None:
        return self.counted

    async def count_live_of(self, client_id: str, enough: int) -> int:
        self.counts += 1
        self.read += min(self.live, enough)
        return min(self.live, enough)


async def flood(store: ManyProcesses, *, processes: int, per_s: int, seconds: int, most: int) -> int:
    """The most live steps while a client starts steps that never end, in many processes."""
    client = Client(id="me", quota=Quota(live_steps=most))
    admissions = [Admission() for _ in range(processes)]
    for nth in range(per_s * seconds):
        now_ms = NOW_MS + nth * 1000 // per_s
        if nth % (300 * per_s) == 0:
            store.counted = CountedLive(store.live, now_ms - 1)
        spec = a_spec(key=str(nth), payload=b"1")
        taken = await admissions[nth % processes].reserve(store, client, spec, now_ms)
        if isinstance(taken, Reservation):
            taken.keep()
            store.live += 1
    return store.live


@pytest.mark.parametrize(
    ("processes", "per_s", "most"), [(1, 50, 100), (20, 100, 1_000), (100, 200, 3_000), (300, 300, 9_000)]
)
def test_a_limit_on_live_steps_holds_where_many_processes_start_them(
    processes: int, per_s: int, most: int
) -> None:
    async def body() -> None:
        store = ManyProcesses()
        live = await flood(store, processes=processes, per_s=per_s, seconds=60, most=most)
        # What all start within five seconds, or while a process waits before it counts again.
        assert most <= live <= most + per_s * max(5, most / 500)
        # Each process reads some hundred steps a second at most.
        assert store.read <= processes * 60 * 500

    asyncio.run(body())


def test_far_below_the_limit_nothing_is_counted() -> None:
    async def body() -> None:
        store = ManyProcesses()
        assert await flood(store, processes=100, per_s=10, seconds=90, most=100_000) == 900
        assert store.counts == 0

    asyncio.run(body())


def test_a_full_client_may_start_again_when_its_steps_have_ended() -> None:
    async def body() -> None:
        store, admission = ManyProcesses(), Admission()
        client = Client(id="me", quota=Quota(live_steps=100))
        store.live = 100
        store.counted = CountedLive(100, NOW_MS - 250_000)
        first = await admission.reserve(store, client, a_spec(key="a"), NOW_MS)
        assert isinstance(first, Refused)
        store.live = 3
        again = await admission.reserve(store, client, a_spec(key="a"), NOW_MS + 5_000)
        assert isinstance(again, Reservation)

    asyncio.run(body())


def test_a_client_that_only_seems_to_be_full_is_counted() -> None:
    """Its steps became more and have ended since. The next count of maintenance may be minutes away."""

    async def body() -> None:
        store, admission = ManyProcesses(), Admission()
        client = Client(id="me", quota=Quota(live_steps=10_000))

        async def is_taken(after_s: int) -> bool:
            spec = a_spec(key=str(after_s), payload=b"1")
            taken = await admission.reserve(store, client, spec, NOW_MS + after_s * 1000)
            return isinstance(taken, Reservation)

        store.counted = CountedLive(0, NOW_MS)
        assert await is_taken(1)
        store.live, store.counted = 6_000, CountedLive(6_000, NOW_MS + 300_000)
        assert await is_taken(301)
        store.live = 0
        assert [await is_taken(after_s) for after_s in (400, 501, 502, 600)] == [True] * 4

    asyncio.run(body())
