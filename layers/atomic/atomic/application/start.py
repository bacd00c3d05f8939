"""Start: create the step or attach to it, make the first attempt at once, hang for the outcome."""

from dataclasses import dataclass, replace

from atomic.application.apply import apply, hint_if_overdue
from atomic.application.attempts import run_attempt
from atomic.application.engine import Engine
from atomic.application.leftovers import end_if_left_over, is_called_off, resume
from atomic.application.run_memory import KnownRun
from atomic.application.waiting import ask_to_wake, hang, leave_waiter, now_s, until_settled
from atomic.domain.events import DeadlineGiven
from atomic.domain.steps import Status, Step, StepSpec
from atomic.domain.transitions import begin
from atomic.protocol import keys
from atomic.protocol.problems import CANCELLED, Problem, not_found


@dataclass(frozen=True, slots=True)
class Started:
    """The step; whether this call made it, or its outcome had been there before."""

    step: Step
    created: bool = False
    replayed: bool = False


class PayloadMismatch(Exception):
    """The identity is known with another payload: that of `first`, which is untouched."""

    def __init__(self, first: Step) -> None:
        super().__init__(first.id)
        self.first = first


async def start(engine: Engine, spec: StepSpec, *, hang_ms: int | None) -> Started:
    """Create the step, or attach to the one of the same identity; hang up to `hang_ms` for its outcome.

    None hangs by default, which is longer for a root than for what a handler posts.
    Raises PayloadMismatch when the identity is known with another payload, Problem 409 when the run was
    cancelled, 404 when `parent` names no run of this client.
    """
    began_s, asked_at_ms = now_s(), engine.clock.now_ms()
    step, created = await _create_with_place(engine, spec, hang_ms)
    hang_ms = engine.settings.hang_ms(hang_ms, is_root=step.is_root)
    until_s = began_s + hang_ms / 1000
    if created:
        engine.telemetry.started(step)
        step = await _first_attempt(engine, step, until_s if hang_ms > 0 else None)
        if hang_ms > 0:
            step = await leave_waiter(engine, step, asked_at_ms)
        return Started(step, created=True)
    if step.spec.fingerprint != spec.fingerprint:
        raise PayloadMismatch(step)
    if step.is_settled:
        return Started(step, replayed=True)
    step = await resume(engine, step)
    if spec.kind == "event" and spec.deadline_ms is not None and step.deadline_at_ms is None:
        step, _ = await apply(engine, step, DeadlineGiven(spec.deadline_ms))
    await _see_to_its_hint(engine, step)
    if hang_ms > 0:
        step = await ask_to_wake(engine, step)
        step = await hang(engine, step, until_s)
        step = await leave_waiter(engine, step, asked_at_ms)
    return Started(step)


async def _create_with_place(engine: Engine, spec: StepSpec, hang_ms: int | None) -> tuple[Step, bool]:
    """The step's row, and whether it is new; if it runs already, it has a place at its destination."""
    is_inline = engine.settings.is_inline(spec.attempt_timeout_ms, hang_ms)
    has_place = is_inline and await engine.destinations.enter(spec)
    runs = False
    try:
        # Without a place the step is left to whoever takes its hint.
        step, created = await _create_or_find(engine, spec, is_inline=has_place, awaited=hang_ms != 0)
        runs = created and step.status is Status.RUNNING
        return step, created
    finally:
        if has_place and not runs:
            await engine.destinations.leave(spec)


async def _see_to_its_hint(engine: Engine, step: Step) -> None:
    """Nobody may be told of a step that has no hint.

    Whoever created it may have died, or been refused, before its first hint was acknowledged. Whoever
    changed it since had one.
    """
    if step.status is Status.PENDING and step.attempt == 0 and step.due_at_ms is not None:
        await engine.hint(step, step.due_at_ms)
    elif step.status is Status.RUNNING and step.attempt == 1 and step.due_at_ms is not None:
        # Its creator's, if there is one, is for the very moment; this one is spare when the row moves on.
        await engine.hint(step, step.due_at_ms + 1)
    else:
        await hint_if_overdue(engine, step)


async def _first_attempt(engine: Engine, step: Step, until_s: float | None) -> Step:
    with engine.notifier.subscribe(step.id) as news:
        if step.status is Status.RUNNING:
            engine.spawn(run_attempt(engine, step), step_id=step.id)
        return step if until_s is None else await until_settled(engine, news, step, until_s)


