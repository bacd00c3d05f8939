"""Start: create the step or attach to it, make the first attempt at once, wait for the outcome."""

from dataclasses import dataclass, replace

from atomic.application.attempts import run_attempt
from atomic.application.commit import commit, wake_if_overdue
from atomic.application.engine import Engine
from atomic.application.leftovers import end_if_left_over, is_called_off, resume
from atomic.application.run_cache import CachedRun
from atomic.application.waiting import ask_to_wake, now_s, register_waiter, until_settled, wait
from atomic.domain.events import DeadlineGiven
from atomic.domain.steps import Step, StepSpec
from atomic.domain.transitions import begin
from atomic.protocol import keys
from atomic.protocol.enums import Status
from atomic.protocol.problems import CANCELLED, Problem, not_found


@dataclass(frozen=True, slots=True)
class StartResult:
    """The step; whether this call made it, or its outcome had been there before."""

    step: Step
    created: bool = False
    replayed: bool = False


class PayloadMismatch(Exception):
    """The identity is known with another payload: that of `first`, which is untouched."""

    def __init__(self, first: Step) -> None:
        super().__init__(first.id)
        self.first = first


async def start(engine: Engine, spec: StepSpec, *, wait_ms: int | None) -> StartResult:
    """Create the step, or attach to the one of the same identity; wait up to `wait_ms` for its outcome.

    None waits by default, which is longer for a root than for what a handler posts.
    Raises PayloadMismatch when the identity is known with another payload, Problem 409 when the run was
    cancelled, 404 when `parent` names no run of this client.
    """
    began_s, asked_at_ms = now_s(), engine.clock.now_ms()
    step, created = await _create_with_permit(engine, spec, wait_ms)
    wait_ms = engine.settings.wait_ms(wait_ms, is_root=step.is_root)
    until_s = began_s + wait_ms / 1000
    if created:
        engine.telemetry.started(step)
        step = await _first_attempt(engine, step, until_s if wait_ms > 0 else None)
        if wait_ms > 0:
            step = await register_waiter(engine, step, asked_at_ms)
        return StartResult(step, created=True)
    if step.spec.fingerprint != spec.fingerprint:
        raise PayloadMismatch(step)
    if step.is_settled:
        return StartResult(step, replayed=True)
    step = await resume(engine, step)
    if spec.kind == "event" and spec.deadline_ms is not None and step.deadline_at_ms is None:
        step, _ = await commit(engine, step, DeadlineGiven(spec.deadline_ms))
    await _ensure_wakeup(engine, step)
    if wait_ms > 0:
        step = await ask_to_wake(engine, step)
        step = await wait(engine, step, until_s)
        step = await register_waiter(engine, step, asked_at_ms)
    return StartResult(step)


async def _create_with_permit(engine: Engine, spec: StepSpec, wait_ms: int | None) -> tuple[Step, bool]:
    """The step's row, and whether it is new; if it runs already, it has a place at its destination."""
    is_inline = engine.settings.is_inline(spec.attempt_timeout_ms, wait_ms)
    has_permit = is_inline and await engine.destinations.enter(spec)
    runs = False
    try:
        # Without a place the step is left to whoever takes its wake-up.
        step, created = await _create_or_find(engine, spec, is_inline=has_permit, awaited=wait_ms != 0)
        runs = created and step.status is Status.RUNNING
        return step, created
    finally:
        if has_permit and not runs:
            await engine.destinations.leave(spec)


async def _ensure_wakeup(engine: Engine, step: Step) -> None:
    """Nobody may be told of a step that has no wake-up.

    Whoever created it may have died, or been refused, before its first wake-up was acknowledged. Whoever
    changed it since had one.
    """
    if step.status is Status.PENDING and step.attempt_count == 0 and step.due_at_ms is not None:
        await engine.send_wakeup(step, step.due_at_ms)
    elif step.status is Status.RUNNING and step.attempt_count == 1 and step.due_at_ms is not None:
        # Its creator's, if there is one, is for the very moment; this one is spare when the row moves on.
        await engine.send_wakeup(step, step.due_at_ms + 1)
    else:
        await wake_if_overdue(engine, step)


async def _first_attempt(engine: Engine, step: Step, until_s: float | None) -> Step:
    with engine.notifier.subscribe(step.id) as subscription:
        if step.status is Status.RUNNING:
            engine.spawn(run_attempt(engine, step), step_id=step.id)
        return step if until_s is None else await until_settled(engine, subscription, step, until_s)


