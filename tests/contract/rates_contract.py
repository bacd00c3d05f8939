"""What every `StartRates` must do. Inherit `RatesContract` and define `runtime`."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager

import pytest

from atomic.application.ports import StartRates

NOW_MS = 1_790_000_000_000
At = Callable[[int], StartRates]


class RatesContract:
    """Inherit and define `runtime`, which returns the rates as the process of a given number sees them."""

    def runtime(self) -> AbstractContextManager[At]:
        raise NotImplementedError

    def on_runtime(self, body: Callable[[At], Awaitable[None]]) -> None:
        async def main(at: At) -> None:
            await body(at)

        with self.runtime() as at:
            asyncio.run(main(at))

    def test_a_burst_of_one_second_is_allowed_and_then_one_start_per_interval(self) -> None:
        async def body(at: At) -> None:
            took = [await at(number).take("acme", 4.0, NOW_MS) for number in range(5)]
            assert [start.wait_ms for start in took] == [0, 0, 0, 0, 250]
            later = [await at(number).take("acme", 4.0, NOW_MS + 250) for number in range(2)]
            assert [start.wait_ms for start in later] == [0, 250]
            # A full bucket does not fill further, however long it is unused.
            after = [await at(0).take("acme", 4.0, NOW_MS + 60_000) for _ in range(5)]
            assert [start.wait_ms for start in after] == [0, 0, 0, 0, 250]

        self.on_runtime(body)

    def test_the_reported_number_of_remaining_starts_is_right(self) -> None:
        async def body(at: At) -> None:
            took = [await at(number % 2).take("acme", 3.0, NOW_MS) for number in range(4)]
            assert [start.left for start in took] == [2, 1, 0, 0]

        self.on_runtime(body)

    def test_each_client_has_its_own_rate(self) -> None:
        async def body(at: At) -> None:
            took = [await at(0).take(client, 1.0, NOW_MS) for client in ("acme", "globex", "acme")]
            assert [start.wait_ms for start in took] == [0, 0, 1000]

        self.on_runtime(body)

    def test_concurrent_starts_do_not_exceed_the_rate(self) -> None:
        async def body(at: At) -> None:
            asked = [at(number % 7).take("acme", 10.0, NOW_MS) for number in range(50)]
            took = await asyncio.gather(*asked)
            assert sum(start.wait_ms == 0 for start in took) == 10

        self.on_runtime(body)

    def test_a_returned_start_is_available_again(self) -> None:
        async def body(at: At) -> None:
            assert (await at(0).take("acme", 1.0, NOW_MS)).wait_ms == 0
            await at(0).release("acme", 1.0)
            assert (await at(1).take("acme", 1.0, NOW_MS)).wait_ms == 0
            assert (await at(0).take("acme", 1.0, NOW_MS)).wait_ms == 1000

        self.on_runtime(body)

    @pytest.mark.parametrize(
        ("per_s", "waits_ms"),
        [
            (2.5, [0, 0, 400]),
            (0.5, [0, 2000]),
            (0.001, [0, 1_000_000]),
            (5e-324, [0, 86_400_000]),
            (1e308, [0] * 9),
        ],
    )
    def test_rates_of_every_size(self, per_s: float, waits_ms: list[int]) -> None:
        async def body(at: At) -> None:
            took = [await at(0).take("acme", per_s, NOW_MS) for _ in waits_ms]
            assert [start.wait_ms for start in took] == waits_ms

        self.on_runtime(body)

    def test_a_changed_rate_applies_at_once(self) -> None:
        async def body(at: At) -> None:
            for _ in range(100):
                assert (await at(0).take("acme", 100.0, NOW_MS)).wait_ms == 0
            assert (await at(0).take("acme", 1.0, NOW_MS)).wait_ms == 1000
            assert (await at(1).take("acme", 1000.0, NOW_MS)).wait_ms in {0, 1}

        self.on_runtime(body)

    @pytest.mark.parametrize("old_per_s", [5e-324, 0.001])
    def test_who_had_a_low_rate_does_not_wait_for_it_under_a_higher_one(self, old_per_s: float) -> None:
        async def body(at: At) -> None:
            refused = [await at(number).take("acme", old_per_s, NOW_MS) for number in range(3)]
            assert [bool(start.wait_ms) for start in refused] == [False, True, True]
            took = [await at(number).take("acme", 4.0, NOW_MS) for number in range(5)]
            assert [start.wait_ms for start in took] == [0, 0, 0, 0, 250]

        self.on_runtime(body)
