"""Sends the wake-ups of a table's live steps, with the operator's own AWS credentials."""

from collections.abc import Iterator

from botocore.exceptions import BotoCoreError, ClientError

from atomic.adapters.aws import config
from atomic.adapters.aws.live_steps import LiveStepWakeups, Progress
from atomic.adapters.system import SystemClock
from atomic.application.ports import StoreUnavailable


def send_wakeups(
    table: str, *, queue_url: str, long_queue_url: str, per_s: float, cursor: str | None
) -> Iterator[Progress]:
    """Send a wake-up for each live step, at most so many a second. Raises ValueError when AWS refuses."""
    wakeups = LiveStepWakeups(
        config.dynamodb_client(),
        config.sqs_client(),
        table_name=table,
        queue_url=queue_url,
        long_queue_url=long_queue_url,
        now_ms=SystemClock().now_ms,
        per_s=per_s,
    )
    try:
        yield from wakeups.send(cursor)
    except (BotoCoreError, ClientError, StoreUnavailable) as error:
        raise ValueError(
            f"AWS refused: {error}; check the names, the region and your credentials"
        ) from error
