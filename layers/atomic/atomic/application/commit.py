"""The one way to change a row: transition, fenced write, and the effects of the change."""

from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple, assert_never

from atomic.application.blobs import stored_apart
from atomic.application.causes import with_cause
from atomic.application.engine import Engine
from atomic.application.flow import release_slots
from atomic.application.links import on_root_settled
from atomic.application.pausing import pause_run
from atomic.application.ports import StoreUnavailable
from atomic.application.wait_set import on_watched_settled
from atomic.domain.blobs import Blob
from atomic.domain.clients.client import Client
from atomic.domain.events import ChildFailed, Event, Paused, Woken
from atomic.domain.owing import with_owed
from atomic.domain.steps import Step
from atomic.domain.transitions import (
    LOOK_AGAIN_MS,
    Effect,
    Effects,
    SendWakeup,
    effects_of,
    transition,
    with_paying,
)
from atomic.protocol import keys
from atomic.protocol.enums import Status


class Untold(StoreUnavailable):
    """The row may have changed, and its wake-up could not be sent."""


class Committed(NamedTuple):
    """The row as it now stands, and the effects of the change; None when the event changed nothing."""

    row: Step
    effects: Effects | None


async def commit(engine: Engine, step: Step, event: Event) -> Committed:
    """Apply the event to the step, write the row and run the effects.

    When another writer was first, the event is applied again to the row that writer wrote. Raises
    StoreUnavailable when the store or the queue fails; whether the row changed is then unknown. If not even
    the wake-up for this case could be sent, that is Untold.
    """
    try:
        return await _commit(engine, step, event)
    except _Erased:
        # Nothing follows from what happens to a step of a run that is gone.
        return Committed(step, None)


class _Erased(Exception):
    """The step has no row any more: its run was erased meanwhile."""


async def _commit(engine: Engine, step: Step, event: Event) -> Committed:
    has_told = False
    while True:
        now_ms = engine.clock.now_ms()
        after = transition(step, event, now_ms)
        if after is step:
            return Committed(step, None)
        effects = effects_of(step, after, now_ms)
        try:
            # Nearly no client and no run has hooks, and calls between modules cost each run.
            client = await engine.clients.get(step.spec.client_id) if effects.concerns_hooks else None
            if client is not None and (client.hooks or step.spec.hooks):
                after, effects = await _owing(engine, client, (step, after), effects)
            if effects.dead_letter is not None and not has_told:
                newer = await _newer_row(engine, step)
                if newer is not None:
                    step = newer
                    continue
                await engine.queue.dead_letter(after.id, effects.dead_letter)
                has_told = True
            after = await _complete(engine, after, effects)
            existing = await _write(engine, step, after, effects)
            if _is_written(existing, after):
                await run_effects(engine, after, effects.after)
                return Committed(after, effects)
        except StoreUnavailable:
            await _tell_of_unsure(engine, after, effects)
            raise
        assert existing is not None
        step = existing


async def _owing(
    engine: Engine, client: Client, change: tuple[Step, Step], effects: Effects
) -> tuple[Step, Effects]:
    """The row to be written with what it owes to hooks, and the effects of that change."""
    before, after = change
    owing = with_owed(before, after, client.hooks)
    if owing is after or await is_of_hook(engine, after):
        return after, effects
    return owing, with_paying(effects, engine.clock.now_ms())


async def is_of_hook(engine: Engine, step: Step) -> bool:
    """Whether the step is in the run of a delivery, of which no hook is told."""
    if step.is_root:
        return bool(step.spec.hook)
    run = await engine.runs.find(engine.store, step.spec.run_id, engine.clock.now_ms())
    return run is not None and run.is_of_hook


async def _tell_of_unsure(engine: Engine, after: Step, effects: Effects) -> None:
    try:
        await run_effects(engine, after, effects.if_unsure)
    except StoreUnavailable as refused:
        raise Untold(str(refused)) from refused


async def _newer_row(engine: Engine, judged: Step) -> Step | None:
    """The row, when it has changed meanwhile; None when it has not, or cannot be read.

    It is read before a dead letter is sent, because the step may have ended otherwise. A needless
    dead letter does no harm, so a failed read is ignored.
    """
    with suppress(StoreUnavailable):
        existing = await engine.store.get(judged.id)
        if existing is not None and existing.version != judged.version:
            return existing
    return None


