"""The store contract on a dict."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from atomic.adapters.memory.store import MemoryStepStore
from atomic.application.server_store import ServerStore
from contract.blob_contract import ServerBlobContract
from contract.pointers_contract import PointersContract, ServerPointersContract
from contract.schedules_contract import SchedulesContract, ServerSchedulesContract
from contract.server_store_contract import ServerStoreContract
from contract.store_contract import StoreContract


class TestMemoryStepStore(
    StoreContract,
    ServerStoreContract,
    ServerBlobContract,
    SchedulesContract,
    ServerSchedulesContract,
    PointersContract,
    ServerPointersContract,
):
    @asynccontextmanager
    async def store(self, directory: Path) -> AsyncIterator[ServerStore]:
        yield MemoryStepStore()
