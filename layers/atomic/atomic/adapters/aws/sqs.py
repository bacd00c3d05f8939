"""Wake-ups as messages of an SQS standard queue."""

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from atomic.adapters.aws.calls import AwsCalls
from atomic.adapters.aws.scheduler import WakeupScheduler
from atomic.adapters.aws.wakeups import encode_dead_letter, encode_wakeup
from atomic.application.ports import Clock

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

# The longest delay of a message (SQS API reference, SendMessage).
DELAY_MAX_S: Final = 900
# From here on a schedule is cheaper than one hop each 15 minutes, and spares the loop guard of Lambda.
SCHEDULED_FROM_MS: Final = 1_800_000
# With an attempt of this length the invoker of the short queue ends well within its 60 s.
SHORT_ATTEMPT_MAX_MS: Final = 30_000
AGAIN_AFTER_S: Final = 30
_REASON_MAX_CHARS: Final = 256


@dataclass(frozen=True, slots=True)
class StepQueue:
    """A queue: SQS goes by its URL, Scheduler by its ARN."""

    url: str
    arn: str


class SqsWakeupQueue:
    """Implements `ports.WakeupQueue`.

    A wake-up within 15 minutes is a delayed message. One within half an hour comes after 15 and is sent
    again by whoever receives it early (`application.drive`). One further away is a one-time schedule.

    There are two queues. Attempts that may take long have one of their own, as has every step of which
    that is not known: a Lambda environment is taken until its slowest attempt ends, and a queue hides
    what it gave out for six times as long as its function may take.

    Messages carry their client as their group, so that one client's backlog does not delay the others'
    steps (fair queues of standard queues).

    The dead-letter queue gets what no attempt is made for any more: steps that failed, and messages that
    are no wake-ups.
    """

    def __init__(
        self,
        calls: AwsCalls,
        client: "SQSClient",
        *,
        queue: StepQueue,
        long_queue: StepQueue,
        dead_letter_url: str,
        scheduler: WakeupScheduler,
        clock: Clock,
    ) -> None:
        self._calls = calls
        self._client = client
        self._queue = queue
        self._long_queue = long_queue
        self._dead_letter_url = dead_letter_url
        self._scheduler = scheduler
        self._clock = clock

    def send(self, step_id: str, at_ms: int, *, client_id: str, attempt_ms: int | None) -> Awaitable[None]:
        """Begin sending at once; the awaitable raises StoreUnavailable when nobody acknowledged."""
        wait_ms = at_ms - self._clock.now_ms()
        is_soon_over = attempt_ms is not None and attempt_ms <= SHORT_ATTEMPT_MAX_MS
        queue = self._queue if is_soon_over else self._long_queue
        body = encode_wakeup(step_id, at_ms)
        if wait_ms >= SCHEDULED_FROM_MS:
            return self._calls.start(self._scheduler.schedule, step_id, at_ms, body, queue.arn)
        return self._calls.start(self._send, queue.url, body, delay_s(wait_ms), client_id)

    def delay(self, source_arn: str, receipt: str, receives: int) -> Awaitable[None]:
        """Begin letting a message that could not be worked off come again soon, later each time."""
        queue = self._long_queue if source_arn == self._long_queue.arn else self._queue
        again_s = min(AGAIN_AFTER_S * 2 ** (receives - 1), DELAY_MAX_S)
        return self._calls.start(self._hide, queue.url, receipt, again_s)

    def dead_letter(self, step_id: str, reason: str) -> Awaitable[None]:
        """Begin telling operators that a step failed; moving the message back redrives the step."""
        return self.quarantine(encode_dead_letter(step_id), reason)

    def quarantine(self, body: str, reason: str) -> Awaitable[None]:
        """Begin putting a message, as it came, where operators look; the reason is an attribute of it."""
        return self._calls.start(self._bury, body, _printable(reason))

    def _bury(self, body: str, reason: str) -> None:
        self._client.send_message(
            QueueUrl=self._dead_letter_url,
            MessageBody=body,
            MessageAttributes={"reason": {"DataType": "String", "StringValue": reason}},
        )

    def _send(self, url: str, body: str, delay: int, group: str) -> None:
        self._client.send_message(QueueUrl=url, MessageBody=body, DelaySeconds=delay, MessageGroupId=group)

    def _hide(self, url: str, receipt: str, for_s: int) -> None:
        self._client.change_message_visibility(QueueUrl=url, ReceiptHandle=receipt, VisibilityTimeout=for_s)


def delay_s(wait_ms: int) -> int:
    """The delay of a message in whole seconds: never too short, at most what SQS takes."""
    return max(0, min(-(-wait_ms // 1000), DELAY_MAX_S))


def _printable(reason: str) -> str:
    """SQS takes no control characters and no empty attribute."""
    return "".join(char if char.isprintable() else "?" for char in reason[:_REASON_MAX_CHARS]) or "?"
