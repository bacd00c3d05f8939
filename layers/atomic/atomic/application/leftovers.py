"""Live steps of runs that have ended: when such a step is due, it is ended and nothing is called.

A run ends without reading its other steps: there may be many, and others may be posted at the same moment.
A cancel settles them, but it may be interrupted.
"""

from atomic.application.commit import commit
from atomic.application.engine import CachedRun, Engine
from atomic.domain.event_steps import limits_from_now
from atomic.domain.events import Cancelled, Rescheduled
from atomic.domain.leftovers import is_forgotten, is_left_over
from atomic.domain.links import may_lack_run
from atomic.domain.outcomes import CANCELLED, StepError
from atomic.domain.steps import Step
from atomic.protocol import keys
from atomic.protocol.enums import Status
from atomic.protocol.error_kinds import ErrorKind


async def is_over(engine: Engine, due: Step) -> bool:
    """Whether a due step needs no more work because its run has ended."""
    if due.is_root or due.spec.kind == "timer":
        # A due timer settles anyway, so its root need not be read.
        return False
    step = await end_if_left_over(engine, due)
    return step.is_settled or (step.spec.kind == "event" and await _rests(engine, step))


async def end_if_left_over(engine: Engine, step: Step) -> Step:
    """End a live step if its run has ended; the step as it then stands."""
    if step.is_settled or step.is_root:
        return step
    now_ms = engine.clock.now_ms()
    run = await engine.runs.find(engine.store, step.spec.run_id, now_ms)
    calls = step.spec.kind == "http" or may_lack_run(step)
    if run is not None and is_left_over(run.status, calls=calls):
        step, _ = await commit(engine, step, ended_with(run))
    elif run is None and is_forgotten(step, now_ms):
        step, _ = await commit(engine, step, Cancelled(StepError(ErrorKind.RUN_GONE), now_ms))
    return step


def ended_with(run: CachedRun) -> Cancelled:
    """The event that ends a step because its run has ended. The step is kept as long as the run."""
    return Cancelled(CANCELLED if run.is_cancelled else StepError(ErrorKind.RUN_ENDED), run.expires_at_ms)


async def resume(engine: Engine, step: Step) -> Step:
    """Start the deadline of an event again after its failed run was redriven; other steps do not change."""
    if step.is_settled or step.spec.kind != "event" or step.due_at_ms is not None:
        return step
    due_at_ms = limits_from_now(step, engine.clock.now_ms())["due_at_ms"]
    step, _ = await commit(engine, step, Rescheduled(None, due_at_ms))
    return step


async def _rests(engine: Engine, event_step: Step) -> bool:
    """Suspend the deadline of an event whose run has failed; return whether the run has failed.

    Until a redrive, the event has no deadline. Its result can still be posted.
    """
    root_id, seen_ms = keys.root_of(event_step.spec.run_id), event_step.due_at_ms
    root = await engine.store.get(root_id)
    if root is None or root.status is not Status.FAILED:
        return False
    step, _ = await commit(engine, event_step, Rescheduled(seen_ms, None))
    # Both this function and a redrive write before they read, so the later one sees the other's write.
    root = await engine.store.get(root_id)
    if root is not None and not root.is_settled:
        await resume(engine, step)
    return True
