"""Cancel: every live step of a run ends, callers are told, late answers change nothing."""

from atomic.application.batches import for_each
from atomic.application.commit import commit
from atomic.application.engine import Engine
from atomic.application.leftovers import ended_with
from atomic.application.ports import StoreUnavailable
from atomic.domain.events import Cancelled
from atomic.protocol import keys
from atomic.protocol.enums import SETTLED, Status


async def cancel_run(engine: Engine, run_id: str) -> None:
    """Cancel the run, its root first so that nothing wakes it. Doing it again changes nothing.

    Once the root is cancelled, this process calls no endpoint of the run. If this call does not finish,
    each live step is cancelled when it is next due (`leftovers`).
    A run whose root has ended otherwise keeps that end, and may be redriven and take steps again.
    """
    event = Cancelled()
    root = await engine.store.get(keys.root_of(run_id))
    if root is not None:
        try:
            root, _ = await commit(engine, root, event)
        except StoreUnavailable:
            # The root may be cancelled by now, so it has to be read again before anything is called.
            engine.runs.forget(run_id)
            raise
        if root.status is Status.CANCELLED:
            event = ended_with(engine.runs.remember(root, engine.clock.now_ms()))

    async def cancel(step_id: str) -> None:
        step = await engine.store.get(step_id)
        if step is not None:
            await commit(engine, step, event)

    # A handler may post a step meanwhile; a step posted after the root was cancelled is refused.
    while live := await _live_ids(engine, run_id):
        await for_each(live, cancel)


async def _live_ids(engine: Engine, run_id: str) -> list[str]:
    outline = await engine.store.outline(run_id)
    return [step.id for step in outline if step.status not in SETTLED]
