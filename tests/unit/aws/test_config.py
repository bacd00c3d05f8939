"""Every boto client has the time-outs and retries that the engine relies on, not botocore's defaults."""

import asyncio
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, ReadTimeoutError

from atomic.adapters.aws.calls import AwsCalls
from atomic.adapters.aws.config import THREADS
from atomic.application.ports import StoreUnavailable
from contract.aws import MAKERS, aws, client
from contract.builders import a_root
from contract.queue_contract import STEP, ManualClock, wakeup


@pytest.mark.parametrize("service", MAKERS)
def test_time_outs_and_retries(service: str) -> None:
    config: Any = client(service).meta.config
    assert config.retries == {"mode": "standard", "total_max_attempts": 4}
    assert config.connect_timeout == 1
    assert config.read_timeout == 3
    assert config.tcp_keepalive is True
    assert config.max_pool_connections == THREADS


ERRORS = [
    EndpointConnectionError(endpoint_url="https://dynamodb.example/"),
    ReadTimeoutError(endpoint_url="https://dynamodb.example/"),
    ClientError({"Error": {"Code": "ThrottlingException"}}, "PutItem"),
    ClientError({"Error": {"Code": "ProvisionedThroughputExceededException"}}, "PutItem"),
    ClientError({"Error": {"Code": "AccessDeniedException"}}, "PutItem"),
]


@pytest.mark.parametrize("error", ERRORS, ids=str)
def test_every_error_of_aws_or_the_network_means_the_store_is_not_available(error: Exception) -> None:
    def fails(**_: Any) -> None:
        raise error

    async def body() -> None:
        with aws() as account:
            store, queue = account.store(), account.queue(ManualClock())
            for failing in (account.dynamodb, account.sqs, account.scheduler):
                failing.meta.events.register("before-call.*.*", fails, unique_id="fails")
            try:
                for call in (
                    store.create(a_root()),
                    store.replace(a_root(), 1),
                    store.get(a_root().id),
                    wakeup(queue, STEP, 0),
                    wakeup(queue, STEP, 10**13),
                ):
                    with pytest.raises(StoreUnavailable, match=type(error).__name__):
                        await call
            finally:
                for failing in (account.dynamodb, account.sqs, account.scheduler):
                    failing.meta.events.unregister("before-call.*.*", unique_id="fails")

    asyncio.run(body())


def test_closed_adapters_take_no_calls() -> None:
    async def body() -> None:
        calls = AwsCalls(threads=1)
        assert await calls.start(divmod, 7, 2) == (3, 1)
        calls.close()
        with pytest.raises(StoreUnavailable, match="closed"):
            calls.start(divmod, 7, 2)

    asyncio.run(body())
