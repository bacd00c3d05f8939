"""Bugs to plant in schedules. Each replaces one function of the engine during a test."""

from dataclasses import replace
from typing import Any, Final

import atomic.application.firing as firing
import atomic.application.process_wakeup as driving
import atomic.domain.schedules as domain
from atomic.application.engine import Engine
from atomic.domain.schedules import Due, Missed, Schedule
from simulation.network import ProcessStore
from simulation.planted import Patch

_key_of, _what_is_due, _paused = domain.key_of, domain.what_is_due, domain.paused
_positioned, _next, _tell_missed = domain.positioned, firing._next, firing.tell_missed
_save, _create = firing.save, ProcessStore.create_schedule
_process, _replace = firing.process_schedule, ProcessStore.replace_schedule


async def _move_first(engine: Engine, schedule: Schedule, slot_ms: int) -> Schedule:
    spec = firing.run_spec(schedule, _key_of(schedule, slot_ms), slot_ms)
    after = firing.started(schedule, slot_ms, spec.run_id)
    if await _save(engine, schedule, after) is after:
        await firing.start_run(engine, schedule, _key_of(schedule, slot_ms), slot_ms)
    return replace(after, version=after.version + 1)


def _key_without_slot(schedule: Schedule, slot_ms: int) -> str:
    return schedule.name


def _key_of_the_version(schedule: Schedule, slot_ms: int) -> str:
    return f"{_key_of(schedule, slot_ms)}+{schedule.version}"


async def _replace_any_version(store: ProcessStore, schedule: Schedule, expected_version: int) -> Any:
    row = await store.get_schedule(schedule.client_id, schedule.name)
    return await _replace(store, schedule, expected_version if row is None else row.version)


async def _save_again(engine: Engine, before: Schedule, after: Schedule) -> Schedule | None:
    """Write a deleted schedule again."""
    saved = await _save(engine, before, after)
    if saved is None:
        await engine.store.create_schedule(after)
    return after if saved is None else saved


def _leave_each_second_out(schedule: Schedule, after_ms: int) -> Schedule:
    after = _positioned(schedule, after_ms)
    is_moved = schedule.last_slot_ms == after_ms and after.next_slot_ms is not None
    return _positioned(schedule, after.next_slot_ms or after_ms) if is_moved else after


def _miss_nothing(schedule: Schedule, now_ms: int) -> Missed | Due | None:
    due = _what_is_due(schedule, now_ms)
    return Due(schedule.next_slot_ms or 0) if isinstance(due, Missed) else due


def _miss_early(schedule: Schedule, now_ms: int) -> Missed | Due | None:
    return _what_is_due(schedule, now_ms + 30_000)


def _pause_but_stay_due(schedule: Schedule, note: str, now_ms: int) -> Schedule:
    return replace(_paused(schedule, note, now_ms), due_at_ms=schedule.due_at_ms)


def _pause_but_keep_the_queue(schedule: Schedule) -> Schedule:
    return schedule


def _go_on_from_now(schedule: Schedule, now_ms: int) -> Schedule:
    return domain.positioned(schedule, now_ms)


async def _send_each_on(engine: Engine, schedule_id: str, wakeup_at_ms: int | None = None) -> None:
    await _process(engine, schedule_id, None)


def _has_never_just_ended(schedule: Schedule, last: Any) -> bool:
    return False


async def _has_no_run(engine: Engine, schedule: Schedule) -> bool:
    return False


async def _create_as_1(store: ProcessStore, schedule: Schedule) -> Any:
    return await _create(store, replace(schedule, version=1))


async def _tell_first(engine: Engine, schedule: Schedule) -> Schedule | None:
    after = await _next(engine, schedule)
    if after is not None and after.owes:
        await _tell_missed(engine, after)
    return after


async def _forget(engine: Engine, schedule: Schedule) -> Schedule:
    return replace(schedule, owes=(), version=schedule.version + 1)


PLANTED_IN_SCHEDULES: Final[dict[str, list[Patch]]] = {
    "a schedule moves its row before it starts the run": [(firing, "_start", _move_first)],
    "the key of a run has no slot": [(firing, "key_of", _key_without_slot)],
    "the key of a run has the version of its schedule": [(firing, "key_of", _key_of_the_version)],
    "a schedule is replaced whatever its version": [
        (ProcessStore, "replace_schedule", _replace_any_version)
    ],
    "a deleted schedule is written again": [(firing, "save", _save_again)],
    "a new schedule begins with the version of a deleted one": [
        (ProcessStore, "create_schedule", _create_as_1)
    ],
    "a schedule leaves out each second slot": [(domain, "positioned", _leave_each_second_out)],
    "a schedule starts what passed too long ago": [(firing, "what_is_due", _miss_nothing)],
    "a schedule misses what is on time": [(firing, "what_is_due", _miss_early)],
    "a paused schedule stays due": [
        (firing, "paused", _pause_but_stay_due),
        (domain, "paused", _pause_but_stay_due),
    ],
    "a paused schedule keeps its queued slot": [(domain, "_without_queued", _pause_but_keep_the_queue)],
    "an edit goes back with a clock that is set back": [(domain, "_positioned_from_now", _go_on_from_now)],
    "a wake-up of a schedule that is left over is sent on": [
        (driving, "process_schedule", _send_each_on),
    ],
    "a slot is skipped and started when the last run has just ended": [
        (firing, "_has_just_ended", _has_never_just_ended)
    ],
    "a slot that has a run is counted as missed": [(firing, "_has_run", _has_no_run)],
    "missed slots are told before the row is written": [(firing, "_next", _tell_first)],
    "what a schedule owes is forgotten": [(firing, "tell_missed", _forget)],
}
