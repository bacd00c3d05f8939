"""Posts messages: each is the result of the first event of its name that has none. Their order is arrival.

The taken numbers are found by doubling and halving, with point reads. The conditional write of the event
decides between two senders; the later one takes the next number.
"""

from dataclasses import dataclass, replace

from atomic.application.engine import Engine
from atomic.application.reentry import has_expired
from atomic.application.refusals import NotAnOpenEvent
from atomic.application.results import Completed, tell
from atomic.domain.events import ResultPosted
from atomic.domain.messages import note, note_id, number_of, numbered, renumbered
from atomic.domain.steps import Step, StepSpec
from atomic.protocol import keys


async def send_message(
    engine: Engine,
    first: StepSpec,
    posted: ResultPosted,
    message_id: str | None,
    handler: Step | None = None,
) -> Completed:
    """Post the result of the next event, given the first one of its name.

    A message with an id is one message, however often it is posted; without one, each post is another one.
    `handler` is as in `results.signal`. Raises NotAnOpenEvent when this id was posted with another result,
    and TakesNoEvents when no handler can ask for an event any more.
    """
    message = message_id or engine.entropy.token()
    sender = _Sender(engine, first, replace(posted, message=message), handler)
    if message_id is not None:
        return await _send_noted(sender, message)
    slot = await sender.next_free(0)
    while (told := await sender.tell(slot)) is None:
        slot = await sender.next_free(slot.number)
    return told


async def _send_noted(sender: "_Sender", message: str) -> Completed:
    """Note the number, then post the result there. When it was taken meanwhile, note another one."""
    engine, first = sender.engine, sender.first
    while True:
        found = await engine.store.get(note_id(first, message))
        noted = None if found is None or await has_expired(engine, found) else found
        slot = await (sender.next_free(0) if noted is None else sender.slot_of(number_of(noted)))
        if noted is None or number_of(noted) != slot.number:
            made = note(first, message, slot.number, engine.clock.now_ms())
            if found is None:
                existing = await engine.store.create(made)
            else:
                after = replace(made, version=found.version + 1)
                after = after if noted is None else renumbered(noted, slot.number)
                existing = await engine.store.replace(after, found.version)
            if existing is not None and number_of(existing) != slot.number:
                continue
        if (told := await sender.tell(slot)) is not None:
            return told


@dataclass(frozen=True, slots=True)
class _Slot:
    """The event of a number, and its row as it was read."""

    number: int
    row: Step | None


@dataclass(frozen=True, slots=True)
class _Sender:
    """Who posts a message: `first` is the first event of the name, `posted` has the message's own name."""

    engine: Engine
    first: StepSpec
    posted: ResultPosted
    handler: Step | None

    async def next_free(self, taken: int) -> _Slot:
        """The next event that takes a result, when this number and all below it are taken."""
        ahead = 1
        while not await self._is_free(slot := await self._slot(taken + ahead)):
            taken, ahead = slot.number, 2 * ahead
        while slot.number - taken > 1:
            middle = await self._slot((taken + slot.number) // 2)
            if await self._is_free(middle):
                slot = middle
            else:
                taken = middle.number
        return slot

    async def slot_of(self, noted: int) -> _Slot:
        """The event of a message that was given a number before."""
        slot = await self._slot(noted)
        if slot.row is not None and slot.row.message == self.posted.message:
            return slot
        if not await self._is_free(slot):
            return await self.next_free(noted)
        if slot.row is not None or noted == 1:
            return slot
        # The process that noted the number may be about to write this row. If the one before it is gone,
        # the events of an earlier run are forgotten, and the numbers begin anew.
        before = await self._slot(noted - 1)
        return slot if before.row is not None else await self.next_free(0)

    async def tell(self, slot: _Slot) -> Completed | None:
        """Post the result; None when another one was first. Raises NotAnOpenEvent, TakesNoEvents."""
        spec = numbered(self.first, slot.number)
        try:
            return await tell(self.engine, spec, slot.row, self.posted, self.handler)
        except NotAnOpenEvent:
            row = (await self._slot(slot.number)).row
            if row is not None and row.message == self.posted.message:
                raise
            return None

    async def _slot(self, number: int) -> _Slot:
        spec = numbered(self.first, number)
        return _Slot(number, await self.engine.store.get(keys.step_id(spec.run_id, spec.identity)))

    async def _is_free(self, slot: _Slot) -> bool:
        row = slot.row
        return row is None or not row.is_settled or await has_expired(self.engine, row)
