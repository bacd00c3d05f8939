"""Redrive: a fresh budget of attempts for what gave up."""

from atomic.application.apply import apply
from atomic.application.engine import Engine
from atomic.application.ports import RunQuery
from atomic.domain.events import Redriven
from atomic.domain.steps import Status, Step


async def redrive_step(engine: Engine, step: Step) -> Step:
    """Redrive a dead letter so that its run goes on; a step that did not fail is left as it is.

    A failed step takes the failed steps above it along: they failed because of it. A root takes every
    failed step of its run along: called again, it would only be told again that they failed.
    """
    if step.status is not Status.FAILED:
        if step.generation > 1:
            # Whoever redrove it may have died before the steps above it were taken along.
            await _redrive_above(engine, step)
        return step
    if step.is_root:
        for other in await engine.store.outline(step.spec.run_id):
            if other.status is Status.FAILED and other.id != step.id:
                await _redrive(engine, other.id)
    after, _ = await apply(engine, step, Redriven(step.generation))
    await _redrive_above(engine, after)
    return after


async def redrive_many(engine: Engine, query: RunQuery) -> tuple[list[str], bool]:
    """Redrive the dead letters that fit: their ids, and whether there may be more than the limit."""
    ids = list(await engine.store.failed(query))
    redriven = []
    for step_id in ids:
        step = await engine.store.get(step_id)
        if step is not None and step.status is Status.FAILED:
            await redrive_step(engine, step)
            redriven.append(step_id)
    return redriven, len(ids) == query.limit


async def _redrive_above(engine: Engine, step: Step) -> None:
    boss_id = step.boss
    while boss_id is not None:
        boss = await _redrive(engine, boss_id)
        boss_id = boss.boss if boss is not None else None


async def _redrive(engine: Engine, step_id: str) -> Step | None:
    step = await engine.store.get(step_id)
    if step is not None and step.status is Status.FAILED:
        step, _ = await apply(engine, step, Redriven(step.generation))
    return step
