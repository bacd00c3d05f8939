"""The store contract on a dict."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from atomic.adapters.memory.store import MemoryStepStore
from atomic.application.server_store import ServerStore
from contract.server_contracts import ServerContracts


class TestMemoryStepStore(ServerContracts):
    @asynccontextmanager
    async def store(self, directory: Path) -> AsyncIterator[ServerStore]:
        yield MemoryStepStore()
