"""Slots of cron expressions by brute force: a clock is read minute by minute.

Shares nothing with `atomic.domain`: an expression is drawn with the function that says what it matches, so
that it is not parsed, and no change of a clock is computed.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache
from importlib.resources import files
from itertools import pairwise
from math import gcd
from random import Random
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
ZONES = """
    Africa/Cairo Africa/Casablanca Africa/El_Aaiun Africa/Johannesburg Africa/Monrovia
    Africa/Windhoek America/Anchorage America/Argentina/San_Luis America/Asuncion America/Bogota
    America/Caracas America/Chicago America/Havana America/New_York America/Nuuk America/Sao_Paulo
    America/Scoresbysund America/St_Johns Antarctica/Troll Asia/Gaza Asia/Kathmandu Asia/Manila
    Asia/Pyongyang Asia/Tehran Asia/Tokyo Australia/Lord_Howe Australia/Sydney Europe/Amsterdam
    Europe/Berlin Europe/Dublin Europe/Istanbul Europe/Lisbon Europe/London Europe/Moscow
    Pacific/Apia Pacific/Auckland Pacific/Chatham Pacific/Kwajalein Pacific/Norfolk UTC
""".split()  # noqa: SIM905 - forty lines otherwise


@dataclass(frozen=True, slots=True)
class Expression:
    text: str
    minutes: frozenset[int]
    hours: frozenset[int]
    matches_day: Callable[[date], bool]
    has_free_hour: bool

    def matches(self, wall: datetime) -> bool:
        return wall.minute in self.minutes and wall.hour in self.hours and self.matches_day(wall.date())


@cache
def clock(name: str) -> ZoneInfo:
    with files("tzdata").joinpath("zoneinfo", *name.split("/")).open("rb") as file:
        return ZoneInfo.from_file(file)


def read(name: str, instant: datetime) -> datetime:
    """What the clock shows."""
    return instant.astimezone(clock(name)).replace(tzinfo=None)


@cache
def changes_of(name: str, year: int) -> list[datetime]:
    """The hours in which the clock is set."""
    days = [datetime(year, 1, 1, tzinfo=UTC) + at * DAY for at in range(367)]
    hours = [
        day + at * HOUR
        for day, following in pairwise(days)
        if _offset(name, day) != _offset(name, following)
        for at in range(24)
    ]
    return [hour for hour in hours if _offset(name, hour) != _offset(name, hour + HOUR)]


def walked(
    expression: Expression, name: str, *, once: bool, after: datetime, until: datetime
) -> list[datetime]:
    """The slots after `after` up to `until`.

    Each time of the clock counts once, at the first instant at which the clock shows it or a later one;
    or at each instant at which the clock shows it.
    """
    # The clock may have been set back by a day at most.
    begin = after.replace(second=0, microsecond=0) - DAY - HOUR
    # All clocks are set at whole minutes of what they show.
    seconds = {read(name, begin + at * HOUR).second for at in range((until - begin) // HOUR + 2)}
    step = timedelta(seconds=gcd(60, *seconds))
    found = []
    reached = read(name, begin)
    now = begin
    while now <= until:
        wall = read(name, now)
        if once and not expression.has_free_hour:
            passed = list(_minutes(reached, wall + step))
            reached = max(reached, wall + step)
        else:
            passed = [wall] if wall.second == 0 else []
        if now > after and any(expression.matches(each) for each in passed):
            found.append(now)
        now += step
    return found


def _minutes(low: datetime, high: datetime) -> Iterator[datetime]:
    """The whole minutes from `low` to before `high`."""
    minute = low.replace(second=0)
    while minute < high:
        if minute >= low:
            yield minute
        minute += MINUTE


def _offset(name: str, instant: datetime) -> timedelta | None:
    return instant.astimezone(clock(name)).utcoffset()


Numbers = tuple[str, frozenset[int]]
Days = tuple[str, Callable[[date], bool]]


def _list(rng: Random, low: int, high: int, names: Sequence[str] = ()) -> Numbers:
    """The text of a field, and its numbers. Names stand for the numbers from `low` on."""
    items = [_item(rng, low, high, names) for _ in range(rng.choice([1, 1, 2, 3]))]
    return ",".join(text for text, _ in items), frozenset(value for _, values in items for value in values)


def _item(rng: Random, low: int, high: int, names: Sequence[str]) -> tuple[str, list[int]]:
    first = rng.randint(low, high)
    last = rng.randint(first, high)
    begin, end = ((rng.choice([str(at), names[at - low]]) if names else str(at)) for at in (first, last))
    if rng.random() < 0.5:
        return begin, [first]
    if last - first < 2 or rng.random() < 0.5:
        return f"{begin}-{end}", list(range(first, last + 1))
    step = rng.randint(1, last - first)
    return f"{begin}-{end}/{step}", list(range(first, last + 1))[::step]


def _star(rng: Random, low: int, high: int, *steps: int) -> Numbers:
    step = rng.choice([1, *steps])
    return "*" if step == 1 else f"*/{step}", frozenset(range(low, high + 1, step))


MONTH_NAMES = ("Jan", "feb", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
DAY_NAMES = ("SUN", "mon", "TUE", "WED", "THU", "FRI", "sat")


def _month_days(rng: Random) -> Days:
    kind = rng.randrange(8)
    if kind < 4:
        return "*", lambda _: True
    if kind == 4:
        return "L", lambda day: (day + DAY).day == 1
    if kind == 5:
        return "3-5,L", lambda day: day.day in {3, 4, 5} or (day + DAY).day == 1
    text, days = _list(rng, 1, 31) if kind == 6 else _star(rng, 1, 31, 2, 3)
    return text, lambda day: day.day in days


def _weekdays(rng: Random) -> Days:
    kind, at = rng.randrange(8), rng.randint(0, 7)
    if kind < 4:
        return "*", lambda _: True
    if kind == 4:
        return f"{at}L", lambda day: day.isoweekday() % 7 == at % 7 and (day + 7 * DAY).month != day.month
    if kind == 5:
        nth = rng.randint(1, 5)
        return f"{at}#{nth}", lambda day: day.isoweekday() % 7 == at % 7 and (day.day + 6) // 7 == nth
    text, days = _list(rng, 0, 6, DAY_NAMES) if kind == 6 else _star(rng, 0, 6, 2)
    return text, lambda day: day.isoweekday() % 7 in days


def _expression(rng: Random, near: int) -> Expression:
    """An expression, often of every day, and of hours near the given one."""
    minute, minutes = _list(rng, 0, 59) if rng.random() < 0.7 else _star(rng, 0, 59, 5, 7, 30)
    low, high = (max(near - 1, 0), min(near + 2, 23)) if rng.random() < 0.7 else (0, 23)
    hour, hours = _list(rng, low, high) if rng.random() < 0.8 else _star(rng, 0, 23, 2, 5)
    month_day, on_month_day = _month_days(rng)
    weekday, on_weekday = _weekdays(rng)
    month, months = _list(rng, 1, 12, MONTH_NAMES) if rng.random() < 0.2 else _star(rng, 1, 12)
    both = "*" in month_day or "*" in weekday

    def matches_day(day: date) -> bool:
        found = (on_month_day(day), on_weekday(day))
        return day.month in months and (all(found) if both else any(found))

    text = f"{minute} {hour} {month_day} {month} {weekday}"
    return Expression(text, minutes, hours, matches_day, has_free_hour="*" in hour)


@dataclass(frozen=True, slots=True)
class Window:
    """An expression on the clock of a zone, for some hours or days."""

    expression: Expression
    zone: str
    after: datetime
    until: datetime

    def walked(self, *, once: bool) -> list[datetime]:
        return walked(self.expression, self.zone, once=once, after=self.after, until=self.until)


def window_of(rng: Random) -> Window:
    """A window around a change of a clock, mostly."""
    name, year = rng.choice(ZONES), rng.randint(1900, 2099)
    years = (each for each in range(year, min(year + 40, 2100)) if changes_of(name, each))
    found = next(years, None)
    if found and rng.random() < 0.9:
        around = rng.choice(changes_of(name, found))
    else:
        around = datetime(year, 1, 1, tzinfo=UTC) + rng.randint(-3, 365) * DAY
    length = rng.choice([6, 30, 60])
    begin = around - rng.randint(0, length) * HOUR + timedelta(seconds=rng.randint(0, 3600))
    # Before 1900, nothing is due.
    after = max(begin, datetime(1900, 1, 3, tzinfo=UTC))
    return Window(_expression(rng, read(name, around).hour), name, after, after + length * HOUR)


# One number for all that is random: of a draw for each part, Hypothesis repeats too many.
windows = st.integers(0, 2**64 - 1).map(Random).map(window_of)
