"""The registry contract on DynamoDB (moto), and when the registry reads the table."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from secrets import token_bytes
from typing import Any

import pytest

from atomic.adapters.aws import client_store
from atomic.adapters.aws.client_store import KNOWN_S, UNKNOWN_S, DynamoClientRegistry, DynamoClientStore
from atomic.domain.clients.api_keys import Peppers, issue
from contract.aws import PEPPER, TABLE_NAME, Aws, Recorder, aws
from contract.registry_contract import OTHER_PEPPER, URL, RegistryContract, RegistryRuntime, key_id


class DynamoRegistryRuntime:
    def __init__(self, account: Aws) -> None:
        self.now_s = 1_700_000_000.0
        self.registry = DynamoClientRegistry(
            account.calls,
            account.dynamodb,
            table_name=TABLE_NAME,
            peppers=Peppers(PEPPER, OTHER_PEPPER),
            now_ms=self.now_ms,
            now_s=lambda: self.now_s,
        )
        self.admin = account.admin(self.now_ms)
        self._dynamodb = account.dynamodb

    def now_ms(self) -> int:
        return int(self.now_s * 1000)

    def let_time_pass(self, ms: int = 60_000) -> None:
        self.now_s += ms / 1000

    def stored(self) -> bytes:
        return repr(self._items()).encode()

    def _items(self) -> list[Any]:
        return list(self._dynamodb.scan(TableName=TABLE_NAME)["Items"])


class TestDynamoClientRegistry(RegistryContract):
    @asynccontextmanager
    async def runtime(self, directory: Path) -> AsyncIterator[RegistryRuntime]:
        with aws() as account:
            yield DynamoRegistryRuntime(account)


def test_a_known_key_is_read_once_a_minute_and_an_unknown_one_every_five_seconds() -> None:
    async def body() -> None:
        with aws() as account, Recorder(account.dynamodb) as recorder:
            runtime = DynamoRegistryRuntime(account)
            api_key, _ = runtime.admin.create("acme", base_urls=[URL])
            unknown = issue(token_bytes)
            recorder.calls.clear()

            async def reads(api_key: str, after_s: float) -> int:
                runtime.now_s += after_s
                recorder.calls.clear()
                await runtime.registry.authenticate(api_key, "acme")
                return len(recorder.calls)

            assert [await reads(api_key, after) for after in (0, 0, KNOWN_S - 1, 1, 0)] == [2, 0, 0, 2, 0]
            assert [await reads(unknown, after) for after in (0, 0, UNKNOWN_S - 1, 1)] == [1, 0, 0, 1]
            assert await reads("atm_not-a-key", 0) == 0
            assert set(recorder.operations) <= {"GetItem"}

    asyncio.run(body())


def test_guessed_keys_do_not_fill_the_memory(monkeypatch: Any) -> None:
    monkeypatch.setattr(client_store, "_REMEMBERED_MAX", 3)

    async def body() -> None:
        with aws() as account:
            registry = DynamoRegistryRuntime(account).registry
            guesses = [issue(token_bytes) for _ in range(5)]
            for guess in guesses:
                await registry.authenticate(guess, "acme")
            assert list(registry._remembered) == [f"key#{key_id(guess)}" for guess in guesses[2:]]

    asyncio.run(body())


def test_a_key_of_another_pepper_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def body() -> None:
        with aws() as account:
            runtime = DynamoRegistryRuntime(account)
            api_key, _ = replace(runtime.admin, pepper=b"before").create("acme", base_urls=[URL])
            assert await runtime.registry.authenticate(api_key, "acme") is None
            assert [vars(record)["keyId"] for record in caplog.records] == [key_id(api_key)]
            assert "KeyPepper" in caplog.text
            good, _ = runtime.admin.add_key("acme", scopes=["read"])
            runtime.let_time_pass()
            wrong = good[:-10] + ("a" if good[-10] != "a" else "b") + good[-9:]
            assert await runtime.registry.authenticate(wrong, "acme") is None
            assert await runtime.registry.authenticate(good, "acme") is not None
            assert len(caplog.records) == 1

    asyncio.run(body())


def test_all_clients_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    async def body() -> None:
        with aws() as account:
            runtime = DynamoRegistryRuntime(account)
            store = DynamoClientStore(account.dynamodb, TABLE_NAME)
            assert store.ids() == store.page("", 10) == []
            for client_id in ("b", "a", "C"):
                runtime.admin.create(client_id, base_urls=[URL])
            assert store.ids() == store.page("", 10) == ["C", "a", "b"]
            assert [store.page(after, 1) for after in ("", "C", "b")] == [["C"], ["a"], []]
            monkeypatch.setattr(client_store, "_PAGE", 1)
            assert store.ids() == ["C", "a", "b"]

    asyncio.run(body())
