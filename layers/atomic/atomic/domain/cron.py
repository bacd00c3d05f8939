"""Cron expressions, and the wall-clock times that they match. Nothing in here knows of time zones.

The rules are those of Vixie's cron, as crontab(5) of Debian and cronie describe them: five fields, names,
lists, ranges and steps; 0 and 7 are Sunday; if neither day field contains a `*`, a day needs to match only
one of them, else both. Beyond these: `L` is the last day of the month, `5L` its last Friday, `1#2` its
second Monday, and `?` is another `*`. What other implementations read in different ways is refused: `5/15`,
ranges that run backwards, and steps beyond their range.
"""

import calendar
import re
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time
from functools import lru_cache
from typing import Final

from atomic.domain.zones import FIRST, HORIZON

ALIASES: Final = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
EXPRESSION_MAX: Final = 250
_MONTH_NAMES: Final = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_MONTHS: Final = {name: at for at, name in enumerate(_MONTH_NAMES, 1)}
_DAYS: Final = {"SUN": 0, "MON": 1, "TUE": 2, "WED": 3, "THU": 4, "FRI": 5, "SAT": 6}
_ITEM: Final = re.compile(r"(?P<first>[*?]|\w+)(?:-(?P<last>\w+))?(?:/(?P<step>\w+))?", re.ASCII)


class CronRefused(ValueError):
    """The expression cannot be a schedule; the message names the field and the cure."""


@dataclass(frozen=True, slots=True)
class Weekday:
    """The `nth` of this day of the week in a month; the last one if `nth` is -1."""

    day: int
    nth: int


@dataclass(frozen=True, slots=True)
class Days:
    """The days that an expression matches. Days of the week count from Sunday, 0."""

    months: frozenset[int]
    days: frozenset[int]
    on_last_day: bool
    weekdays: frozenset[int]
    nth_weekdays: frozenset[Weekday]
    # Whether both day fields must match, since one of them contains a `*`.
    needs_both: bool

    def of(self, year: int, month: int) -> tuple[int, ...]:
        """The matching days of the month, ascending."""
        return _days_of(self, year, month) if month in self.months else ()


@dataclass(frozen=True, slots=True)
class Fields:
    """A parsed expression."""

    days: Days
    times: tuple[time, ...]
    # Whether the hour contains a `*`: then it runs at a pace and not at a time of day.
    has_free_hour: bool


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    low: int
    high: int
    names: dict[str, int]


_FIELDS: Final = (
    _Field("minute", 0, 59, {}),
    _Field("hour", 0, 23, {}),
    _Field("day of the month", 1, 31, {}),
    _Field("month", 1, 12, _MONTHS),
    _Field("day of the week", 0, 7, _DAYS),
)


@lru_cache(maxsize=4096)
def parse_cron(expression: str) -> Fields:
    """The fields of an expression, or of its alias such as `@daily`. Raises `CronRefused`."""
    minute, hour, day, month, weekday = _split(expression)
    minutes, hours = sorted(_plain(_FIELDS[0], minute)), sorted(_plain(_FIELDS[1], hour))
    month_days, on_last_day = _month_days(day)
    weekdays, nth_weekdays = _weekdays(weekday)
    days = Days(
        months=frozenset(_plain(_FIELDS[3], month)),
        days=month_days,
        on_last_day=on_last_day,
        weekdays=weekdays,
        nth_weekdays=nth_weekdays,
        needs_both=_has_star(day) or _has_star(weekday),
    )
    # Every kind of year is among 28: leap or not, beginning on each day of the week.
    if not any(days.of(year, each) for year in range(2000, 2028) for each in days.months):
        raise CronRefused(f"no year has a day {day} in the month {month}: the schedule would never run")
    times = tuple(time(hour_at, minute_at) for hour_at in hours for minute_at in minutes)
    return Fields(days=days, times=times, has_free_hour=_has_star(hour))


def walls_from(fields: Fields, wall: datetime) -> Iterator[datetime]:
    """The matching wall-clock times from `wall` on, ascending, until the horizon."""
    today = wall.date()
    for year in range(wall.year, HORIZON.year + 1):
        for month in range(wall.month if year == wall.year else 1, 13):
            for day in fields.days.of(year, month):
                on = date(year, month, day)
                if on >= today:
                    begin = bisect_left(fields.times, wall.time()) if on == today else 0
                    for at in fields.times[begin:]:
                        yield datetime.combine(on, at)


def wall_before(fields: Fields, wall: datetime) -> datetime | None:
    """The last matching wall-clock time before `wall`, if there is one since 1899."""
    today = wall.date()
    for year in range(wall.year, FIRST.year - 2, -1):
        for month in range(wall.month if year == wall.year else 12, 0, -1):
            for day in reversed(fields.days.of(year, month)):
                on = date(year, month, day)
                end = bisect_left(fields.times, wall.time()) if on == today else len(fields.times)
                if on <= today and end:
                    return datetime.combine(on, fields.times[end - 1])
    return None


@lru_cache(maxsize=16384)
def _days_of(days: Days, year: int, month: int) -> tuple[int, ...]:
    first, count = calendar.monthrange(year, month)
    by_month = set(days.days) | ({count} if days.on_last_day else set())
    by_week = {day for day in range(1, count + 1) if (first + day) % 7 in days.weekdays}
    by_week |= {day for each in days.nth_weekdays for day in _nth(each, first, count)}
    found = by_month & by_week if days.needs_both else by_month | by_week
    return tuple(sorted(day for day in found if day <= count))


