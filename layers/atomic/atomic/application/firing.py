"""What a due schedule does: start the run of its slot, or leave it out.

The run is started first, then the row is moved to the next slot. If this is interrupted in between, the
same run is started once more, which finds it.
"""

from typing import Final

from atomic.application.admission import Refused
from atomic.application.cancel import cancel_run
from atomic.application.commit import commit
from atomic.application.engine import Engine
from atomic.application.start import Created, start_root
from atomic.domain.events import WaiterAdded
from atomic.domain.schedules import (
    Due,
    Missed,
    Schedule,
    judged,
    key_of,
    moved,
    must_pause,
    paused,
    queued,
    refused,
    run_spec,
    started,
    what_is_due,
)
from atomic.domain.steps import Step
from atomic.protocol import keys
from atomic.protocol.enums import Status

# How many slots one wake-up decides. The next wake-up comes at once when there are more.
_SLOTS_AT_ONCE: Final = 50
# A start that was refused is tried again after this time at least, and at most.
_PAUSE_MIN_MS: Final = 1_000
_PAUSE_MAX_MS: Final = 60_000


async def process_schedule(engine: Engine, schedule_id: str, wakeup_at_ms: int | None = None) -> None:
    """Do what the schedule is due for. A wake-up may come early, late or twice, so the row decides.

    `wakeup_at_ms` is the time that the wake-up was sent for; None where the queue does not keep it.
    """
    schedule = before = await engine.store.get_schedule(*keys.schedule_of(schedule_id))
    for _ in range(_SLOTS_AT_ONCE):
        if schedule is None:
            return
        after = await _next(engine, schedule)
        if after is None:
            break
        schedule = await save(engine, schedule, after)
    if schedule is None or schedule.due_at_ms is None:
        return
    # A wake-up for another time than that of the row is left over: the row's own one is on its way.
    if schedule is not before or wakeup_at_ms in {None, schedule.due_at_ms}:
        await engine.wake_schedule(schedule.id, schedule.due_at_ms)


async def save(engine: Engine, before: Schedule, after: Schedule) -> Schedule | None:
    """Write the row in place of the one before: the row as it then stands, None if it was deleted."""
    try:
        existing = await engine.store.replace_schedule(after, before.version)
    except LookupError:
        return None
    return after if existing is None else existing


async def start_run(
    engine: Engine, schedule: Schedule, key: str, slot_ms: int
) -> Refused | tuple[str, bool]:
    """Start a run of the schedule, or find it: its id, and whether it is new.

    Refused when a limit of the client is reached.
    """
    spec = run_spec(schedule, key, slot_ms)
    client = await engine.clients.get(schedule.client_id)
    if client is None:
        return Refused("steps", _PAUSE_MAX_MS, "its client does not exist any more")
    reserved = await engine.admission.reserve(engine.store, client, spec, engine.clock.now_ms())
    if isinstance(reserved, Refused):
        return reserved
    async with reserved as reservation:
        inserted = await start_root(engine, spec)
        if isinstance(inserted, Created):
            reservation.keep()
    return spec.run_id, isinstance(inserted, Created)


async def last_root(engine: Engine, schedule: Schedule) -> Step | None:
    """The root of the last run, or of the run that goes on for it."""
    root = None if schedule.last_run is None else await engine.store.get(keys.root_of(schedule.last_run))
    while root is not None and root.continued_as is not None:
        root = await engine.store.get(root.continued_as)
    return root


async def _next(engine: Engine, schedule: Schedule) -> Schedule | None:
    """The row after what is to be done next; None when there is nothing to do now."""
    now_ms = engine.clock.now_ms()
    due = what_is_due(schedule, now_ms)
    if isinstance(due, Missed):
        return moved(schedule, due.up_to_ms, missed=schedule.missed + due.count)
    if due is None and schedule.queued_ms is None:
        return None
    last = await last_root(engine, schedule) if _looks_at_last(schedule) else None
    if last is not None and last.is_settled and schedule.last_run is not None:
        schedule = judged(schedule, schedule.last_run, has_failed=last.status is Status.FAILED)
    if must_pause(schedule):
        return paused(schedule, f"paused itself: {schedule.failures} runs in a row failed", now_ms)
    goes_on = last is not None and not last.is_settled
    if schedule.queued_ms is not None and not goes_on:
        return await _start(engine, schedule, schedule.queued_ms)
    if due is None:
        return None
    return await _decide(engine, schedule, due, last if goes_on else None)


def _looks_at_last(schedule: Schedule) -> bool:
    plan = schedule.plan
    return plan.overlap != "allow" or plan.pause_after_failures is not None


async def _decide(engine: Engine, schedule: Schedule, due: Due, live: Step | None) -> Schedule:
    """Start the run of a slot, unless the last one still goes on and the overlap says otherwise."""
    if live is not None:
        match schedule.plan.overlap:
            case "skip":
                return moved(schedule, due.slot_ms, skipped=schedule.skipped + 1)
            case "queue" if schedule.queued_ms is not None:
                return moved(schedule, due.slot_ms, skipped=schedule.skipped + 1)
            case "queue":
                # The row is read again after this, so an end in between is seen here or wakes the schedule.
                await commit(engine, live, WaiterAdded(schedule.id))
                return queued(schedule, due.slot_ms)
            case "cancel":
                await cancel_run(engine, live.spec.run_id)
            case "allow":
                pass
    return await _start(engine, schedule, due.slot_ms)


async def _start(engine: Engine, schedule: Schedule, slot_ms: int) -> Schedule:
    run = await start_run(engine, schedule, key_of(schedule, slot_ms), slot_ms)
    if isinstance(run, Refused):
        wait_ms = max(_PAUSE_MIN_MS, min(run.wait_ms, _PAUSE_MAX_MS))
        return refused(schedule, run.detail, engine.clock.now_ms() + wait_ms)
    run_id, _ = run
    return started(schedule, slot_ms, run_id)
