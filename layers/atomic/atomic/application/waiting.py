"""Callers that wait for an outcome, and the writes before a caller is told that there is none yet."""

import asyncio
import math

from atomic.application.commit import commit
from atomic.application.engine import Engine
from atomic.application.ports import Subscription
from atomic.domain.events import ToldUnfinished, WaiterAdded
from atomic.domain.steps import Step


def now_s() -> float:
    """The event loop's clock in seconds, by which callers wait: unlike the wall clock, it is never set."""
    return asyncio.get_running_loop().time()


async def until_settled(engine: Engine, subscription: Subscription, step: Step, until_s: float) -> Step:
    """Wait until the step settles, or until `until_s` (by `now_s`); the step as it was last read."""
    while not step.is_settled and subscription.is_open:
        left_ms = math.ceil((until_s - now_s()) * 1000)
        if left_ms <= 0:
            break
        step = await subscription.next(left_ms) or await engine.store.get(step.id) or step
    return step


async def wait(engine: Engine, step: Step, until_s: float) -> Step:
    """Wait for a step that another process or task processes."""
    with engine.notifier.subscribe(step.id) as subscription:
        # The row was read before we listened; it may have settled in between.
        newer = await engine.store.get(step.id)
        return await until_settled(engine, subscription, newer or step, until_s)


async def ask_to_wake(engine: Engine, step: Step) -> Step:
    """A post asks to wait for a step that was posted without a wait: from now on it wakes its parent.

    If the parent's attempt times out, it is then known to wait for this step. Returns the step.
    """
    if step.awaited or step.spec.parent is None:
        return step
    after, _ = await commit(engine, step, WaiterAdded(step.spec.parent))
    return after


async def register_waiter(engine: Engine, step: Step, asked_at_ms: int) -> Step:
    """Before a handler is told that the step is not finished: make sure that it is called again.

    The step is marked to wake its parent. The parent's row notes that its attempt was told, so that the
    end of this attempt is not a failure. Returns the step; if it has settled by now, its outcome is told.
    """
    if step.is_settled or step.spec.parent is None:
        return step
    after, _ = await commit(engine, step, WaiterAdded(step.spec.parent))
    if not after.is_settled:
        handler = await engine.store.get(step.spec.parent)
        if handler is not None:
            await commit(engine, handler, ToldUnfinished(step.id, asked_at_ms))
    return after
