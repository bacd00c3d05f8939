"""What a hint sets in motion. Hints may be early, late or doubled: the row says what is to be done."""

from atomic.application.apply import apply, wake_waiters
from atomic.application.attempts import run_attempt
from atomic.application.engine import Engine
from atomic.application.leftovers import is_over
from atomic.application.waiting import watch
from atomic.domain.events import Claimed, PutOff, Rechecked
from atomic.domain.outcomes import OutcomeKind
from atomic.domain.steps import Status, Step


async def drive(engine: Engine, step_id: str, hinted_at_ms: int | None = None) -> None:
    """Do what the step is due for, its attempt included.

    `hinted_at_ms` is the moment that the hint was sent for, where the queue keeps it.
    """
    asked_ms = engine.clock.now_ms()
    step = await engine.store.get(step_id)
    if step is None:
        return
    if step.is_root:
        engine.runs.saw(step, asked_ms)
    if step.is_settled:
        # Whoever settled it may have died before it woke the others.
        await wake_waiters(engine, step, forgotten_only=True)
    elif step.due_at_ms is not None and not (step.due_at_ms <= asked_ms and await is_over(engine, step)):
        await _drive_live(engine, step, step.due_at_ms, hinted_at_ms)


async def _drive_live(engine: Engine, step: Step, due_at_ms: int, hinted_at_ms: int | None) -> None:
    now_ms = engine.clock.now_ms()
    if now_ms < due_at_ms:
        if not _is_spare(step, hinted_at_ms):
            await engine.hint(step, due_at_ms)
        return
    engine.telemetry.lagged(now_ms - due_at_ms)
    if step.status is Status.WAITING:
        # The look comes first: when it fails, the step is still due and is looked at again.
        await watch(engine, step)
        await apply(engine, step, Rechecked())
        return
    if not await engine.destinations.enter(step.spec):
        # Time may have passed, and a turn that is over by now would leave the step without a hint.
        turn_ms = engine.destinations.turn_ms(step.spec, engine.clock.now_ms())
        engine.telemetry.put_off(step)
        await apply(engine, step, PutOff(turn_ms))
        return
    nonce, is_ours = engine.entropy.token(), False
    try:
        step, claimed = await apply(engine, step, Claimed(nonce))
        is_ours = claimed and step.nonce == nonce
    finally:
        if not is_ours:
            await engine.destinations.leave(step.spec)
    if claimed and step.lost_in_row > 0:
        lost = [attempt for attempt in step.attempts if attempt.outcome is OutcomeKind.NO_ANSWER]
        engine.telemetry.attempt_ended(step, lost[-1])
    if is_ours:
        await run_attempt(engine, step)


def _is_spare(step: Step, hinted_at_ms: int | None) -> bool:
    """Whether the step lives on without this early hint, which is that of an older state.

    A running attempt has a hint for the end of its lease, or the hint that began it comes again. Without
    this, each retry would leave one more hint that is sent again and again for as long as the step lives.
    A hint for a moment after the attempt began is none of an older state: it may be the one that is sent
    when nobody knows whether the lease has its own (`apply`).
    """
    return (
        step.status is Status.RUNNING
        and hinted_at_ms is not None
        and hinted_at_ms <= step.attempts[-1].started_at_ms
    )
