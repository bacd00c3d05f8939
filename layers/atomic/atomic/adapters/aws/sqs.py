"""Wake-ups as messages of an SQS standard queue."""

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from atomic.adapters.aws.calls import AwsCalls
from atomic.adapters.aws.scheduler import WakeupScheduler
from atomic.adapters.aws.wakeups import encode_dead_letter, encode_wakeup
from atomic.application.ports import Clock

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

# The longest delay of a message (SQS API reference, SendMessage).
DELAY_MAX_S: Final = 900
# From here on a schedule is cheaper than a message each 15 minutes, and Lambda does not see a loop.
SCHEDULED_FROM_MS: Final = 1_800_000
# With an attempt of this length the invoker of the short queue ends well within its 60 s.
SHORT_ATTEMPT_MAX_MS: Final = 30_000
AGAIN_AFTER_S: Final = 30
_REASON_MAX_CHARS: Final = 256


@dataclass(frozen=True, slots=True)
class StepQueue:
    """A queue: SQS needs its URL, Scheduler its ARN."""

    url: str
    arn: str


class SqsWakeupQueue:
    """Implements `ports.WakeupQueue`.

    A wake-up within 15 minutes is a delayed message. One within half an hour comes after 15 minutes, and
    its receiver sends it again (`application.process_wakeup`). A later one is a one-time schedule.

    There are two queues of due steps. One is for attempts that may take long, and for steps of which that
    is unknown: a Lambda environment is occupied until its slowest attempt ends, and a queue hides a
    received message for six times the time-out of its function. A third queue is for watchdogs, which are
    received in large batches and never occupy an environment for long.

    Messages of due steps carry their client as their group, so that one client's backlog does not delay the
    others' steps (fair queues of standard queues). Watchdogs have none, since a group costs extra.

    The dead-letter queue gets a message for each step that failed, and messages that are no wake-ups.
    """

    def __init__(
        self,
        calls: AwsCalls,
        client: "SQSClient",
        *,
        queue: StepQueue,
        long_queue: StepQueue,
        watchdog_queue: StepQueue,
        dead_letter_url: str,
        scheduler: WakeupScheduler,
        clock: Clock,
    ) -> None:
        self._calls = calls
        self._client = client
        self._queue = queue
        self._long_queue = long_queue
        self._watchdog_queue = watchdog_queue
        self._urls = {each.arn: each.url for each in (queue, long_queue, watchdog_queue)}
        self._dead_letter_url = dead_letter_url
        self._scheduler = scheduler
        self._clock = clock

    def send(
        self,
        step_id: str,
        at_ms: int,
        *,
        client_id: str,
        attempt_ms: int | None,
        is_watchdog: bool = False,
    ) -> Awaitable[None]:
        """Begin sending at once; the awaitable raises StoreUnavailable if SQS did not acknowledge."""
        wait_ms = at_ms - self._clock.now_ms()
        is_soon_over = attempt_ms is not None and attempt_ms <= SHORT_ATTEMPT_MAX_MS
        queue = self._queue if is_soon_over else self._long_queue
        body, message = encode_wakeup(step_id, at_ms), {"MessageGroupId": client_id}
        if wait_ms >= SCHEDULED_FROM_MS:
            to = {"QueueUrl": queue.url, "MessageBody": body, **message}
            return self._calls.start(self._scheduler.schedule, step_id, at_ms, to)
        # One that is due already has been looked at.
        if is_watchdog and wait_ms > 0:
            queue, message = self._watchdog_queue, {}
        return self._calls.start(self._send, queue.url, body, delay_s(wait_ms), message)

    def is_of_watchdogs(self, source_arn: str) -> bool:
        """Whether messages of this queue are watchdogs."""
        return source_arn == self._watchdog_queue.arn

    def hide(self, source_arn: str, receipt: str, for_s: int) -> Awaitable[None]:
        """Begin to have a message that was received delivered again after this time."""
        return self._calls.start(self._hide, self._urls[source_arn], receipt, for_s)

    def send_again(self, source_arn: str, body: str, delay_s: int, group: str | None) -> Awaitable[None]:
        """Begin to send a message to the queue that it came from, as one that was never received."""
        message = {} if group is None else {"MessageGroupId": group}
        return self._calls.start(self._send, self._urls[source_arn], body, delay_s, message)

    def dead_letter(self, step_id: str, reason: str) -> Awaitable[None]:
        """Begin to send a dead letter; moving the message back redrives the step.

        Others than the client may read the queue. So the reason has only what Atomic says, and nothing of
        what the endpoint said.
        """
        return self.quarantine(encode_dead_letter(step_id), reason)

    def quarantine(self, body: str, reason: str) -> Awaitable[None]:
        """Begin to forward a message unchanged to the dead-letter queue, the reason as an attribute."""
        return self._calls.start(self._bury, body, _printable(reason))

    def _bury(self, body: str, reason: str) -> None:
        self._client.send_message(
            QueueUrl=self._dead_letter_url,
            MessageBody=body,
            MessageAttributes={"reason": {"DataType": "String", "StringValue": reason}},
        )

    def _send(self, url: str, body: str, delay: int, more: dict[str, Any]) -> None:
        self._client.send_message(QueueUrl=url, MessageBody=body, DelaySeconds=delay, **more)

    def _hide(self, url: str, receipt: str, for_s: int) -> None:
        self._client.change_message_visibility(QueueUrl=url, ReceiptHandle=receipt, VisibilityTimeout=for_s)


def again_s(receives: int) -> int:
    """When a message that could not be processed is delivered again: later each time."""
    return int(min(AGAIN_AFTER_S * 2 ** (receives - 1), DELAY_MAX_S))


def delay_s(wait_ms: int) -> int:
    """The delay of a message in whole seconds: never too short, at most what SQS allows."""
    return max(0, min(-(-wait_ms // 1000), DELAY_MAX_S))


def _printable(reason: str) -> str:
    """SQS refuses control characters and empty attributes."""
    return "".join(char if char.isprintable() else "?" for char in reason[:_REASON_MAX_CHARS]) or "?"
