"""The reservation of a new step is released if nothing was started, and kept otherwise."""

import asyncio
from contextlib import nullcontext
from typing import Any

import pytest

from atomic.adapters.memory.store import MemoryStepStore
from atomic.application.admission import Admission, Refused, Reservation
from atomic.application.ports import StoreUnavailable
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
