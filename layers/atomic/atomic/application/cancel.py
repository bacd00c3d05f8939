"""Cancel a run, or one step of it: live steps end, callers are told, late answers change nothing.

A graceful cancel of a run tells its handlers first. Only the row of the root is written at once. Before a
handler is told, what it has posted ends or is to be told: the process that makes the call does this, so a
handler that is told finds none of its steps to be live for long, and none is forgotten by a crash.
"""

from dataclasses import replace

from atomic.application.batches import for_each
from atomic.application.commit import Committed, commit
from atomic.application.engine import Engine
from atomic.application.leftovers import ended_with
from atomic.application.ports import StoreUnavailable
from atomic.application.refusals import IsRoot
from atomic.application.wait_set import children
from atomic.application.wakeups import ensure_waiters_are_told, wake_waiters_again
from atomic.domain.events import Cancelled, CancelRequested, LinkEnded
from atomic.domain.links import is_called_off, must_cancel_run, root_of
from atomic.domain.outcomes import CANCELLED, STEP_CANCELLED, Outcome, is_step_cancelled
from atomic.domain.steps import Step
from atomic.protocol import keys
from atomic.protocol.constants import WAITING_FOR_MAX
from atomic.protocol.enums import SETTLED, OutcomeKind, Status


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
            await _cancel(engine, step, event)

    # A handler may post a step meanwhile; a step posted after the root was cancelled is refused.
    while live := await _live_ids(engine, run_id):
        await for_each(live, cancel)


async def cancel_gracefully(engine: Engine, run_id: str, within_ms: int) -> Step | None:
    """Let the handlers of the run undo what they did, and cancel what is live after `within_ms`.

    A second graceful cancel changes nothing. A run whose root was never called is cancelled at once.
    Returns the root as it then stands.
    """
    root = await engine.store.get(keys.root_of(run_id))
    if root is not None:
        event = CancelRequested(engine.clock.now_ms() + within_ms, is_handler=True)
        root, _ = await commit(engine, root, event)
        if root.status is Status.CANCELLED:
            await cancel_run(engine, run_id)
    return root


async def cancel_ended(engine: Engine, ended: Step) -> None:
    """Do what is left of a graceful cancel when a handler has ended. A second call changes nothing.

    A root that has ended as cancelled leaves nothing live. One that goes on instead passes the cancel on.
    """
    if ended.is_root and ended.status is Status.CANCELLED:
        await cancel_run(engine, ended.spec.run_id)
    by_ms, root = ended.cancel_by_ms, ended if ended.is_settled else None
    while by_ms is not None and root is not None and root.continued_as is not None:
        within_ms = max(1, by_ms - engine.clock.now_ms())
        await cancel_gracefully(engine, keys.run_of(root.continued_as), within_ms)
        root = await engine.store.get(root.continued_as)


async def request_cancel_below(engine: Engine, handler: Step) -> None:
    """Before a handler is told: request the cancel of each live step that it has posted.

    The list is read before the handler's row. If the row shows that nobody has told the handler by then,
    the list has no step that undoes anything.
    """
    live = [child async for child in children(engine, handler.id) if child.status not in SETTLED]
    newer = await engine.store.get(handler.id)
    if newer is None or newer.cancelling != handler.cancelling or newer.cancel_by_ms is None:
        return
    by_ms = newer.cancel_by_ms

    async def request(step_id: str) -> None:
        step = await engine.store.get(step_id)
        if step is not None and step.spec.kind == "run":
            await _request_of_link(engine, step, by_ms)
        elif step is not None:
            is_handler = step.spec.kind == "http" and await has_posted(engine, step)
            await commit(engine, step, CancelRequested(by_ms, is_handler))

    await for_each([child.id for child in live], request)


async def held_back(engine: Engine, told: Step, outcome: Outcome) -> Outcome:
    """The outcome of an attempt that says that it has ended because of the cancel.

    Steps that this handler has posted may still undo what they did, or what it did itself. The handler may
    not wait for them: it may have started several runs, or one of several undos that it waits for may have
    failed. Then this is a suspension until all of these have settled. Timers and events undo nothing.
    """
    below = children(engine, told.id)
    live = [child.id async for child in below if child.status not in SETTLED]
    steps = [await engine.store.get(step_id) for step_id in live]
    going_on = [step.id for step in steps if step is not None and _may_undo(step)]
    if not going_on:
        return outcome
    names = tuple(going_on[:WAITING_FOR_MAX])
    return replace(
        outcome, kind=OutcomeKind.SUSPENDED, error=None, cancelled=False, waiting_for=names, wake="settled"
    )


def _may_undo(step: Step) -> bool:
    return not step.is_settled and (step.spec.kind == "http" or must_cancel_run(step, CANCELLED))


async def _request_of_link(engine: Engine, link: Step, by_ms: int) -> None:
    """Cancel the run that a link has started in the same way; the link waits for it. Other links end."""
    root = await engine.store.get(root_of(link))
    if root is None or root.spec.started_by != link.id or not must_cancel_run(link, CANCELLED):
        await _cancel(engine, link, Cancelled())
        return
    await commit(engine, link, CancelRequested(by_ms, is_handler=False))
    asked = await cancel_gracefully(engine, root.spec.run_id, max(1, by_ms - engine.clock.now_ms()))
    if asked is not None:
        # The link may not know yet that its run goes on as another one.
        await cancel_ended(engine, replace(asked, cancel_by_ms=by_ms))


async def has_posted(engine: Engine, step: Step) -> bool:
    """Whether a step was posted below this one."""
    async for _ in children(engine, step.id):
        return True
    return False


async def cancel_step(engine: Engine, step: Step) -> Step:
    """Cancel one step and all live steps below it; a step that has ended stays as it is.

    The step itself is first, so that nothing is called for it any more. Raises IsRoot for a run's root.
    """
    if step.is_root:
        raise IsRoot(step.spec.run_id)
    await ensure_waiters_are_told(engine, step, succeeds=False)
    after, effects = await _cancel(engine, step, Cancelled(STEP_CANCELLED))
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
    after, _ = await _cancel(engine, step, Cancelled(STEP_CANCELLED))
    if is_step_cancelled(after.error):
        engine.runs.remember_cancelled_step(after)


async def _cancel(engine: Engine, step: Step, event: Cancelled) -> Committed:
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
