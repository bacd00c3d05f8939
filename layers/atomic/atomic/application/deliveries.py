"""Deliveries to hooks: each is the root of a run of its own, which is signed, retried, and a dead letter.

A row that owes them is due until they are started. Each start finds the run of an earlier one, so a process
that ends in between leaves nothing undone, and nothing is done twice.
"""

from atomic.application.commit import commit
from atomic.application.engine import Engine
from atomic.application.start import start_root
from atomic.domain.events import Paid
from atomic.domain.owing import DeliveryLimits, delivery
from atomic.domain.steps import Step


async def pay(engine: Engine, step: Step) -> Step:
    """Start the deliveries that the row owes, then note this in the row; the row as it then stands.

    A hook that was deleted meanwhile is told as well: a process that has not seen it yet would not know the
    difference. A delivery takes nothing of the client's quota, so that it is never refused: what it tells
    of was counted.
    """
    settings = engine.settings
    limits = DeliveryLimits(settings.attempt_timeout_default_ms, settings.retention_ms, settings.public_url)
    for owed in step.owes:
        for told in owed.told:
            await start_root(engine, delivery(step, owed, told, limits))
    after, _ = await commit(engine, step, Paid(step.owes))
    return after
