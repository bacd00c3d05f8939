"""Process a wake-up. It may come early, late or twice, so the row decides what is done."""

from atomic.application.adaptive import UnderWay
from atomic.application.answering import end_unanswered
from atomic.application.attempts import run_attempt
from atomic.application.cancel import cancel_below
from atomic.application.child_runs import recheck_link
from atomic.application.commit import commit
from atomic.application.debounce import give_way
from atomic.application.deliveries import pay
from atomic.application.destinations import Claim, Permit
from atomic.application.engine import Engine, workflow_pause
from atomic.application.firing import process_schedule
from atomic.application.flow import held_back, release_if_over
from atomic.application.graceful_cancel import finish_cancel, go_on_cancelling
from atomic.application.leftovers import is_over
from atomic.application.pausing import is_to_rest, rest
from atomic.application.ports import StoreUnavailable
from atomic.application.rechecking import recheck
from atomic.application.singletons import without_key
from atomic.application.wakeups import wake_waiters_again
from atomic.application.workflow_pausing import keep
from atomic.domain.events import Claimed, NotAdmitted
from atomic.domain.outcomes import is_step_cancelled
from atomic.domain.steps import Step, lease_end_ms
from atomic.domain.transitions import LOOK_AGAIN_MS
from atomic.protocol import keys
from atomic.protocol.enums import OutcomeKind, Status


async def process_wakeup(
    engine: Engine, due_id: str, wakeup_at_ms: int | None = None, *, only_looks: bool = False
) -> None:
    """Do what the step, or the schedule, of this id is due for.

    `wakeup_at_ms` is the time that the wake-up was sent for; None where the queue does not keep it.
    `only_looks`: another process does what takes long. A due step's wake-up is sent to it.
    """
    # Calls between modules cost each retry.
    if due_id.startswith(keys.SCHEDULE):
        await process_schedule(engine, due_id, wakeup_at_ms)
    else:
        await _process_step(engine, due_id, wakeup_at_ms, only_looks=only_looks)


async def _process_step(
    engine: Engine, step_id: str, wakeup_at_ms: int | None, *, only_looks: bool
) -> None:
    """Start what the row owes, and do what the step is due for, including its attempt."""
    asked_ms = engine.clock.now_ms()
    step = await engine.store.get(step_id)
    if step is None:
        return
    if step.is_root:
        engine.runs.remember(step, asked_ms)
    if step.owes:
        if only_looks:
            await engine.send_wakeup(step, engine.clock.now_ms())
            return
        step = await pay(engine, step)
    await _process_row(engine, step, wakeup_at_ms, only_looks=only_looks)


async def _process_row(engine: Engine, step: Step, wakeup_at_ms: int | None, *, only_looks: bool) -> None:
    if step.is_settled:
        await _process_settled(engine, step)
    elif step.due_at_ms is None or step.in_line:
        await _process_undue(engine, step, only_looks=only_looks)
    elif only_looks or (now_ms := engine.clock.now_ms()) < step.due_at_ms:
        is_due = only_looks and engine.clock.now_ms() >= step.due_at_ms
        if is_due or not _is_spare(step, wakeup_at_ms):
            await engine.send_wakeup(step, step.due_at_ms)
    elif not await is_over(engine, step):
        engine.telemetry.lagged(now_ms - step.due_at_ms)
        await _process_due(engine, step, step.due_at_ms, now_ms)


async def _process_settled(engine: Engine, step: Step) -> None:
    # The process that settled it may have ended before it woke the waiters.
    await wake_waiters_again(engine, step)
    if step.spec.flow:
        await release_if_over(engine, step)
    if is_step_cancelled(step.error):
        await cancel_below(engine, step)
    elif step.cancel_by_ms is not None:
        await finish_cancel(engine, step)


async def _process_undue(engine: Engine, step: Step, *, only_looks: bool) -> None:
    """A step that waits in line has a wake-up when it was handed a slot, and when its time is over."""
    if not step.in_line:
        return
    now_ms = engine.clock.now_ms()
    if only_looks:
        await engine.send_wakeup(step, now_ms)
    elif not await is_over(engine, step):
        await _after_due(engine, step, now_ms)


async def _process_due(engine: Engine, step: Step, due_at_ms: int, now_ms: int) -> None:
    after = await _after_due(engine, step, now_ms)
    if after is not None and after.due_at_ms == due_at_ms:
        # The clock was set back since the step was found due. Or the time to which it was to be deferred
        # was over before this was written. The step is as due as before, and this was its wake-up. The
        # pause bounds what a step costs that nothing changes.
        again_ms = max(due_at_ms, engine.clock.now_ms() + LOOK_AGAIN_MS)
        await engine.send_wakeup(after, again_ms)


async def _after_due(engine: Engine, step: Step, now_ms: int) -> Step | None:
    """Do what the step is due for; its row afterwards. None when its cancel leaves nothing to be done."""
    if step.cancelling and await go_on_cancelling(engine, step, now_ms):
        return None
    if step.rest is not None or (step.spec.run_id in engine.runs.paused and is_to_rest(engine, step)):
        return await rest(engine, commit, step)
    if step.status is Status.WAITING:
        # When this fails, the step is still due and is rechecked later.
        return await (
            recheck_link(engine, step) if step.spec.kind == "run" else recheck(engine, step, again=True)
        )
    if step.answer_by_ms is not None:
        return await end_unanswered(engine, step)
    return await _begin_attempt(engine, step)


