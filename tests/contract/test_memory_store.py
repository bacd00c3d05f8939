"""The store contract on a dict."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from atomic.adapters.memory.store import MemoryStepStore
from atomic.application.ports import ServerStore
from contract.live_steps_contract import LiveStepsContract
from contract.store_contract import StoreContract


class TestMemoryStepStore(StoreContract, LiveStepsContract):
    @asynccontextmanager
    async def store(self, directory: Path) -> AsyncIterator[ServerStore]:
        yield MemoryStepStore()
