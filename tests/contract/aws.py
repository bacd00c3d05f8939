"""An AWS account that moto simulates in the test process: an empty table, queues and a schedule group."""

import asyncio
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from secrets import token_bytes
from threading import Lock
from typing import Any, Self

import pytest
from moto import mock_aws
from moto.core.botocore_stubber import BotocoreStubber

from atomic.adapters.aws import config
from atomic.adapters.aws.blob_items import BlobItems
from atomic.adapters.aws.calls import AwsCalls, T, _translated
from atomic.adapters.aws.client_store import DynamoClientStore
from atomic.adapters.aws.destinations import Bounds, SharedDestinations
from atomic.adapters.aws.dynamodb import DynamoStepStore
from atomic.adapters.aws.leases import LeaseItems
from atomic.adapters.aws.scheduler import WakeupScheduler
from atomic.adapters.aws.sqs import SqsWakeupQueue, StepQueue
from atomic.adapters.aws.table import TABLE
from atomic.adapters.system import SystemClock
from atomic.application.client_admin import ClientAdmin
from atomic.application.ports import Clock, StoreUnavailable
from atomic.testing.virtual_time import LoopClock

TABLE_NAME = "atomic"
BUCKET = "atomic-payloads"
GROUP = "atomic"
_CLOCK = SystemClock()
PEPPER = b"salt's brother, of thirty-two characters"
_OPTIONS = {
    "region_name": "eu-central-1",
    "aws_access_key_id": "testing",
    "aws_secret_access_key": "testing",
}
MAKERS = {
    "dynamodb": config.dynamodb_client,
    "s3": config.s3_client,
    "sqs": config.sqs_client,
    "scheduler": config.scheduler_client,
}


class LateCalls(AwsCalls):
    """AWS calls of one environment in virtual time.

    Each call takes a while, and takes effect at some moment within it. While `cut`, no call of this
    environment reaches AWS. `thawed` is unset while it is frozen.
    """

    def __init__(self, seed: int) -> None:
        super().__init__(threads=1)
        self._chance = random.Random(seed)
        self.cut = False
        self.thawed = asyncio.Event()
        self.thawed.set()

    def start(self, call: Callable[..., T], /, *args: Any, **kwargs: Any) -> "asyncio.Future[T]":
        return asyncio.ensure_future(self._late(call, *args, **kwargs))

    async def _late(self, call: Callable[..., T], /, *args: Any, **kwargs: Any) -> T:
        await self.thawed.wait()
        await asyncio.sleep(self._chance.uniform(0.001, 0.02))
        if self.cut:
            raise StoreUnavailable("cut off")
        answer = _translated(call, args, kwargs)
        await asyncio.sleep(self._chance.uniform(0.001, 0.02))
        return answer


@cache
def client(service: str) -> Any:
    """A cached boto client as the adapters use it; creating one takes longer than a test."""
    return MAKERS[service](**_OPTIONS)


@dataclass(frozen=True, slots=True)
class Aws:
    """The account of a test."""

    calls: AwsCalls
    dynamodb: Any
    sqs: Any
    scheduler: Any
    queue_url: str
    long_queue_url: str
    watchdog_queue_url: str
    dead_letter_url: str
    maintenance_url: str

    def store(self) -> DynamoStepStore:
        """The store on the table."""
        blobs = BlobItems(self.dynamodb, TABLE_NAME, lambda: client("s3"), BUCKET, retention_days=30)
        known: Any = {"table_name": TABLE_NAME, "blobs": blobs, "now_ms": _CLOCK.now_ms}
        return DynamoStepStore(self.calls, self.dynamodb, **known)

    def queue(self, clock: Clock) -> SqsWakeupQueue:
        """The wake-up queue on SQS, with its schedules."""
        scheduler = WakeupScheduler(
            self.scheduler,
            group_name=GROUP,
            role_arn="arn:aws:iam::123456789012:role/scheduler",
            dead_letter_arn=self._arn(self.dead_letter_url),
        )
        return SqsWakeupQueue(
            self.calls,
            self.sqs,
            queue=self._step_queue(self.queue_url),
            long_queue=self._step_queue(self.long_queue_url),
            watchdog_queue=self._step_queue(self.watchdog_queue_url),
            dead_letter_url=self.dead_letter_url,
            scheduler=scheduler,
            clock=clock,
        )

    def destinations(self, number: int, environments: int, *, invoker: str = "short") -> SharedDestinations:
        """The destinations as one environment, with calls of its own, sees them in virtual time."""
        return SharedDestinations(
            LateCalls(number),
            LeaseItems(self.dynamodb, TABLE_NAME, invoker=invoker),
            bounds=Bounds.of(environments),
            holder=f"environment {number}",
            clock=LoopClock(),
        )

    def admin(self, now_ms: Callable[[], int] = _CLOCK.now_ms) -> ClientAdmin:
        """The administration of the clients in the table."""
        store = DynamoClientStore(self.dynamodb, TABLE_NAME)
        return ClientAdmin(store=store, pepper=PEPPER, now_ms=now_ms, token_bytes=token_bytes)

    def received(self, queue_url: str) -> list[str]:
        """Receive and delete all messages that are available now; return their bodies."""
        bodies = []
        while found := self.sqs.receive_message(QueueUrl=queue_url, MaxNumberOfMessages=10).get("Messages"):
            for message in found:
                bodies.append(message["Body"])
                self.sqs.delete_message(QueueUrl=queue_url, ReceiptHandle=message["ReceiptHandle"])
        return bodies

    def _step_queue(self, url: str) -> StepQueue:
        return StepQueue(url, self._arn(url))

    def _arn(self, queue_url: str) -> str:
        found = self.sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=["QueueArn"])
        return str(found["Attributes"]["QueueArn"])


@contextmanager
def aws() -> Iterator[Aws]:
    """A fresh account with the table, the queues and the schedule group."""
    calls = AwsCalls()
    with mock_aws(), one_request_at_a_time():
        dynamodb, sqs, scheduler = client("dynamodb"), client("sqs"), client("scheduler")
        dynamodb.create_table(TableName=TABLE_NAME, **TABLE)
        client("s3").create_bucket(
            Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"}
        )
        scheduler.create_schedule_group(Name=GROUP)
        names = ("steps", "steps-long", "watchdogs", "dead-letters", "maintenance")
        urls = [sqs.create_queue(QueueName=name)["QueueUrl"] for name in names]
        yield Aws(calls, dynamodb, sqs, scheduler, *urls)
    calls.close()


@contextmanager
def one_request_at_a_time() -> Iterator[None]:
    """moto checks a condition and writes without a lock, so two of its threads could both succeed."""
    process, lock = BotocoreStubber.process_request, Lock()

    def locked(stubber: BotocoreStubber, request: Any) -> Any:
        with lock:
            return process(stubber, request)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BotocoreStubber, "process_request", locked)
        yield


class Recorder:
    """Records the calls of clients in order: operation and parameters."""

    def __init__(self, *clients: Any) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self._clients = clients

    @property
    def operations(self) -> list[str]:
        """The names of the operations."""
        return [name for name, _ in self.calls]

    def __enter__(self) -> Self:
        for client in self._clients:
            client.meta.events.register("provide-client-params.*.*", self._saw, unique_id="recorder")
        return self

    def __exit__(self, *error: object) -> None:
        for client in self._clients:
            client.meta.events.unregister("provide-client-params.*.*", unique_id="recorder")

    def _saw(self, params: dict[str, Any], model: Any, **_: Any) -> None:
        self.calls.append((model.name, params))
