"""Rechecks the steps that a waiting step needs: registers it with each, or wakes it if one has settled.

The waiting step's row is written before the needed steps are read. A step that settles writes its row
before it reads its waiters. So the later one sees the other's write, and no wake-up is lost.
A recheck that is repeated does no harm.

A handler may wait until a whole set of steps has settled. Then one step is watched at a time (`wait_set`).
"""

from collections.abc import AsyncIterator, Sequence
from typing import Final, NamedTuple

from atomic.application.commit import commit
from atomic.application.engine import Engine
from atomic.application.wait_set import children, members, watch_one
from atomic.application.wakeups import wake_if_overdue
from atomic.domain.endings import may_have_more_to_do
from atomic.domain.events import Rechecked, WaiterAdded, WaitOver, Woken
from atomic.domain.outcomes import timed_out
from atomic.domain.outlines import StepOutline, outline_of
from atomic.domain.steps import Step, Watch
from atomic.protocol import keys
from atomic.protocol.constants import EVERY_CHILD, WAITING_FOR_MAX
from atomic.protocol.enums import SETTLED, OutcomeKind

# A row has a size limit on every runtime, so it names only so many steps. Any of them wakes the step.
_OWN_MAX: Final = 100
# The results that a handler reads may be this old. Meanwhile a handler that waits is called again at once.
_RESULTS_BEHIND_MS: Final = 1_000
# An event without a deadline is due when somebody completes it.
_NEVER_MS: Final = 2**53


async def recheck(engine: Engine, waiting: Step, *, again: bool = False, named: Sequence[str] = ()) -> Step:
    """Ask each step that `waiting` needs to wake it, and wake it at once when one has settled.

    `again`: the step has waited for a while. If the wake-up of a needed step was lost with its receiver,
    only this recheck sends another one. `named`: the steps that its handler has just named, of which the
    row keeps the first ones. Returns the row after the recheck.
    """
    if len(named) > WAITING_FOR_MAX and await _are_all_live(engine, waiting, frozenset(named)):
        event = Rechecked(waiting.attempt_count, (EVERY_CHILD,), engine.entropy.fraction())
        waiting, _ = await commit(engine, waiting, event)
    if waiting.wake is not None:
        return await _recheck_set(engine, waiting, again=again)
    live: list[Step] = []
    if again and may_have_more_to_do(waiting) and waiting.waiting_for:
        # The handler is called again, whatever the needed steps do.
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
        event = _rechecked(engine, waiting, [outline_of(step) for step in live])
    after, _ = await commit(engine, waiting, event)
    return after


async def _are_all_live(engine: Engine, waiting: Step, named: frozenset[str]) -> bool:
    """Whether these steps are children of `waiting`, and no other child is live: then they are `*`."""
    if not all(keys.is_in_children_range(waiting.id, each) for each in named):
        return False
    async for child in children(engine, waiting.id):
        if child.status not in SETTLED and child.id not in named:
            return False
    return True


class _Survey(NamedTuple):
    """The state of a set. `is_over`: nothing is left to wait for. `is_watched`: a live step is watched."""

    live: list[StepOutline]
    is_over: bool
    is_watched: bool


async def _recheck_set(engine: Engine, waiting: Step, *, again: bool) -> Step:
    """Read the whole set, when the wait begins and at each recheck, and watch one of its live steps."""
    found = await _survey(engine, waiting, again=again)
    is_over = found.is_over
    if found.live and not (is_over or found.is_watched):
        # A crash may have ended the chain. A new chain must not find the step that the old one chose first,
        # so it draws other lots.
        origin = str(waiting.due_at_ms) if again else ""
        watch = Watch(waiting.id, waiting.attempt_count, origin)
        is_over = not await watch_one(engine, commit, watch, found.live)
    if is_over:
        after, _ = await commit(engine, waiting, WaitOver(waiting.attempt_count))
        return after
    now_ms = engine.clock.now_ms()
    for member in found.live:
        is_overdue = member.due_at_ms is not None and member.due_at_ms < now_ms
        # A step that another handler posted does not tell this one when it fails.
        is_of_another = waiting.wake == "all" and member.parent != waiting.id
        if not (is_overdue or is_of_another):
            continue
        row = await engine.store.get(member.id)
        if row is not None and is_of_another:
            row, _ = await commit(engine, row, WaiterAdded(waiting.id))
        if row is not None and is_of_another and outline_of(row).has_failed:
            after, _ = await commit(engine, waiting, WaitOver(waiting.attempt_count))
            return after
        if row is not None:
            await wake_if_overdue(engine, row)
    after, _ = await commit(engine, waiting, _rechecked(engine, waiting, found.live))
    return after


async def _survey(engine: Engine, waiting: Step, *, again: bool) -> _Survey:
    live: list[StepOutline] = []
    is_watched = has_settled = False
    async for member in members(engine, waiting):
        is_missed = _is_missed(waiting, member)
        if member.status not in SETTLED:
            live.append(member)
            watches = member.watches
            is_watched |= any((w.waiter, w.attempt) == (waiting.id, waiting.attempt_count) for w in watches)
        elif waiting.wake == "all" and member.has_failed and is_missed and _may_be_unseen(waiting, member):
            return _Survey([], is_over=True, is_watched=False)
        else:
            has_settled |= again or is_missed
    return _Survey(live, is_over=has_settled and not live, is_watched=is_watched)


