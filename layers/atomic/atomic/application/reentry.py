"""A handler that is called again: what it has posted before is read, so that nothing is written twice."""

from dataclasses import replace
from typing import Final

from atomic.application.child_steps import ChildPage
from atomic.application.engine import Engine
from atomic.application.refusals import RunCancelled
from atomic.domain.leftovers import is_outlived
from atomic.domain.steps import Step, StepSpec
from atomic.protocol import keys

# As much as one answer of an API function may have.
_PAGE_MAX_BYTES: Final = 2_000_000


async def posted_before(engine: Engine, spec: StepSpec) -> Step | None:
    """The step that a handler has posted in an earlier attempt: one read; None when it is new.

    Raises RunCancelled when the run is known to be cancelled. Whether a step that is still live may go on
    takes a look at its root, if this process has not seen that lately.
    """
    step = await engine.store.get(keys.step_id(spec.run_id, spec.identity))
    if step is None or await is_forgotten(engine, step):
        return None
    now_ms = engine.clock.now_ms()
    known = engine.runs.get(spec.run_id, now_ms)
    if known is None and not step.is_settled:
        known = await engine.runs.look(engine.store, spec.run_id, now_ms)
    if known is not None and known.is_cancelled:
        raise RunCancelled
    return step


async def is_forgotten(engine: Engine, existing: Step) -> bool:
    """Whether the identity of the step has expired, so that a post of it begins anew."""
    now_ms = engine.clock.now_ms()
    if existing.expires_at_ms is None or existing.expires_at_ms > now_ms:
        return False
    if existing.is_root:
        return True
    return is_outlived(existing, await engine.store.get(keys.root_of(existing.spec.run_id)), now_ms)


async def own_steps(engine: Engine, parent_id: str, *, after: str | None, limit: int) -> ChildPage:
    """A page of a step's own steps, as posts of them would find them, perhaps a moment ago."""
    page = await engine.store.child_steps(
        parent_id, after=after or "", limit=limit, max_bytes=_PAGE_MAX_BYTES
    )
    now_ms = engine.clock.now_ms()
    if all(step.expires_at_ms is None or step.expires_at_ms > now_ms for step in page.steps):
        return page
    root = await engine.store.get(keys.root_of(keys.run_of(parent_id)))
    return replace(page, steps=[step for step in page.steps if not is_outlived(step, root, now_ms)])


async def own_step(engine: Engine, parent_id: str, step_id: str) -> ChildPage:
    """One of a step's own steps as it stands now; nothing when there is none of this id."""
    step = await engine.store.get(step_id)
    if step is None or step.spec.parent != parent_id or await is_forgotten(engine, step):
        return ChildPage([], None)
    return ChildPage([step], None)
