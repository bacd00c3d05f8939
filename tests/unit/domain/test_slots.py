"""Slots against brute force, in 40 zones from 1900 to 2100. `make schedule-slots` compares many more."""

import os
import random
from datetime import UTC, date, datetime, timedelta
from functools import partial
from itertools import pairwise, takewhile
from zoneinfo._zoneinfo import ZoneInfo as ReadableZone  # type: ignore[attr-defined]

import pytest
from hypothesis import given

from atomic.domain import zones
from atomic.domain.cadence import Cron, latest_slot, slots_between
from atomic.domain.cron import CronRefused
from unit.clock_walks import DAY, ZONES, Window, clock, read, windows
from unit.strategies import examples

WINDOWS = int(os.environ.get("WINDOWS", "100"))
DAILY = int(os.environ.get("DAILY", "4"))


FIRST_DAY = date(2000, 1, 1)
SECOND = timedelta(seconds=1)
EPOCH, END = datetime.fromisoformat("1970-01-01"), datetime.fromisoformat("2037-01-01")


def test_slots_are_those_of_a_walk_over_the_clock() -> None:
    compared = {"windows": 0, "slots": 0, "windows in which both readings differ": 0}

    @examples(WINDOWS)
    @given(window=windows)
    def compare(window: Window) -> None:
        expression = window.expression
        if not any(expression.matches_day(FIRST_DAY + at * DAY) for at in range(28 * 366)):
            with pytest.raises(CronRefused, match="would never run"):
                Cron(expression.text)
            return
        once, literal = window.walked(once=True), window.walked(once=False)
        _assert_slots(Cron(expression.text, window.zone), window, once)
        _assert_slots(Cron(expression.text, window.zone, "literal"), window, literal)
        compared["windows"] += 1
        compared["slots"] += len(once) + len(literal)
        compared["windows in which both readings differ"] += once != literal

    compare()
    print(compared)
    assert all(compared.values())


def _assert_slots(cron: Cron, window: Window, expected: list[datetime]) -> None:
    assert list(slots_between(cron, window.after, window.until)) == expected
    assert latest_slot(cron, window.after, window.until) == (expected[-1] if expected else None)
    following = next(slots_between(cron, window.after, datetime.max.replace(tzinfo=UTC)), None)
    if expected:
        assert following == expected[0]
    else:
        assert following is None or following > window.until


def _expected(name: str, wall: datetime) -> datetime:
    """The instant at which the clock shows this time first, or the first one after the gap it is in."""
    instant = wall.replace(tzinfo=clock(name)).astimezone(UTC)
    if read(name, instant) == wall:
        return instant
    # As a reading of the clock before the gap, the time is after the gap; as one of after, before it.
    low = wall.replace(tzinfo=clock(name), fold=1).astimezone(UTC)
    if read(name, low) == wall:
        # No gap: after the last change that a zone's file names, zoneinfo reads the first hour by the rule
        # for later years, as in America/Nuuk on 28 October 2023.
        return low
    while instant - low > timedelta(seconds=1):
        middle = low + timedelta(seconds=(instant - low) // timedelta(seconds=2))
        if read(name, middle) > wall:
            instant = middle
        else:
            low = middle
    return instant


@pytest.mark.parametrize("number", range(DAILY))
def test_a_daily_job_runs_once_on_each_day_of_two_centuries(number: int) -> None:
    name = ZONES[number % len(ZONES)] if len(ZONES) <= DAILY else random.choice(ZONES)
    hour, minute = random.randrange(24) if number % 2 else random.randrange(4), random.randrange(60)
    _runs_once_on_each_day(name, hour, minute)


def test_a_daily_job_runs_once_where_a_seed_once_failed() -> None:
    _runs_once_on_each_day("America/Nuuk", 23, 37)


def _runs_once_on_each_day(name: str, hour: int, minute: int) -> None:
    cron = Cron(f"{minute} {hour} * * *", name)
    day = datetime(1900, 1, 3, hour, minute)  # noqa: DTZ001 - a time of the clock
    walls = [day + number * DAY for number in range((datetime(2100, 1, 1) - day).days)]  # noqa: DTZ001
    expected = [_expected(name, wall) for wall in walls]
    found = list(slots_between(cron, expected[0] - timedelta(seconds=1), expected[-1]))
    assert found == expected, (name, cron.expression)
    assert len(set(found)) == len(walls)


def _begins_by(end: datetime, stretch: zones.Stretch) -> bool:
    return stretch.start <= end


def test_changes_are_those_of_the_files_and_far_apart() -> None:
    """What `zones` relies on. What follows from the rule at the end of a file is tested by the walks."""
    for name in sorted(zones.zone_names()):
        with zones.zone_file(name) as file:
            rules = ReadableZone.from_file(file)
        offsets = [rules._tti_before.utcoff, *(each.utcoff for each in rules._ttinfos)]
        changes = [
            (EPOCH + timedelta(seconds=at), before, after)
            for at, (before, after) in zip(rules._trans_utc, pairwise(offsets), strict=False)
            if before != after
        ]
        changes = [change for change in changes if zones.FIRST < change[0] < END]
        assert all(abs(after - before) <= DAY for _, before, after in changes), name
        assert all(later - earlier > zones.PROBE for (earlier, *_), (later, *_) in pairwise(changes)), name
        # A clock that is set back shows the times again that it has shown.
        repeated = [(at, at + before - after - SECOND) for at, before, after in changes if before > after]
        assert all(begin.year == end.year for begin, end in repeated), name
        if name in ZONES:
            end = changes[-1][0] if changes else zones.FIRST
            stretches = takewhile(partial(_begins_by, end), zones.stretches(zones.zone(name), zones.FIRST))
            found = [
                (later.start, earlier.offset, later.offset)
                for earlier, later in pairwise(stretches)
                if earlier.offset != later.offset
            ]
            assert found == changes, name
