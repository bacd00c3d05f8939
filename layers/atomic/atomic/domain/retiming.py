"""Schedules whose next slot was computed with the rules of another release of `tzdata`.

Where the rules differ, a time of the clock lies elsewhere in UTC than the row says. So the next slot is
found anew, by the time of the clock that it stands for. The times before that are decided, wherever they
lie now.
"""

from itertools import dropwhile
from typing import Final

from atomic.domain.cadence import wall_of
from atomic.domain.schedules import Schedule, at_moment, at_ms, positioned, slots_ms
from atomic.domain.zones import TZDATA_VERSION

# No clock is set by more than this.
_DAY_MS: Final = 86_400_000


def is_outdated(schedule: Schedule) -> bool:
    """Whether the next slot follows other rules than those of this process."""
    return schedule.next_wall_ms is not None and schedule.tzdata != TZDATA_VERSION


def retimed(schedule: Schedule) -> Schedule:
    """The schedule, its next slot by the rules of this process."""
    slot_ms, wall_ms = schedule.next_slot_ms, schedule.next_wall_ms
    if not is_outdated(schedule) or slot_ms is None or wall_ms is None:
        return schedule
    return from_wall(schedule, slot_ms, wall_ms)


def from_wall(schedule: Schedule, near_ms: int, wall_ms: int) -> Schedule:
    """The schedule, whose next slot is the first one at which the clock shows this time or a later one.

    `near_ms`: where that time was by other rules.
    """
    plan = schedule.plan
    after_ms = max(near_ms - _DAY_MS - 1, schedule.last_slot_ms or 0)

    def is_before(slot_ms: int) -> bool:
        wall = wall_of(plan.cadence, at_moment(slot_ms))
        return wall is not None and at_ms(wall) < wall_ms

    found = next(dropwhile(is_before, slots_ms(plan, after_ms)), None)
    return positioned(schedule, (plan.until_ms or near_ms) if found is None else found - 1)
