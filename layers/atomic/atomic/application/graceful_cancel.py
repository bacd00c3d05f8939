"""Cancel a run gracefully: its handlers are told first, and may undo what they did.

Only the row of the root is written at once. Before a handler is told, what it has posted ends or is to be
told: the process that makes the call does this, so a handler that is told finds none of its steps to be
live for long, and none is forgotten by a crash.
"""

from dataclasses import replace

from atomic.application.batches import for_each
from atomic.application.cancel import cancel_run, cancel_with_run
from atomic.application.commit import commit
from atomic.application.engine import Engine
from atomic.application.wait_set import children
from atomic.domain.events import Cancelled, CancelRequested
from atomic.domain.links import must_cancel_run, root_of
from atomic.domain.outcomes import CANCELLED, Outcome
from atomic.domain.steps import Step
from atomic.protocol import keys
from atomic.protocol.constants import WAITING_FOR_MAX
from atomic.protocol.enums import SETTLED, OutcomeKind, Status


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


async def go_on_cancelling(engine: Engine, due: Step, now_ms: int) -> bool:
    """Go on with the cancel of a step that is due; whether nothing is called for it any more."""
    if due.cancel_by_ms is not None and due.cancel_by_ms <= now_ms:
        await cancel_run(engine, due.spec.run_id)
        return True
    if due.cancelling == "recalled":
        return False
    if due.cancelling == "last" and not await _has_posted(engine, due):
        # Its last attempt has failed, was lost, or was not made, and has posted nothing.
        await commit(engine, due, Cancelled())
        return True
    await request_cancel_below(engine, due)
    return False


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
            is_handler = step.spec.kind == "http" and await _has_posted(engine, step)
            await commit(engine, step, CancelRequested(by_ms, is_handler))

    await for_each([child.id for child in live], request)


async def _request_of_link(engine: Engine, link: Step, by_ms: int) -> None:
    """Cancel the run that a link has started in the same way; the link waits for it. Other links end."""
    root = await engine.store.get(root_of(link))
    if root is None or root.spec.started_by != link.id or not must_cancel_run(link, CANCELLED):
        await cancel_with_run(engine, link, Cancelled())
        return
    await commit(engine, link, CancelRequested(by_ms, is_handler=False))
    asked = await cancel_gracefully(engine, root.spec.run_id, max(1, by_ms - engine.clock.now_ms()))
    if asked is not None:
        # The link may not know yet that its run goes on as another one.
        await finish_cancel(engine, replace(asked, cancel_by_ms=by_ms))


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


async def finish_cancel(engine: Engine, ended: Step) -> None:
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


async def _has_posted(engine: Engine, step: Step) -> bool:
    """Whether a step was posted below this one."""
    async for _ in children(engine, step.id):
        return True
    return False
