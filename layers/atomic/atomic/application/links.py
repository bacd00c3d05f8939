"""Links and the roots that they wait for: a link takes over the outcome of its run, in one write.

A link is a waiter of the root before it looks at the root. A root that settles writes its row before it
reads its waiters. So one of them always sees the other, and no link waits for ever.
"""

from collections import deque
from typing import Final

from atomic.application.engine import Engine
from atomic.application.wait_set import Commit
from atomic.domain.events import LinkMoved, WaiterAdded
from atomic.domain.links import ended_by, failed_by, is_closing, root_of
from atomic.domain.outcomes import Outcome, not_continued
from atomic.domain.steps import Step
from atomic.protocol import keys
from atomic.protocol.error_kinds import ErrorKind

# So many runs are looked at in search of a cycle.
_RUNS_MAX: Final = 1_000


async def on_root_settled(engine: Engine, commit: Commit, link: Step, settled: Step) -> None:
    """The root that a link waits for has settled. A repeat does no harm."""
    if link.is_settled:
        return
    # Once a link was redriven, the outcome that this process knows may be an old one. A run that was
    # continued is waited for by its last root.
    is_current = link.generation == 1 and root_of(link) == settled.id
    root = settled if is_current else await engine.store.get(root_of(link))
    if root is not None:
        await follow(engine, commit, link, root)


async def follow(engine: Engine, commit: Commit, link: Step, root: Step) -> Step:
    """Take over the outcome of the root, or make sure that the root tells the link of it.

    The root must have been read after the link.
    """
    root, _ = await commit(engine, root, WaiterAdded(link.id))
    while root.continued_as is not None:
        following = await engine.store.get(root.continued_as)
        if following is None:
            event = failed_by(link, ErrorKind.CHILD_GONE, keys.run_of(root.continued_as))
            link, _ = await commit(engine, link, event)
            return link
        following, _ = await commit(engine, following, WaiterAdded(link.id))
        link, _ = await commit(engine, link, LinkMoved(link.generation, root.id, following.id))
        root = following
    if root.is_settled:
        link, _ = await commit(engine, link, ended_by(link, root))
    elif is_closing(link, root) and await _waits_for(engine, root.spec.run_id, link.spec.run_id):
        link, _ = await commit(engine, link, failed_by(link, ErrorKind.RUN_CYCLE, root.spec.run_id))
    return link


async def continued(engine: Engine, step: Step, outcome: Outcome) -> Outcome:
    """The outcome of an attempt that names the root that goes on, if this is one: else a failure."""
    following = await engine.store.get(outcome.continued_as or "")
    if not step.is_root:
        return not_continued(outcome.status, "only the root of a run may be continued")
    if following is None or following.spec.continued_from != step.id:
        return not_continued(outcome.status, "names no run that this one has started with `continues`")
    return outcome


async def _waits_for(engine: Engine, run_id: str, wanted: str) -> bool:
    """Whether the run waits for the wanted one, over links of runs in between, or is the same.

    The links that wait for a run are waiters of its root, so the search begins at the wanted run. A link
    becomes a waiter before this is asked. So of the links that close a cycle at the same time, the last one
    sees all others. A new run waits for nothing yet, so a link that has created its run closes no cycle.
    """
    seen, ahead = {wanted}, deque([wanted])
    while ahead and len(seen) < _RUNS_MAX:
        current = ahead.popleft()
        if current == run_id:
            return True
        root = await engine.store.get(keys.root_of(current))
        for waiter_id in () if root is None else keys.steps_among(root.waiters):
            above = keys.run_of(waiter_id)
            if above not in seen and await _is_live_link(engine, waiter_id):
                seen.add(above)
                ahead.append(above)
    return False


async def _is_live_link(engine: Engine, step_id: str) -> bool:
    step = await engine.store.get(step_id)
    return step is not None and step.spec.kind == "run" and not step.is_settled
