"""Redrive: a fresh budget of attempts for dead letters."""

from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import replace

from atomic.application.batches import for_each
from atomic.application.cancel import cancel_run
from atomic.application.commit import commit
from atomic.application.engine import Engine
from atomic.application.leftovers import resume
from atomic.application.lineage import Lineage
from atomic.application.queries import Conditions, dead_letters
from atomic.application.refusals import Busy, NotRedrivableStep
from atomic.application.run_query import Cursor, RunQuery
from atomic.application.singletons import may_redrive
from atomic.domain.events import Redriven
from atomic.domain.leftovers import not_redrivable_reason
from atomic.domain.links import failed_with_run, root_of
from atomic.domain.steps import Step
from atomic.protocol import keys
from atomic.protocol.enums import Status


async def redrive_step(engine: Engine, step: Step, *, takes_run: bool = True) -> Step:
    """Redrive a dead letter so that its run goes on; a step that did not fail is left as it is.

    The failed ancestors of the step are redriven with it, because they failed because of it. With a root,
    every failed step of its run is redriven. Otherwise the root would be called and told again that they
    failed. The run that a failed link has started is redriven before the link (`takes_run`), and links with
    the run that they wait for. Raises NotRedrivableStep for a dead letter that no handler needs any more,
    and Busy when another run has the key of its singleton.
    """
    lineage = Lineage(engine.store)
    ancestors = await lineage.ancestors(step)
    if step.status is not Status.FAILED:
        if step.generation > 1:
            # The process that redrove it may have ended before it redrove the ancestors.
            await _redrive_all(engine, lineage, [parent.id for parent in ancestors])
            await _redrive_links(engine, ancestors[-1] if ancestors else step)
        return step
    if why := not_redrivable_reason(step, ancestors):
        newer = await engine.store.get(step.id)
        if newer is not None and newer.version != step.version:
            # Another redrive came first and the run has succeeded by now: our row was old.
            return await redrive_step(engine, newer, takes_run=takes_run)
        raise NotRedrivableStep(why)
    await may_redrive(engine, ancestors[-1] if ancestors else step)
    if takes_run:
        await _redrive_child_run(engine, step)
    return await _redrive(engine, lineage, step, ancestors)


async def redrive_many(
    engine: Engine, query: RunQuery, *, failed_before_ms: int | None = None
) -> tuple[list[str], bool]:
    """Redrive the dead letters that fit: their ids, and whether there may be more than the limit.

    Dead letters that no handler needs any more are skipped.
    """
    redriven: list[str] = []
    async for step in _dead_letters(engine, query):
        if await _redrive_if_needed(engine, step, failed_before_ms):
            redriven.append(step.id)
        if len(redriven) == query.limit:
            return redriven, True
    return redriven, False


async def redrive_tagged(
    engine: Engine, query: RunQuery, tags: tuple[str, ...], *, failed_before_ms: int | None = None
) -> tuple[list[str], Cursor | None]:
    """The same for those whose runs have these tags: their ids, and where the next page begins.

    A page is one of the list of dead letters, so it reads a bounded number of rows.
    """
    letters, after = await dead_letters(engine, query, Conditions(tags=tags))
    redriven = [
        letter.step.id
        for letter in letters
        if await _redrive_if_needed(engine, letter.step, failed_before_ms)
    ]
    return redriven, after


async def _redrive_if_needed(engine: Engine, step: Step, failed_before_ms: int | None) -> bool:
    """Redrive a dead letter, unless no handler needs it any more; whether it was redriven."""
    if failed_before_ms is not None and (step.finished_at_ms or 0) >= failed_before_ms:
        return False
    lineage = Lineage(engine.store)
    ancestors = await lineage.ancestors(step)
    if not_redrivable_reason(step, ancestors):
        return False
    try:
        await may_redrive(engine, ancestors[-1] if ancestors else step)
        await _redrive(engine, lineage, step, ancestors)
    except Busy:
        return False
    return True


async def _dead_letters(engine: Engine, query: RunQuery) -> AsyncIterator[Step]:
    """The dead letters of all pages, so that skipped ones do not hide the others."""
    while ids := await engine.store.failed(query):
        before = query
        for step_id in ids:
            step = await engine.store.get(step_id)
            if step is None:
                continue
            query = replace(query, after=(step.created_at_ms, step.id))
            if step.is_dead_letter:
                yield step
        if len(ids) < query.limit or query == before:
            return


async def _redrive(engine: Engine, lineage: Lineage, step: Step, ancestors: Sequence[Step]) -> Step:
    if step.is_root:
        outline = await engine.store.outline(step.spec.run_id)
        failed = [other.id for other in outline if other.status is Status.FAILED and other.id != step.id]
        await _redrive_all(engine, lineage, failed)
    after, _ = await commit(engine, step, Redriven(step.generation))
    await _redrive_all(engine, lineage, [parent.id for parent in ancestors])
    root = await engine.store.get(keys.root_of(step.spec.run_id))
    if root is not None and root.status is Status.CANCELLED:
        # The run was cancelled between our read and our write, and the cancel did not see the step live.
        await cancel_run(engine, step.spec.run_id)
    elif (ancestors[-1] if ancestors else step).status is Status.FAILED:
        await _resume_events(engine, step.spec.run_id)
    if root is not None and not root.is_settled:
        await _redrive_links(engine, root)
    return after


async def _redrive_child_run(engine: Engine, link: Step) -> None:
    """Redrive the run of a link that is about to be redriven, so that it does not find the old end.

    A link that failed for a reason of its own (a cycle, another payload) has no claim on that run.
    """
    if not failed_with_run(link):
        return
    root = await engine.store.get(root_of(link))
    if root is not None and root.status is Status.FAILED:
        await redrive_step(engine, root)


async def _redrive_links(engine: Engine, root: Step) -> None:
    """Redrive the links that failed because this run failed, unless no handler needs them any more."""
    for waiter_id in keys.steps_among(root.waiters):
        link = await engine.store.get(waiter_id)
        if link is not None and failed_with_run(link):
            with suppress(NotRedrivableStep, Busy):
                await redrive_step(engine, link, takes_run=False)


async def _resume_events(engine: Engine, run_id: str) -> None:
    """Start the deadlines of the run's events again, since the failed run goes on."""

    async def look(step_id: str) -> None:
        step = await engine.store.get(step_id)
        if step is not None:
            await resume(engine, step)

    outline = await engine.store.outline(run_id)
    await for_each([other.id for other in outline if other.status is Status.PENDING], look)


async def _redrive_all(engine: Engine, lineage: Lineage, ids: Sequence[str]) -> None:
    for step_id in ids:
        # Read the row again: this step may have failed because of the step that was redriven just now.
        step = await engine.store.get(step_id)
        if (
            step is None
            or step.status is not Status.FAILED
            or not_redrivable_reason(step, await lineage.ancestors(step))
        ):
            continue
        await _redrive_child_run(engine, step)
        await commit(engine, step, Redriven(step.generation))
