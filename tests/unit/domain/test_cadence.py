"""When a schedule runs: cron expressions on the clocks of zones, intervals and instants."""

from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atomic.domain.cadence import (
    AnyOf,
    At,
    Cadence,
    CadenceRefused,
    Cron,
    Every,
    latest_slot,
    slots_between,
    spread_of,
)
from unit.strategies import examples

HOUR = timedelta(hours=1)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def slots(cadence: Cadence, after: str, until: str) -> str:
    """The slots as "28T01:30 29T01:00", in UTC."""
    return " ".join(f"{slot:%dT%H:%M}" for slot in slots_between(cadence, utc(after), utc(until)))


def next_slot(cadence: Cadence, after: datetime) -> datetime | None:
    return next(slots_between(cadence, after, utc("9999-12-31")), None)


def count(cadence: Cadence, after: str, until: str, *, limit: int) -> int:
    return sum(1 for _ in islice(slots_between(cadence, utc(after), utc(until)), limit))


# Expression, zone, first and last day; the slots of `once`, and of `literal`.
CHANGES = {
    "Berlin: a gap": (
        *("30 2 * * *", "Europe/Berlin", "2026-03-28", "2026-03-31"),
        *("28T01:30 29T01:00 30T00:30", "28T01:30 30T00:30"),
    ),
    "Berlin: a repetition": (
        *("30 2 * * *", "Europe/Berlin", "2026-10-24", "2026-10-27"),
        *("24T00:30 25T00:30 26T01:30", "24T00:30 25T00:30 25T01:30 26T01:30"),
    ),
    "what falls in one gap, and on its end, is one slot": (
        *("0,30 2-3 * * *", "Europe/Berlin", "2026-03-29", "2026-03-29T12:00"),
        *("29T01:00 29T01:30", "29T01:00 29T01:30"),
    ),
    "a range of hours is no pace": (
        *("0 0-5 * * *", "Europe/Berlin", "2026-10-24T23:00", "2026-10-25T02:00"),
        *("25T00:00 25T02:00", "25T00:00 25T01:00 25T02:00"),
    ),
    "New York: a gap": (
        *("30 2 * * *", "America/New_York", "2026-03-07", "2026-03-10"),
        *("07T07:30 08T07:00 09T06:30", "07T07:30 09T06:30"),
    ),
    "New York: a repetition": (
        *("30 1 * * *", "America/New_York", "2026-10-31", "2026-11-03"),
        *("31T05:30 01T05:30 02T06:30", "31T05:30 01T05:30 01T06:30 02T06:30"),
    ),
    "Lord Howe, 02:00 becomes 02:30": (
        *("15 2 * * *", "Australia/Lord_Howe", "2026-10-02", "2026-10-05"),
        *("02T15:45 03T15:30 04T15:15", "02T15:45 04T15:15"),
    ),
    "Lord Howe, 02:00 becomes 01:30": (
        *("45 1 * * *", "Australia/Lord_Howe", "2026-04-03", "2026-04-06"),
        *("03T14:45 04T14:45 05T15:15", "03T14:45 04T14:45 04T15:15 05T15:15"),
    ),
    "Apia left out 30 December 2011": (
        *("0 9 * * *", "Pacific/Apia", "2011-12-29", "2012-01-01"),
        *("29T19:00 30T10:00 30T19:00 31T19:00", "29T19:00 30T19:00 31T19:00"),
    ),
    "Apia, once a year on the day that was left out": (
        *("0 9 30 12 *", "Pacific/Apia", "2010-12-30T20:00", "2012-12-30"),
        *("30T10:00 29T19:00", "29T19:00"),
    ),
    "Kwajalein had 30 September 1969 twice": (
        *("0 9 * * *", "Pacific/Kwajalein", "1969-09-28", "1969-10-03"),
        *("28T22:00 29T22:00 01T21:00 02T21:00", "28T22:00 29T22:00 30T21:00 01T21:00 02T21:00"),
    ),
    "Sao Paulo: a gap at midnight": (
        *("0 0 * * *", "America/Sao_Paulo", "2018-11-03", "2018-11-06"),
        *("03T03:00 04T03:00 05T02:00", "03T03:00 05T02:00"),
    ),
    "Sao Paulo: 23:00 is repeated": (
        *("30 23 * * *", "America/Sao_Paulo", "2019-02-16", "2019-02-19"),
        *("16T01:30 17T01:30 18T02:30", "16T01:30 17T01:30 17T02:30 18T02:30"),
    ),
    "Sao Paulo: midnight comes after the repetition": (
        *("0 0 * * *", "America/Sao_Paulo", "2019-02-16", "2019-02-19"),
        *("16T02:00 17T03:00 18T03:00", "16T02:00 17T03:00 18T03:00"),
    ),
    "St. John's: one minute after midnight, back to the day before": (
        *("0,30 0,23 * * *", "America/St_Johns", "2010-11-07", "2010-11-07T12:00"),
        *("07T01:30 07T02:00 07T02:30 07T04:00", "07T01:30 07T02:00 07T02:30 07T03:00 07T03:30 07T04:00"),
    ),
    "Dublin, where winter is the exception: a gap": (
        *("30 1 * * *", "Europe/Dublin", "2026-03-28", "2026-03-31"),
        *("28T01:30 29T01:00 30T00:30", "28T01:30 30T00:30"),
    ),
    "Dublin: a repetition": (
        *("30 1 * * *", "Europe/Dublin", "2026-10-24", "2026-10-27"),
        *("24T00:30 25T00:30 26T01:30", "24T00:30 25T00:30 25T01:30 26T01:30"),
    ),
    "Casablanca: Ramadan of 2024 begins": (
        *("30 2 * * *", "Africa/Casablanca", "2024-03-09", "2024-03-12"),
        *("09T01:30 10T01:30 11T02:30", "09T01:30 10T01:30 10T02:30 11T02:30"),
    ),
    "Casablanca: Ramadan of 2024 ends": (
        *("30 2 * * *", "Africa/Casablanca", "2024-04-13", "2024-04-16"),
        *("13T02:30 14T02:00 15T01:30", "13T02:30 15T01:30"),
    ),
}


