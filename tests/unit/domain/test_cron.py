"""Cron expressions: which days they match, and how those are refused that cannot be meant."""

from datetime import UTC, datetime
from itertools import islice

import pytest

from atomic.domain.cadence import Cron, slots_between
from atomic.domain.cron import ALIASES, CronRefused, parse_cron
from atomic.domain.zones import UnknownZone, zone, zone_names


def days(expression: str, count: int = 4) -> str:
    """The first days on which it runs from 2026 on, as "01-05 01-12"."""
    begin, end = datetime(2025, 12, 31, 23, 59, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
    return " ".join(f"{slot:%m-%d}" for slot in islice(slots_between(Cron(expression), begin, end), count))


# 1 January 2026 was a Thursday.
@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("0 0 * * 1", "01-05 01-12 01-19 01-26"),
        ("0 0 * * MON", "01-05 01-12 01-19 01-26"),
        ("0 0 * * 0", "01-04 01-11 01-18 01-25"),
        ("0 0 * * 7", "01-04 01-11 01-18 01-25"),
        ("0 0 * * 6-7", "01-03 01-04 01-10 01-11"),
        ("0 0 * * sat-sun", "01-03 01-04 01-10 01-11"),
        ("0 0 * * SUN-SUN", "01-04 01-11 01-18 01-25"),
        ("0 0 * * ?", "01-01 01-02 01-03 01-04"),
        ("0 0 L * *", "01-31 02-28 03-31 04-30"),
        ("0 0 15,L * *", "01-15 01-31 02-15 02-28"),
        ("0 0 * * 5L", "01-30 02-27 03-27 04-24"),
        ("0 0 * * FRIL", "01-30 02-27 03-27 04-24"),
        ("0 0 * * 1#2", "01-12 02-09 03-09 04-13"),
        ("0 0 * * MON#2,7#1", "01-04 01-12 02-01 02-09"),
        ("0 0 * * 4#5", "01-29 04-30 07-30 10-29"),
        ("0 0 29 2 *", "02-29 02-29 02-29 02-29"),
        ("0 0 31 * *", "01-31 03-31 05-31 07-31"),
        ("0 0 1 jan,JUL *", "01-01 07-01 01-01 07-01"),
        # Both day fields are restricted, so one is enough.
        ("0 0 13 * 5", "01-02 01-09 01-13 01-16"),
        ("0 0 31 2 1", "02-02 02-09 02-16 02-23"),
        # One of them contains a star, so both must match.
        ("0 0 */2 * 1", "01-05 01-19 02-09 02-23"),
        ("0 0 1-7 * */2", "01-01 01-03 01-04 01-06"),
    ],
)
def test_days(expression: str, expected: str) -> None:
    assert days(expression) == expected


@pytest.mark.parametrize(("alias", "expression"), ALIASES.items())
def test_aliases(alias: str, expression: str) -> None:
    assert parse_cron(f" {alias.upper()} ") == parse_cron(expression)


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("61 * * * *", "minute 61 is not between 0 and 59"),
        ("* 24 * * *", "hour 24 is not between 0 and 23"),
        ("* * 0 * *", "day of the month 0 is not between 1 and 31"),
        ("* * * 13 *", "month 13 is not between 1 and 12"),
        ("* * * * 8", "day of the week 8 is not between 0 and 7"),
        ("* * * MAI *", "month 'MAI' is no number between 1 and 12, or one of JAN, FEB,"),
        ("-1 * * * *", "minute '-1' is no number, range, list or step, such as 1, 1-5, 1,3 or */2"),
        ("1,,2 * * * *", "minute '' is no number, range, list or step"),
        ("1.5 * * * *", "minute '1.5' is no number, range, list or step"),
        ("٣ * * * *", "minute '٣' is no number, range, list or step"),
        ("*-5 * * * *", "minute '*-5' is no number, range, list or step"),
        ("5/15 * * * *", "minute '5/15' has two readings: write 5 alone, or 5-59/15"),
        ("*/0 * * * *", "minute '*/0': a step is a number from 1"),
        ("*/90 * * * *", "a step of 90 is longer than the range and would match once; for a longer period"),
        ("0 22-2 * * *", "hour 22-2 runs backwards: write 22-23,0-2"),
        ("0 0 * * FRI-MON", "day of the week 5-MON runs backwards: write 5-6,0-1"),
        ("0 0 * * L", "day of the week 'L' has two readings: write 6, or 5L for the last Friday"),
        ("0 0 * * 1#6", "day of the week '1#6': after # stands a number between 1 and 5"),
        ("0 0 L-3 * *", "day of the month 'L' is no number between 1 and 31"),
        ("0 0 15W * *", "day of the month '15W' is no number between 1 and 31"),
        (
            "* * * *",
            "5 fields (minute, hour, day of the month, month, day of the week), not 4",
        ),
        ("0 * * * * *", "not 6; for seconds, use an interval"),
        ("", "not 0"),
        ("@reboot", "'@reboot' is none of @yearly,"),
        ("CRON_TZ=Asia/Tokyo 0 9 * * *", "give the zone beside it"),
        ("0 0 31 2 *", "no year has a day 31 in the month 2: the schedule would never run"),
        ("0 0 31 4,6,9,11 *", "would never run"),
        ("0 0 30 2 ?", "would never run"),
        ("0," * 200 + "0 * * * *", "at most 250 characters"),
        ("9" * 100 + " * * * *", "is not between 0 and 59"),
    ],
)
def test_refusals_name_the_field_and_the_cure(expression: str, message: str) -> None:
    with pytest.raises(CronRefused) as refused:
        Cron(expression)
    assert message in str(refused.value)
    assert len(str(refused.value)) < 250


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("Berlin", "did you mean Europe/Berlin?"),
        ("europe/berlin", "did you mean Europe/Berlin?"),
        ("new york", "did you mean America/New_York?"),
        ("Europe/Pariss", "did you mean Europe/Paris?"),
        ("GMT+2", "name a place, such as Europe/Berlin, or UTC"),
        ("+02:00", "name a place, such as Europe/Berlin, or UTC"),
        ("../../../etc/passwd", "name a place, such as Europe/Berlin, or UTC"),
        ("", "name a place, such as Europe/Berlin, or UTC"),
    ],
)
def test_an_unknown_zone_is_refused_with_those_near(name: str, advice: str) -> None:
    with pytest.raises(UnknownZone) as refused:
        Cron("@daily", name)
    assert str(refused.value).startswith(f"there is no time zone {name!r}: {advice}")


def test_each_zone_can_be_read() -> None:
    assert all(zone(name).key == name for name in zone_names())
