"""Event steps, whose result is posted from outside."""

from typing import Final

from atomic.application.commit import commit
from atomic.application.engine import Engine
from atomic.application.leftovers import end_if_left_over
from atomic.application.refusals import NotAnOpenEvent
from atomic.application.wakeups import wake_waiters_again
from atomic.domain.events import ResultPosted
from atomic.domain.outcomes import StoredBody
from atomic.domain.steps import Step
from atomic.protocol.enums import Status

# Far longer than the write and the wake-ups take.
_LOOK_AFTER_MS: Final = 10_000


async def post_result(engine: Engine, step: Step, response: StoredBody) -> Step:
    """Complete an event step. Posting the same result again is not an error.

    Raises NotAnOpenEvent for a different result, and for a run that has succeeded or was cancelled. A run
    that failed keeps the result for its redrive.
    """
    if step.spec.kind != "event":
        raise NotAnOpenEvent(step.spec.kind, step.status)
    if not step.is_settled:
        # An accepted result must be used, so the cached state of the run is not enough.
        await engine.runs.look(engine.store, step.spec.run_id, engine.clock.now_ms())
        step = await end_if_left_over(engine, step)
    if (step.waiters or step.watches) and not step.is_settled:
        # Nothing rechecks an event. If this process ends before it wakes the waiters, they are never woken.
        await engine.send_wakeup(step, engine.clock.now_ms() + _LOOK_AFTER_MS)
    after, effects = await commit(engine, step, ResultPosted(response))
    if effects is not None:
        return after
    if after.status is Status.SUCCEEDED and after.response == response:
        await wake_waiters_again(engine, after)
        return after
    raise NotAnOpenEvent(after.spec.kind, after.status)
