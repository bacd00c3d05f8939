"""Cancel: every live step of a run ends, callers are told, late answers change nothing."""

from atomic.application.apply import apply
from atomic.application.engine import Engine
from atomic.domain.events import Cancelled
from atomic.domain.steps import SETTLED, Status
from atomic.protocol import keys


async def cancel_run(engine: Engine, run_id: str) -> None:
    """Cancel the run, its root first so that nothing wakes it. Doing it again changes nothing.

    A run whose root has ended otherwise keeps that end, and may be redriven and take steps again.
    """
    root = await engine.store.get(keys.root_of(run_id))
    if root is not None:
        root, _ = await apply(engine, root, Cancelled())
        if root.status is Status.CANCELLED:
            engine.runs.cancelled(run_id)
    # A handler may post a step while we look; what it posts after its root is cancelled is refused.
    while live := await _live_ids(engine, run_id):
        for step_id in live:
            step = await engine.store.get(step_id)
            if step is not None:
                await apply(engine, step, Cancelled())


async def _live_ids(engine: Engine, run_id: str) -> list[str]:
    outline = await engine.store.outline(run_id)
    return [step.id for step in outline if step.status not in SETTLED]