async def _begin_attempt(engine: Engine, step: Step) -> Step:
    """Make the attempt that is due, unless something holds it back; the row afterwards."""
    try:
        pause = await workflow_pause(engine, step.spec)
    except StoreUnavailable:
        # Whether its workflow is paused is not known.
        return await _defer(engine, step)
    if pause is not None:
        return await keep(engine, step, pause)
    permit = await engine.admission.permit(step.spec)
    if permit is None:
        return await _defer(engine, step)
    async with permit:
        if (waiting := await _held_back(engine, step)) is not None:
            return waiting
        step, claim = await _claim(engine, step, permit)
        if claim is not None:
            await run_attempt(engine, claim)
    return step


async def _held_back(engine: Engine, step: Step) -> Step | None:
    """The row of a step that may not be called now; None when it has what it needs."""
    if (waiting := await _in_line(engine, step)) is not None:
        return waiting
    return None if step.spec.singleton is None else await without_key(engine, step)


async def _in_line(engine: Engine, step: Step) -> Step | None:
    """The row of a step that has to wait for a slot or for its time; None when it has what it needs."""
    if not step.spec.flow or (event := await held_back(engine, step)) is None:
        return None
    after, effects = await commit(engine, step, event)
    if effects is None:
        # Somebody else has changed the row, or it is not due yet, so the place in line may be needless.
        await release_if_over(engine, after)
    return after


async def _defer(engine: Engine, step: Step) -> Step:
    """The step gets no permit now. At an overloaded origin it waits until another attempt ends there."""
    adaptive = engine.admission.adaptive
    waits = adaptive is not None and adaptive.is_full(step.spec)
    # Read the clock again: the attempt may have waited for its permit.
    now_ms = engine.clock.now_ms()
    if adaptive is not None and waits:
        until_ms = adaptive.look_at_ms(step.spec, now_ms)
    else:
        until_ms = engine.admission.defer_until_ms(step.spec, now_ms)
    engine.telemetry.deferred(step)
    after, effects = await commit(engine, step, NotAdmitted(until_ms))
    due_at_ms = after.due_at_ms
    if adaptive is not None and waits and effects is not None and due_at_ms is not None:
        adaptive.wait(
            after,
            lambda attempt: engine.spawn(_resume(engine, after.id, due_at_ms, attempt), step_id=after.id),
        )
    return after


async def _resume(engine: Engine, step_id: str, due_at_ms: int, attempt: UnderWay) -> None:
    """Make the attempt of a step that has waited, if it is still deferred until `due_at_ms`."""
    try:
        step = await engine.store.get(step_id)
        if step is None or step.due_at_ms != due_at_ms or await is_over(engine, step):
            return
        if step.cancelling and await go_on_cancelling(engine, step, engine.clock.now_ms()):
            return
        if await workflow_pause(engine, step.spec) is not None:
            # Its own wake-up comes at that time.
            return
        permit = await engine.admission.permit(step.spec, attempt)
        if permit is not None:
            async with permit:
                if await _held_back(engine, step) is not None:
                    return
                _, claim = await _claim(engine, step, permit, deferred_until_ms=due_at_ms)
                if claim is not None:
                    await run_attempt(engine, claim)
    finally:
        attempt.leave()


async def _claim(
    engine: Engine, due: Step, permit: Permit, *, deferred_until_ms: int | None = None
) -> tuple[Step, Claim | None]:
    """Claim the attempt that is due. Returns the row, and None when there is nothing to claim."""
    nonce = engine.entropy.token()
    step, effects = await commit(engine, due, Claimed(nonce, due.cancelling, deferred_until_ms))
    if effects is None:
        # Another process has it, or the step has ended, or it is not due any more.
        if step.spec.flow:
            await release_if_over(engine, step)
        return step, None
    if step.consecutive_lost > 0:
        lost = [attempt for attempt in step.attempt_log if attempt.outcome is OutcomeKind.NO_ANSWER]
        engine.telemetry.attempt_ended(step, lost[-1])
    if step.spec.debounce is not None:
        step = await give_way(engine, step)
    return step, Claim(step, permit.pass_on()) if step.nonce == nonce else None


def _is_spare(step: Step, wakeup_at_ms: int | None) -> bool:
    """Whether the step does not need this early wake-up.

    Each change of a step's due time sends a wake-up for the new time. So a wake-up for another time is
    left over from an older state, or from a write that failed. Without this check, each retry and each
    wait would leave one more wake-up that is sent again and again until the step settles.

    `application.start` makes the first attempt without a wake-up. Its process may end before it has written
    the outcome and sent a wake-up. So the wake-up for the end of the first lease also counts, and a step
    has at most two wake-ups of its own. A wake-up that is delivered again (None) is never spare, because
    its receiver may have ended at any point.
    """
    if wakeup_at_ms is None or wakeup_at_ms == step.due_at_ms:
        return False
    first_lease_ms = lease_end_ms(step.spec, step.deadline_at_ms, step.created_at_ms)
    return step.attempt_count > 1 or wakeup_at_ms != first_lease_ms
