"""Faults planted in flow control, each of which the laws of `flow_world` must find."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import atomic.application.commit as applying
import atomic.application.flow as flow
import atomic.application.process_wakeup as driving
import atomic.application.sweep as sweeping
from atomic.application.engine import Engine
from atomic.domain.flow_table import FlowKey, FlowTable, Handed
from atomic.domain.steps import Step

_hand_over = FlowTable.hand_over


async def _nothing(*_: Any, **__: Any) -> None:
    return None


def _kept_for_ever(step: Step, scope: str) -> bool:
    del step, scope
    return True


def _twice(table: FlowTable, at: FlowKey, now_ms: int) -> list[Handed]:
    """The slot is given to the next two."""
    handed = _hand_over(table, at, now_ms)
    row = table._rows.load(at)
    if handed and row is not None and row.most is not None:
        table._rows.save(at, replace(row, pinned_concurrency=row.most + 1))
        handed += _hand_over(table, at, now_ms)
        table._rows.save(at, row)
    return handed


async def _alone(engine: Engine, step: Step) -> Sequence[str]:
    del engine, step
    return ()


PLANTED: Final[dict[str, list[tuple[Any, str, Any]]]] = {
    "a slot is never released": [(flow, "keeps_slot", _kept_for_ever)],
    "a slot is handed over twice": [(FlowTable, "hand_over", _twice)],
    "nobody looks at slots of a process that has died": [(sweeping, "look_at_leases", _nothing)],
    "the end of an attempt releases nothing": [
        (applying, "release_slots", _nothing),
        (driving, "release_if_over", _nothing),
        (sweeping, "look_at_leases", _nothing),
    ],
    "a run that is inside waits for itself": [(flow, "above", _alone)],
    "nobody is woken who is handed a slot": [
        (flow, "_wake", _nothing),
    ],
}
