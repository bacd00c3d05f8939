"""Deliveries to hooks: each is the root of a run of its own, which is signed, retried, and a dead letter.

A row that owes them is due until they are started. Each start finds the run of an earlier one, so a process
that ends in between leaves nothing undone, and nothing is done twice.
"""

from dataclasses import replace

from atomic.application.commit import commit
from atomic.application.engine import Engine
from atomic.application.start import start_root
from atomic.domain.events import Paid
from atomic.domain.gaps import gap_delivery
from atomic.domain.owing import DeliveryLimits, delivery
from atomic.domain.schedules import Schedule
from atomic.domain.steps import Step


async def pay(engine: Engine, step: Step) -> Step:
    """Start the deliveries that the row owes, then note this in the row; the row as it then stands.

    A hook that was deleted meanwhile is told as well: a process that has not seen it yet would not know the
    difference. A delivery takes nothing of the client's quota, so that it is never refused: what it tells
    of was counted.
    """
    limits = _limits(engine)
    for owed in step.owes:
        for told in owed.told:
            await start_root(engine, delivery(step, owed, told, limits))
    after, _ = await commit(engine, step, Paid(step.owes))
    return after


async def tell_missed(engine: Engine, schedule: Schedule) -> Schedule:
    """Start the deliveries that the row of a schedule owes; the row that is to be written then."""
    limits = _limits(engine)
    for gap in schedule.owes:
        for told in gap.told:
            await start_root(engine, gap_delivery(schedule, gap, told, limits))
    return replace(schedule, owes=(), version=schedule.version + 1)


def _limits(engine: Engine) -> DeliveryLimits:
    settings = engine.settings
    return DeliveryLimits(settings.attempt_timeout_default_ms, settings.retention_ms, settings.public_url)
