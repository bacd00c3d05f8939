"""The one way a row changes: transition, fenced write, wake-up, and what follows from having settled."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

from atomic.application.engine import Engine
from atomic.application.ports import StoreUnavailable
from atomic.domain.events import Event, Woken
from atomic.domain.steps import Step
from atomic.domain.transitions import transition
from atomic.protocol.enums import Status

# Longer than a write takes, shorter than any lease: the claim of an attempt never has to wait.
_SOON_MS: Final = 10_000
_LOOK_AGAIN_MS: Final = 1_000


async def commit(engine: Engine, step: Step, event: Event) -> tuple[Step, bool]:
    """Write what the event makes of the step: the row as it then stands, and whether the event changed it.

    When another writer was first, the event is judged again on the row that writer left. When the store
    fails, whether the row changed is unknown: a wake-up makes somebody look, who then also wakes its
    waiters.
    """
    has_told = False
    while True:
        after = transition(step, event, engine.clock.now_ms())
        if after is step:
            return step, False
        async with _wakeup_if_unsure(engine, step, after):
            if after.is_dead_letter and not (step.is_settled or has_told):
                newer = await _tell(engine, step, after)
                if newer is not None:
                    step = newer
                    continue
                has_told = True
            existing = await _write(engine, after, step)
        if _is_written(existing, after):
            await _follow(engine, step, after)
            return after, True
        assert existing is not None
        step = existing


@asynccontextmanager
async def _wakeup_if_unsure(engine: Engine, before: Step, after: Step) -> AsyncIterator[None]:
    try:
        yield
    except StoreUnavailable:
        if after.is_settled:
            await engine.send_wakeup(before, engine.clock.now_ms() + _LOOK_AGAIN_MS)
        elif after.due_at_ms is not None and after.due_at_ms != before.due_at_ms:
            await engine.send_wakeup(after, after.due_at_ms)
        raise


def _is_written(existing: Step | None, after: Step) -> bool:
    """Whether the row stands as it was to be written.

    A write may be applied and its answer lost, and the SDK then sends it again: what stands there is then
    our own row, not somebody else's.
    """
    return existing is None or existing == after


async def _tell(engine: Engine, before: Step, after: Step) -> Step | None:
    """Send the dead letter of a step that fails; instead the row, when that is another one by now.

    The letter goes out before the row says `failed`. So who dies in between leaves a step that is live,
    whose wake-up comes, and no dead letter is ever missing. One too many does no harm: the row decides,
    also when it cannot be read now. An end that waits to be recorded does not fail for want of that.
    """
    with suppress(StoreUnavailable):
        existing = await engine.store.get(before.id)
        if existing is not None and existing.version != before.version:
            return existing
    await engine.queue.dead_letter(after.id, after.error or "")
    return None


async def wake_waiters(engine: Engine, settled: Step, *, again: bool = False) -> None:
    """Wake the steps that wait for this one. Doing it twice does no harm.

    `again`: it settled some time ago, and whoever settled it may have died before the others were woken, or
    before the wake-up of one that was woken had gone out. When the store fails, a wake-up makes somebody do
    it again.
    """
    try:
        for waiter_id in settled.waiters:
            waiter = await engine.store.get(waiter_id)
            if waiter is None:
                continue
            if not again or _still_waits(waiter, settled):
                await commit(engine, waiter, Woken())
            elif waiter.status is Status.PENDING:
                await wake_if_overdue(engine, waiter)
    except StoreUnavailable:
        await engine.send_wakeup(settled, engine.clock.now_ms() + _LOOK_AGAIN_MS)
        raise


def _still_waits(waiter: Step, settled: Step) -> bool:
    """Whether a step that waits has not been called since the other one settled."""
    if waiter.status is not Status.WAITING:
        return False
    # One that was told of several steps names the first alone.
    began_ms = waiter.attempt_log[-1].started_at_ms
    return settled.id in waiter.waiting_for or (settled.finished_at_ms or 0) >= began_ms


async def wake_if_overdue(engine: Engine, step: Step) -> None:
    """Send the wake-up of an overdue step again: it is late, or was lost with who should have sent it."""
    if step.due_at_ms is not None and step.due_at_ms < engine.clock.now_ms():
        await engine.send_wakeup(step, step.due_at_ms)


def is_soon(engine: Engine, due_at_ms: int) -> bool:
    """Whether a wake-up for this moment might overtake the write and find the row as it was before.

    Such a wake-up is spent in vain, so it is sent when the row stands.
    """
    return due_at_ms - engine.clock.now_ms() < _SOON_MS


async def _write(engine: Engine, after: Step, before: Step) -> Step | None:
    # Who is woken at the moment of its own look: the wake-up for it may have been taken by somebody who
    # looks.
    is_woken = before.status is Status.WAITING and after.status is Status.PENDING
    has_wakeup = after.due_at_ms == before.due_at_ms and not is_woken
    if after.due_at_ms is None or has_wakeup:
        return await engine.store.replace(after, before.version)
    if not is_soon(engine, after.due_at_ms):
        # Row and wake-up go out side by side; the step goes on when both are acknowledged.
        wakeup = engine.send_wakeup(after, after.due_at_ms)
        existing = await engine.store.replace(after, before.version)
        await wakeup
        return existing
    if before.due_at_ms is None:
        # No earlier wake-up keeps the step alive when the second one is never sent.
        await engine.send_wakeup(after, after.due_at_ms)
    existing = await engine.store.replace(after, before.version)
    if _is_written(existing, after):
        await engine.send_wakeup(after, after.due_at_ms)
    return existing


async def _follow(engine: Engine, before: Step, after: Step) -> None:
    if after.is_root and after.is_settled is not before.is_settled:
        engine.runs.saw(after, engine.clock.now_ms())
    if after.is_settled and not before.is_settled:
        engine.notifier.publish(after)
        engine.telemetry.settled(after)
        engine.stored.settled(after)
        await wake_waiters(engine, after)
    elif before.is_settled and not after.is_settled:
        engine.telemetry.reopened(after)
