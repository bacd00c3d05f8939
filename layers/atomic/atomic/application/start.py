"""Start: create the step or attach to it, make the first attempt at once, wait for the outcome.

A post either creates its step, or finds the one of the same identity.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace

from atomic.application.attempts import run_attempt
from atomic.application.blobs import stored_apart
from atomic.application.commit import commit
from atomic.application.destinations import Claim, Permit
from atomic.application.engine import CachedRun, Engine, is_called_off, workflow_pause
from atomic.application.leftovers import end_if_left_over, resume
from atomic.application.opening import owing
from atomic.application.ports import StoreUnavailable, Subscription
from atomic.application.reentry import has_expired, posted_before
from atomic.application.refusals import NotFound, PayloadMismatch, RunCancelled, StepCancelled, TooDeep
from atomic.application.wakeups import ensure_wakeup
from atomic.domain.blobs import Blob
from atomic.domain.events import Cancelled, LimitsGiven, Opened, ToldUnfinished, WaiterAdded
from atomic.domain.links import DEPTH_MAX
from atomic.domain.outcomes import STEP_CANCELLED, is_step_cancelled
from atomic.domain.steps import Step, StepSpec
from atomic.domain.transitions import begin
from atomic.protocol import keys
from atomic.protocol.enums import OutcomeKind, Status


def now_s() -> float:
    """The event loop's clock in seconds. Callers wait by it: unlike the wall clock, it is never set."""
    return asyncio.get_running_loop().time()


def _has_no_process_for(engine: Engine, step: Step) -> bool:
    """Whether the caller would occupy a process that the step may need.

    Atomic has refused what the step's handler posted, probably because callers occupy all processes.
    """
    is_refused = any(made.outcome is OutcomeKind.DEFERRED for made in step.attempt_log)
    return is_refused and engine.settings.callers_occupy_processes


async def until_settled(engine: Engine, subscription: Subscription, step: Step, until_s: float) -> Step:
    """Wait until the step settles, or until `until_s` (by `now_s`); the step as it was last read."""
    while not step.is_settled and subscription.is_open and not _has_no_process_for(engine, step):
        left_ms = math.ceil((until_s - now_s()) * 1000)
        if left_ms <= 0:
            break
        step = await subscription.next(left_ms) or await engine.store.get(step.id) or step
    return step


async def wait(engine: Engine, step: Step, until_s: float) -> Step:
    """Wait for a step that another process or task processes."""
    with engine.notifier.subscribe(step.id) as subscription:
        # The row was read before we listened; it may have settled in between.
        newer = await engine.store.get(step.id)
        return await until_settled(engine, subscription, newer or step, until_s)


async def ask_to_wake(engine: Engine, step: Step) -> Step:
    """A post asks to wait for a step that was posted without a wait. From now on the step wakes its parent.

    If the parent's attempt times out, the parent is then known to wait for this step. A step that has no
    wake-up gets one, since the process that makes its first attempt may have ended. Returns the step.
    """
    if step.spec.parent is None or (step.awaited and not step.has_no_wakeup):
        return step
    after, _ = await commit(engine, step, WaiterAdded(step.spec.parent))
    return after


async def register_waiter(engine: Engine, step: Step, asked_at_ms: int, attempt: int | None = None) -> Step:
    """Make sure that a handler is called again, before it is told that the step is not finished.

    A root is found by the sweep from now on. Any other step is marked to wake its parent, and has a wake-up
    from now on. The parent's row notes that its attempt was told this, so that the end of the attempt is
    not a failure. Returns the step. If it has settled by now, the caller tells its outcome.
    """
    if step.is_settled:
        return step
    if step.spec.parent is None:
        await engine.store.list_live(step)
        return step
    after, _ = await commit(engine, step, WaiterAdded(step.spec.parent))
    if not after.is_settled:
        handler = await engine.store.get(step.spec.parent)
        if handler is not None:
            await commit(engine, handler, ToldUnfinished(step.id, asked_at_ms, attempt))
    return after


