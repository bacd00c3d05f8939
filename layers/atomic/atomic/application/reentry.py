"""Reads the steps that a handler posted in earlier attempts, so that nothing is written twice."""

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
    """The step that a handler posted in an earlier attempt; None when it is new. Costs one read.

    A live step costs a second read, of its root, unless this process has read that lately. Raises
    RunCancelled when the run is known to be cancelled.
    """
    step = await engine.store.get(keys.step_id(spec.run_id, spec.identity))
    if step is None or await has_expired(engine, step):
        return None
    now_ms = engine.clock.now_ms()
    known = engine.runs.get(spec.run_id, now_ms)
    if known is None and not step.is_settled:
        known = await engine.runs.look(engine.store, spec.run_id, now_ms)
    if known is not None and known.is_cancelled:
        raise RunCancelled
    return step


async def has_expired(engine: Engine, existing: Step) -> bool:
    """Whether the identity of the step has expired, so that a post of it begins anew."""
    now_ms = engine.clock.now_ms()
    if existing.expires_at_ms is None or existing.expires_at_ms > now_ms or existing.owes:
        return False
    if existing.is_root:
        return True
    return is_outlived(existing, await engine.store.get(keys.root_of(existing.spec.run_id)), now_ms)


async def own_steps(engine: Engine, parent_id: str, *, after: str | None, limit: int) -> ChildPage:
    """A page of the steps that a step's handler has posted. It may lag, and has no expired ones."""
    page = await engine.store.child_steps(
        parent_id, after=after or "", limit=limit, max_bytes=_PAGE_MAX_BYTES
    )
    # An early event lasts as long as the other steps only when its handler has posted it. So it is not
    # listed before, and the handler posts it.
    page = replace(page, steps=[step for step in page.steps if step.early != "unopened"])
    now_ms = engine.clock.now_ms()
    if all(step.expires_at_ms is None or step.expires_at_ms > now_ms for step in page.steps):
        return page
    root = await engine.store.get(keys.root_of(keys.run_of(parent_id)))
    return replace(page, steps=[step for step in page.steps if not is_outlived(step, root, now_ms)])


async def own_step(engine: Engine, parent_id: str, step_id: str) -> ChildPage:
    """One child of a step, read consistently; an empty page when there is no child of this id."""
    step = await engine.store.get(step_id)
    is_posted = step is not None and step.spec.parent == parent_id and step.early != "unopened"
    if step is None or not is_posted or await has_expired(engine, step):
        return ChildPage([], None)
    return ChildPage([step], None)