async def _create_or_find(
    engine: Engine, spec: StepSpec, *, is_inline: bool, awaited: bool
) -> tuple[Step, bool]:
    """The step's row, and whether it is new.

    Without a parent, the first identity of a run that calls an endpoint is its root. Any other is a step of
    the root's: of a handler that knows nothing of parents, or an event that may come before its root.
    """
    asked_ms = engine.clock.now_ms()
    known = await _known_run(engine, spec, asked_ms)
    if spec.parent is None:
        may_be_root = known is None or known.root_identity == spec.identity
        if may_be_root and spec.kind == "http":
            root, created = await _insert(engine, spec, keys.ROOT, is_inline=is_inline, awaited=awaited)
            known = engine.runs.saw(root, asked_ms)
            if created or root.spec.identity == spec.identity:
                return root, created
        spec = spec.below_root()
    if known is not None and known.is_cancelled:
        raise _run_is_cancelled()
    spec = _with_own_key(spec, known)
    step, created = await _insert(engine, spec, spec.identity, is_inline=is_inline, awaited=awaited)
    # The run may have been cancelled while the row was written, by somebody who did not see the row.
    if created and await is_called_off(engine, spec.run_id):
        await end_if_left_over(engine, step)
        raise _run_is_cancelled()
    return step, created


async def _known_run(engine: Engine, spec: StepSpec, now_ms: int) -> KnownRun | None:
    if spec.parent is None and spec.kind != "event":
        return engine.runs.get(spec.run_id, now_ms)
    known = await engine.runs.find(engine.store, spec.run_id, now_ms)
    if spec.parent is not None and (known is None or known.client_id != spec.client_id):
        raise not_found(None if known is None else known.client_id)
    return known


def _with_own_key(spec: StepSpec, known: KnownRun | None) -> StepSpec:
    """The spec with a key for its endpoint that no other identity of the run sends to the same URL.

    A database or a payment provider that remembers keys must not merge two calls. Most steps are told apart
    by URL and key; the others differ in what the endpoint is not sent: the parent, the names.
    """
    is_told_apart = (
        known is not None
        and spec.parent == keys.root_of(spec.run_id)
        and spec.workflow_name == known.workflow_name
        and not spec.step_name
        and spec.url != known.root_url
    )
    if is_told_apart or spec.kind != "http":
        return spec
    return replace(spec, sent_key=keys.scoped_key(spec.idempotency_key, spec.identity))


async def _insert(
    engine: Engine, spec: StepSpec, place: str, *, is_inline: bool, awaited: bool
) -> tuple[Step, bool]:
    nonce = engine.entropy.token() if is_inline else None
    step = begin(spec, place, engine.clock.now_ms(), nonce, awaited=awaited)
    # An attempt begins when row and hint are acknowledged. What begins later is there before its hint.
    runs = step.status is Status.RUNNING
    hint = engine.hint(step, step.due_at_ms) if runs and step.due_at_ms is not None else None
    there = await engine.store.create(step)
    if there is not None and there != step and await _is_forgotten(engine, there):
        step = replace(step, version=there.version + 1)
        there = await engine.store.replace(step, there.version)
    if hint is not None:
        await hint
    # What stands there may be our own row, when the answer to the write was lost on its way.
    if there is not None and there != step:
        return there, False
    if not runs and step.due_at_ms is not None:
        await engine.hint(step, step.due_at_ms)
    return step, True


async def _is_forgotten(engine: Engine, there: Step) -> bool:
    """Whether the identity has expired: a step is remembered at least as long as its run's root.

    A root that began when the step had expired is that of another run.
    """
    now_ms = engine.clock.now_ms()
    if there.expires_at_ms is None or there.expires_at_ms > now_ms:
        return False
    if there.is_root:
        return True
    root = await engine.store.get(keys.root_of(there.spec.run_id))
    if root is None or there.expires_at_ms <= root.created_at_ms:
        return True
    return root.expires_at_ms is not None and root.expires_at_ms <= now_ms


def _run_is_cancelled() -> Problem:
    return Problem(CANCELLED, "The run was cancelled and takes no more steps.")
