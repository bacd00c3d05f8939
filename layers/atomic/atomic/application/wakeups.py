"""Sends wake-ups again: the first may be lost, or its sender may have ended before it was sent."""

from typing import Final

from atomic.application.commit import run_effects, wake_waiters
from atomic.application.engine import Engine
from atomic.application.ports import StoreUnavailable
from atomic.domain.steps import Step
from atomic.protocol.enums import Status

# Far longer than the write and the wake-ups take.
LOOK_AFTER_MS: Final = 10_000


async def wake_if_overdue(engine: Engine, step: Step) -> None:
    """Send the wake-up of an overdue step again."""
    if step.due_at_ms is not None and step.due_at_ms < engine.clock.now_ms():
        await engine.send_wakeup(step, step.due_at_ms)


async def ensure_wakeup(engine: Engine, step: Step) -> None:
    """Make sure that a step has a wake-up before a caller is told of it.

    The process that created the step may have ended, or the queue may have failed, before its first
    wake-up was acknowledged. The same goes for the process that redrove it: a wake-up that overtakes the
    write finds a step that has failed. After a later change, the step has had a wake-up; a rest is one.
    """
    is_unsure = step.has_no_wakeup or (_is_unbegun(step) and step.rest is None)
    if is_unsure and step.due_at_ms is not None:
        await engine.send_wakeup(step, step.due_at_ms)
    elif _is_first_call(step) and step.due_at_ms is not None:
        # The creator's wake-up, if there is one, is for the same time. This one is spare once it changes.
        await engine.store.list_live(step)
        await engine.send_wakeup(step, step.due_at_ms + 1)
    else:
        await wake_if_overdue(engine, step)


def _is_unbegun(step: Step) -> bool:
    """Whether no attempt was made since the step was posted, or redriven."""
    return step.attempt_count == 0 or step.attempt_log[-1].generation != step.generation


def _is_first_call(step: Step) -> bool:
    # A step whose answer is postponed has had the wake-up of its first lease, and a second one.
    return step.status is Status.RUNNING and step.attempt_count == 1 and step.answer_by_ms is None


async def ensure_waiters_are_told(engine: Engine, step: Step, *, succeeds: bool) -> None:
    """Before a caller from outside settles a step: make sure that the steps that wait for it are woken.

    Nothing may recheck them for a day, and the step's own wake-up may be months away. If this process ends
    before it wakes them, this additional wake-up makes another process do it. A step that `succeeds` and
    that nothing waits for needs none; the handler of any other one is told of its end.
    """
    if not step.is_settled and (step.waiters or step.watches or not succeeds):
        await engine.send_wakeup(step, engine.clock.now_ms() + LOOK_AFTER_MS)


async def wake_waiters_again(engine: Engine, settled: Step) -> None:
    """Wake the steps that still wait for one that settled some time ago.

    The process that settled it may have ended before it woke the waiters, or before the wake-up of a woken
    waiter was sent. When the store fails, another wake-up of the settled step repeats this.
    """
    try:
        for other in await wake_waiters(engine, settled, lambda waiter: _still_waits(waiter, settled)):
            if other.status is Status.PENDING:
                await wake_if_overdue(engine, other)
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
