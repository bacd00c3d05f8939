"""The registry contract on DynamoDB, as moto plays it; what is asked of the table, and when."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from atomic.adapters.aws import clients
from atomic.adapters.aws.clients import KNOWN_S, UNKNOWN_S, DynamoClientRegistry, create_client
from contract.aws import TABLE_NAME, Aws, Recorder, aws
from contract.registry_contract import URL, RegistryContract, RegistryHome


class DynamoRegistryHome:
    def __init__(self, account: Aws) -> None:
        self.now_s = 1_000.0
        self.registry = DynamoClientRegistry(
            account.calls, account.dynamodb, table_name=TABLE_NAME, now_s=lambda: self.now_s
        )
        self._dynamodb = account.dynamodb

    def create(self, client_id: str, **more: Any) -> tuple[str, str]:
        more = {"starts_per_s": None, **more}
        return create_client(self._dynamodb, TABLE_NAME, client_id, now_ms=1, **more)

    def delete_keys(self) -> None:
        for item in self._items():
            if item["pk"]["S"].startswith("key#"):
                self._dynamodb.delete_item(
                    TableName=TABLE_NAME, Key={name: item[name] for name in ("pk", "sk")}
                )

    def let_time_pass(self) -> None:
        self.now_s += KNOWN_S

    def stored(self) -> bytes:
        return repr(self._items()).encode()

    def _items(self) -> list[Any]:
        return list(self._dynamodb.scan(TableName=TABLE_NAME)["Items"])


class TestDynamoClientRegistry(RegistryContract):
    @asynccontextmanager
    async def home(self, directory: Path) -> AsyncIterator[RegistryHome]:
        with aws() as account:
            yield DynamoRegistryHome(account)


def test_what_is_known_is_asked_once_a_minute_and_what_is_unknown_every_five_seconds() -> None:
    async def body() -> None:
        with aws() as account, Recorder(account.dynamodb) as recorder:
            home = DynamoRegistryHome(account)
            api_key, _ = home.create("acme", base_urls=[URL])
            unknown = f"atm_{'0' * 8}_{'0' * 64}"
            recorder.calls.clear()

            async def reads(api_key: str, after_s: float) -> int:
                home.now_s += after_s
                recorder.calls.clear()
                await home.registry.authenticate(api_key, "acme")
                return len(recorder.calls)

            assert [await reads(api_key, after) for after in (0, 0, KNOWN_S - 1, 1, 0)] == [2, 0, 0, 2, 0]
            assert [await reads(unknown, after) for after in (0, 0, UNKNOWN_S - 1, 1)] == [1, 0, 0, 1]
            assert await reads("atm_not-a-key", 0) == 0
            assert set(recorder.operations) <= {"GetItem"}

    asyncio.run(body())


def test_keys_that_somebody_guesses_do_not_fill_the_memory(monkeypatch: Any) -> None:
    monkeypatch.setattr(clients, "_REMEMBERED_MAX", 3)

    async def body() -> None:
        with aws() as account:
            registry = DynamoRegistryHome(account).registry
            for number in range(5):
                await registry.authenticate(f"atm_{number:08x}_{'0' * 64}", "acme")
            assert list(registry._remembered) == [f"key#{number:08x}" for number in (2, 3, 4)]

    asyncio.run(body())


def test_all_clients_are_listed() -> None:
    async def body() -> None:
        with aws() as account:
            home = DynamoRegistryHome(account)
            assert await home.registry.list_client_ids() == []
            for client_id in ("b", "a", "C"):
                home.create(client_id, base_urls=[URL])
            assert await home.registry.list_client_ids() == ["C", "a", "b"]

    asyncio.run(body())
