"""Wake-ups in the far future as one-time schedules of EventBridge Scheduler."""

import hashlib
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from atomic.protocol import keys

if TYPE_CHECKING:
    from mypy_boto3_scheduler import EventBridgeSchedulerClient

# A schedule is invoked within the minute that follows its time (User Guide, "Schedule types"); the message
# comes a minute early instead, and its receiver sends it again with the exact delay.
_EARLY_MS: Final = 60_000
# A universal target (User Guide, "Using universal targets"): Scheduler makes this call of the SQS API. The
# target of a queue itself has a message group for FIFO queues only.
_SEND_MESSAGE: Final = "scheduler:::aws-sdk:sqs:sendMessage"


class WakeupScheduler:
    """Makes schedules that send a wake-up to a step queue and are then deleted.

    `role_arn` is the role by which Scheduler sends to the queues; a message that it cannot deliver
    within a day goes to the queue `dead_letter_arn`.
    """

    def __init__(
        self,
        client: "EventBridgeSchedulerClient",
        *,
        group_name: str,
        role_arn: str,
        dead_letter_arn: str,
    ) -> None:
        self._client = client
        self._group_name = group_name
        self._role_arn = role_arn
        self._partition = role_arn.split(":")[1]
        self._dead_letter_arn = dead_letter_arn

    def schedule(self, step_id: str, at_ms: int, message: dict[str, Any]) -> None:
        """Make the schedule that sends the message, unless it exists: one blocking call.

        `message` has the parameters of SendMessage.
        """
        try:
            self._client.create_schedule(
                Name=schedule_name(step_id, at_ms),
                GroupName=self._group_name,
                ScheduleExpression=f"at({_utc(at_ms - _EARLY_MS)})",
                ScheduleExpressionTimezone="UTC",
                FlexibleTimeWindow={"Mode": "OFF"},
                ActionAfterCompletion="DELETE",
                Target={
                    "Arn": f"arn:{self._partition}:{_SEND_MESSAGE}",
                    "Input": json.dumps(message),
                    "RoleArn": self._role_arn,
                    "DeadLetterConfig": {"Arn": self._dead_letter_arn},
                },
            )
        except self._client.exceptions.ConflictException:
            return


def schedule_name(step_id: str, at_ms: int) -> str:
    """The schedule's name, 63 of the 64 characters that it may have; it begins with the run's id.

    That of a schedule of Atomic begins with `schedule`.
    """
    digest = hashlib.sha256(f"{step_id}@{at_ms}".encode()).hexdigest()
    of = "schedule" if keys.is_schedule_id(step_id) else keys.run_of(step_id)
    return f"{of}-{digest[:26]}"


def _utc(at_ms: int) -> str:
    # Rounded down: a wake-up may be early, and must not be late.
    return datetime.fromtimestamp(at_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S")