async def _create_or_find(
    engine: Engine, spec: StepSpec, *, is_inline: bool, awaited: bool
) -> tuple[Step, bool]:
    """The step's row, and whether it is new.

    Without a parent, the first identity of a run that calls an endpoint is its root. Any other is a step of
    the root's: of a handler that knows nothing of parents, or an event that may come before its root.
    """
    asked_ms = engine.clock.now_ms()
    cached = await _cached_run(engine, spec, asked_ms)
    if spec.parent is None:
        may_be_root = cached is None or cached.root_identity == spec.identity
        if may_be_root and spec.kind == "http":
            root, created = await _insert(engine, spec, keys.ROOT, is_inline=is_inline, awaited=awaited)
            cached = engine.runs.saw(root, asked_ms)
            if created or root.spec.identity == spec.identity:
                return root, created
        spec = spec.below_root()
    if cached is not None and cached.is_cancelled:
        raise _run_is_cancelled()
    spec = _with_own_key(spec, cached)
    step, created = await _insert(engine, spec, spec.identity, is_inline=is_inline, awaited=awaited)
    # The run may have been cancelled while the row was written, by somebody who did not see the row.
    if created and await is_called_off(engine, spec.run_id):
        await end_if_left_over(engine, step)
        raise _run_is_cancelled()
    return step, created


async def _cached_run(engine: Engine, spec: StepSpec, now_ms: int) -> CachedRun | None:
    if spec.parent is None and spec.kind != "event":
        return engine.runs.get(spec.run_id, now_ms)
    cached = await engine.runs.find(engine.store, spec.run_id, now_ms)
    if spec.parent is not None and (cached is None or cached.client_id != spec.client_id):
        raise not_found(None if cached is None else cached.client_id)
    return cached


def _with_own_key(spec: StepSpec, cached: CachedRun | None) -> StepSpec:
    """The spec with a key for its endpoint that no other identity of the run sends to the same URL.

    A database or a payment provider that remembers keys must not merge two calls. Most steps are told apart
    by URL and key; the others differ in what the endpoint is not sent: the parent, the names.
    """
    is_told_apart = (
        cached is not None
        and spec.parent == keys.root_of(spec.run_id)
        and spec.workflow_name == cached.workflow_name
        and not spec.step_name
        and spec.url != cached.root_url
    )
    if is_told_apart or spec.kind != "http":
        return spec
    return replace(spec, sent_key=keys.scoped_key(spec.idempotency_key, spec.identity))


async def _insert(
    engine: Engine, spec: StepSpec, position: str, *, is_inline: bool, awaited: bool
) -> tuple[Step, bool]:
    nonce = engine.entropy.token() if is_inline else None
    step = begin(spec, position, engine.clock.now_ms(), nonce, awaited=awaited)
    # An attempt begins when row and wake-up are acknowledged. What begins later is there before its
    # wake-up.
    runs = step.status is Status.RUNNING
    wakeup = engine.send_wakeup(step, step.due_at_ms) if runs and step.due_at_ms is not None else None
    existing = await engine.store.create(step)
    if existing is not None and existing != step and await _is_forgotten(engine, existing):
        step = replace(step, version=existing.version + 1)
        existing = await engine.store.replace(step, existing.version)
    if wakeup is not None:
        await wakeup
    # What stands there may be our own row, when the answer to the write was lost on its way.
    if existing is not None and existing != step:
        return existing, False
    if not runs and step.due_at_ms is not None:
        await engine.send_wakeup(step, step.due_at_ms)
    return step, True


async def _is_forgotten(engine: Engine, existing: Step) -> bool:
    """Whether the identity has expired: a step is remembered at least as long as its run's root.

    A root that began when the step had expired is that of another run.
    """
    now_ms = engine.clock.now_ms()
    if existing.expires_at_ms is None or existing.expires_at_ms > now_ms:
        return False
    if existing.is_root:
        return True
    root = await engine.store.get(keys.root_of(existing.spec.run_id))
    if root is None or existing.expires_at_ms <= root.created_at_ms:
        return True
    return root.expires_at_ms is not None and root.expires_at_ms <= now_ms


def _run_is_cancelled() -> Problem:
    return Problem(CANCELLED, "The run was cancelled and takes no more steps.")