async def _complete(engine: Engine, after: Step, effects: Effects) -> Step:
    """The row as it is written: of a run that fails with the cause, and with large texts apart."""
    if effects.dead_letter is not None:
        after = await with_cause(engine, after)
    is_large = after.response is not None and isinstance(after.response.text, Blob)
    return await stored_apart(engine.store, after) if is_large else after


async def _write(engine: Engine, before: Step, after: Step, effects: Effects) -> Step | None:
    if effects.ahead is not None:
        await engine.send_wakeup(after, effects.ahead.at_ms)
    begun = None if effects.beside is None else engine.send_wakeup(after, effects.beside.at_ms)
    try:
        existing = await engine.store.replace(after, before.version)
    except LookupError:
        raise _Erased from None
    if begun is not None:
        await begun
    return existing


def _is_written(existing: Step | None, after: Step) -> bool:
    """Whether the stored row is the one that was to be written.

    A write may be applied and its answer lost. The store's SDK then repeats it, and finds our own row.
    """
    return existing is None or existing == after


async def run_effects(  # noqa: C901 - one arm an effect
    engine: Engine, step: Step, effects: tuple[Effect, ...]
) -> None:
    """Run the effects for the row as it now stands, one after the other."""
    for effect in effects:
        match effect:
            case SendWakeup(at_ms):
                await engine.send_wakeup(step, at_ms)
            case "remember run":
                engine.runs.remember(step, engine.clock.now_ms())
            case "tell callers":
                engine.notifier.publish(step)
            case "count settled":
                engine.telemetry.settled(step)
            case "count reopened":
                engine.telemetry.reopened(step)
            case "meter storage":
                engine.admission.meter.settled(step)
            case "wake waiters":
                await wake_waiters(engine, step)
            case "look again":
                await engine.send_wakeup(step, engine.clock.now_ms() + LOOK_AGAIN_MS)
            case "release slots":
                await release_slots(engine, step)
            case "pause run":
                await pause_run(engine, commit, step.spec.run_id, Paused(by=step.id))
            case _:
                assert_never(effect)


async def send_again(engine: Engine, row: Step) -> None:
    """Send the wake-up of a row of which it is not known whether its writer sent one.

    Of a settled row, this is a look at those that wait for it.
    """
    at_ms = engine.clock.now_ms() + LOOK_AGAIN_MS if row.is_settled else row.due_at_ms
    if at_ms is not None:
        await engine.send_wakeup(row, at_ms)


async def wake_waiters(
    engine: Engine, settled: Step, still_waits: Callable[[Step], bool] = lambda _waiter: True
) -> list[Step]:
    """Wake the steps that wait for this one. Returns those that, by `still_waits`, wait no more.

    A repeat gives `still_waits`, since a waiter may have been called meanwhile. Links are told in any case.
    """
    woken, others = Woken(settled.id, failed=settled.status is not Status.SUCCEEDED), list[Step]()
    for waiter_id in settled.waiters:
        if keys.is_schedule_id(waiter_id):
            await engine.wake_schedule(waiter_id, engine.clock.now_ms())
            continue
        waiter = await engine.store.get(waiter_id)
        if waiter is not None and waiter.spec.kind == "run":
            await on_root_settled(engine, commit, waiter, settled)
        elif waiter is not None and still_waits(waiter):
            await commit(engine, waiter, woken)
        elif waiter is not None:
            others.append(waiter)
    for watch in settled.watches:
        await on_watched_settled(engine, commit, settled, watch)
    handler = await _handler_to_tell(engine, settled)
    if handler is not None and still_waits(handler):
        await commit(engine, handler, ChildFailed(settled.id))
    return others


async def _handler_to_tell(engine: Engine, settled: Step) -> Step | None:
    """The parent of a step that has failed, if the step was not asked to wake its parent.

    A handler that waits for all of its steps is called as soon as one of them fails, even when another
    step is watched. A handler that still runs may wait for all of its steps later.
    """
    handler_id = settled.spec.parent
    if settled.status is Status.SUCCEEDED or handler_id is None or handler_id in settled.waiters:
        return None
    return await engine.store.get(handler_id)
