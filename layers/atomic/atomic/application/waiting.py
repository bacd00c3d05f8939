"""Waiting: callers that hang for an outcome, and steps that are suspended on other steps.

Suspending writes first and then looks at the other side; settling does the same. Whichever comes second
sees the first, so no wake-up is lost.
"""

import asyncio
import math

from atomic.application.apply import apply
from atomic.application.engine import Engine
from atomic.application.ports import Subscription
from atomic.domain.events import WaiterAdded, Woken
from atomic.domain.steps import Step


def now_s() -> float:
    """The time by which callers wait, in seconds of the loop's clock: that one is never set."""
    return asyncio.get_running_loop().time()


async def until_settled(engine: Engine, news: Subscription, step: Step, until_s: float) -> Step:
    """Hang until the step settles or the moment comes (by `now_s`); the step as it was last seen."""
    while not step.is_settled and news.is_open:
        left_ms = math.ceil((until_s - now_s()) * 1000)
        if left_ms <= 0:
            break
        step = await news.next(left_ms) or await engine.store.get(step.id) or step
    return step


async def hang(engine: Engine, step: Step, until_s: float) -> Step:
    """Hang for a step that somebody else drives."""
    with engine.notifier.subscribe(step.id) as news:
        # The row was read before we listened; it may have settled in between.
        newer = await engine.store.get(step.id)
        return await until_settled(engine, news, newer or step, until_s)


async def hint_if_overdue(engine: Engine, step: Step) -> None:
    """Send the hint of an overdue step again: it is late, or was lost with who should have sent it."""
    if step.due_at_ms is not None and step.due_at_ms < engine.clock.now_ms():
        await engine.hint(step, step.due_at_ms)


async def leave_waiter(engine: Engine, step: Step) -> Step:
    """Somebody is told that the step is not finished: see to it that its handler is called again.

    Returns the step, which may have settled by now.
    """
    if step.is_settled or step.boss is None:
        return step
    after, _ = await apply(engine, step, WaiterAdded(step.boss))
    return after


async def watch(engine: Engine, waiting: Step) -> None:
    """Ask each step that `waiting` needs to wake it; wake it now when one has settled already.

    Nobody but the one who waits looks at a step whose hint was lost with its receiver.
    """
    for step_id in waiting.waiting_for:
        needed = await engine.store.get(step_id)
        if needed is not None:
            needed, _ = await apply(engine, needed, WaiterAdded(waiting.id))
        if needed is None or needed.is_settled:
            await apply(engine, waiting, Woken())
            return
        await hint_if_overdue(engine, needed)
