"""Wake-ups that are sent once more: the first may be lost, or whoever should have sent it has died."""

from atomic.application.commit import commit, handler_to_tell, run_effects
from atomic.application.engine import Engine
from atomic.application.ports import StoreUnavailable
from atomic.application.wait_set import on_watched_settled
from atomic.domain.events import ChildFailed, Woken
from atomic.domain.steps import Step
from atomic.protocol.enums import Status


async def wake_if_overdue(engine: Engine, step: Step) -> None:
    """Send the wake-up of an overdue step again."""
    if step.due_at_ms is not None and step.due_at_ms < engine.clock.now_ms():
        await engine.send_wakeup(step, step.due_at_ms)


async def ensure_wakeup(engine: Engine, step: Step) -> None:
    """Nobody may be told of a step that has no wake-up.

    Whoever created it may have died, or been refused, before its first wake-up was acknowledged. Whoever
    changed it since had one.
    """
    if step.status is Status.PENDING and step.attempt_count == 0 and step.due_at_ms is not None:
        await engine.send_wakeup(step, step.due_at_ms)
    elif step.status is Status.RUNNING and step.attempt_count == 1 and step.due_at_ms is not None:
        # Its creator's, if there is one, is for the very moment; this one is spare when the row moves on.
        await engine.send_wakeup(step, step.due_at_ms + 1)
    else:
        await wake_if_overdue(engine, step)


async def wake_waiters_again(engine: Engine, settled: Step) -> None:
    """Wake the steps that still wait for one that settled some time ago.

    Whoever settled it may have died before the others were woken, or before the wake-up of one that was
    woken had gone out. When the store fails, a wake-up makes somebody do it again.
    """
    woken = Woken(settled.id, failed=settled.status is not Status.SUCCEEDED)
    try:
        for waiter_id in settled.waiters:
            waiter = await engine.store.get(waiter_id)
            if waiter is None:
                continue
            if _still_waits(waiter, settled):
                await commit(engine, waiter, woken)
            elif waiter.status is Status.PENDING:
                await wake_if_overdue(engine, waiter)
        for watch in settled.watches:
            await on_watched_settled(engine, commit, settled, watch)
        handler = await handler_to_tell(engine, settled)
        if handler is not None and _still_waits(handler, settled):
            await commit(engine, handler, ChildFailed(settled.id))
    except StoreUnavailable:
        await run_effects(engine, settled, ("look again",))
        raise


def _still_waits(waiter: Step, settled: Step) -> bool:
    """Whether a step that waits has not been called since the other one settled."""
    if waiter.status is not Status.WAITING:
        return False
    # One that was told of several steps names the first alone.
    began_ms = waiter.attempt_log[-1].started_at_ms
    return settled.id in waiter.waiting_for or (settled.finished_at_ms or 0) >= began_ms
