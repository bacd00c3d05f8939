"""Housekeeping: hints that were lost, steps whose owner died, rows whose time is over."""

from typing import Final

from atomic.application.apply import apply
from atomic.application.engine import Engine
from atomic.domain.events import Orphaned
from atomic.domain.steps import Status

_BATCH: Final = 500


async def sweep(engine: Engine, *, ahead_ms: int, limit: int) -> int:
    """Send a hint for each live step that is due within `ahead_ms`; how many were found."""
    due = await engine.store.due(engine.clock.now_ms() + ahead_ms, limit)
    for step in due:
        await engine.queue.send(step.id, step.due_at_ms, client_id=step.client_id, attempt_ms=None)
    return len(due)


async def recover(engine: Engine) -> int:
    """After a restart of the only process: take over what the last one was doing; how many steps."""
    taken = 0
    for status in (Status.RUNNING, Status.WAITING):
        after = ""
        while ids := await engine.store.with_status(status, after=after, limit=_BATCH):
            for step_id in ids:
                step = await engine.store.get(step_id)
                if step is not None:
                    _, changed = await apply(engine, step, Orphaned())
                    taken += changed
            after = ids[-1]
    return taken


async def purge(engine: Engine) -> int:
    """Delete the rows whose retention is over; how many."""
    deleted = 0
    while batch := await engine.store.purge(engine.clock.now_ms(), _BATCH):
        deleted += batch
    return deleted
