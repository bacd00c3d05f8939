"""How the endpoints of each client have answered lately: attempts, failures, durations, by origin.

It is memory of one process, and empty after a restart. An attempt is noted by appending to a list, because
each attempt costs this. What is noted is summed up when there is enough of it, or when somebody asks. Sums
are by minute, and durations are counted up to bounds, so their size does not grow with the attempts.
"""

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from atomic.application.destinations import origin_of
from atomic.domain.counters import MINUTE_MS
from atomic.domain.histograms import BOUNDS_MS, within
from atomic.protocol.enums import OutcomeKind

MINUTES: Final = 15
# So many notes are summed up at the latest.
NOTES_MAX: Final = 1_000
# So many origins of a client are told apart in a minute; attempts at others are counted together.
ORIGINS_MAX: Final = 200
# So many of all clients; attempts at others are not counted.
_ALL_MAX: Final = 5_000
OTHERS: Final = ""
# Longer than any attempt.
_NEVER_MS: Final = 10**15
_FAILED: Final = frozenset({OutcomeKind.RETRYABLE, OutcomeKind.PERMANENT})
# Others were ended by a cancel or lost, or Atomic itself refused what the handler posted.
_COUNTED: Final = _FAILED | {OutcomeKind.SUCCEEDED, OutcomeKind.SUSPENDED}


class Note(NamedTuple):
    """An attempt that has ended."""

    client_id: str
    url: str
    began_ms: int
    ended_ms: int
    outcome: OutcomeKind


@dataclass(slots=True)
class Tally:
    """Attempts at one origin; how many of them took how long, by the place of the bound up to which."""

    attempts: int = 0
    failed: int = 0
    shortest_ms: int = _NEVER_MS
    longest_ms: int = 0
    durations: dict[int, int] = field(default_factory=dict)

    def took(self, took_ms: int) -> None:
        """Count a duration."""
        at = bisect_left(BOUNDS_MS, took_ms)
        self.durations[at] = self.durations.get(at, 0) + 1
        self.shortest_ms = min(self.shortest_ms, took_ms)
        self.longest_ms = max(self.longest_ms, took_ms)

    def add(self, other: "Tally") -> None:
        """Count those of another tally, too."""
        self.attempts += other.attempts
        self.failed += other.failed
        self.shortest_ms = min(self.shortest_ms, other.shortest_ms)
        self.longest_ms = max(self.longest_ms, other.longest_ms)
        for at, number in other.durations.items():
            self.durations[at] = self.durations.get(at, 0) + number

    def duration_ms_of(self, share: float) -> int | None:
        """How long this share of the attempts took at most."""
        counts = [self.durations.get(at, 0) for at in range(len(BOUNDS_MS) + 1)]
        return within(counts, share, least=self.shortest_ms, most=self.longest_ms)


# By client and origin.
_Minute = dict[str, dict[str, Tally]]


class EndpointHealth:
    """The sums of the last minutes. `noted` is for who notes attempts, and calls `sum_up` now and then."""

    def __init__(self) -> None:
        self.noted: list[Note] = []
        self._minutes: dict[int, _Minute] = {}

    def of(self, client_id: str, now_ms: int) -> dict[str, Tally]:
        """The sums of a client's attempts of the last minutes, by origin."""
        self.sum_up()
        sums: dict[str, Tally] = {}
        for minute in self._since(now_ms // MINUTE_MS - MINUTES):
            for origin, tally in minute.get(client_id, {}).items():
                sums.setdefault(origin, Tally()).add(tally)
        return sums

    def sum_up(self) -> None:
        """Sum up what is noted, and forget minutes that are over."""
        notes = self.noted.copy()
        self.noted.clear()
        for note in notes:
            if note.outcome in _COUNTED:
                self._count(note)
        newest = max(self._minutes, default=0)
        for number in [each for each in self._minutes if each <= newest - MINUTES]:
            del self._minutes[number]

    def _since(self, number: int) -> Iterator[_Minute]:
        return (minute for each, minute in self._minutes.items() if each > number)

    def _count(self, note: Note) -> None:
        minute = self._minutes.setdefault(note.ended_ms // MINUTE_MS, {})
        origins = minute.setdefault(note.client_id, {})
        origin = origin_of(note.url)
        if origin not in origins and len(origins) >= ORIGINS_MAX:
            origin = OTHERS
        tally = origins.get(origin)
        if tally is None:
            if sum(map(len, minute.values())) >= _ALL_MAX:
                return
            tally = origins[origin] = Tally()
        tally.attempts += 1
        tally.failed += note.outcome in _FAILED
        # Clocks of processes differ.
        tally.took(max(0, note.ended_ms - note.began_ms))
