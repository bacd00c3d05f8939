"""The time-outs and retries of all clients of AWS.

botocore's own defaults (legacy retries, 60 s time-outs) outlast the 30 s that API Gateway gives a caller.
"""

import gzip
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any, Final, cast

import botocore.session
import orjson
from botocore.config import Config
from botocore.loaders import JSONFileLoader, Loader

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_s3 import S3Client
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
    """A client for DynamoDB. `options` are those of botocore's `create_client`, such as `region_name`."""
    return cast("DynamoDBClient", _session().create_client("dynamodb", config=CONFIG, **options))


def sqs_client(**options: Any) -> "SQSClient":
    """A client for SQS."""
    return cast("SQSClient", _session().create_client("sqs", config=CONFIG, **options))


@cache
def s3_client(**options: Any) -> "S3Client":
    """The client for S3, made once: reading its model takes longer than a cold start may."""
    # The bucket is in the path, since an emulator has no host name for each bucket.
    settings = CONFIG.merge(Config(s3={"addressing_style": "path"}))
    return cast("S3Client", _session().create_client("s3", config=settings, **options))


def scheduler_client(**options: Any) -> "EventBridgeSchedulerClient":
    """A client for EventBridge Scheduler."""
    return cast(
        "EventBridgeSchedulerClient", _session().create_client("scheduler", config=CONFIG, **options)
    )


@cache
def events_client(**options: Any) -> Any:
    """The client for EventBridge, made once, when a hook first needs it. It has no type stubs here."""
    return _session().create_client("events", config=CONFIG, **options)


class _Files(JSONFileLoader):
    """Reads models by orjson: the table of endpoints alone is 1.2 MB of JSON, read in each cold start."""

    def load_file(self, file_path: str) -> Any:
        """The content of a file whose path is given without its suffix; None if it does not exist."""
        for suffix, opened in ((".json.gz", gzip.open), (".json", open)):
            with suppress(FileNotFoundError), opened(file_path + suffix, "rb") as file:
                return orjson.loads(file.read())
        return None


class _Models(Loader):
    """botocore's own models, found without searching the folders of all 400 services."""

    FILE_LOADER_CLASS = _Files

    def list_available_services(self, type_name: str) -> list[str]:  # noqa: ARG002 - botocore's signature
        """The services that Atomic uses."""
        return ["dynamodb", "events", "s3", "scheduler", "sqs"]


@cache
def _session() -> botocore.session.Session:
    # One for all clients: reading the service models is most of the cost of making a client.
    session = botocore.session.Session()
    session.register_component("data_loader", _Models())
    return session
