"""A post meets the rows: it creates its step, or finds the one of the same identity."""

from dataclasses import dataclass, replace

from atomic.application.engine import Engine
from atomic.application.leftovers import end_if_left_over, is_called_off
from atomic.application.permits import Permit
from atomic.application.refusals import NotFound, RunCancelled
from atomic.application.run_cache import CachedRun
from atomic.domain.steps import Step, StepSpec
from atomic.domain.transitions import begin
from atomic.protocol import keys
from atomic.protocol.enums import Status


@dataclass(frozen=True, slots=True)
class Post:
    """What is posted. With a permit its first attempt is to be made at once, by this process.

    `awaited`: whoever posts it asks to wait for it.
    """

    spec: StepSpec
    awaited: bool
    permit: Permit | None


@dataclass(frozen=True, slots=True)
class Created:
    """The step is new; its row and its wake-up are durable."""

    step: Step


@dataclass(frozen=True, slots=True)
class Found:
    """There is a step of this identity."""

    step: Step


async def create_or_find(engine: Engine, post: Post) -> Created | Found:
    """Create the step, unless there is one of its identity.

    Without a parent, the first identity of a run that calls an endpoint is its root. Any other is a step of
    the root's: of a handler that knows nothing of parents, or an event that may come before its root.
    Raises RunCancelled when the run was cancelled, NotFound when `parent` names no run of this client.
    """
    spec, asked_ms = post.spec, engine.clock.now_ms()
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
    spec = _with_own_key(spec, cached)
    inserted = await _insert(engine, replace(post, spec=spec), spec.identity)
    # The run may have been cancelled while the row was written, by somebody who did not see the row.
    if isinstance(inserted, Created) and await is_called_off(engine, spec.run_id):
        await end_if_left_over(engine, inserted.step)
        raise RunCancelled
    return inserted


async def _cached_run(engine: Engine, spec: StepSpec, now_ms: int) -> CachedRun | None:
    if spec.parent is None and spec.kind != "event":
        return engine.runs.get(spec.run_id, now_ms)
    cached = await engine.runs.find(engine.store, spec.run_id, now_ms)
    if spec.parent is not None and (cached is None or cached.client_id != spec.client_id):
        raise NotFound(None if cached is None else cached.client_id)
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


async def _insert(engine: Engine, post: Post, position: str) -> Created | Found:
    """Write the row and send its wake-up, unless the position is taken.

    An attempt begins when both are acknowledged. What begins later is there before its wake-up.
    """
    nonce = None if post.permit is None else engine.entropy.token()
    step = begin(post.spec, position, engine.clock.now_ms(), nonce, awaited=post.awaited)
    due_at_ms, runs = step.due_at_ms, step.status is Status.RUNNING
    beside = engine.send_wakeup(step, due_at_ms) if runs and due_at_ms is not None else None
    existing = await engine.store.create(step)
    if existing is not None and existing != step and await _is_forgotten(engine, existing):
        step = replace(step, version=existing.version + 1)
        existing = await engine.store.replace(step, existing.version)
    if beside is not None:
        await beside
    # What stands there may be our own row, when the answer to the write was lost on its way.
    if existing is not None and existing != step:
        return Found(existing)
    if beside is None and due_at_ms is not None:
        await engine.send_wakeup(step, due_at_ms)
    return Created(step)


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
