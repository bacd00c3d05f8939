"""The store contract on DynamoDB (moto)."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import ClassVar

from atomic.application.ports import StepStore
from contract.aws import aws
from contract.blob_contract import BlobContract
from contract.store_contract import StoreContract


class TestDynamoStepStore(StoreContract, BlobContract):
    without: ClassVar = {"purge": "DynamoDB deletes expired items by itself (time to live)"}

    @asynccontextmanager
    async def store(self, directory: Path) -> AsyncIterator[StepStore]:
        with aws() as account:
            yield account.store()
