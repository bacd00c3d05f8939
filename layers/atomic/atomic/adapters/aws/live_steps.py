"""Sends a wake-up for every live step, found by reading the whole table. For operators.

A restored table has steps and no messages, and only its roots are in an index.
"""

import base64
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from atomic.adapters.aws import rows
from atomic.adapters.aws.sqs import SHORT_ATTEMPT_MAX_MS, delay_s
from atomic.adapters.aws.table import RUN
from atomic.adapters.aws.wakeups import encode_wakeup
from atomic.application.ports import StoreUnavailable
from atomic.domain.steps import Step

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_sqs import SQSClient

# What SendMessageBatch takes (API reference).
_BATCH_MAX: Final = 10
_TRIES: Final = 6
_GAP_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class Progress:
    """What is done so far. `cursor` says where another call goes on; None: the table is read."""

    read: int
    sent: int
    cursor: str | None


class LiveStepWakeups:
    """The wake-ups of a table's live steps.

    A wake-up belongs to the moment that its step is due, and a second one for the same moment does no harm,
    so all of this may be repeated. One that is due later than SQS can delay a message comes early, and its
    receiver schedules it (`application.process_wakeup`).
    """

    def __init__(
        self,
        dynamodb: "DynamoDBClient",
        sqs: "SQSClient",
        *,
        table_name: str,
        queue_url: str,
        long_queue_url: str,
        now_ms: Callable[[], int],
        per_s: float,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """`per_s`: at most so many wake-ups are sent in a second."""
        self._dynamodb = dynamodb
        self._sqs = sqs
        self._table = table_name
        self._queue_url = queue_url
        self._long_queue_url = long_queue_url
        self._now_ms = now_ms
        self._per_s = per_s
        self._sleep = sleep

    def send(self, cursor: str | None) -> Iterator[Progress]:
        """Send them a page of the table at a time, from a cursor on. Raises ValueError for another text."""
        after, read, sent = None if cursor is None else _key_of(cursor), 0, 0
        while True:
            start: Any = {} if after is None else {"ExclusiveStartKey": after}
            page = self._dynamodb.scan(
                TableName=self._table,
                ProjectionExpression="pk, sk, c, v, s, g",
                # Other items have a record, too.
                FilterExpression="begins_with(pk, :run) AND attribute_exists(s)",
                ExpressionAttributeValues={":run": {"S": RUN}},
                **start,
            )
            steps = map(_step, page["Items"])
            sent += self._send_all([step for step in steps if step.found_due_ms is not None])
            read += page["ScannedCount"]
            after = page.get("LastEvaluatedKey")
            yield Progress(read, sent, None if after is None else _cursor_of(after))
            if after is None:
                return

    def _send_all(self, steps: Sequence[Step]) -> int:
        short = [step for step in steps if step.spec.attempt_timeout_ms <= SHORT_ATTEMPT_MAX_MS]
        long = [step for step in steps if step.spec.attempt_timeout_ms > SHORT_ATTEMPT_MAX_MS]
        for url, chosen in ((self._queue_url, short), (self._long_queue_url, long)):
            for at in range(0, len(chosen), _BATCH_MAX):
                self._send_batch(url, chosen[at : at + _BATCH_MAX])
        return len(steps)

    def _send_batch(self, url: str, steps: Sequence[Step]) -> None:
        entries: Any = [self._entry(number, step) for number, step in enumerate(steps)]
        for attempt in range(_TRIES):
            self._sleep(len(entries) / self._per_s)
            answer = self._sqs.send_message_batch(QueueUrl=url, Entries=entries)
            # botocore does not retry the entries of a batch that failed.
            failed = {entry["Id"] for entry in answer.get("Failed", [])}
            entries = [entry for entry in entries if entry["Id"] in failed]
            if not entries:
                return
            self._sleep(_GAP_S * 2**attempt)
        raise StoreUnavailable(f"SQS did not take {len(entries)} wake-ups: {answer['Failed'][0]['Code']}")

    def _entry(self, number: int, step: Step) -> dict[str, Any]:
        due_at_ms = step.found_due_ms or 0
        return {
            "Id": str(number),
            "MessageBody": encode_wakeup(step.id, due_at_ms),
            "DelaySeconds": delay_s(due_at_ms - self._now_ms()),
            "MessageGroupId": step.spec.client_id,
        }


def _step(item: Any) -> Step:
    # Neither payload nor response is read.
    return rows.decode(item | {"p": {"S": ""}})


def _cursor_of(key: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps([key["pk"]["S"], key["sk"]["S"]]).encode()).decode()


def _key_of(cursor: str) -> dict[str, Any]:
    try:
        pk, sk = json.loads(base64.urlsafe_b64decode(cursor))
    except (ValueError, TypeError):
        raise ValueError(f"{cursor!r} is no place in a table") from None
    return {"pk": {"S": str(pk)}, "sk": {"S": str(sk)}}
