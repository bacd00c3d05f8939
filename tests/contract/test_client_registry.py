"""The registry contract on the SQLite file in which the embedded runtime keeps its clients."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from secrets import token_bytes

import pytest

from atomic.adapters.secret_files import key_pepper
from atomic.adapters.sqlite.client_store import CLIENTS, SqliteClientRegistry, SqliteClientStore
from atomic.adapters.sqlite.database import Schema, close_database, open_database
from atomic.application.client_admin import ClientAdmin
from atomic.application.ports import StoreUnavailable
from atomic.domain.clients.api_keys import Peppers
from atomic.domain.clients.quota import Quota
from atomic.domain.clients.records import ClientRecord, StoredSecret
from atomic.protocol.signatures import encode_secret
from contract.registry_contract import OTHER_PEPPER, URL, RegistryContract, RegistryRuntime


class SqliteRegistryRuntime:
    def __init__(self, path: Path) -> None:
        self.now_ms = 1_700_000_000_000
        self.registry = SqliteClientRegistry(
            path, peppers=Peppers(b"pepper", OTHER_PEPPER), now_ms=lambda: self.now_ms
        )
        self.store = SqliteClientStore(path)
        self.admin = ClientAdmin(
            store=self.store, pepper=b"pepper", now_ms=lambda: self.now_ms, token_bytes=token_bytes
        )
        self._path = path

    def let_time_pass(self, ms: int = 60_000) -> None:
        self.now_ms += ms
        self.registry._check_after_s = self.registry._reload_after_s = 0.0

    def stored(self) -> bytes:
        return b"".join(file.read_bytes() for file in self._path.parent.iterdir())


class TestSqliteClientRegistry(RegistryContract):
    @asynccontextmanager
    async def runtime(self, directory: Path) -> AsyncIterator[RegistryRuntime]:
        runtime = SqliteRegistryRuntime(directory / "clients.db")
        yield runtime
        runtime.registry.close()
        runtime.store.close()


def test_only_the_owner_can_read_the_files(tmp_path: Path) -> None:
    SqliteClientStore(tmp_path / "clients.db").close()
    pepper = key_pepper(tmp_path)
    assert (len(pepper), key_pepper(tmp_path)) == (32, pepper)
    for name in ("clients.db", "key-pepper"):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o600


def test_an_unusable_file_is_a_store_that_is_not_available(tmp_path: Path) -> None:
    store = SqliteClientStore(tmp_path / "clients.db")
    other = open_database(tmp_path / "clients.db", CLIENTS)
    other.execute("DROP TABLE client_records")
    close_database(other)
    record = ClientRecord(id="acme", base_urls=(URL,), keys=(), secrets=(), created_at_ms=7)
    for use in (store.ids, lambda: store.load("acme"), lambda: store.save(record)):
        with pytest.raises(StoreUnavailable, match="SQLError"):
            use()
    store.close()


def test_clients_of_the_first_version_keep_all_but_their_keys(tmp_path: Path) -> None:
    path = tmp_path / "clients.db"
    secret = encode_secret(b"s" * 32)
    connection = open_database(path, Schema("clients", CLIENTS.migrations[:1]))
    row = ("acme", json.dumps([URL]), json.dumps([secret]), 2.5, 7)
    connection.execute("INSERT INTO clients VALUES (?, ?, ?, ?, ?)", row)
    connection.execute("INSERT INTO api_keys VALUES ('k', x'00', 'acme', 7)")
    close_database(connection)
    store = SqliteClientStore(path)
    assert store.load("acme") == ClientRecord(
        id="acme",
        base_urls=(URL,),
        keys=(),
        secrets=(StoredSecret(text=secret, created_at_ms=7),),
        created_at_ms=7,
        quota=Quota(starts_per_second=2.5),
        version=1,
    )
    store.close()