def _nth(weekday: Weekday, first: int, count: int) -> tuple[int, ...]:
    """The day of the month, or nothing where it has no fifth one."""
    days = [day for day in range(1, count + 1) if (first + day) % 7 == weekday.day]
    return tuple(days[-1:] if weekday.nth == -1 else days[weekday.nth - 1 : weekday.nth])


def _split(expression: str) -> list[str]:
    if len(expression) > EXPRESSION_MAX:
        raise CronRefused(f"a cron expression has at most {EXPRESSION_MAX} characters")
    if expression.strip().startswith("@"):
        known = ALIASES.get(expression.strip().lower())
        if known is None:
            raise CronRefused(f"{expression.strip()[:40]!r} is none of {', '.join(ALIASES)}")
        return known.split()
    parts = expression.upper().split()
    if parts and "=" in parts[0]:
        raise CronRefused("an expression does not name its time zone: give the zone beside it")
    if len(parts) != 5:
        more = "; for seconds, use an interval" if len(parts) == 6 else ""
        raise CronRefused(
            f"a cron expression has 5 fields (minute, hour, day of the month, month, day of the week), not"
            f" {len(parts)}{more}"
        )
    return parts


def _has_star(text: str) -> bool:
    return "*" in text or "?" in text


def _plain(field: _Field, text: str) -> frozenset[int]:
    return frozenset(value for item in text.split(",") for value in _values(field, item))


def _month_days(text: str) -> tuple[frozenset[int], bool]:
    items = text.split(",")
    plain = [item for item in items if item != "L"]
    return frozenset(value for item in plain for value in _values(_FIELDS[2], item)), "L" in items


def _weekdays(text: str) -> tuple[frozenset[int], frozenset[Weekday]]:
    field = _FIELDS[4]
    plain: set[int] = set()
    nth: set[Weekday] = set()
    for item in text.split(","):
        name, hash_sign, which = item.partition("#")
        if hash_sign:
            if which not in {"1", "2", "3", "4", "5"}:
                raise CronRefused(f"{field.name} {item[:40]!r}: after # stands a number between 1 and 5")
            nth.add(Weekday(_number(field, name) % 7, int(which)))
        elif item == "L":
            raise CronRefused(
                f"{field.name} 'L' has two readings: write 6, or 5L for the last Friday of the month"
            )
        elif item.endswith("L"):
            nth.add(Weekday(_number(field, item[:-1]) % 7, -1))
        else:
            plain |= {value % 7 for value in _values(field, item)}
    return frozenset(plain), frozenset(nth)


def _values(field: _Field, item: str) -> range:
    """The numbers that an item of a list stands for: `*`, `5`, `1-5`, `*/15` or `8-18/2`."""
    match = _ITEM.fullmatch(item)
    if match is None or (match["last"] and match["first"] in {"*", "?"}):
        raise CronRefused(
            f"{field.name} {item[:40]!r} is no number, range, list or step, such as {_sample(field)}"
        )
    if match["first"] in {"*", "?"}:
        first, last = field.low, min(field.high, 6) if field.names is _DAYS else field.high
    else:
        first = _number(field, match["first"])
        last = _last(field, first, match["last"]) if match["last"] else first
    if match["step"] is None:
        return range(first, last + 1)
    if not match["last"] and match["first"] not in {"*", "?"}:
        raise CronRefused(
            f"{field.name} {item[:40]!r} has two readings: write {first} alone,"
            f" or {first}-{field.high}/{match['step']}"
        )
    return range(first, last + 1, _step(field, item, match["step"], last - first))


def _last(field: _Field, first: int, text: str) -> int:
    last = _number(field, text)
    # `FRI-SUN`: the Sunday after is day 7.
    if text == "SUN" and last < first:
        last = 7
    if last < first:
        highest = min(field.high, 6) if field.names is _DAYS else field.high
        cure = f"{_range(first, highest)},{_range(field.low, last)}"
        raise CronRefused(f"{field.name} {first}-{text} runs backwards: write {cure}")
    return last


def _range(first: int, last: int) -> str:
    return f"{first}" if first == last else f"{first}-{last}"


def _step(field: _Field, item: str, text: str, width: int) -> int:
    step = int(text) if text.isdecimal() and len(text) <= 4 else 0
    if not step:
        raise CronRefused(f"{field.name} {item[:40]!r}: a step is a number from 1")
    if step > max(width, 1):
        raise CronRefused(
            f"{field.name} {item[:40]!r}: a step of {step} is longer than the range and would match once;"
            " for a longer period, use an interval"
        )
    return step


def _number(field: _Field, text: str) -> int:
    if text in field.names:
        return field.names[text]
    if not text.isdecimal() or not text.isascii():
        names = f", or one of {', '.join(field.names)}" if field.names else ""
        raise CronRefused(
            f"{field.name} {text[:40]!r} is no number between {field.low} and {field.high}{names}"
        )
    if len(text) > 4 or not field.low <= int(text) <= field.high:
        raise CronRefused(f"{field.name} {text[:40]} is not between {field.low} and {field.high}")
    return int(text)


def _sample(field: _Field) -> str:
    return f"{field.low + 1}, {field.low + 1}-{field.low + 5}, {field.low + 1},{field.low + 3} or */2"
