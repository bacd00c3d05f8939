"""The step-invoker function: SQS batches of hints, driven side by side."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from atomic.adapters.aws.hints import PoisonMessage, parse_hint
from atomic.application.drive import drive
from atomic.application.ports import StoreUnavailable
from atomic.application.redrive import redrive_step
from atomic.domain.steps import Status
from atomic.entrypoints.aws.wiring import AwsHome
from atomic.protocol import keys
from atomic.protocol.problems import Problem

_log = logging.getLogger("atomic.invoker")


class InvokerFunction:
    """The handler. It reports the records that failed, so that only those come again."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.home = AwsHome(environ)

    def __call__(self, event: dict[str, Any], _context: Any) -> dict[str, Any]:
        """Drive one batch."""
        return self.home.run(self._take_all(event["Records"]))

    async def _take_all(self, records: Sequence[dict[str, Any]]) -> dict[str, Any]:
        takes = (_take(self.home, record) for record in records)
        ends = await asyncio.gather(*takes, return_exceptions=True)
        failures = []
        for record, error in zip(records, ends, strict=True):
            if isinstance(error, BaseException):
                _log.error("a hint comes again", exc_info=error, extra=_fields(record))
                self.home.metrics.hint_failed()
                failures.append({"itemIdentifier": record["messageId"]})
                await self._come_again_soon(record)
        return {"batchItemFailures": failures}

    async def _come_again_soon(self, record: dict[str, Any]) -> None:
        """Without this a hint that failed stays hidden for six times as long as an invocation may take."""
        with suppress(StoreUnavailable):
            await self.home.queue.delay(
                record["eventSourceARN"], record["receiptHandle"], _receives(record)
            )


def _fields(record: Mapping[str, Any]) -> dict[str, str]:
    """What a log line says of a record."""
    try:
        step_id = parse_hint(record["body"]).step_id
    except PoisonMessage:
        return {"messageId": record["messageId"]}
    return {"messageId": record["messageId"], "runId": keys.run_of(step_id), "stepId": step_id}


async def _take(home: AwsHome, record: dict[str, Any]) -> None:
    try:
        hint = parse_hint(record["body"])
    except PoisonMessage as poison:
        # It would fail each time it came again; operators find it in the dead-letter queue.
        _log.error("a message is no hint", extra={"messageId": record["messageId"]})
        await home.queue.quarantine(record["body"], str(poison))
        return
    if not hint.dead_letter:
        # Who had a hint before may have died between the claim and the hint for the end of its lease:
        # one that comes again is the only one of its step that is certain.
        is_first = _receives(record) == 1
        await drive(home.engine, hint.step_id, hint.at_ms if is_first else None)
        return
    # Operators moved it back out of the dead-letter queue, with the redrive of SQS itself. The letter of a
    # step that did not fail is stale, unless it comes again: then whoever took it may have died halfway.
    step = await home.engine.store.get(hint.step_id)
    if step is not None and (step.status is Status.FAILED or _receives(record) > 1):
        # One that nobody waits for any more is refused, and would be refused again.
        with suppress(Problem):
            await redrive_step(home.engine, step)


def _receives(record: dict[str, Any]) -> int:
    return int(record["attributes"]["ApproximateReceiveCount"])