@dataclass(frozen=True, slots=True)
class StartResult:
    """The step; whether this call created it, and whether its outcome existed before."""

    step: Step
    created: bool = False
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class _Caller:
    """When a caller posted, and until when it waits: `until_s` by `now_s`, None if it does not wait.

    `attempt`: the parent's attempt that posts, if its token says so.
    """

    asked_at_ms: int
    until_s: float | None
    attempt: int | None


@dataclass(frozen=True, slots=True)
class Post:
    """What is posted. With a permit, this process makes the first attempt at once.

    `awaited`: the post asks to wait for the outcome. `is_repeated`: it was probably posted before.
    """

    spec: StepSpec
    awaited: bool
    permit: Permit | None
    is_repeated: bool = False


@dataclass(frozen=True, slots=True)
class Created:
    """The step is new; its row and its wake-up are durable."""

    step: Step


@dataclass(frozen=True, slots=True)
class Found:
    """There is a step of this identity."""

    step: Step


# What a new step does before anybody waits for it.
First = Callable[[Engine, Step], Awaitable[Step]]


async def start(
    engine: Engine,
    spec: StepSpec,
    *,
    wait_ms: int | None,
    attempt: int | None = None,
    first: First | None = None,
) -> StartResult:
    """Create the step, or attach to the one of the same identity; wait up to `wait_ms` for its outcome.

    None waits by default, which is longer for a root than for a step that a handler posts. `attempt`: which
    attempt of the parent posts this, by its token; a later one has probably posted this step before.
    Raises PayloadMismatch when the identity is known with another payload, RunCancelled when the run was
    cancelled, StepCancelled when `parent` was, NotFound when `parent` names no run of this client, and
    TooDeep when its run may not start another one.
    """
    began_s, asked_at_ms = now_s(), engine.clock.now_ms()
    permit, claim = await _permit(engine, spec, wait_ms), None
    async with permit or nullcontext():
        post = Post(spec, awaited=wait_ms != 0, permit=permit, is_repeated=(attempt or 0) > 1)
        inserted = await create_or_find(engine, post)
        step = inserted.step
        if first is not None and isinstance(inserted, Created):
            step = await first(engine, step)
        if permit is not None and isinstance(inserted, Created) and step.status is Status.RUNNING:
            claim = Claim(step, permit.pass_on())
    waits_ms = engine.settings.wait_ms(wait_ms, is_root=step.is_root)
    caller = _Caller(asked_at_ms, began_s + waits_ms / 1000 if waits_ms > 0 else None, attempt)
    if isinstance(inserted, Created):
        return await _begin(engine, step, claim, caller)
    return await _attach(engine, step, spec, caller)


async def attach(engine: Engine, root: Step, wait_ms: int | None) -> StartResult:
    """Wait for a root that another start has created, as if this one had found it."""
    began_s, waits_ms = now_s(), engine.settings.wait_ms(wait_ms, is_root=True)
    until_s = began_s + waits_ms / 1000 if waits_ms > 0 else None
    return await _join(engine, root, _Caller(engine.clock.now_ms(), until_s, None))


async def start_root(engine: Engine, spec: StepSpec, first: First | None = None) -> Created | Found:
    """Create the root of a run that a link starts, and begin its first attempt; or find the run's root."""
    permit, asked_ms = await _permit(engine, spec, 0), engine.clock.now_ms()
    async with permit or nullcontext():
        inserted = await _insert(engine, Post(spec, awaited=False, permit=permit), keys.ROOT)
        engine.runs.remember(inserted.step, asked_ms)
        if isinstance(inserted, Created):
            engine.telemetry.started(inserted.step)
            if first is not None:
                inserted = Created(await first(engine, inserted.step))
            if permit is not None and inserted.step.status is Status.RUNNING:
                attempt = run_attempt(engine, Claim(inserted.step, permit.pass_on()))
                engine.spawn(attempt, step_id=inserted.step.id)
    if isinstance(inserted, Found) and not inserted.step.is_settled:
        await ensure_wakeup(engine, inserted.step)
    return inserted


