"""Bugs to plant in hooks. Each replaces one function."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import atomic.application.commit as applying
import atomic.application.deliveries as deliveries
import atomic.application.start as starting
import atomic.domain.transitions as transitions
from atomic.application.engine import Engine
from atomic.application.ports import DueStep
from atomic.domain.clients.client import Client
from atomic.domain.hooks import Owed, Told
from atomic.domain.owing import DeliveryLimits, opened
from atomic.domain.steps import Step, StepSpec
from atomic.domain.transitions import Effects
from simulation.observations import Truth
from simulation.planted import Patch

_owing = applying._owing
_delivery = deliveries.delivery
_due = Truth.due


def _owe_on(step: Step, owed: tuple[Owed, ...]) -> Step:
    return step


async def _deliver_first(
    engine: Engine, client: Client, change: tuple[Step, Step], effects: Effects
) -> tuple[Step, Effects]:
    after, effects = await _owing(engine, client, change, effects)
    await deliveries.pay(engine, after)
    return after, effects


async def _find_the_live_alone(self: Truth, before_ms: int, limit: int) -> Sequence[DueStep]:
    return [due for due in await _due(self, before_ms, limit) if self.rows[due.id].due_at_ms is not None]


async def _send_no_wakeup_ahead(engine: Engine, event: Step) -> Step:
    client = await engine.clients.get(event.spec.client_id)
    return event if client is None else opened(event, client.hooks)


def _tell_the_first_end(step: Step, owed: Owed, told: Told, limits: DeliveryLimits) -> StepSpec:
    return _delivery(step, replace(owed, generation=1), told, limits)


PLANTED_IN_HOOKS: Final[dict[str, list[Patch]]] = {
    "what was delivered is owed for ever": [(transitions, "paid", _owe_on)],
    "a hook is told before the row is written": [(applying, "_owing", _deliver_first)],
    "a sweep leaves out a settled row that owes": [(Truth, "due", _find_the_live_alone)],
    "the end after a redrive is told as the first one": [(deliveries, "delivery", _tell_the_first_end)],
    "no wake-up goes ahead of an event that owes": [(starting, "owing", _send_no_wakeup_ahead)],
}
