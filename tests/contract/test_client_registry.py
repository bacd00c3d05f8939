"""The registry contract on the file in which embedded homes keep their clients."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import apsw
import pytest

from atomic.adapters.sqlite.clients import SqliteClientRegistry, create_client
from contract.registry_contract import URL, RegistryContract, RegistryHome


class SqliteRegistryHome:
    def __init__(self, path: Path) -> None:
        self.registry = SqliteClientRegistry(path)
        self._path = path

    def create(self, client_id: str, **more: Any) -> tuple[str, str]:
        return create_client(self._path, client_id, now_ms=1, **{"starts_per_s": None, **more})

    def delete_keys(self) -> None:
        with apsw.Connection(str(self._path)) as connection:
            connection.execute("DELETE FROM api_keys")
        connection.close()

    def let_time_pass(self) -> None:
        self.registry._check_after_s = 0.0

    def stored(self) -> bytes:
        return b"".join(file.read_bytes() for file in self._path.parent.iterdir())


class TestSqliteClientRegistry(RegistryContract):
    @asynccontextmanager
    async def home(self, directory: Path) -> AsyncIterator[RegistryHome]:
        home = SqliteRegistryHome(directory / "clients.db")
        yield home
        home.registry.close()


def test_the_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "clients.db"
    create_client(path, "acme", base_urls=[URL], starts_per_s=None, now_ms=1)
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_refused_client_makes_no_file(tmp_path: Path) -> None:
    path = tmp_path / "clients.db"
    with pytest.raises(ValueError, match="client id"):
        create_client(path, "a b", base_urls=[URL], starts_per_s=None, now_ms=1)
    assert not path.exists()