def _may_be_unseen(waiting: Step, member: StepOutline) -> bool:
    """Whether the handler may not know that the step has failed. A step that it named looked live to it.

    With `*`, the handler named none. A child that failed during the attempt left a mark on its row.
    """
    if waiting.waiting_for != (EVERY_CHILD,) or waiting.failed_meanwhile:
        return True
    return _ended_at_ms(member) > waiting.attempt_log[-1].started_at_ms


def _rechecked(engine: Engine, waiting: Step, live: Sequence[StepOutline]) -> Rechecked:
    """The recheck of a set. The row keeps the set as it was named, so that the row does not grow."""
    names_stay = live and (waiting.wake is not None or waiting.waiting_for == (EVERY_CHILD,))
    ids = waiting.waiting_for if names_stay else tuple(step.id for step in live)
    return Rechecked(waiting.attempt_count, ids, engine.entropy.fraction(), _idle_until_ms(live))


def _idle_until_ms(live: Sequence[StepOutline]) -> int | None:
    """When the first of these steps is due, if all of them are timers and events."""
    if any(step.calls for step in live):
        return None
    return min((step.due_at_ms for step in live if step.due_at_ms is not None), default=_NEVER_MS)


async def _needed(engine: Engine, waiting: Step, *, again: bool) -> AsyncIterator[Step]:
    """The steps that `waiting` needs: live ones, and those that settled after its last call began."""
    last = waiting.attempt_log[-1]
    if waiting.waiting_for == (EVERY_CHILD,):
        async for child in _every_child(engine, waiting, again=again):
            yield child
        return
    async for named in _named(engine, waiting, again=again):
        yield named
    if last.outcome is OutcomeKind.SUSPENDED:
        return
    async for child in _own(engine, waiting):
        # An attempt that timed out was not told of steps that settled meanwhile. Any other attempt was
        # told of them, except of a step that it was told before is unfinished.
        if not child.is_settled or timed_out(last.error) or waiting.id in child.waiters:
            yield child


async def _named(engine: Engine, waiting: Step, *, again: bool) -> AsyncIterator[Step]:
    # A handler that suspended itself must not name a step that it has certainly seen settle.
    is_strict = not again and waiting.attempt_log[-1].outcome is OutcomeKind.SUSPENDED
    for step_id in waiting.waiting_for:
        named = await engine.store.get(step_id)
        if named is None or named.spec.client_id != waiting.spec.client_id or named.id == waiting.id:
            continue
        if not (named.is_settled and is_strict) or _is_missed(waiting, outline_of(named)):
            yield named


def _is_missed(waiting: Step, needed: StepOutline) -> bool:
    """Whether a step may have settled unseen by the last attempt.

    A handler may have found its own steps in results that were a moment old, even when it was called
    because one of these steps had settled.
    """
    since_ms = _missed_since_ms(waiting)
    if needed.parent == waiting.id:
        since_ms = min(since_ms, waiting.attempt_log[-1].started_at_ms - _RESULTS_BEHIND_MS)
    return _ended_at_ms(needed) >= since_ms


def _missed_since_ms(waiting: Step) -> int:
    """The time since which a step may have settled unseen by the last attempt.

    `finished_at_ms` is set before the row is written, so a step that settled during the attempt before may
    still have looked live to the last attempt.
    """
    return waiting.attempt_log[-2:][0].started_at_ms


async def _every_child(engine: Engine, waiting: Step, *, again: bool) -> AsyncIterator[Step]:
    """The live children of `waiting`, and those that may have settled unseen.

    The handler names no ids. So a child that it has seen settle must not wake it a second time.
    """
    is_first = len(waiting.attempt_log) == 1
    since_ms = _missed_since_ms(waiting) if again or is_first else waiting.attempt_log[-1].started_at_ms + 1
    async for outline in children(engine, waiting.id):
        if outline.status not in SETTLED or _ended_at_ms(outline) >= since_ms:
            child = await engine.store.get(outline.id)
            if child is not None:
                yield child


async def _own(engine: Engine, waiting: Step) -> AsyncIterator[Step]:
    """The children that were posted with a wait: live ones, and those that settled in the last attempt."""
    began_ms, live = waiting.attempt_log[-1].started_at_ms, 0
    async for outline in children(engine, waiting.id):
        is_live = outline.status not in SETTLED
        if not outline.awaited or not (is_live or _ended_at_ms(outline) >= began_ms):
            continue
        live += is_live
        child = await engine.store.get(outline.id)
        if child is not None and child.id not in waiting.waiting_for:
            yield child
        if live >= _OWN_MAX:
            return


def _ended_at_ms(step: Step | StepOutline) -> int:
    return -1 if step.finished_at_ms is None else step.finished_at_ms
