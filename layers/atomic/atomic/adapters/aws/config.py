"""How Atomic talks to AWS: one place for the time-outs and retries of every client.

botocore's own defaults (legacy retries, 60 s time-outs) outlast the 30 s that API Gateway gives a caller.
"""

from functools import cache
from typing import TYPE_CHECKING, Any, Final, cast

import botocore.session
from botocore.config import Config

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_scheduler import EventBridgeSchedulerClient
    from mypy_boto3_sqs import SQSClient

# Threads that make calls. Each holds one connection while it does.
THREADS: Final = 32
CONFIG: Final = Config(
    retries={"mode": "standard", "total_max_attempts": 4},
    connect_timeout=1,
    read_timeout=3,
    tcp_keepalive=True,
    max_pool_connections=THREADS,
)


def dynamodb_client(**options: Any) -> "DynamoDBClient":
    """A client for DynamoDB. `options` are those of botocore's `create_client`, as `region_name`."""
    return cast("DynamoDBClient", _session().create_client("dynamodb", config=CONFIG, **options))


def sqs_client(**options: Any) -> "SQSClient":
    """A client for SQS."""
    return cast("SQSClient", _session().create_client("sqs", config=CONFIG, **options))


def scheduler_client(**options: Any) -> "EventBridgeSchedulerClient":
    """A client for EventBridge Scheduler."""
    return cast(
        "EventBridgeSchedulerClient", _session().create_client("scheduler", config=CONFIG, **options)
    )


@cache
def _session() -> botocore.session.Session:
    # One for all clients: it reads the service models, and that is most of what a client costs to make.
    return botocore.session.Session()
