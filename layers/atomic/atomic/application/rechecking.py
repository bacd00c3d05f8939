"""Rechecks the steps that a waiting step needs: registers it with each, or wakes it if one has settled.

The waiting step's row is written before the needed steps are read. A step that settles writes its row
before it reads its waiters. So the later one sees the other's write, and no wake-up is lost.
A recheck that is repeated does no harm.
"""

from collections.abc import AsyncIterator, Sequence
from typing import Final

from atomic.application.commit import commit
from atomic.application.engine import Engine
from atomic.application.wakeups import wake_if_overdue
from atomic.domain.events import Rechecked, WaiterAdded, Woken
from atomic.domain.step_errors import timed_out
from atomic.domain.steps import Step, StepOutline
from atomic.protocol.enums import SETTLED, OutcomeKind

_PAGE: Final = 200
# A row has a size limit on every runtime, and any of these wakes the step.
_OWN_MAX: Final = 100
# An event without a deadline is due when somebody completes it.
_NEVER_MS: Final = 2**53


async def recheck(engine: Engine, waiting: Step, *, again: bool = False) -> Step:
    """Ask each step that `waiting` needs to wake it, and wake it at once when one has settled.

    `again`: it has waited for a while. If the wake-up of a needed step was lost with its receiver, only
    this recheck sends another one. Returns the row after the recheck.
    """
    live: list[Step] = []
    if again and timed_out(waiting.attempt_log[-1].error) and waiting.waiting_for:
        # It is called again, whatever the needed steps do.
        event = Rechecked(waiting.attempt_count, waiting.waiting_for, engine.entropy.fraction())
    else:
        async for needed in _needed(engine, waiting, again=again):
            if not needed.is_settled:
                needed, _ = await commit(engine, needed, WaiterAdded(waiting.id))
            if needed.is_settled:
                after, _ = await commit(engine, waiting, Woken())
                return after
            live.append(needed)
            await wake_if_overdue(engine, needed)
        ids = tuple(needed.id for needed in live)
        event = Rechecked(waiting.attempt_count, ids, engine.entropy.fraction(), _idle_until_ms(live))
    after, _ = await commit(engine, waiting, event)
    return after


def _idle_until_ms(needed: Sequence[Step]) -> int | None:
    """When the first of these steps is due, if all of them are timers and events."""
    if any(step.spec.kind == "http" for step in needed):
        return None
    return min((step.due_at_ms for step in needed if step.due_at_ms is not None), default=_NEVER_MS)


async def _needed(engine: Engine, waiting: Step, *, again: bool) -> AsyncIterator[Step]:
    """The steps that it needs: live ones, and those that settled after its last call began."""
    last = waiting.attempt_log[-1]
    since_ms = 0
    if not again and last.outcome is OutcomeKind.SUSPENDED:
        # `finished_at_ms` is set before the row is written, so a step that settled during the previous
        # attempt may still have looked live to this one. If it settled earlier, the handler is wrong.
        since_ms = waiting.attempt_log[-2:][0].started_at_ms
    for step_id in waiting.waiting_for:
        named = await engine.store.get(step_id)
        if named is None or named.spec.client_id != waiting.spec.client_id or named.id == waiting.id:
            continue
        if not named.is_settled or _ended_at_ms(named) >= since_ms:
            yield named
    if last.outcome is OutcomeKind.SUSPENDED:
        return
    async for child in _own(engine, waiting):
        # An attempt that timed out was not told of steps that settled meanwhile. Any other attempt was,
        # unless it had been told before that the same step is unfinished.
        if not child.is_settled or timed_out(last.error) or waiting.id in child.waiters:
            yield child


async def _own(engine: Engine, waiting: Step) -> AsyncIterator[Step]:
    """Its children that were posted with a wait: live ones, and those that settled in its last attempt."""
    began_ms, live, after = waiting.attempt_log[-1].started_at_ms, 0, ""
    while live < _OWN_MAX:
        page = await engine.store.children(waiting.id, after=after, limit=_PAGE)
        for outline in page:
            is_live = outline.status not in SETTLED
            if not outline.awaited or not (is_live or _ended_at_ms(outline) >= began_ms):
                continue
            live += is_live
            child = await engine.store.get(outline.id)
            if child is not None and child.id not in waiting.waiting_for:
                yield child
        if len(page) < _PAGE:
            return
        after = page[-1].id


def _ended_at_ms(step: Step | StepOutline) -> int:
    return -1 if step.finished_at_ms is None else step.finished_at_ms
