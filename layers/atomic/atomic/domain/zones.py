"""Time zones of the pinned `tzdata` package, and the changes of their clocks.

Never those of the operating system: an AWS Lambda function, a container and a laptop must agree on the
next slot of a schedule, and a container may have no time zones at all. The files are constants of the
package.

Instants in here are naive `datetime`s in UTC, which are quicker to compute with than those with a zone.
"""

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache, lru_cache
from importlib.resources import files
from typing import BinaryIO, Final, cast
from zoneinfo import ZoneInfo

from tzdata import IANA_VERSION

# The release of the database, such as 2026f.
TZDATA_VERSION: Final[str] = IANA_VERSION
# Before 1900 the data is sparse. After 2200, no rule of today can be expected to hold.
FIRST: Final = datetime(1900, 1, 1)  # noqa: DTZ001 - in UTC, as all instants in here
HORIZON: Final = datetime(2200, 1, 1)  # noqa: DTZ001 - likewise

# A test holds the package to this: two changes of one clock are further apart, each is by a day at most,
# and no time is repeated at the end of a year in UTC.
PROBE: Final = timedelta(days=5)
_SECOND: Final = timedelta(seconds=1)


class UnknownZone(ValueError):
    """The time zone database has no such zone; the message names those that are near."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """From `start` until `end` the clock is `offset` ahead of UTC.

    `reached` is the latest time that the clock had come to before `start`. It is earlier than the first
    one of the stretch where the clock was set forward, and later where it was set back.
    """

    start: datetime
    end: datetime
    offset: timedelta
    reached: datetime


@cache
def zone_names() -> frozenset[str]:
    """The names that a schedule may use."""
    return frozenset(files("tzdata").joinpath("zones").read_text("utf-8").split())


@cache
def zone(name: str) -> ZoneInfo:
    """The zone of this exact name. Raises `UnknownZone`."""
    if name not in zone_names():
        raise UnknownZone(_unknown(name))
    with zone_file(name) as file:
        return ZoneInfo.from_file(file, key=name)


def zone_file(name: str) -> BinaryIO:
    """The zone's rules, in the format of the database."""
    return cast("BinaryIO", files("tzdata").joinpath("zoneinfo", *name.split("/")).open("rb"))


def offset_at(zone: ZoneInfo, instant: datetime) -> timedelta:
    """How far the clock of the zone is ahead of UTC."""
    return zone.fromutc(instant.replace(tzinfo=zone)).replace(tzinfo=None) - instant


def stretches(zone: ZoneInfo, instant: datetime) -> Iterator[Stretch]:
    """The stretches from the one of `instant` until the horizon. A year's end also ends a stretch."""
    for year in range(instant.year, HORIZON.year):
        for stretch in _stretches_of(zone, year):
            if stretch.end > instant:
                yield stretch


def stretches_back(zone: ZoneInfo, instant: datetime) -> Iterator[Stretch]:
    """The stretches from the one of `instant` back to 1900, latest first."""
    for year in range(instant.year, FIRST.year - 1, -1):
        for stretch in reversed(_stretches_of(zone, year)):
            if stretch.start <= instant:
                yield stretch


@lru_cache(maxsize=4096)
def _stretches_of(zone: ZoneInfo, year: int) -> tuple[Stretch, ...]:
    start, end = FIRST.replace(year=year), FIRST.replace(year=year + 1)
    offset, reached = offset_at(zone, start), start + offset_at(zone, start - _SECOND)
    found = []
    probe = start
    while probe < end:
        earlier, probe = probe, min(probe + PROBE, end)
        # What changes at the year's end begins the stretches of the next year.
        if offset_at(zone, probe - _SECOND) != offset:
            change = _change_between(zone, earlier - _SECOND, probe - _SECOND)
            found.append(Stretch(start, change, offset, reached))
            start, reached, offset = change, change + offset, offset_at(zone, change)
    return (*found, Stretch(start, end, offset, reached))


def _change_between(zone: ZoneInfo, low: datetime, high: datetime) -> datetime:
    """The first second of the offset that the clock has at `high`, and has not at `low`."""
    offset = offset_at(zone, high)
    while high - low > _SECOND:
        middle = low + timedelta(seconds=(high - low) // _SECOND // 2)
        if offset_at(zone, middle) == offset:
            high = middle
        else:
            low = middle
    return high


def _unknown(name: str) -> str:
    # `Etc/GMT+2` is two hours behind UTC, which hardly anyone means who writes `GMT+2`.
    offered = {each.lower(): each for each in zone_names() if not set(each) & set("+-0123456789")}
    wanted = name.strip().lower().replace(" ", "_")
    cities = [each for lower, each in sorted(offered.items()) if lower.rpartition("/")[2] == wanted]
    close = [offered[lower] for lower in difflib.get_close_matches(wanted, offered, n=2, cutoff=0.8)]
    near = [offered[wanted]] if wanted in offered else list(dict.fromkeys([*cities, *close]))[:3]
    advice = f"did you mean {' or '.join(near)}?" if near else "name a place, such as Europe/Berlin, or UTC"
    return f"there is no time zone {name[:60]!r}: {advice}"
