"""What a due schedule does: start the run of its slot, or leave it out.

The run is started first, then the row is moved to the next slot. If this is interrupted in between, the
same run is started once more, which finds it.
"""

from dataclasses import replace
from typing import Final

from atomic.application.admission import Refused
from atomic.application.cancel import cancel_run
from atomic.application.commit import commit
from atomic.application.deliveries import tell_missed
from atomic.application.engine import Engine
from atomic.application.start import Created, start_root
from atomic.domain.events import WaiterAdded
from atomic.domain.gaps import after_missed
from atomic.domain.held_places import is_never_begun, never_begun
from atomic.domain.retiming import from_wall, is_outdated, retimed
from atomic.domain.schedules import (
    CLOCKS_APART_MS,
    Due,
    Missed,
    Schedule,
    former_specs,
    judged,
    key_of,
    looked_at,
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
# A queued slot is started by the end of the last run. Should its wake-up be lost, it is found by a look.
_LOOK_AGAIN_MS: Final = 600_000
# A run that goes on as others is followed so far at once; the row notes how far.
_HOPS_MAX: Final = 32


async def process_schedule(engine: Engine, schedule_id: str, wakeup_at_ms: int | None = None) -> None:
    """Do what the schedule is due for. A wake-up may come early, late or twice, so the row decides.

    `wakeup_at_ms` is the time that the wake-up was sent for; None where the queue does not keep it.
    """
    schedule = before = await engine.store.get_schedule(*keys.schedule_of(schedule_id))
    is_own = False
    for _ in range(_SLOTS_AT_ONCE):
        if schedule is None:
            return
        after = await _next(engine, schedule)
        if after is None:
            break
        schedule = await save(engine, schedule, after)
        is_own = schedule is after
    due_at_ms = None if schedule is None else schedule.found_due_ms
    if before is None or schedule is None or due_at_ms is None:
        return
    # Who writes another due time sends the wake-up for it, and nobody else: otherwise a wake-up that came
    # twice would be two from then on. One for another time is left over; one that is delivered again (None)
    # may be that of a writer that ended before it sent the next.
    is_moved = is_own and due_at_ms != before.found_due_ms
    if is_moved or wakeup_at_ms in {None, due_at_ms}:
        await engine.wake_schedule(schedule.id, due_at_ms)


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
    spec = replace(spec, retention_ms=engine.kept_ms(client, spec.workflow_name))
    reserved = await engine.admission.reserve(engine.store, client, spec, engine.clock.now_ms())
    if isinstance(reserved, Refused):
        return reserved
    async with reserved as reservation:
        inserted = await start_root(engine, spec)
        if isinstance(inserted, Created):
            reservation.keep()
    return spec.run_id, isinstance(inserted, Created)


async def last_root(engine: Engine, schedule: Schedule) -> Step | None:
    """The root of the last run, or of the run that goes on for it.

    Where many runs went on for each other, it is one of them, and another one goes on for it.
    """
    if schedule.last_run is None:
        return None
    root = await engine.store.get(schedule.last_root or keys.root_of(schedule.last_run))
    for _ in range(_HOPS_MAX):
        if root is None or root.continued_as is None:
            break
        root = await engine.store.get(root.continued_as)
    return root


async def _next(engine: Engine, schedule: Schedule) -> Schedule | None:
    """The row after what is to be done next; None when there is nothing to do now."""
    now_ms = engine.clock.now_ms()
    if schedule.owes:
        return await tell_missed(engine, schedule)
    if is_outdated(schedule):
        return await _retimed(engine, schedule)
    due = what_is_due(schedule, now_ms)
    if isinstance(due, Missed):
        if not await _has_run(engine, schedule):
            client = await engine.clients.get(schedule.client_id)
            return after_missed(schedule, due, () if client is None else client.hooks, now_ms)
        due = Due(schedule.next_slot_ms or 0)
    if due is None and schedule.queued_ms is None:
        return None
    return await _after_last(engine, schedule, due, now_ms)


async def _retimed(engine: Engine, schedule: Schedule) -> Schedule:
    """The row, its next slot by the rules of time zones that this process has."""
    slot_ms, wall_ms = schedule.next_slot_ms, schedule.next_wall_ms
    if slot_ms is None or wall_ms is None or not await _has_run(engine, schedule):
        return replace(retimed(schedule), version=schedule.version + 1)
    after = await _start(engine, schedule, slot_ms)
    # By the rules of this process, the same time of the clock may lie ahead once more.
    return after if after.refused else from_wall(after, slot_ms, wall_ms + 1)


async def _after_last(engine: Engine, schedule: Schedule, due: Due | None, now_ms: int) -> Schedule | None:
    """The row after a slot that is due or queued was looked at beside the last run; None to wait."""
    last = await last_root(engine, schedule) if _looks_at_last(schedule) else None
    if last is not None:
        schedule = _knowing(schedule, last)
        if last.continued_as is not None:
            return replace(schedule, version=schedule.version + 1)
    if must_pause(schedule):
        return paused(schedule, f"paused itself: {schedule.failures} runs in a row failed", now_ms)
    if schedule.queued_ms is not None and (last is None or last.is_settled):
        return await _start(engine, schedule, schedule.queued_ms)
    if due is not None:
        return await _decide(engine, schedule, due, last)
    return None if last is None else await _wait(engine, schedule, last, now_ms)


def _knowing(schedule: Schedule, last: Step) -> Schedule:
    """The schedule, for which this is the last root. The next write of the row keeps that."""
    known = replace(schedule, last_root=last.id)
    if last.continued_as is not None or not last.is_settled or schedule.last_run is None:
        return known
    return judged(known, schedule.last_run, has_failed=last.status is Status.FAILED)


async def _has_run(engine: Engine, schedule: Schedule) -> bool:
    """Whether the next slot was started by a process that ended before it moved the row."""
    slot = schedule.next_slot_ms
    if slot is None:
        return False
    key = key_of(schedule, slot)
    specs = [run_spec(schedule, key, slot), *former_specs(schedule, key, slot)]
    roots = [await engine.store.get(keys.root_of(spec.run_id)) for spec in specs]
    return any(root is not None and not is_never_begun(root) for root in roots)


async def _wait(engine: Engine, schedule: Schedule, live: Step, now_ms: int) -> Schedule | None:
    """Wait for the end of the last run; it may go on as another run, or go on again, without a waiter."""
    live, _ = await commit(engine, live, WaiterAdded(schedule.id))
    if live.is_settled:
        return await _next(engine, schedule)
    is_over_but_for_this = schedule.next_slot_ms is None and (schedule.due_at_ms or 0) <= now_ms
    return looked_at(schedule, now_ms + _LOOK_AGAIN_MS) if is_over_but_for_this else None


def _looks_at_last(schedule: Schedule) -> bool:
    plan = schedule.plan
    return plan.overlap != "allow" or plan.pause_after_failures is not None


async def _decide(engine: Engine, schedule: Schedule, due: Due, last: Step | None) -> Schedule:
    """Start the run of a slot, unless the last one still goes on and the overlap says otherwise."""
    overlap, slot_ms = schedule.plan.overlap, due.slot_ms
    if last is not None and not last.is_settled:
        if overlap == "skip" or (overlap == "queue" and schedule.queued_ms is not None):
            return moved(schedule, slot_ms, skipped=schedule.skipped + 1)
        if overlap == "queue":
            # The row is read again after this, so an end in between is seen here or wakes the schedule.
            await commit(engine, last, WaiterAdded(schedule.id))
            return queued(schedule, slot_ms)
        if overlap == "cancel":
            await cancel_run(engine, last.spec.run_id)
    elif overlap in {"skip", "queue"} and _has_just_ended(schedule, last):
        # Another process may have seen it go on, and be about to skip the slot: one of the two is written.
        return queued(schedule, slot_ms)
    return await _start(engine, schedule, slot_ms)


def _has_just_ended(schedule: Schedule, last: Step | None) -> bool:
    ended_ms = None if last is None else last.finished_at_ms
    return ended_ms is not None and ended_ms >= (schedule.due_at_ms or 0) - CLOCKS_APART_MS


async def _start(engine: Engine, schedule: Schedule, slot_ms: int) -> Schedule:
    key = key_of(schedule, slot_ms)
    if (former := await _former_run(engine, schedule, key, slot_ms)) is not None:
        return started(schedule, slot_ms, former)
    run = await start_run(engine, schedule, key, slot_ms)
    if isinstance(run, Refused):
        wait_ms = max(_PAUSE_MIN_MS, min(run.wait_ms, _PAUSE_MAX_MS))
        return refused(schedule, run.detail, engine.clock.now_ms() + wait_ms)
    run_id, _ = run
    return started(schedule, slot_ms, run_id)


async def _former_run(engine: Engine, schedule: Schedule, key: str, slot_ms: int) -> str | None:
    """The run of a slot that was started under a former name of the workflow, if there is one.

    A process that has read the row before it was put may still be about to start that run. So its place is
    taken by a root that is cancelled.
    """
    for spec in former_specs(schedule, key, slot_ms):
        existing = await engine.store.create(never_begun(spec, engine.clock.now_ms()))
        if existing is not None and not is_never_begun(existing):
            return spec.run_id
    return None
