"""Sends wake-ups again: the first may be lost, or its sender may have ended before it was sent."""

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
    """Make sure that a step has a wake-up before a caller is told of it.

    The process that created the step may have ended, or the queue may have failed, before its first
    wake-up was acknowledged. After a later change, the step has had a wake-up.
    """
    if step.status is Status.PENDING and step.attempt_count == 0 and step.due_at_ms is not None:
        await engine.send_wakeup(step, step.due_at_ms)
    elif _is_first_call(step) and step.due_at_ms is not None:
        # The creator's wake-up, if there is one, is for the same time. This one is spare once it changes.
        await engine.send_wakeup(step, step.due_at_ms + 1)
    else:
        await wake_if_overdue(engine, step)


def _is_first_call(step: Step) -> bool:
    # A step whose answer is postponed has had the wake-up of its first lease, and a second one.
    return step.status is Status.RUNNING and step.attempt_count == 1 and step.answer_by_ms is None


async def wake_waiters_again(engine: Engine, settled: Step) -> None:
    """Wake the steps that still wait for one that settled some time ago.

    The process that settled it may have ended before it woke the waiters, or before the wake-up of a woken
    waiter was sent. When the store fails, another wake-up of the settled step repeats this.
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
    """Whether the waiter has not been called since the other step settled."""
    if waiter.status is not Status.WAITING:
        return False
    # An attempt that was told of several unfinished steps names only the first one.
    began_ms = waiter.attempt_log[-1].started_at_ms
    return settled.id in waiter.waiting_for or (settled.finished_at_ms or 0) >= began_ms
