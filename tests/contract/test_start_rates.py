"""The contract of rates: counted in one process, and in the table by many environments (moto)."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest
from botocore.exceptions import ConnectTimeoutError

from atomic.adapters.aws.rates import SharedStarts
from atomic.application.rates import CountedStarts, Start, StartRates
from contract.aws import TABLE_NAME, aws

NOW_MS = 1_790_000_000_000
At = Callable[[int], StartRates]


class RatesContract:
    """Inherit and define `home`: the rates as the process of a number sees them."""

    def home(self) -> AbstractContextManager[At]:
        raise NotImplementedError

    def on_home(self, body: Callable[[At], Awaitable[None]]) -> None:
        async def main(at: At) -> None:
            await body(at)

        with self.home() as at:
            asyncio.run(main(at))

    def test_what_one_second_may_start_starts_at_once_and_then_one_in_each_interval(self) -> None:
        async def body(at: At) -> None:
            took = [await at(number).take("acme", 4.0, NOW_MS) for number in range(5)]
            assert [start.wait_ms for start in took] == [0, 0, 0, 0, 250]
            later = [await at(number).take("acme", 4.0, NOW_MS + 250) for number in range(2)]
            assert [start.wait_ms for start in later] == [0, 250]
            # A bucket that is full holds no more for having been left alone.
            after = [await at(0).take("acme", 4.0, NOW_MS + 60_000) for _ in range(5)]
            assert [start.wait_ms for start in after] == [0, 0, 0, 0, 250]

        self.on_home(body)

    def test_who_is_told_how_many_are_left_is_told_the_truth(self) -> None:
        async def body(at: At) -> None:
            took = [await at(number % 2).take("acme", 3.0, NOW_MS) for number in range(4)]
            assert [start.left for start in took] == [2, 1, 0, 0]

        self.on_home(body)

    def test_each_client_has_its_own(self) -> None:
        async def body(at: At) -> None:
            took = [await at(0).take(client, 1.0, NOW_MS) for client in ("acme", "globex", "acme")]
            assert [start.wait_ms for start in took] == [0, 0, 1000]

        self.on_home(body)

    def test_however_many_ask_at_once_so_many_get_one(self) -> None:
        async def body(at: At) -> None:
            asked = [at(number % 7).take("acme", 10.0, NOW_MS) for number in range(50)]
            took = await asyncio.gather(*asked)
            assert sum(start.wait_ms == 0 for start in took) == 10

        self.on_home(body)

    def test_what_is_given_back_is_there_again(self) -> None:
        async def body(at: At) -> None:
            assert (await at(0).take("acme", 1.0, NOW_MS)).wait_ms == 0
            await at(0).give_back("acme", 1.0)
            assert (await at(1).take("acme", 1.0, NOW_MS)).wait_ms == 0
            assert (await at(0).take("acme", 1.0, NOW_MS)).wait_ms == 1000

        self.on_home(body)

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

        self.on_home(body)

    def test_a_rate_that_changes_holds_from_then_on(self) -> None:
        async def body(at: At) -> None:
            for _ in range(100):
                assert (await at(0).take("acme", 100.0, NOW_MS)).wait_ms == 0
            assert (await at(0).take("acme", 1.0, NOW_MS)).wait_ms == 1000
            assert (await at(1).take("acme", 1000.0, NOW_MS)).wait_ms in {0, 1}

        self.on_home(body)


class TestCountedStarts(RatesContract):
    @contextmanager
    def home(self) -> Iterator[At]:
        counted = CountedStarts()
        yield lambda _: counted


class TestSharedStarts(RatesContract):
    @contextmanager
    def home(self) -> Iterator[At]:
        with aws() as account:
            environments = [SharedStarts(account.calls, account.dynamodb, TABLE_NAME) for _ in range(7)]
            yield lambda number: environments[number % 7]

    def test_who_is_refused_asks_the_table_once(self) -> None:
        async def main() -> None:
            with aws() as account:
                shared = SharedStarts(account.calls, account.dynamodb, TABLE_NAME)
                assert (await shared.take("acme", 1.0, NOW_MS)).wait_ms == 0
                account.calls.close()
                refused = [await shared.take("acme", 1.0, NOW_MS + later) for later in range(3)]
                assert [start.wait_ms for start in refused] == [1000, 999, 998]

        asyncio.run(main())

    def test_when_the_table_cannot_be_asked_starts_are_let_in(self) -> None:
        class Gone:
            def update_item(self, **_: Any) -> None:
                raise ConnectTimeoutError(endpoint_url="https://table.example")

        async def main() -> None:
            with aws() as account:
                gone: Any = Gone()
                shared = SharedStarts(account.calls, gone, TABLE_NAME)
                assert await shared.take("acme", 1.0, NOW_MS) == Start(wait_ms=0, left=0)
                await shared.give_back("acme", 1.0)

        asyncio.run(main())
