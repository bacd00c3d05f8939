"""Make a step due at another moment: its next attempt now, a sleep over, a start later."""

from atomic.application.commit import commit
from atomic.application.engine import Engine
from atomic.application.refusals import NotReschedulable
from atomic.application.wakeups import ensure_waiters_are_told
from atomic.domain.events import MadeDue
from atomic.domain.start_times import ends_at, waits_for_a_moment
from atomic.domain.steps import Step


async def make_due(engine: Engine, step: Step, at_ms: int | None) -> Step:
    """Make a step that waits for a moment due at this one, or now. Returns the step.

    An attempt that is due may still be deferred by the limits of its client and destination. Raises
    NotReschedulable for a step that waits for no moment. If the step is due then already, its wake-up is
    sent again: the process that asked for the same may have ended before it was sent.
    """
    if ends_at(step, at_ms, engine.clock.now_ms()):
        await ensure_waiters_are_told(engine, step, succeeds=True)
    after, effects = await commit(engine, step, MadeDue(at_ms))
    if effects is None:
        if not waits_for_a_moment(after):
            raise NotReschedulable(after)
        if after.due_at_ms is not None:
            await engine.send_wakeup(after, after.due_at_ms)
    return after
