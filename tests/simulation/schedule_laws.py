"""What must be true of schedules: each slot has one run, or is counted as skipped or missed."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from atomic.domain.cadence import Every
from atomic.domain.schedules import ON_TIME_MS, Schedule, at_ms
from atomic.protocol import keys
from atomic.testing.virtual_time import EPOCH_MS
from simulation.scheduling import HOOK, Fired, RowWrite, ScheduleWorld

# How long the operations of a decision may take, with the slowest store.
_DECISION_S: Final = 50.0
_CLOCKS_APART_S: Final = 6.0
_MS: Final = timedelta(milliseconds=1)


def broken(world: ScheduleWorld) -> list[str]:
    """All violations in this world."""
    truth = world.truth
    return [
        *truth.wrong,
        *world.observed.wrong,
        *(f"{step_id} is still live" for step_id in world.live()),
        *_one_run(world),
        *_late(world),
        *(line for write in truth.writes for line in _write(world, write)),
        *_counts(world),
        *_gaps(world),
    ]


def slots(plan_of: Schedule, from_ms: int, before_ms: int) -> list[int]:
    """The slots of a schedule in a stretch of time, one by one from the period alone."""
    cadence, until_ms = plan_of.plan.cadence, plan_of.plan.until_ms
    assert isinstance(cadence, Every)
    period_ms, phase_ms = cadence.period // _MS, at_ms(cadence.anchor)
    first = from_ms + (phase_ms - from_ms) % period_ms
    return [slot for slot in range(first, before_ms, period_ms) if until_ms is None or slot <= until_ms]


def _gaps(world: ScheduleWorld) -> Iterator[str]:
    """Each gap that a row counts as missed is told once, and not before the row says so.

    A row may be deleted by one process while the one that is about to tell of it dies.
    """
    told: defaultdict[str, dict[str, float]] = defaultdict(dict)
    for step in world.truth.history:
        if step.before is None and step.step.spec.hook:
            told[step.step.spec.idempotency_key].setdefault(step.step.id, step.at_s)
    deleted = [write for write in world.truth.writes if write.after is None]
    for write in world.truth.writes:
        before, after = write.before, write.after
        if before is None or after is None or after.missed == before.missed:
            continue
        gap = after.owes[-1]
        if (gap.first_ms, gap.count) != (before.next_slot_ms, after.missed - before.missed):
            yield f"{write.id} missed {after.missed - before.missed} slots, and owes {gap}"
        found = told.pop(f"{after.name}:{gap.first_ms}:schedule.missed@{gap.at_ms}:{HOOK.name}", {})
        is_soon_deleted = any(
            each.id == write.id and 0 <= each.at_s - write.at_s < _DECISION_S for each in deleted
        )
        if len(found) != 1 and not (is_soon_deleted and not found):
            yield f"{gap} of {write.id} has {len(found)} deliveries"
        yield from (f"{gap} was told before its row" for at_s in found.values() if at_s < write.at_s)
    yield from (f"{key} was told, and no row owed it" for key in told)


def _one_run(world: ScheduleWorld) -> Iterator[str]:
    """A slot has at most one run, whatever it was named."""
    found = Counter((fired.schedule_id, fired.root.spec.scheduled_at_ms) for fired in world.truth.fired)
    for slot, number in found.items():
        if number > 1:
            yield f"{number} runs of {slot}"


def _late(world: ScheduleWorld) -> Iterator[str]:
    """After a pause, a deletion or an edit, only the run that was under way is started."""
    late: defaultdict[RowWrite, list[Fired]] = defaultdict(list)
    for fired in world.truth.fired:
        slot, row = fired.root.spec.scheduled_at_ms, fired.row
        if row is not None and not row.paused and slot in {row.next_slot_ms, row.queued_ms}:
            continue
        # By clocks that are far apart, one process may skip, or miss, what another one starts.
        leaving = [write for write in world.truth.writes if _leaves(write, fired)]
        ended = [write for write in leaving if world.skewed or _is_by_operator(write)]
        if not ended or ended[-1].at_s < fired.at_s - _DECISION_S:
            told = f"{fired.schedule_id} v{row and row.version}: {slot}"
            yield f"{told} was started at {fired.at_s:.3f} without being due"
        else:
            late[ended[-1]].append(fired)
    for write, runs in late.items():
        if len(runs) > 1:
            yield f"{len(runs)} runs of {write.id} were started after {write.at_s:.3f}"


def _leaves(write: RowWrite, fired: Fired) -> bool:
    """Whether an operator took this slot from a schedule, before it was started."""
    before, slot = write.before, fired.root.spec.scheduled_at_ms
    is_of_it = write.id == fired.schedule_id and write.at_s <= fired.at_s and before is not None
    return is_of_it and slot in {before.next_slot_ms, before.queued_ms}


def _is_by_operator(write: RowWrite) -> bool:
    before, after = write.before, write.after
    if before is None or after is None or before.paused or after.paused:
        return True
    return before.plan != after.plan or before.updated_at_ms != after.updated_at_ms


def _write(world: ScheduleWorld, write: RowWrite) -> Iterator[str]:
    before, after = write.before, write.after
    if before is None or after is None:
        return
    told = f"{write.id} v{after.version} at {write.at_s:.3f}:"
    if after.version != before.version + 1:
        yield f"{told} written over version {before.version}"
    if (after.last_slot_ms or 0) < (before.last_slot_ms or 0):
        yield f"{told} the last slot went back"
    if after.next_slot_ms is not None and after.next_slot_ms <= (after.last_slot_ms or 0):
        yield f"{told} decides {after.next_slot_ms} again"
    if after.paused and (after.queued_ms is not None or after.due_at_ms is not None):
        yield f"{told} is paused, and would start {after.queued_ms or after.due_at_ms}"
    for line in (
        _by_operator(write, before, after)
        if _is_by_operator(write)
        else _decision(world, write, before, after)
    ):
        yield f"{told} {line}"


def _by_operator(write: RowWrite, before: Schedule, after: Schedule) -> Iterator[str]:
    """An edit with the same times leaves no slot out; a resumed schedule goes on from now."""
    kept = before.plan.cadence == after.plan.cadence and not before.paused
    same_end = before.plan.until_ms == after.plan.until_ms and before.plan.limit == after.plan.limit
    if kept and same_end and before.next_slot_ms is not None and after.next_slot_ms != before.next_slot_ms:
        yield f"an edit moved {before.next_slot_ms} to {after.next_slot_ms}"
    if (after.started, after.missed) != (before.started, before.missed):
        yield "an edit, or a paused schedule, counted a run"


def _decision(world: ScheduleWorld, write: RowWrite, before: Schedule, after: Schedule) -> Iterator[str]:
    """One slot is started, skipped or queued; or some are missed."""
    passed = _passed(before, after)
    started, skipped = after.started - before.started, after.skipped - before.skipped
    missed = after.missed - before.missed
    was_queued = bool(started) and after.last_started_ms == before.queued_ms
    is_queued = after.queued_ms not in {None, before.queued_ms}
    if len(passed) != missed + skipped + is_queued + (0 if was_queued else started):
        yield f"{len(passed)} slots passed; {started=} {skipped=} {missed=} {was_queued=} {is_queued=}"
    # A write that decides no slot, such as the start of a queued one, leaves the next one as it is.
    unmoved = after.last_slot_ms == before.last_slot_ms
    following = before.next_slot_ms if unmoved else _following(after)
    if _is_used_up(after):
        following = None
    if after.next_slot_ms != following:
        yield f"its next slot is {after.next_slot_ms} and not {following}"
    if started:
        yield from _started(world, after)
    if skipped:
        yield from _not_now(world, before, write.at_s - _DECISION_S)
    if not world.skewed:
        yield from _in_time(world, write, before, after, is_queued=is_queued)


def _in_time(
    world: ScheduleWorld, write: RowWrite, before: Schedule, after: Schedule, *, is_queued: bool
) -> Iterator[str]:
    """What depends on times that wrong clocks would tell otherwise."""
    if is_queued:
        # Also when the last run ended shortly before, or after the slot was due.
        due_s = ((before.due_at_ms or 0) - EPOCH_MS) / 1000
        yield from _not_now(world, before, due_s - _CLOCKS_APART_S)
    if after.missed > before.missed:
        yield from _missed(write, before, _passed(before, after))
    if after.started > before.started and after.last_started_ms != before.queued_ms:
        yield from _started_in_time(world, after)


def _passed(before: Schedule, after: Schedule) -> list[int]:
    """The slots that were decided by a write."""
    if before.next_slot_ms is None or after.last_slot_ms is None:
        return []
    return slots(before, before.next_slot_ms, after.last_slot_ms + 1)


def _following(after: Schedule) -> int | None:
    if after.last_slot_ms is None:
        return after.next_slot_ms
    from_ms = after.last_slot_ms + 1
    return next(iter(slots(after, from_ms, from_ms + 100_000)), None)


def _is_used_up(after: Schedule) -> bool:
    return after.plan.limit is not None and after.started >= after.plan.limit


def _started(world: ScheduleWorld, after: Schedule) -> Iterator[str]:
    """The run was there before the row was moved, and is that of the slot."""
    root = world.truth.rows.get(keys.root_of(after.last_run or ""))
    if root is None:
        yield f"the run {after.last_run} of {after.last_started_ms} is not there"
    elif root.spec.scheduled_at_ms != after.last_started_ms:
        yield f"{after.last_started_ms} has the run of {root.spec.scheduled_at_ms}"


def _started_in_time(world: ScheduleWorld, after: Schedule) -> Iterator[str]:
    """What passed too long ago is not started."""
    plan, on_time_ms = after.plan, ON_TIME_MS + after.plan.spread_ms
    allowed_ms = on_time_ms if plan.catch_up == "none" else max(on_time_ms, plan.catch_up_window_ms)
    for fired in world.truth.fired:
        late_ms = EPOCH_MS + round(1000 * (fired.at_s - _DECISION_S)) - (after.last_started_ms or 0)
        if fired.root.spec.run_id == after.last_run and late_ms > allowed_ms:
            yield f"{after.last_started_ms} was started at {fired.at_s:.3f}"


def _not_now(world: ScheduleWorld, before: Schedule, since_s: float) -> Iterator[str]:
    """A slot is left out, or queued, because the last run went on or another slot was queued."""
    if before.plan.overlap not in {"skip", "queue"}:
        yield f"skips with the overlap {before.plan.overlap}"
    ended_s = _ended_s(world, keys.root_of(before.last_run or ""))
    if before.last_run is None or ended_s < since_s:
        yield f"left out a slot, though {before.last_run} ended at {ended_s:.3f}"


def _ended_s(world: ScheduleWorld, root_id: str) -> float:
    ends = (w.at_s for w in world.truth.history if w.step.id == root_id and w.step.is_settled)
    return next(ends, float("inf"))


def _missed(write: RowWrite, before: Schedule, passed: list[int]) -> Iterator[str]:
    """What is missed is late; and not what is made up, at the moment of the decision or a bit earlier."""
    plan, now_ms = before.plan, EPOCH_MS + round(1000 * write.at_s)
    earlier_ms = now_ms - round(1000 * _DECISION_S)
    for slot in passed:
        if slot > now_ms - ON_TIME_MS - plan.spread_ms:
            yield f"{slot} was missed though it was on time"
        if plan.catch_up == "all" and slot > now_ms - plan.catch_up_window_ms:
            yield f"{slot} was missed, though all are made up"
    if plan.catch_up == "last" and passed:
        late = slots(before, passed[0], earlier_ms - ON_TIME_MS - plan.spread_ms)
        on_time = slots(before, earlier_ms - ON_TIME_MS - plan.spread_ms, now_ms + 1)
        is_kept = late and not on_time and late[-1] > now_ms - plan.catch_up_window_ms
        if is_kept and late[-1] in passed:
            yield f"{late[-1]} was missed, though it was the last one"


def _counts(world: ScheduleWorld) -> Iterator[str]:
    """Each run of a slot is counted once, except for those that were under way when an operator came."""
    for schedule_id in {write.id for write in world.truth.writes}:
        fired = [each for each in world.truth.fired if each.schedule_id == schedule_id]
        counted = sum(
            write.after.started - write.before.started
            for write in world.truth.writes
            if write.id == schedule_id and write.before is not None and write.after is not None
        )
        operated = sum(
            write.id == schedule_id and write.before is not None and _is_by_operator(write)
            for write in world.truth.writes
        )
        # A schedule that is put anew finds, by a wrong clock, runs that the deleted one has started.
        anew = sum(write.id == schedule_id and write.before is None for write in world.truth.writes) - 1
        least = 0 if anew and world.skewed else counted - anew
        if not least <= len(fired) <= counted + operated:
            yield f"{schedule_id}: {len(fired)} runs, {counted} counted, {operated} times operated"
