"""The contract of backends, and what happens when SQLite's files are removed while they are open."""

import asyncio
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from atomic.adapters.sqlite import backend as module
from atomic.adapters.sqlite.backend import SqliteBackend
from atomic.application.backend import Backend
from atomic.domain.clients.api_keys import Peppers
from contract.backend_contract import PEPPER, BackendContract


class TestSqliteBackend(BackendContract):
    def open(self, directory: Path) -> AbstractAsyncContextManager[Backend]:
        return SqliteBackend.open(directory, on_fatal=pytest.fail)


@pytest.mark.parametrize("name", ["lock", "atomic.db", "clients.db"])
def test_a_removed_file_is_fatal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(module, "_LOOK_EVERY_S", 0.01)

    async def main() -> str:
        broken: asyncio.Queue[str] = asyncio.Queue()
        async with SqliteBackend.open(tmp_path, on_fatal=broken.put_nowait) as backend:
            with backend.registry(peppers=Peppers(PEPPER), now_ms=lambda: 0):
                (tmp_path / name).rename(tmp_path / "elsewhere")
                return await asyncio.wait_for(broken.get(), 10)

    assert asyncio.run(main()) == f"{tmp_path / name} was moved, removed or replaced while the server ran"
