"""Cancel a run or one step at once: live steps end, callers are told, late answers change nothing."""

from atomic.application.batches import for_each
from atomic.application.commit import Committed, commit
from atomic.application.engine import Engine
from atomic.application.leftovers import ended_with
from atomic.application.ports import StoreUnavailable
from atomic.application.refusals import IsRoot
from atomic.application.wait_set import children
from atomic.application.wakeups import ensure_waiters_are_told, wake_waiters_again
from atomic.domain.events import Cancelled, LinkEnded
from atomic.domain.links import is_called_off, root_of
from atomic.domain.outcomes import STEP_CANCELLED, is_step_cancelled
from atomic.domain.steps import Step
from atomic.protocol import keys
from atomic.protocol.enums import SETTLED, Status


async def cancel_run(engine: Engine, run_id: str) -> None:
    """Cancel the run. Its root is first, so that nothing wakes it. A second cancel changes nothing.

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
            await cancel_with_run(engine, step, event)

    # A handler may post a step meanwhile; a step posted after the root was cancelled is refused.
    while live := await _live_ids(engine, run_id):
        await for_each(live, cancel)


async def cancel_step(engine: Engine, step: Step) -> Step:
    """Cancel one step and all live steps below it; a step that has ended stays as it is.

    The step itself is first, so that nothing is called for it any more. Raises IsRoot for a run's root.
    """
    if step.is_root:
        raise IsRoot(step.spec.run_id)
    await ensure_waiters_are_told(engine, step, succeeds=False)
    after, effects = await cancel_with_run(engine, step, Cancelled(STEP_CANCELLED))
    if is_step_cancelled(after.error):
        await cancel_below(engine, after)
        if effects is None:
            await wake_waiters_again(engine, after)
    return after


async def cancel_below(engine: Engine, cancelled: Step) -> None:
    """Cancel the live steps below a step that was cancelled. A second call changes nothing.

    An attempt may go on in another process and post more steps. The process that gets its answer, or takes
    the step's last wake-up, cancels them.
    """
    engine.runs.remember_cancelled_step(cancelled)
    level, seen = [cancelled.id], {cancelled.id}
    while level:
        below: list[str] = []

        async def cancel_children(handler_id: str, below: list[str] = below) -> None:
            async for child in children(engine, handler_id):
                if child.status not in SETTLED:
                    await _cancel_one(engine, child.id)
                # A settled step may have left live steps. The caller names the parent, so a step may
                # be below itself.
                if child.calls and child.id not in seen:
                    seen.add(child.id)
                    below.append(child.id)

        await for_each(level, cancel_children)
        level = below


async def _cancel_one(engine: Engine, step_id: str) -> None:
    step = await engine.store.get(step_id)
    if step is None:
        return
    after, _ = await cancel_with_run(engine, step, Cancelled(STEP_CANCELLED))
    if is_step_cancelled(after.error):
        engine.runs.remember_cancelled_step(after)


async def cancel_with_run(engine: Engine, step: Step, event: Cancelled) -> Committed:
    """Cancel the step, and the run that it has started."""
    after, effects = await commit(engine, step, event)
    if is_called_off(after) and not after.is_settled:
        after = await end_called_off(engine, after)
    return Committed(after, effects)


async def end_called_off(engine: Engine, link: Step) -> Step:
    """Cancel the run that a link has started, then end the link. If this is interrupted, the link is due.

    A run that was started otherwise goes on. A run that is created only now asks its link before its first
    call (`attempts`).
    """
    root = await engine.store.get(root_of(link))
    while root is not None and root.spec.started_by == link.id:
        if not root.is_settled:
            await cancel_run(engine, root.spec.run_id)
            # It may have been continued just before.
            root = await engine.store.get(root.id)
        if root is None or root.continued_as is None:
            break
        root = await engine.store.get(root.continued_as)
    after, _ = await commit(engine, link, LinkEnded(link.generation, Status.CANCELLED))
    return after


async def _live_ids(engine: Engine, run_id: str) -> list[str]:
    outline = await engine.store.outline(run_id)
    return [step.id for step in outline if step.status not in SETTLED]
