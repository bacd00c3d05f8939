"""Hints as messages of an SQS standard queue."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

from atomic.adapters.aws.calls import AwsCalls
from atomic.adapters.aws.hints import encode_dead_letter, encode_hint
from atomic.adapters.aws.scheduler import HintScheduler
from atomic.application.ports import Clock
from atomic.protocol import keys

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

# The longest delay of a message (SQS API reference, SendMessage).
DELAY_MAX_S: Final = 900
# From here on a schedule is cheaper than one hop each 15 minutes, and spares the loop guard of Lambda.
SCHEDULED_FROM_MS: Final = 3_600_000
_REASON_MAX_CHARS: Final = 256


class SqsHintQueue:
    """Implements `ports.HintQueue`.

    A hint within 15 minutes is a delayed message. One within the hour comes every 15 minutes and is sent
    again by whoever receives it early (`application.drive`). One further away is a one-time schedule.

    `client_of` names the client of a run when this process knows it. Messages carry it as their group, so
    that one client's backlog does not delay the others' steps (fair queues of standard queues); a run of
    an unknown client is a group of its own.

    The dead-letter queue gets what no attempt is made for any more: steps that gave up, and messages that
    are no hints.
    """

    def __init__(
        self,
        calls: AwsCalls,
        client: "SQSClient",
        *,
        queue_url: str,
        dead_letter_url: str,
        scheduler: HintScheduler,
        clock: Clock,
        client_of: Callable[[str], str | None] = lambda _: None,
    ) -> None:
        self._calls = calls
        self._client = client
        self._queue_url = queue_url
        self._dead_letter_url = dead_letter_url
        self._scheduler = scheduler
        self._clock = clock
        self._client_of = client_of

    def send(self, step_id: str, at_ms: int) -> Awaitable[None]:
        """Begin sending at once; the awaitable raises StoreUnavailable when nobody acknowledged."""
        wait_ms = at_ms - self._clock.now_ms()
        body = encode_hint(step_id, at_ms)
        if wait_ms >= SCHEDULED_FROM_MS:
            return self._calls.start(self._scheduler.schedule, step_id, at_ms, body)
        run_id = keys.run_of(step_id)
        return self._calls.start(self._send, body, delay_s(wait_ms), self._client_of(run_id) or run_id)

    def dead_letter(self, step_id: str, reason: str) -> Awaitable[None]:
        """Begin telling operators that a step gave up; moving the message back redrives the step."""
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

    def _send(self, body: str, delay: int, group: str) -> None:
        self._client.send_message(
            QueueUrl=self._queue_url, MessageBody=body, DelaySeconds=delay, MessageGroupId=group
        )


def delay_s(wait_ms: int) -> int:
    """The delay of a message in whole seconds: never too short, at most what SQS takes."""
    return max(0, min(-(-wait_ms // 1000), DELAY_MAX_S))


def _printable(reason: str) -> str:
    """SQS takes no control characters and no empty attribute."""
    return "".join(char if char.isprintable() else "?" for char in reason[:_REASON_MAX_CHARS]) or "?"
