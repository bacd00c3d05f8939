"""Events that are opened, and what their rows owe to hooks: the write that opens one owes the deliveries.

No sweep of AWS finds the row of an event, so a wake-up is acknowledged before the row is written.
"""

from atomic.application.commit import is_of_hook
from atomic.application.engine import Engine
from atomic.application.wakeups import LOOK_AFTER_MS
from atomic.domain.owing import opened
from atomic.domain.steps import Step


async def owing(engine: Engine, event: Step) -> Step:
    """The row of a new event with what it owes. If it owes something, its wake-up is acknowledged."""
    client = await engine.clients.get(event.spec.client_id)
    if client is None or not client.hooks:
        return event
    row = opened(event, client.hooks)
    if row is event or await is_of_hook(engine, event):
        return event
    await engine.send_wakeup(row, engine.clock.now_ms() + LOOK_AFTER_MS)
    return row
