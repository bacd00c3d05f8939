"""AWS as moto plays it, inside the test process: the table, the queues and a schedule group, all empty."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

from moto import mock_aws

from atomic.adapters.aws import config
from atomic.adapters.aws.calls import AwsCalls
from atomic.adapters.aws.dynamodb import DynamoStepStore
from atomic.adapters.aws.table import TABLE

TABLE_NAME = "atomic"
GROUP = "atomic"
_OPTIONS = {
    "region_name": "eu-central-1",
    "aws_access_key_id": "testing",
    "aws_secret_access_key": "testing",
}
MAKERS = {
    "dynamodb": config.dynamodb_client,
    "sqs": config.sqs_client,
    "scheduler": config.scheduler_client,
}


@cache
def client(service: str) -> Any:
    """A client as the adapters use it; making one takes longer than a test does."""
    return MAKERS[service](**_OPTIONS)


@dataclass(frozen=True, slots=True)
class Aws:
    """An account of a test. moto knows no locks, so calls go to one thread."""

    calls: AwsCalls
    dynamodb: Any

    def store(self, *clients: str) -> DynamoStepStore:
        """The store on the table."""

        async def client_ids() -> tuple[str, ...]:
            return clients

        return DynamoStepStore(self.calls, self.dynamodb, table_name=TABLE_NAME, client_ids=client_ids)


@contextmanager
def aws() -> Iterator[Aws]:
    """A fresh account with the table."""
    calls = AwsCalls(threads=1)
    with mock_aws():
        dynamodb = client("dynamodb")
        dynamodb.create_table(TableName=TABLE_NAME, **TABLE)
        yield Aws(calls, dynamodb)
    calls.close()