async def _permit(engine: Engine, spec: StepSpec, wait_ms: int | None) -> Permit | None:
    """A permit to make the first attempt here; without it, the receiver of the wake-up makes it."""
    if spec.kind != "http":
        engine.admission.posted(spec)
        return None
    if spec.flow or spec.paused or not engine.settings.is_inline(spec.attempt_timeout_ms, wait_ms):
        return None
    try:
        if await workflow_pause(engine, spec) is not None:
            return None
    except StoreUnavailable:
        # Whether its workflow is paused is not known.
        return None
    return await engine.admission.permit(spec)


async def _begin(engine: Engine, step: Step, claim: Claim | None, caller: _Caller) -> StartResult:
    """Begin the first attempt of a new step, if it is claimed, and wait for the step meanwhile."""
    engine.telemetry.started(step)
    if step.spec.kind == "value":
        engine.telemetry.settled(step)
        return StartResult(step, created=True)
    with engine.notifier.subscribe(step.id) as subscription:
        if claim is not None:
            engine.spawn(run_attempt(engine, claim), step_id=step.id)
        if caller.until_s is None:
            return StartResult(step, created=True)
        step = await until_settled(engine, subscription, step, caller.until_s)
    return StartResult(
        await register_waiter(engine, step, caller.asked_at_ms, caller.attempt), created=True
    )


async def _attach(engine: Engine, step: Step, spec: StepSpec, caller: _Caller) -> StartResult:
    """Wait for a step that another post has created."""
    if step.early:
        # The payload of the handler's post was not known when the result came, so it is not compared.
        run = await engine.runs.find(engine.store, step.spec.run_id, engine.clock.now_ms())
        kept_ms = step.spec.retention_ms if run is None else run.retention_ms
        step, _ = await commit(engine, step, Opened(kept_ms))
        return StartResult(step, replayed=True)
    # Two overlapping attempts may both have computed a value; the value that was posted first counts.
    if spec.kind != "value" and step.spec.fingerprint != spec.fingerprint:
        raise PayloadMismatch(step)
    if step.is_settled:
        return StartResult(step, replayed=True)
    step = await resume(engine, step)
    if spec.kind == "event":
        step, _ = await commit(engine, step, LimitsGiven(spec.deadline_ms, spec.heartbeat_ms))
    return await _join(engine, step, caller)


async def _join(engine: Engine, step: Step, caller: _Caller) -> StartResult:
    """Wait for a step that goes on."""
    if step.is_settled:
        return StartResult(step, replayed=True)
    if caller.until_s is None or not step.has_no_wakeup:
        await ensure_wakeup(engine, step)
    if caller.until_s is None:
        return StartResult(step)
    step = await ask_to_wake(engine, step)
    step = await wait(engine, step, caller.until_s)
    return StartResult(await register_waiter(engine, step, caller.asked_at_ms, caller.attempt))


async def create_or_find(engine: Engine, post: Post) -> Created | Found:
    """Create the step, unless there is one of its identity.

    Without a parent, the first identity of a run that calls an endpoint is its root. Any other is a step
    under the root: the root's handler may not send parents, or the step is an event. An event may come
    before its root.
    Raises RunCancelled when the run was cancelled, StepCancelled when `parent` was, NotFound when `parent`
    names no run of this client.
    """
    spec, asked_ms = post.spec, engine.clock.now_ms()
    # A read costs less than a refused write and its wake-up.
    if post.is_repeated and (before := await posted_before(engine, spec)) is not None:
        return Found(before)
    cached = await _cached_run(engine, spec, asked_ms)
    if spec.parent is None:
        may_be_root = cached is None or cached.root_identity == spec.identity
        if may_be_root and spec.kind == "http":
            root = await _insert(engine, post, keys.ROOT)
            cached = engine.runs.remember(root.step, asked_ms)
            if root.step.spec.identity == spec.identity:
                return root
        spec = spec.below_root()
    if cached is not None and cached.is_cancelled:
        raise RunCancelled
    if await _is_below_cancelled(engine, spec):
        raise StepCancelled
    spec = _with_own_depth(spec, cached) if spec.kind == "run" else _with_own_key(spec, cached)
    spec = spec if cached is None else cached.with_retention(spec)
    inserted = await _insert(engine, replace(post, spec=spec), spec.identity)
    if isinstance(inserted, Created):
        await _end_if_cancelled(engine, inserted.step)
    return inserted


