"""The step-invoker function: processes the wake-ups of an SQS batch concurrently."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Final, Self

from atomic.adapters.aws.sqs import again_s
from atomic.adapters.aws.wakeups import PoisonMessage, Wakeup, encode, parse_wakeup
from atomic.application.ports import StoreUnavailable
from atomic.application.process_wakeup import process_wakeup
from atomic.application.redrive import redrive_step
from atomic.application.refusals import NotRedrivableStep
from atomic.entrypoints.aws.wiring import AwsRuntime
from atomic.protocol import keys
from atomic.protocol.enums import Status

_log = logging.getLogger("atomic.invoker")

# Two receivers did not end this record, so that it became visible again.
_MARKED_FROM: Final = 3
_ALONE_MAX: Final = 5


class InvokerFunction:
    """The Lambda handler. It reports the records that failed, so that SQS delivers only those again.

    A record that ends its process takes its batch with it. A record that is received for the third time may
    be such a one. It is sent again, marked, and a marked one is processed when the rest of its batch is
    done. When that has ended five more receivers, it goes to the dead-letter queue.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.runtime = AwsRuntime(environ)

    def __call__(self, event: dict[str, Any], _context: Any) -> dict[str, Any]:
        """Process one batch."""
        return self.runtime.run(self._take_all([Received.of(record) for record in event["Records"]]))

    async def _take_all(self, batch: Sequence["Received"]) -> dict[str, Any]:
        marked = [each for each in batch if each.wakeup is not None and each.wakeup.alone]
        failed = await self._take_together([each for each in batch if each not in marked])
        # They come again one after the other, as messages that were never received: otherwise a hundred of
        # them would go to the dead-letter queue while they wait for their turn.
        later = (self._postpone(each, number) for number, each in enumerate(marked[1:], 1))
        failed += [each for each in await asyncio.gather(*later) if each is not None]
        if marked:
            failed += await self._take_alone(marked[0])
        return {"batchItemFailures": [{"itemIdentifier": each.id} for each in failed]}

    async def _take_together(self, batch: Sequence["Received"]) -> list["Received"]:
        """Process these at the same time; those that failed."""
        at_rest = await self._at_rest(batch)
        ends = await asyncio.gather(*(self._take(each, at_rest) for each in batch), return_exceptions=True)
        failed = []
        for each, error in zip(batch, ends, strict=True):
            if isinstance(error, BaseException):
                self._note(each, error)
                failed.append(each)
                # Otherwise SQS hides the record for six times the function's time-out.
                await self._hide(each, again_s(each.receives))
        return failed

    async def _postpone(self, marked: "Received", for_s: int) -> "Received | None":
        """Send the marked record again; the record itself if that failed."""
        assert marked.wakeup is not None
        try:
            await self._send_again(marked, marked.wakeup, for_s)
        except StoreUnavailable:
            await self._hide(marked, for_s)
            return marked
        return None

    async def _take_alone(self, marked: "Received") -> list["Received"]:
        """Process the marked record; a list with it if it failed."""
        assert marked.wakeup is not None
        if marked.receives > _ALONE_MAX:
            _log.error("a wake-up has ended its receivers", extra=marked.fields)
            await self.runtime.queue.quarantine(marked.body, f"it was received {marked.receives} times")
            return []
        try:
            await self._process(marked, marked.wakeup)
        except StoreUnavailable as error:
            # This says nothing about the record, so it begins anew.
            self._note(marked, error)
            await self._send_again(marked, replace(marked.wakeup, alone=False), again_s(1))
        except Exception as error:
            self._note(marked, error)
            await self._hide(marked, again_s(marked.receives))
            return [marked]
        return []

    async def _at_rest(self, batch: Sequence["Received"]) -> frozenset[str]:
        """The steps that watchdogs were for, and that need nothing.

        A failed read is repeated for each, so a row that cannot be read fails no other one.
        """
        of_watchdogs = self.runtime.queue.is_of_watchdogs
        ids = [each.wakeup.step_id for each in batch if each.wakeup and of_watchdogs(each.source)]
        with suppress(Exception):
            return await self.runtime.store.at_rest(ids) if ids else frozenset()
        return frozenset()

    async def _take(self, received: "Received", at_rest: frozenset[str]) -> None:
        queue, wakeup = self.runtime.queue, received.wakeup
        if wakeup is None:
            # It would fail at each delivery. It is moved to the dead-letter queue, where operators find it.
            _log.error("a message is no wake-up", extra={"messageId": received.id})
            await queue.quarantine(received.body, received.poison)
        elif received.receives >= _MARKED_FROM:
            _log.warning("a wake-up is processed alone from now on", extra=received.fields)
            await self._send_again(received, replace(wakeup, alone=True, at_ms=None), 0)
        elif wakeup.step_id not in at_rest:
            await self._process(received, wakeup)

    async def _process(self, received: "Received", wakeup: Wakeup) -> None:
        engine, is_first = self.runtime.engine, received.receives == 1 and not wakeup.alone
        if not wakeup.dead_letter:
            # The earlier receiver may have ended after the claim and before it sent the wake-up for the end
            # of its lease. So a record that is delivered again may be the only wake-up of its step.
            at_ms = wakeup.at_ms if is_first else None
            only_looks = self.runtime.queue.is_of_watchdogs(received.source)
            await process_wakeup(engine, wakeup.step_id, at_ms, only_looks=only_looks)
            return
        # An operator moved this dead letter back with the redrive of SQS itself. If its step is not failed,
        # the dead letter is stale, unless it is delivered again: its first receiver may not have redriven
        # it.
        step = await engine.store.get(wakeup.step_id)
        if step is not None and (step.status is Status.FAILED or not is_first):
            # A dead letter that no handler needs any more is refused, and would be refused again.
            with suppress(NotRedrivableStep):
                await redrive_step(engine, step)

    def _note(self, failed: "Received", error: BaseException) -> None:
        _log.error("a wake-up comes again", exc_info=error, extra=failed.fields)
        self.runtime.metrics.wakeup_failed()

    async def _send_again(self, received: "Received", wakeup: Wakeup, delay_s: int) -> None:
        await self.runtime.queue.send_again(received.source, encode(wakeup), delay_s, received.group)

    async def _hide(self, received: "Received", for_s: int) -> None:
        with suppress(StoreUnavailable):
            await self.runtime.queue.hide(received.source, received.receipt, for_s)


@dataclass(frozen=True, slots=True)
class Received:
    """A record of a batch; `wakeup` is None if it is none, and `poison` says why."""

    id: str
    body: str
    source: str
    receipt: str
    receives: int
    group: str | None
    wakeup: Wakeup | None
    poison: str = ""

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Self:
        """The record as Lambda has it."""
        body, known = record["body"], record["attributes"]
        receives, group = int(known["ApproximateReceiveCount"]), known.get("MessageGroupId")
        found = (
            record["messageId"],
            body,
            record["eventSourceARN"],
            record["receiptHandle"],
            receives,
            group,
        )
        try:
            return cls(*found, parse_wakeup(body))
        except PoisonMessage as poison:
            return cls(*found, None, str(poison))

    @property
    def fields(self) -> dict[str, str]:
        """The fields of a log line."""
        if self.wakeup is None:
            return {"messageId": self.id}
        step_id = self.wakeup.step_id
        return {"messageId": self.id, "runId": keys.run_of(step_id), "stepId": step_id}
