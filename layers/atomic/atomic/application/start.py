"""Start: create the step or attach to it, make the first attempt at once, wait for the outcome."""

from contextlib import nullcontext
from dataclasses import dataclass

from atomic.application.attempts import run_attempt
from atomic.application.commit import commit
from atomic.application.creation import Created, Post, create_or_find
from atomic.application.engine import Engine
from atomic.application.leftovers import resume
from atomic.application.permits import Claim, Permit
from atomic.application.refusals import PayloadMismatch
from atomic.application.waiting import ask_to_wake, now_s, register_waiter, until_settled, wait
from atomic.application.wakeups import ensure_wakeup
from atomic.domain.events import DeadlineGiven
from atomic.domain.steps import Step, StepSpec
from atomic.protocol.enums import Status


@dataclass(frozen=True, slots=True)
class StartResult:
    """The step; whether this call made it, or its outcome had been there before."""

    step: Step
    created: bool = False
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class _Caller:
    """When a caller asked, and for how long it waits: `until_s` by `now_s`, None for one that does not."""

    asked_at_ms: int
    until_s: float | None


async def start(engine: Engine, spec: StepSpec, *, wait_ms: int | None) -> StartResult:
    """Create the step, or attach to the one of the same identity; wait up to `wait_ms` for its outcome.

    None waits by default, which is longer for a root than for what a handler posts.
    Raises PayloadMismatch when the identity is known with another payload, RunCancelled when the run was
    cancelled, NotFound when `parent` names no run of this client.
    """
    began_s, asked_at_ms = now_s(), engine.clock.now_ms()
    permit, claim = await _permit(engine, spec, wait_ms), None
    async with permit or nullcontext():
        inserted = await create_or_find(engine, Post(spec, awaited=wait_ms != 0, permit=permit))
        step = inserted.step
        if permit is not None and isinstance(inserted, Created) and step.status is Status.RUNNING:
            claim = Claim(step, permit.pass_on())
    waits_ms = engine.settings.wait_ms(wait_ms, is_root=step.is_root)
    caller = _Caller(asked_at_ms, began_s + waits_ms / 1000 if waits_ms > 0 else None)
    if isinstance(inserted, Created):
        return await _begin(engine, step, claim, caller)
    return await _attach(engine, step, spec, caller)


async def _permit(engine: Engine, spec: StepSpec, wait_ms: int | None) -> Permit | None:
    """What it takes to make the first attempt here; without it, that is left to who takes the wake-up."""
    if not engine.settings.is_inline(spec.attempt_timeout_ms, wait_ms):
        return None
    return await engine.admission.permit(spec)


async def _begin(engine: Engine, step: Step, claim: Claim | None, caller: _Caller) -> StartResult:
    """Make the first attempt of a new step, if it is claimed, beside the caller, who waits for the step."""
    engine.telemetry.started(step)
    with engine.notifier.subscribe(step.id) as subscription:
        if claim is not None:
            engine.spawn(run_attempt(engine, claim), step_id=step.id)
        if caller.until_s is None:
            return StartResult(step, created=True)
        step = await until_settled(engine, subscription, step, caller.until_s)
    return StartResult(await register_waiter(engine, step, caller.asked_at_ms), created=True)


async def _attach(engine: Engine, step: Step, spec: StepSpec, caller: _Caller) -> StartResult:
    """Wait for a step that somebody else has created."""
    if step.spec.fingerprint != spec.fingerprint:
        raise PayloadMismatch(step)
    if step.is_settled:
        return StartResult(step, replayed=True)
    step = await resume(engine, step)
    if spec.kind == "event" and spec.deadline_ms is not None and step.deadline_at_ms is None:
        step, _ = await commit(engine, step, DeadlineGiven(spec.deadline_ms))
    await ensure_wakeup(engine, step)
    if caller.until_s is None:
        return StartResult(step)
    step = await ask_to_wake(engine, step)
    step = await wait(engine, step, caller.until_s)
    return StartResult(await register_waiter(engine, step, caller.asked_at_ms))
