"""Results of event steps. They are posted from outside, by the id of the step or by the event's name."""

from dataclasses import replace
from typing import NamedTuple

from atomic.application.blobs import stored_apart
from atomic.application.commit import commit
from atomic.application.engine import Engine
from atomic.application.leftovers import end_if_left_over
from atomic.application.reentry import has_expired
from atomic.application.refusals import NotAnOpenEvent, TakesNoEvents
from atomic.application.wakeups import ensure_waiters_are_told, wake_waiters_again
from atomic.domain.event_steps import early, has_result, is_open
from atomic.domain.events import HeartbeatPosted, ResultPosted
from atomic.domain.steps import Step, StepSpec
from atomic.protocol import keys
from atomic.protocol.enums import EventWas, Status


class Completed(NamedTuple):
    """The event as it now stands, and what it was when the result came."""

    step: Step
    was: EventWas


async def post_result(engine: Engine, step: Step, posted: ResultPosted) -> Completed:
    """Complete or reject an event step. Posting the same result again is not an error.

    Raises NotAnOpenEvent for a different result, and for a run that has succeeded or was cancelled. A run
    that failed keeps the result for its redrive.
    """
    if step.spec.kind != "event":
        raise NotAnOpenEvent(step.spec.kind, step.status)
    if not step.is_settled:
        # An accepted result must be used, so the cached state of the run is not enough.
        await engine.runs.look(engine.store, step.spec.run_id, engine.clock.now_ms())
        step = await end_if_left_over(engine, step)
    await ensure_waiters_are_told(engine, step, succeeds=posted.rejection is None)
    after, effects = await commit(engine, step, posted)
    if effects is not None:
        await engine.admission.meter.flush(engine.store, after.spec, engine.clock.now_ms())
        return Completed(after, "open")
    if has_result(after, posted):
        await wake_waiters_again(engine, after)
        return Completed(after, "done")
    raise NotAnOpenEvent(after.spec.kind, after.status)


async def post_heartbeat(engine: Engine, step: Step) -> Step:
    """Tell an open event that somebody is at work on it, so that it does not expire; the event.

    Raises NotAnOpenEvent for any other step, also when its run has ended.
    """
    if is_open(step):
        step = await end_if_left_over(engine, step)
    after, _ = await commit(engine, step, HeartbeatPosted())
    if not is_open(after):
        raise NotAnOpenEvent(after.spec.kind, after.status)
    return after


async def signal_heartbeat(engine: Engine, spec: StepSpec) -> Step:
    """The same by the event's identity. Raises NotAnOpenEvent also for an event that nobody has opened."""
    event = await engine.store.get(keys.step_id(spec.run_id, spec.identity))
    if event is None:
        raise NotAnOpenEvent(spec.kind, None)
    return await post_heartbeat(engine, event)


async def signal(
    engine: Engine, spec: StepSpec, posted: ResultPosted, handler: Step | None = None
) -> Completed:
    """Post the result of the event of this identity, whether a handler has opened it yet or not.

    `handler` is the step whose handler waits for the event, if that step has been read. Raises
    NotAnOpenEvent for a different result, and TakesNoEvents when no handler can ask for the event any more.
    """
    existing = await engine.store.get(keys.step_id(spec.run_id, spec.identity))
    return await tell(engine, spec, existing, posted, handler)


async def tell(
    engine: Engine, spec: StepSpec, existing: Step | None, posted: ResultPosted, handler: Step | None
) -> Completed:
    """The same as `signal`, when the row of the event has been read."""
    if existing is None or await has_expired(engine, existing):
        # The row decides. If the handler posts at the same time, the later post finds the other row.
        created = await stored_apart(engine.store, early(spec, posted, engine.clock.now_ms()))
        existing = await _create(engine, created, existing, handler)
        if existing is None:
            engine.telemetry.started(created)
            engine.telemetry.settled(created)
            return Completed(created, "early")
    return await post_result(engine, existing, posted)


async def _create(engine: Engine, event: Step, forgotten: Step | None, handler: Step | None) -> Step | None:
    """Write the row of an event. If there is another row by now, return that row instead."""
    handler = handler or await engine.store.get(event.spec.parent or "")
    is_over = handler is not None and handler.status in {Status.SUCCEEDED, Status.CANCELLED}
    if handler is not None and is_over and not await has_expired(engine, handler):
        # The same result may have been posted, and used, since the event was read.
        newer = await engine.store.get(event.id)
        if newer is None or newer == forgotten:
            raise TakesNoEvents(handler.status)
        return newer
    if forgotten is None:
        existing = await engine.store.create(event)
    else:
        event = replace(event, version=forgotten.version + 1)
        existing = await engine.store.replace(event, forgotten.version)
    # The row may be our own, when the answer to the write was lost.
    return None if existing == event else existing
