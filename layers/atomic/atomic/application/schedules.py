"""What operators do to schedules: put, pause, resume, trigger, backfill, delete."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import islice, takewhile
from typing import Final

from atomic.application.admission import Refused
from atomic.application.deliveries import tell_missed
from atomic.application.engine import Engine
from atomic.application.firing import save, start_run
from atomic.application.refusals import ChangedMeanwhile, NotFound, TooManySchedules
from atomic.domain.clients.client import Client
from atomic.domain.retiming import retimed
from atomic.domain.schedules import Schedule, key_of, positioned, replaced, run_spec, slots_ms
from atomic.protocol import keys
from atomic.protocol.constants import SCHEDULES_MAX

# Writers that lose against others try again; the slots of one schedule are not that many.
_TRIES: Final = 20


class StartRefused(Exception):
    """A limit of the client refuses the run."""

    def __init__(self, refused: Refused) -> None:
        super().__init__(refused.detail)
        self.refused = refused


@dataclass(frozen=True, slots=True)
class SlotRun:
    """The run of a slot, and whether it is new; in a dry run, no run where there is none yet."""

    slot_ms: int
    run_id: str | None = None
    created: bool = False


@dataclass(frozen=True, slots=True)
class Backfill:
    """A page of a backfill; `next_ms` is where the next one begins, None when all is done."""

    slots: Sequence[SlotRun]
    next_ms: int | None


async def get_schedule(engine: Engine, client: Client, name: str) -> Schedule:
    """The schedule. Raises NotFound."""
    schedule = await engine.store.get_schedule(client.id, name)
    if schedule is None:
        raise NotFound
    return schedule


async def put_schedule(
    engine: Engine,
    wanted: Schedule,
    is_expected: Callable[[int], bool] = lambda _version: True,
    *,
    keeps_pause: bool = False,
) -> tuple[Schedule, bool]:
    """Create or replace the schedule: the row, and whether it is new.

    `is_expected(version)`: whether it may have this version, which is 0 when there is none. `keeps_pause`:
    one that is paused stays so, with its note. Raises ChangedMeanwhile and TooManySchedules.
    """
    for _ in range(_TRIES):
        before = await engine.store.get_schedule(wanted.client_id, wanted.name)
        version = 0 if before is None else before.version
        if not is_expected(version):
            raise ChangedMeanwhile(version)
        now_ms = engine.clock.now_ms()
        if before is not None:
            if keeps_pause and before.paused:
                kept = replace(wanted, paused=True, note=before.note)
            else:
                kept = wanted
            after = replaced(retimed(before), kept, now_ms)
            if await save(engine, before, after) is after:
                await _wake(engine, after)
                return after, False
            continue
        await _refuse_too_many(engine, wanted)
        # Not 1: a process that still works on a deleted row of this name must not overwrite the new one.
        after = positioned(replace(wanted, version=now_ms), now_ms)
        if await engine.store.create_schedule(after) is None:
            await _wake(engine, after)
            return after, True
    raise ChangedMeanwhile(0)


async def _refuse_too_many(engine: Engine, wanted: Schedule) -> None:
    # Two that are put at the same time may both be let in.
    known = await engine.store.list_schedules(wanted.client_id, after="", limit=SCHEDULES_MAX)
    if len(known) >= SCHEDULES_MAX:
        raise TooManySchedules


async def change_schedule(
    engine: Engine, client: Client, name: str, change: Callable[[Schedule, int], Schedule]
) -> Schedule:
    """Change the row by `change(schedule, now_ms)`, again while others write it. Raises NotFound."""
    for _ in range(_TRIES):
        before = await get_schedule(engine, client, name)
        after = change(retimed(before), engine.clock.now_ms())
        if after is before or await save(engine, before, after) is after:
            await _wake(engine, after)
            return after
    raise ChangedMeanwhile(before.version)


async def _wake(engine: Engine, schedule: Schedule) -> None:
    if schedule.due_at_ms is not None:
        await engine.wake_schedule(schedule.id, schedule.due_at_ms)


async def delete_schedule(engine: Engine, client: Client, name: str) -> None:
    """Delete the schedule; its runs go on. Raises NotFound."""
    schedule = await engine.store.get_schedule(client.id, name)
    if schedule is not None and schedule.owes:
        await tell_missed(engine, schedule)
    if not await engine.store.delete_schedule(client.id, name):
        raise NotFound


async def trigger(engine: Engine, client: Client, name: str, key: str) -> SlotRun:
    """Start a run now, whatever is paused or under way; the same key finds the same run.

    Raises NotFound and StartRefused.
    """
    schedule, now_ms = await get_schedule(engine, client, name), engine.clock.now_ms()
    return await _run(engine, schedule, f"{name}@now-{key}", now_ms)


async def backfill(
    engine: Engine, schedule: Schedule, *, from_ms: int, to_ms: int, limit: int, dry_run: bool
) -> Backfill:
    """Start the runs of the slots from `from_ms` on and before `to_ms`, `limit` at most.

    Those that exist stay as they are. A dry run starts nothing, and tells which exist. Raises StartRefused.
    """
    within = takewhile(lambda slot: slot < to_ms, slots_ms(schedule.plan, from_ms - 1))
    slots = list(islice(within, limit + 1))
    do = _existing if dry_run else _run
    made = [await do(engine, schedule, key_of(schedule, slot), slot) for slot in slots[:limit]]
    return Backfill(made, slots[limit] if len(slots) > limit else None)


async def _existing(engine: Engine, schedule: Schedule, key: str, slot_ms: int) -> SlotRun:
    run_id = run_spec(schedule, key, slot_ms).run_id
    root = await engine.store.get(keys.root_of(run_id))
    return SlotRun(slot_ms, None if root is None else run_id)


async def _run(engine: Engine, schedule: Schedule, key: str, slot_ms: int) -> SlotRun:
    run = await start_run(engine, schedule, key, slot_ms)
    if isinstance(run, Refused):
        raise StartRefused(run)
    run_id, created = run
    return SlotRun(slot_ms, run_id, created)
