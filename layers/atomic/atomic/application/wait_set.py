"""A step that waits for several steps (`Atomic-Wake: all` or `settled`), without a count.

One live step of the set is watched at a time. When it settles, the process that settled it reads the
outlines of the set once, and watches another live one, drawn by lot. When none is left, the wait is
over. Each draw is uniform among the live steps, so N steps take about ln N reads, in any order of settling.

A read that is repeated finds the step that it chose before, so a wake-up that comes twice does not make two
chains of watched steps. The chain does not handle failures: a failed step tells its handler itself.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Final

from atomic.application.engine import Engine
from atomic.domain.events import Event, WaitOver, WatchAdded, Woken
from atomic.domain.outlines import StepOutline, outline_of
from atomic.domain.steps import Step, Watch
from atomic.domain.transitions import Effects
from atomic.protocol import keys
from atomic.protocol.constants import EVERY_CHILD
from atomic.protocol.enums import SETTLED, Status

# A parameter, since this module and `commit` call each other.
Commit = Callable[[Engine, Step, Event], Awaitable[tuple[Step, Effects | None]]]

_PAGE_FIRST: Final = 16
_PAGE_MAX: Final = 400
# Up to so many steps are read one by one. More are looked for among all children of their handler.
_FEW: Final = 50


async def on_watched_settled(engine: Engine, commit: Commit, settled: Step, watch: Watch) -> None:
    """A watched step has settled: watch another one, or wake the waiting step. A repeat does no harm."""
    waiting = await engine.store.get(watch.waiter)
    if waiting is None or waiting.status is not Status.WAITING or waiting.attempt_count != watch.attempt:
        return
    if settled.status is not Status.SUCCEEDED:
        after, _ = await commit(engine, waiting, Woken(settled.id, failed=True))
        if after.status is not Status.WAITING:
            return
    if not await watch_another(engine, commit, waiting, settled.id):
        await commit(engine, waiting, WaitOver(watch.attempt))


async def watch_another(engine: Engine, commit: Commit, waiting: Step, origin: str) -> bool:
    """Watch a live step of the set after the step `origin`; False when no live step is left."""
    watch, live = Watch(waiting.id, waiting.attempt_count, origin), []
    async for member in members(engine, waiting):
        if watch in member.watches:
            return True
        if member.status not in SETTLED:
            live.append(member)
    return await watch_one(engine, commit, watch, live)


async def watch_one(engine: Engine, commit: Commit, watch: Watch, live: Sequence[StepOutline]) -> bool:
    """Watch one of these, drawn by lot; False when all of them have settled by now."""
    for member in sorted(live, key=lambda member: lot_of(member.id, watch)):
        row = await engine.store.get(member.id)
        if row is not None:
            after, _ = await commit(engine, row, WatchAdded(watch))
            if not after.is_settled:
                return True
    return False


def lot_of(step_id: str, watch: Watch) -> str:
    """The lot that a step draws; the lowest one is watched."""
    return keys.lot(step_id, watch.waiter, str(watch.attempt), watch.origin)


async def members(engine: Engine, waiting: Step) -> AsyncIterator[StepOutline]:
    """The outlines of the set."""
    named = frozenset(waiting.waiting_for)
    if named == {EVERY_CHILD}:
        async for child in children(engine, waiting.id):
            yield child
        return
    seen = set()
    if len(named) > _FEW:
        async for child in children(engine, waiting.id):
            if child.id in named:
                seen.add(child.id)
                yield child
    async for member in _one_by_one(engine, waiting, sorted(named - seen)):
        yield member


async def _one_by_one(engine: Engine, waiting: Step, ids: Sequence[str]) -> AsyncIterator[StepOutline]:
    for step_id in ids:
        row = await engine.store.get(step_id)
        if row is not None and row.spec.client_id == waiting.spec.client_id and row.id != waiting.id:
            yield outline_of(row)


async def children(engine: Engine, parent_id: str, after: str = "") -> AsyncIterator[StepOutline]:
    """The children of a step by id, page by page. The first pages are small: callers may need few."""
    limit = _PAGE_FIRST
    while page := await engine.store.children(parent_id, after=after, limit=limit):
        for child in page:
            yield child
        if len(page) < limit:
            return
        after, limit = page[-1].id, min(2 * limit, _PAGE_MAX)
