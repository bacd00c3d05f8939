"""Schedules: what starts runs by itself, at times that a cadence gives.

A time of a cadence is a slot. A slot has one run, whose key names the schedule and the slot, so a slot that
is worked on twice starts nothing twice. All times are milliseconds since the epoch.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from atomic.domain.cadence import Cadence, latest_slot, slots_between, spread_of, wall_of
from atomic.domain.hooks import Gap
from atomic.domain.steps import StepSpec, earliest_ms
from atomic.domain.zones import TZDATA_VERSION
from atomic.protocol import keys
from atomic.protocol.enums import CatchUp, Overlap

# A slot that is found so late or less is on time: queues and restarts take seconds.
ON_TIME_MS: Final = 60_000
# How much the clocks of two processes may differ.
CLOCKS_APART_MS: Final = 5_000
# How many missed slots are counted one by one. Beyond, the count is a least number.
_COUNTED_MAX: Final = 10_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
# The first and the last moment that Python has, in the years 1 and 9999.
_FIRST: Final = datetime.min.replace(tzinfo=UTC)
_LAST: Final = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """When a schedule starts runs, and what it does when it cannot start one in time.

    `overlap`: what happens at a slot while the last run goes on. `catch_up`: which of the slots are started
    that passed more than a minute ago; none that passed more than `catch_up_window_ms` ago. `spread_ms`:
    runs start up to so much after their slots, each schedule by its own, lasting amount. `until_ms`: no
    slot after it. `limit`: how many runs are started in all. `pause_after_failures`: so many failed runs in
    a row pause the schedule.
    """

    cadence: Cadence
    overlap: Overlap = "skip"
    catch_up: CatchUp = "last"
    catch_up_window_ms: int = 86_400_000
    spread_ms: int = 0
    until_ms: int | None = None
    limit: int | None = None
    pause_after_failures: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """A schedule as stored in its row.

    `version` grows with each write, and no later row of the name begins with an earlier one. `start` is
    each run's root without its key.

    `next_slot_ms`: the first slot that is not decided. `due_at_ms`: when it is decided; None while the
    schedule is paused, and when it has no slots any more. `last_slot_ms`: the last slot that was decided.
    `last_run`: the run that was started last, for the slot `last_started_ms`. `judged_run`: the last run
    whose end is counted in `failures`, the number of failed runs in a row. `queued_ms`: a slot whose run
    begins when the last one has ended. `refused`: why the run of a due slot cannot be started now.
    `last_root`: the root that goes on for the last run, as far as it is known. `former_names`: until
    `former_until_ms`, the run of a slot may have been started under one of these names of the workflow.
    `next_wall_ms`: what the clock shows at the next slot, by the release `tzdata` of the time zones.
    `owes`: what hooks are to be told (`domain.gaps`); until then the row is found as if it were due.
    """

    client_id: str
    name: str
    version: int = 1
    plan: Plan
    start: StepSpec
    note: str = ""
    paused: bool = False
    created_at_ms: int
    updated_at_ms: int
    next_slot_ms: int | None = None
    due_at_ms: int | None = None
    last_slot_ms: int | None = None
    last_run: str | None = None
    last_started_ms: int | None = None
    judged_run: str | None = None
    failures: int = 0
    started: int = 0
    skipped: int = 0
    missed: int = 0
    queued_ms: int | None = None
    refused: str = ""
    last_root: str | None = None
    former_names: tuple[str, ...] = ()
    former_until_ms: int = 0
    next_wall_ms: int | None = None
    tzdata: str = ""
    owes: tuple[Gap, ...] = ()

    @property
    def found_due_ms(self) -> int | None:
        """From when on stores find the row among those that are due: also one that owes something."""
        return earliest_ms(self.due_at_ms, *(gap.at_ms for gap in self.owes))

    @property
    def id(self) -> str:
        """What its wake-ups name."""
        return keys.schedule_id(self.client_id, self.name)


@dataclass(frozen=True, slots=True)
class Missed:
    """Slots up to this one passed too long ago, and have no run. `count` is their number, at least."""

    up_to_ms: int
    count: int


@dataclass(frozen=True, slots=True)
class Due:
    """The run of this slot is to be started, or not, as the overlap says."""

    slot_ms: int


def at_ms(moment: datetime) -> int:
    """A moment in milliseconds since the epoch."""
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def at_moment(ms: int) -> datetime:
    """Milliseconds since the epoch as a moment."""
    return _EPOCH + timedelta(milliseconds=ms)


def key_of(schedule: Schedule, slot_ms: int) -> str:
    """The idempotency key of the run of a slot, such as `digest@2026-11-28T08:00:00Z`."""
    slot = at_moment(slot_ms)
    text = slot.replace(tzinfo=None).isoformat(timespec="milliseconds" if slot.microsecond else "seconds")
    return f"{schedule.name}@{text}Z"


def run_spec(schedule: Schedule, key: str, scheduled_at_ms: int) -> StepSpec:
    """The root of a run of this schedule."""
    start = schedule.start
    run_id = keys.run_id(start.client_id, start.workflow_name, key)
    return replace(
        start,
        run_id=run_id,
        identity=keys.identity(start.client_id, start.workflow_name, "", start.url, "", key),
        idempotency_key=key,
        trace_id=keys.trace_of(run_id),
        scheduled_at_ms=scheduled_at_ms,
        last_scheduled_at_ms=schedule.last_started_ms,
    )


def next_slot_ms(plan: Plan, after_ms: int) -> int | None:
    """The first slot after a moment; None when there is none."""
    return next(slots_ms(plan, after_ms), None)


def slots_ms(plan: Plan, after_ms: int) -> Iterator[int]:
    """The slots after a moment, in order."""
    after = at_moment(max(after_ms, at_ms(_FIRST)))
    until = _LAST if plan.until_ms is None else at_moment(plan.until_ms)
    return map(at_ms, slots_between(plan.cadence, after, until))


def due_ms(schedule: Schedule, slot_ms: int) -> int:
    """When the run of a slot starts: at the slot and its share of the spread, before the next slot."""
    plan = schedule.plan
    if not plan.spread_ms:
        return slot_ms
    spread = spread_of(schedule.id, timedelta(milliseconds=plan.spread_ms)) // timedelta(milliseconds=1)
    following = next_slot_ms(plan, slot_ms)
    return slot_ms + spread if following is None else min(slot_ms + spread, following)


def positioned(schedule: Schedule, after_ms: int) -> Schedule:
    """The schedule, whose next slot is the first one after the moment."""
    slot = None if is_used_up(schedule) else next_slot_ms(schedule.plan, after_ms)
    if schedule.paused or (slot is None and schedule.queued_ms is None):
        due_at_ms = None
    else:
        # With a queued slot alone, it stays due to be looked at.
        due_at_ms = schedule.due_at_ms if slot is None else due_ms(schedule, slot)
    wall = None if slot is None else wall_of(schedule.plan.cadence, at_moment(slot))
    next_wall_ms = None if wall is None else at_ms(wall)
    return replace(
        schedule, next_slot_ms=slot, due_at_ms=due_at_ms, next_wall_ms=next_wall_ms, tzdata=TZDATA_VERSION
    )


def is_used_up(schedule: Schedule) -> bool:
    """Whether it has started as many runs as it may."""
    limit = schedule.plan.limit
    return limit is not None and schedule.started >= limit


def replaced(before: Schedule, wanted: Schedule, now_ms: int) -> Schedule:
    """The schedule `before` as it is after a new definition `wanted` was put.

    With the same times, it goes on where it is: a slot that is due is not lost by a deployment. Otherwise
    its next slot is the first one from now on.
    """
    after = replace(
        before,
        version=before.version + 1,
        plan=wanted.plan,
        start=wanted.start,
        note=wanted.note,
        paused=wanted.paused,
        updated_at_ms=now_ms,
        refused="",
        **_formerly(before, wanted, now_ms),
    )
    if wanted.paused:
        after = _without_queued(after)
    resumes = before.paused and not wanted.paused
    if resumes:
        after = replace(after, failures=0)
    if before.next_slot_ms is None or before.plan.cadence != wanted.plan.cadence:
        return _positioned_from_now(after, now_ms)
    return positioned(after, max(before.next_slot_ms - 1, now_ms if resumes else 0))


def _formerly(before: Schedule, wanted: Schedule, now_ms: int) -> dict[str, Any]:
    """The former names after the workflow of the schedule was named otherwise; nothing when it was not."""
    name = wanted.start.workflow_name
    if name == before.start.workflow_name:
        return {}
    undecided = [ms for ms in (before.next_slot_ms, before.queued_ms) if ms is not None]
    known = before.former_names if min(undecided, default=now_ms) <= before.former_until_ms else ()
    names = dict.fromkeys([*known, before.start.workflow_name])
    return {
        "former_names": tuple(each for each in names if each != name),
        "former_until_ms": now_ms + CLOCKS_APART_MS,
    }


def former_specs(schedule: Schedule, key: str, slot_ms: int) -> list[StepSpec]:
    """The roots as which the run of this slot may have been started by another name."""
    if slot_ms > schedule.former_until_ms:
        return []
    starts = [replace(schedule.start, workflow_name=name) for name in schedule.former_names]
    return [run_spec(replace(schedule, start=start), key, slot_ms) for start in starts]


def _positioned_from_now(schedule: Schedule, now_ms: int) -> Schedule:
    # After the clock was set back, slots that are decided lie ahead.
    return positioned(schedule, max(now_ms, schedule.last_slot_ms or 0))


def _without_queued(schedule: Schedule) -> Schedule:
    """The schedule without its queued slot, which counts as skipped."""
    if schedule.queued_ms is None:
        return schedule
    return replace(schedule, queued_ms=None, skipped=schedule.skipped + 1)


def paused(schedule: Schedule, note: str, now_ms: int) -> Schedule:
    """The schedule, which starts nothing until it is resumed. A queued slot is skipped."""
    return replace(
        _without_queued(schedule),
        version=schedule.version + 1,
        paused=True,
        note=note or schedule.note,
        due_at_ms=None,
        refused="",
        updated_at_ms=now_ms,
    )


def resumed(schedule: Schedule, now_ms: int) -> Schedule:
    """The schedule, which goes on with the first slot from now on."""
    going = replace(
        schedule, version=schedule.version + 1, paused=False, note="", failures=0, updated_at_ms=now_ms
    )
    # No slot before the next one is undecided, by whatever rules of the clock.
    return _positioned_from_now(going, max(now_ms, (schedule.next_slot_ms or 0) - 1))


def what_is_due(schedule: Schedule, now_ms: int) -> Missed | Due | None:
    """What the schedule does next; None when it waits for a time or for its last run."""
    slot = schedule.next_slot_ms
    if slot is None or schedule.due_at_ms is None or now_ms < schedule.due_at_ms:
        return None
    first_kept = _first_kept_ms(schedule, slot, now_ms)
    if first_kept is None or first_kept == slot:
        return Due(slot)
    return _missed(schedule.plan, slot, first_kept)


def _first_kept_ms(schedule: Schedule, slot: int, now_ms: int) -> int | None:
    """The first slot from this one on that is started; None for this one itself."""
    plan, on_time_ms = schedule.plan, now_ms - ON_TIME_MS
    # The spread makes a run late on purpose.
    late_from_ms = on_time_ms - plan.spread_ms
    if slot >= late_from_ms:
        return None
    oldest_ms = max(now_ms - plan.catch_up_window_ms, 0)
    if plan.catch_up == "all":
        return slot if slot >= oldest_ms else _first_from(plan, min(oldest_ms, late_from_ms))
    on_time = next_slot_ms(plan, late_from_ms - 1)
    if plan.catch_up == "last" and (on_time is None or on_time > now_ms):
        last_ms = late_from_ms if plan.until_ms is None else min(late_from_ms, plan.until_ms)
        latest = latest_slot(plan.cadence, at_moment(slot - 1), at_moment(last_ms))
        if latest is not None and at_ms(latest) >= oldest_ms:
            return at_ms(latest)
    return late_from_ms if on_time is None else on_time


def _first_from(plan: Plan, ms: int) -> int:
    """The first slot at or after the moment; the moment itself when there is none."""
    found = next_slot_ms(plan, ms - 1)
    return ms if found is None else found


def _missed(plan: Plan, slot: int, before_ms: int) -> Missed:
    count, up_to = 1, slot
    for passed in slots_ms(plan, slot):
        if passed >= before_ms:
            return Missed(up_to, count)
        if count == _COUNTED_MAX:
            break
        count, up_to = count + 1, passed
    return Missed(max(up_to, before_ms - 1), count)


def moved(schedule: Schedule, slot_ms: int, **changes: Any) -> Schedule:
    """The schedule after a slot was decided."""
    decided = replace(schedule, version=schedule.version + 1, last_slot_ms=slot_ms, refused="", **changes)
    return positioned(decided, slot_ms)


def started(schedule: Schedule, slot_ms: int, run_id: str) -> Schedule:
    """The schedule after the run of a slot was started, which may have been queued before."""
    about: dict[str, Any] = {
        "started": schedule.started + 1,
        "last_run": run_id,
        "last_root": None,
        "last_started_ms": slot_ms,
    }
    if schedule.queued_ms != slot_ms:
        return moved(schedule, slot_ms, **about)
    # It was decided before, and the times may be others since.
    after = replace(schedule, version=schedule.version + 1, queued_ms=None, refused="", **about)
    if schedule.next_slot_ms is None:
        return replace(after, due_at_ms=None)
    return positioned(after, schedule.next_slot_ms - 1)


def refused(schedule: Schedule, why: str, again_at_ms: int) -> Schedule:
    """The schedule, whose due run may not be started now; that is tried again."""
    return replace(schedule, version=schedule.version + 1, due_at_ms=again_at_ms, refused=why)


def looked_at(schedule: Schedule, again_at_ms: int) -> Schedule:
    """The schedule, which has no slots but a queued one; it is looked at again then."""
    return replace(schedule, version=schedule.version + 1, due_at_ms=again_at_ms)


def judged(schedule: Schedule, run_id: str, *, has_failed: bool) -> Schedule:
    """The schedule after the end of its last run is known."""
    if schedule.judged_run == run_id:
        return schedule
    return replace(schedule, judged_run=run_id, failures=schedule.failures + 1 if has_failed else 0)


def must_pause(schedule: Schedule) -> bool:
    """Whether so many runs in a row have failed that the schedule pauses itself."""
    most = schedule.plan.pause_after_failures
    return most is not None and schedule.failures >= most


def queued(schedule: Schedule, slot_ms: int) -> Schedule:
    """The schedule, which starts the run of this slot when its last one has ended."""
    return moved(schedule, slot_ms, queued_ms=slot_ms)
