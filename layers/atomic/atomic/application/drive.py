"""What a hint sets in motion. Hints may be early, late or doubled: the row says what is to be done."""

from atomic.application.apply import apply, wake_waiters
from atomic.application.attempts import run_attempt
from atomic.application.engine import Engine
from atomic.application.waiting import watch
from atomic.domain.events import Claimed, Rechecked
from atomic.domain.outcomes import OutcomeKind
from atomic.domain.steps import Status, Step


async def drive(engine: Engine, step_id: str) -> None:
    """Do what the step is due for, its attempt included."""
    step = await engine.store.get(step_id)
    if step is None:
        return
    if step.is_settled:
        # Whoever settled it may have died before it woke the others.
        await wake_waiters(engine, step)
    elif step.due_at_ms is not None:
        await _drive_live(engine, step, step.due_at_ms)


async def _drive_live(engine: Engine, step: Step, due_at_ms: int) -> None:
    now_ms = engine.clock.now_ms()
    if now_ms < due_at_ms:
        await engine.queue.send(step.id, due_at_ms)
        return
    engine.telemetry.lagged(now_ms - due_at_ms)
    if step.status is Status.WAITING:
        # The look comes first: when it fails, the step is still due and is looked at again.
        await watch(engine, step)
        await apply(engine, step, Rechecked())
        return
    nonce = engine.entropy.token()
    step, claimed = await apply(engine, step, Claimed(nonce))
    if not claimed:
        return
    if step.lost_in_row > 0:
        lost = [attempt for attempt in step.attempts if attempt.outcome is OutcomeKind.NO_ANSWER]
        engine.telemetry.attempt_ended(step, lost[-1])
    if step.nonce == nonce:
        await run_attempt(engine, step)
