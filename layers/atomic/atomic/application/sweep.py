"""Housekeeping of a server that runs permanently: lost wake-ups, steps whose owner or run has ended, rows
whose retention is over. `application.maintenance` is that of a runtime of short-lived functions.
"""

from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Final

from atomic.application.batches import for_each
from atomic.application.commit import commit
from atomic.application.engine import Engine
from atomic.application.flow import forget_idle, look_at_leases
from atomic.application.leftovers import end_if_left_over
from atomic.application.ports import StoreUnavailable
from atomic.application.server_store import LiveStep, LiveSteps, ServerStore
from atomic.domain.events import OwnerLost, Rescheduled
from atomic.domain.leftovers import is_left_over
from atomic.domain.redating import redated_due_ms
from atomic.protocol.enums import LIVE, Status

_BATCH: Final = 500


async def sweep(engine: Engine, store: ServerStore, *, ahead_ms: int, limit: int) -> int:
    """Send a wake-up for each live step that is due within `ahead_ms`; the number of steps.

    Slots of flow control whose lease has ended are looked at first.
    """
    await look_at_leases(engine)
    due = await store.due(engine.clock.now_ms() + ahead_ms, limit)
    for step in due:
        await engine.queue.send(step.id, step.due_at_ms, client_id=step.client_id, attempt_ms=None)
    return len(due)


async def recover(engine: Engine, store: ServerStore) -> int:
    """Take over the steps of the last process, after a restart of the only process; their number."""
    taken = 0

    async def take_over(step_id: str) -> None:
        nonlocal taken
        step = await engine.store.get(step_id)
        if step is not None:
            after, effects = await commit(engine, step, OwnerLost())
            taken += effects is not None
            if effects is not None and step.status is Status.RUNNING:
                engine.telemetry.owner_lost(after)

    for status in (Status.RUNNING, Status.WAITING):
        after = ""
        while ids := await store.with_status(status, after=after, limit=_BATCH):
            await for_each(ids, take_over)
            after = ids[-1]
    await look_at_leases(engine, all_of_them=True)
    return taken


async def look_through(engine: Engine, live_steps: LiveSteps) -> AsyncIterator[None]:
    """Check all live steps, a page at a time, for those that would not be processed in time.

    These are live steps of runs that have ended, and steps that were written while the clock was ahead.
    """
    for status in sorted(LIVE):
        after: str | None = ""
        while after is not None:
            page = await live_steps.live(status, after=after, limit=_BATCH)
            now_ms = engine.clock.now_ms()
            found = [step.id for step in page if _deserves_a_look(step, now_ms)]
            await for_each(found, lambda step_id: _set_right(engine, step_id))
            after = page[-1].id if len(page) == _BATCH else None
            yield


def _deserves_a_look(step: LiveStep, now_ms: int) -> bool:
    if step.last_recorded_ms > now_ms:
        return True
    return not step.calls if step.root is None else is_left_over(step.root, calls=step.calls)


async def _set_right(engine: Engine, step_id: str) -> None:
    # A step that cannot be read now does not keep the others from being checked.
    with suppress(StoreUnavailable):
        step = await engine.store.get(step_id)
        if step is None:
            return
        step = await end_if_left_over(engine, step)
        due_at_ms = redated_due_ms(step, engine.clock.now_ms())
        if due_at_ms is not None:
            await commit(engine, step, Rescheduled(step.due_at_ms, due_at_ms))


async def purge(engine: Engine, store: ServerStore) -> int:
    """Delete the rows whose retention is over; their number."""
    deleted = 0
    while batch := await store.purge(engine.clock.now_ms(), _BATCH):
        deleted += batch
    await forget_idle(engine)
    return deleted
