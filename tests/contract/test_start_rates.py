"""The contract of start rates: counted in one process, and shared in the DynamoDB table (moto)."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from botocore.exceptions import ConnectTimeoutError

from atomic.adapters.aws.rates import SharedStarts
from atomic.application.ports import RateDecision
from atomic.application.rates import CountedStarts
from contract.aws import TABLE_NAME, aws
from contract.rates_contract import NOW_MS, At, RatesContract


class TestCountedStarts(RatesContract):
    @contextmanager
    def runtime(self) -> Iterator[At]:
        counted = CountedStarts()
        yield lambda _: counted


class TestSharedStarts(RatesContract):
    @contextmanager
    def runtime(self) -> Iterator[At]:
        with aws() as account:
            environments = [SharedStarts(account.calls, account.dynamodb, TABLE_NAME) for _ in range(7)]
            yield lambda number: environments[number % 7]

    def test_a_refusal_reads_the_table_once(self) -> None:
        async def main() -> None:
            with aws() as account:
                shared = SharedStarts(account.calls, account.dynamodb, TABLE_NAME)
                assert (await shared.take("acme", 1.0, NOW_MS)).wait_ms == 0
                account.calls.close()
                refused = [await shared.take("acme", 1.0, NOW_MS + later) for later in range(3)]
                assert [start.wait_ms for start in refused] == [1000, 999, 998]

        asyncio.run(main())

    def test_starts_are_allowed_while_the_table_cannot_be_read(self) -> None:
        class Gone:
            def update_item(self, **_: Any) -> None:
                raise ConnectTimeoutError(endpoint_url="https://table.example")

        async def main() -> None:
            with aws() as account:
                gone: Any = Gone()
                shared = SharedStarts(account.calls, gone, TABLE_NAME)
                assert await shared.take("acme", 1.0, NOW_MS) == RateDecision(wait_ms=0, left=0)
                await shared.release("acme", 1.0)

        asyncio.run(main())