async def _end_if_cancelled(engine: Engine, step: Step) -> None:
    """End a new step if its run or handler was cancelled meanwhile and the cancel did not see its row.

    Raises RunCancelled or StepCancelled then.
    """
    if await is_called_off(engine, step.spec.run_id):
        await end_if_left_over(engine, step)
        raise RunCancelled
    if await _is_below_cancelled(engine, step.spec):
        await commit(engine, step, Cancelled(STEP_CANCELLED))
        raise StepCancelled


async def _is_below_cancelled(engine: Engine, spec: StepSpec) -> bool:
    """Whether the step whose handler posts was cancelled, as far as this process has seen."""
    if spec.parent is None or not engine.runs.has_seen_cancelled(spec.parent):
        return False
    # The handler's identity may have begun anew since then.
    handler = await engine.store.get(spec.parent)
    return handler is not None and is_step_cancelled(handler.error)


async def _cached_run(engine: Engine, spec: StepSpec, now_ms: int) -> CachedRun | None:
    if spec.parent is None and spec.kind != "event":
        return engine.runs.get(spec.run_id, now_ms)
    cached = await engine.runs.find(engine.store, spec.run_id, now_ms)
    if spec.parent is not None and (cached is None or cached.client_id != spec.client_id):
        raise NotFound(None if cached is None else cached.client_id)
    return cached


def _with_own_key(spec: StepSpec, cached: CachedRun | None) -> StepSpec:
    """The spec with a key for its endpoint that no other identity of the run sends to the same URL.

    A database or a payment provider that remembers keys must not merge two calls. Most steps differ by URL
    or key. The others differ only in the parent and the names, which the endpoint does not get.
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


def _with_own_depth(spec: StepSpec, cached: CachedRun | None) -> StepSpec:
    depth = 1 if cached is None else cached.depth + 1
    if depth > DEPTH_MAX:
        raise TooDeep
    return replace(spec, depth=depth)


async def _begun(engine: Engine, post: Post, position: str) -> Step:
    """The row that is to be written."""
    nonce = None if post.permit is None else engine.entropy.token()
    step = begin(post.spec, position, engine.clock.now_ms(), nonce, awaited=post.awaited)
    return await owing(engine, step) if post.spec.kind == "event" else step


async def _insert(engine: Engine, post: Post, position: str) -> Created | Found:
    """Write the row and send its wake-up, unless the position is taken or the step needs no wake-up yet.

    An attempt begins when both are acknowledged. Without an attempt, the row is written first.
    """
    step = await _begun(engine, post, position)
    if isinstance(post.spec.payload, Blob):
        # A read costs less than storing a text that is stored already.
        found = await engine.store.get(step.id)
        if found is not None and not await has_expired(engine, found):
            return Found(found)
        step = await stored_apart(engine.store, step)
    due_at_ms, runs = None if step.has_no_wakeup else step.due_at_ms, step.status is Status.RUNNING
    beside = engine.send_wakeup(step, due_at_ms) if runs and due_at_ms is not None else None
    existing = await engine.store.create(step)
    if existing is not None and existing != step and await has_expired(engine, existing):
        step = replace(step, version=existing.version + 1)
        existing = await engine.store.replace(step, existing.version)
    if beside is not None:
        await beside
    # The existing row may be our own, when the answer to the write was lost. For a value this cannot be
    # known, but it makes no difference.
    if existing is not None and (existing != step or step.is_settled):
        return Found(existing)
    if beside is None and due_at_ms is not None:
        await engine.send_wakeup(step, due_at_ms)
    if step.owes:
        await engine.send_wakeup(step, engine.clock.now_ms())
    return Created(step)
