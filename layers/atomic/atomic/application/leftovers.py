"""Live steps of runs that have ended: whoever looks at one ends it, and calls nothing.

A run ends without a look at its other steps, which may be many, or be posted at that very moment by
somebody who does not know yet. A cancel looks at them, and may be cut off.
"""

from atomic.application.commit import commit
from atomic.application.engine import Engine
from atomic.application.run_cache import CachedRun
from atomic.domain.events import Cancelled, Rescheduled
from atomic.domain.leftovers import is_forgotten, is_left_over
from atomic.domain.step_errors import CANCELLED, StepError
from atomic.domain.steps import Step, resumed_at_ms
from atomic.protocol import keys
from atomic.protocol.enums import Status
from atomic.protocol.error_kinds import ErrorKind


async def is_called_off(engine: Engine, run_id: str) -> bool:
    """Whether the run was cancelled. What this process has cancelled it knows at once, else within 5 s."""
    cached = await engine.runs.find(engine.store, run_id, engine.clock.now_ms())
    return cached is not None and cached.is_cancelled


async def is_over(engine: Engine, due: Step) -> bool:
    """Whether nothing is to be done for a step that is due, since its run has ended."""
    if due.is_root or due.spec.kind == "timer":
        # A timer ends now by itself, so it is not worth a look at its root.
        return False
    step = await end_if_left_over(engine, due)
    return step.is_settled or (step.spec.kind == "event" and await _rests(engine, step))


async def end_if_left_over(engine: Engine, step: Step) -> Step:
    """End a live step that nobody wants any more; the step as it then stands."""
    if step.is_settled or step.is_root:
        return step
    now_ms = engine.clock.now_ms()
    run = await engine.runs.find(engine.store, step.spec.run_id, now_ms)
    if run is not None and is_left_over(run.status, calls=step.spec.kind == "http"):
        step, _ = await commit(engine, step, ended_with(run))
    elif run is None and is_forgotten(step, now_ms):
        step, _ = await commit(engine, step, Cancelled(StepError(ErrorKind.RUN_GONE), now_ms))
    return step


def ended_with(run: CachedRun) -> Cancelled:
    """The end of a step with its run. It is remembered no longer: the next run of the key is another."""
    return Cancelled(CANCELLED if run.is_cancelled else StepError(ErrorKind.RUN_ENDED), run.expires_at_ms)


async def resume(engine: Engine, step: Step) -> Step:
    """The run of the step goes on: look at its deadline again, if it is an event that rests."""
    if step.is_settled or step.spec.kind != "event" or step.due_at_ms is not None:
        return step
    step, _ = await commit(engine, step, Rescheduled(None, resumed_at_ms(step, engine.clock.now_ms())))
    return step


async def _rests(engine: Engine, event_step: Step) -> bool:
    """Let an event whose run has failed wait for the redrive, past its deadline too; False if it has not.

    It still takes its result.
    """
    root_id, seen_ms = keys.root_of(event_step.spec.run_id), event_step.due_at_ms
    root = await engine.store.get(root_id)
    if root is None or root.status is not Status.FAILED:
        return False
    step, _ = await commit(engine, event_step, Rescheduled(seen_ms, None))
    # Written first and looked at afterwards, as a redrive does it: whoever comes second sees the first.
    root = await engine.store.get(root_id)
    if root is not None and not root.is_settled:
        await resume(engine, step)
    return True
