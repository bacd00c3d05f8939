"""The step-invoker function: processes the wake-ups of an SQS batch concurrently."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from atomic.adapters.aws.wakeups import PoisonMessage, parse_wakeup
from atomic.application.ports import StoreUnavailable
from atomic.application.process_wakeup import process_wakeup
from atomic.application.redrive import redrive_step
from atomic.application.refusals import NotRedrivableStep
from atomic.entrypoints.aws.wiring import AwsRuntime
from atomic.protocol import keys
from atomic.protocol.enums import Status

_log = logging.getLogger("atomic.invoker")


class InvokerFunction:
    """The Lambda handler. It reports the records that failed, so that SQS delivers only those again."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.runtime = AwsRuntime(environ)

    def __call__(self, event: dict[str, Any], _context: Any) -> dict[str, Any]:
        """Process one batch."""
        return self.runtime.run(self._take_all(event["Records"]))

    async def _take_all(self, records: Sequence[dict[str, Any]]) -> dict[str, Any]:
        takes = (_take(self.runtime, record) for record in records)
        ends = await asyncio.gather(*takes, return_exceptions=True)
        failures = []
        for record, error in zip(records, ends, strict=True):
            if isinstance(error, BaseException):
                _log.error("a wake-up comes again", exc_info=error, extra=_fields(record))
                self.runtime.metrics.wakeup_failed()
                failures.append({"itemIdentifier": record["messageId"]})
                await self._come_again_soon(record)
        return {"batchItemFailures": failures}

    async def _come_again_soon(self, record: dict[str, Any]) -> None:
        """Shorten the delay: otherwise SQS hides the record for six times the function's time-out."""
        with suppress(StoreUnavailable):
            await self.runtime.queue.delay(
                record["eventSourceARN"], record["receiptHandle"], _receives(record)
            )


def _fields(record: Mapping[str, Any]) -> dict[str, str]:
    """The fields of a log line about a record."""
    try:
        step_id = parse_wakeup(record["body"]).step_id
    except PoisonMessage:
        return {"messageId": record["messageId"]}
    return {"messageId": record["messageId"], "runId": keys.run_of(step_id), "stepId": step_id}


async def _take(runtime: AwsRuntime, record: dict[str, Any]) -> None:
    try:
        wakeup = parse_wakeup(record["body"])
    except PoisonMessage as poison:
        # It would fail at each delivery. It is moved to the dead-letter queue, where operators find it.
        _log.error("a message is no wake-up", extra={"messageId": record["messageId"]})
        await runtime.queue.quarantine(record["body"], str(poison))
        return
    if not wakeup.dead_letter:
        # The earlier receiver may have ended after the claim and before it sent the wake-up for the end of
        # its lease. So a record that is delivered again may be the only wake-up of its step.
        is_first = _receives(record) == 1
        await process_wakeup(runtime.engine, wakeup.step_id, wakeup.at_ms if is_first else None)
        return
    # An operator moved this dead letter back with the redrive of SQS itself. If its step is not failed, the
    # dead letter is stale, unless it is delivered again: its first receiver may have not redriven it.
    step = await runtime.engine.store.get(wakeup.step_id)
    if step is not None and (step.status is Status.FAILED or _receives(record) > 1):
        # A dead letter that no handler needs any more is refused, and would be refused again.
        with suppress(NotRedrivableStep):
            await redrive_step(runtime.engine, step)


def _receives(record: dict[str, Any]) -> int:
    return int(record["attributes"]["ApproximateReceiveCount"])