@pytest.mark.parametrize(
    ("expression", "zone", "after", "until", "once", "literal"), CHANGES.values(), ids=CHANGES
)
def test_changes_of_the_clock(
    expression: str, zone: str, after: str, until: str, once: str, literal: str
) -> None:
    assert slots(Cron(expression, zone), after, until) == once
    assert slots(Cron(expression, zone, "literal"), after, until) == literal


@pytest.mark.parametrize("day", ["2026-03-29", "2026-10-25"])
@pytest.mark.parametrize(("expression", "pace"), [("*/15 * * * *", HOUR / 4), ("5 * * * *", HOUR)])
def test_a_free_hour_keeps_its_pace(expression: str, pace: timedelta, day: str) -> None:
    cron = Cron(expression, "Europe/Berlin")
    found = list(slots_between(cron, utc(day), utc(day) + 12 * HOUR))
    assert {later - earlier for earlier, later in pairwise(found)} == {pace}


def test_a_step_of_hours_follows_the_clock() -> None:
    cron = Cron("0 */2 * * *", "Europe/Berlin")
    assert slots(cron, "2026-03-28T22:00", "2026-03-29T04:00") == "28T23:00 29T02:00 29T04:00"
    assert slots(cron, "2026-10-24T21:00", "2026-10-25T03:00") == "24T22:00 25T00:00 25T01:00 25T03:00"


def test_every_is_counted_from_its_anchor_in_both_directions() -> None:
    cadence = Every(timedelta(hours=6), utc("2026-03-29T01:30"))
    assert slots(cadence, "2026-03-28T13:30", "2026-03-29T07:30") == "28T19:30 29T01:30 29T07:30"
    assert latest_slot(cadence, utc("2026-03-28"), utc("2026-03-28T19:29")) == utc("2026-03-28T13:30")


def test_at_keeps_each_instant_once_and_in_order() -> None:
    cadence = At((utc("2026-05-02"), utc("2026-05-01"), utc("2026-05-02")))
    assert slots(cadence, "2026-04-01", "2026-06-01") == "01T00:00 02T00:00"
    assert next_slot(cadence, utc("2026-05-01")) == utc("2026-05-02")
    assert next_slot(cadence, utc("2026-05-02")) is None
    assert latest_slot(cadence, utc("2026-05-02"), utc("2027-01-01")) is None


def test_a_slot_of_two_expressions_is_one() -> None:
    cadence = AnyOf((Cron("0 9 * * *"), Cron("0 9,12 * * *")))
    assert slots(cadence, "2026-05-01", "2026-05-02T10:00") == "01T09:00 01T12:00 02T09:00"
    assert latest_slot(cadence, utc("2026-05-01"), utc("2026-05-02")) == utc("2026-05-01T12:00")


def test_no_slot_is_before_1900_or_after_2199() -> None:
    daily = Cron("@daily", "Europe/Berlin")
    assert next_slot(daily, utc("0001-01-01")) == utc("1900-01-01T23:00")
    assert next_slot(daily, utc("2199-12-31T23:00")) is None
    assert latest_slot(daily, utc("0001-01-01"), utc("9999-01-01")) == utc("2199-12-31T23:00")
    yearly = Every(timedelta(days=400), utc("2150-01-01"))
    assert next_slot(yearly, utc("2199-10-01")) is None


@pytest.mark.parametrize("cadence", [Cron("* * * * *"), Every(timedelta(seconds=1), utc("2026-01-01"))])
def test_the_slot_at_the_end_is_inside_and_the_one_at_the_beginning_outside(cadence: Cadence) -> None:
    noon = utc("2026-01-01T12:00")
    assert noon not in islice(slots_between(cadence, noon, noon + HOUR), 1)
    assert list(slots_between(cadence, noon - timedelta(milliseconds=1), noon)) == [noon]
    assert latest_slot(cadence, noon, noon) is None
    assert next_slot(cadence, noon - timedelta(milliseconds=1)) == noon


def test_many_slots_are_counted_up_to_a_limit() -> None:
    cadence = Cron("* * * * *")
    assert count(cadence, "2000-01-01", "2000-01-01T01:00", limit=1000) == 60
    assert count(cadence, "1900-01-01", "2199-01-01", limit=1000) == 1000


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Every(timedelta(milliseconds=999), utc("2026-01-01")), "at least 1 second"),
        (
            lambda: Every(timedelta(seconds=1, microseconds=1), utc("2026-01-01")),
            "whole number of milliseconds",
        ),
        (lambda: Every(HOUR, datetime.fromisoformat("2026-01-01")), "no time zone"),
        (lambda: At(()), "one or more"),
        (lambda: At((datetime.fromisoformat("2026-01-01"),)), "no time zone"),
        (lambda: At((utc("2026-01-01T00:00:00.000001"),)), "whole number of milliseconds"),
        (lambda: AnyOf(()), "one or more"),
        (lambda: Cron("@daily", "UTC", "twice"), "neither 'once' nor 'literal'"),
    ],
)
def test_what_no_schedule_can_have_is_refused(make: object, message: str) -> None:
    assert callable(make)
    with pytest.raises(CadenceRefused, match=message):
        make()


@examples(200)
@given(name=st.text(), spread=st.timedeltas(timedelta(0), timedelta(days=1)))
def test_a_spread_is_stable_and_below_its_bound(name: str, spread: timedelta) -> None:
    found = spread_of(name, spread)
    assert found == spread_of(name, spread)
    assert timedelta(0) <= found <= spread
    assert found < spread or spread < timedelta(milliseconds=1)
    assert found % timedelta(milliseconds=1) == timedelta(0)


def test_spreads_lie_over_the_whole_range() -> None:
    found = [spread_of(f"acme/job{number}", timedelta(minutes=10)) for number in range(1000)]
    quarters = [sum(1 for each in found if each // timedelta(minutes=2.5) == at) for at in range(4)]
    assert all(200 < count < 300 for count in quarters), quarters
