"""How many attempts at one origin may be under way at once, judged by how the earlier ones ended.

The limit begins moderate and doubles with each round of answers (a round is as many answers as the limit
has), as TCP starts slowly. Each sign of overload takes one permit away: the attempt that was too much is
not replaced. Then the limit grows again, by 1, 2, 4 … a round, up to half of what was too much, and by 1
from there. The number that was too much is tried again after a second without a sign of overload, and after
twice that time whenever it was too much again. With one permit left, the origin rests after a failure, for
as long as `Retry-After` says. Pure: times are seconds of a clock that only goes forward.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final

from atomic.domain.outcomes import EndpointResponse
from atomic.protocol import headers
from atomic.protocol.error_kinds import ErrorKind

# A small server is not overrun by the first burst; a large one has its whole concurrency four rounds later.
FIRST_LIMIT: Final = 64
REST_FIRST_S: Final = 0.25
# A server that is back is found after this time at most.
REST_MAX_S: Final = 5.0
# Of an origin that answers for one of its endpoints only: the others wait no longer than this.
RETRY_AFTER_MAX_S: Final = 60.0
# How long an origin has to answer well before it gets as many attempts as were too much.
PATIENCE_FIRST_S: Final = 1.0
PATIENCE_MAX_S: Final = 60.0
# How often the limit of an origin is doubled that has not answered yet: its calls may just be long.
UNHEARD_S: Final = 5.0

_OVERLOADED: Final = frozenset({429, 503})
_UNREACHED: Final = frozenset({ErrorKind.TIMED_OUT, ErrorKind.CONNECTION_TIMED_OUT, ErrorKind.NETWORK})


class Sign(Enum):
    """What the end of an attempt says about the load of its origin."""

    ANSWERED = "answered"
    OVERLOADED = "overloaded"
    NOTHING = "nothing"


def sign_of(answer: EndpointResponse, *, has_posted: bool) -> Sign:
    """Read an end. `has_posted`: the attempt posted steps, so it may be late by waiting for them."""
    if answer.status is None:
        kind = None if answer.error is None else answer.error.kind
        if kind not in _UNREACHED or answer.not_made is not None:
            return Sign.NOTHING
        return Sign.NOTHING if has_posted and kind is ErrorKind.TIMED_OUT else Sign.OVERLOADED
    if answer.status not in _OVERLOADED:
        return Sign.ANSWERED
    # The SDK hands on that Atomic itself refused a post of the handler.
    is_ours = answer.headers.get(headers.REFUSED, "").strip().lower() == "true"
    return Sign.NOTHING if is_ours else Sign.OVERLOADED


def retry_after_s(answer: EndpointResponse, wall_ms: int) -> float:
    """For how long the answer asks to be left alone; 0 if it does not say."""
    asked = answer.headers.get(headers.RETRY_AFTER)
    wait_ms = headers.parse_retry_after_ms(asked, wall_ms) if asked else None
    return min((wait_ms or 0) / 1000, RETRY_AFTER_MAX_S)


@dataclass(slots=True)
class Concurrency:
    """The limit of one origin; at `most` it is open, and nothing waits.

    `is_wanted`: an attempt had to wait since the limit has changed. Without that, there is no reason to
    raise it, and answers need not be counted.
    """

    most: int
    changed_at_s: float
    limit: int = 0
    is_slowed: bool = False
    is_wanted: bool = False
    open_at_s: float = 0.0
    # With so many attempts, the origin was overloaded when last seen so.
    _ceiling: int = 0
    _raise_by: int = 0
    _raise_at_s: float = 0.0
    _overloaded_at_s: float = 0.0
    _patience_s: float = PATIENCE_FIRST_S
    _is_raised: bool = False
    _rest_s: float = REST_FIRST_S
    # A round: the answers in it, and whether it only waits for the attempts of earlier generations.
    _answers: int = 0
    _is_awaited: bool = False
    _generation: int = 0
    _earlier: int = 0
    _present: int = 0

    def __post_init__(self) -> None:
        self.limit = self._raise_by = min(FIRST_LIMIT, self.most)
        self._ceiling = 2 * self.most

    @property
    def is_open(self) -> bool:
        """Whether any number may be under way."""
        return self.limit >= self.most

    @property
    def under_way(self) -> int:
        """How many attempts are under way."""
        return self._earlier + self._present

    def admits(self, now_s: float, *, besides: int = 0) -> bool:
        """Whether one more attempt may begin, `besides` so many of those under way that do not count."""
        return now_s >= self.open_at_s and (self.is_open or self.under_way - besides < self.limit)

    def begin(self) -> int:
        """An attempt begins; what to give to `end`."""
        self._present += 1
        return self._generation

    def end(self, generation: int) -> None:
        """An attempt has ended, or does not count any more."""
        if generation == self._generation:
            self._present -= 1
        else:
            self._earlier -= 1

    def answered(self, now_s: float) -> None:
        """An attempt that has ended got an answer that is no sign of overload."""
        self._rest_s = REST_FIRST_S
        if self.is_open or not self.is_wanted:
            return
        self._answers += 1
        if self._answers < self.limit or now_s < self._raise_at_s or not self._has_borne_it():
            return
        if self._is_raised and self.limit >= self._ceiling:
            self._forget_ceiling()
        is_known_good = self.limit + 1 < self._ceiling
        if is_known_good or now_s - self._overloaded_at_s >= self._patience_s:
            self._raise(now_s)

    def still_unheard(self, now_s: float) -> None:
        """Attempts wait, and those under way are calls of an endpoint that has never answered."""
        if not (self.is_slowed or self.is_open) and now_s - self.changed_at_s >= UNHEARD_S:
            self._raise(now_s)

    def overloaded(self, now_s: float, *, rest_s: float = 0.0) -> None:
        """An attempt that has ended showed a sign of overload. `rest_s`: its `Retry-After`."""
        there = min(self.limit, self.under_way + 1)
        if self._is_raised or not self.is_slowed:
            if there >= self._ceiling:
                self._patience_s = min(2 * self._patience_s, PATIENCE_MAX_S)
            self._ceiling = there
        self.is_slowed, self._is_raised = True, False
        self._raise_by, self.is_wanted = 1, False
        self._begin_round(now_s)
        self._overloaded_at_s = now_s
        self._raise_at_s = max(self._raise_at_s, now_s + rest_s)
        self.limit = max(1, there - 1)
        if there == 1:
            self.open_at_s = max(self.open_at_s, now_s + max(self._rest_s, rest_s))
            self._rest_s = min(2 * self._rest_s, REST_MAX_S)

    @property
    def _is_careful(self) -> bool:
        return self.is_slowed and 2 * self.limit >= self._ceiling

    def _has_borne_it(self) -> bool:
        """Whether all attempts have ended that were under way when the round was full.

        An attempt that is never answered shows only by its time-out that it was too much. This is waited
        for where the limit may be too high; below, the limit grows faster.
        """
        if not self._is_careful:
            return True
        if not self._is_awaited:
            self._is_awaited = True
            self._generation += 1
            self._earlier, self._present = self.under_way, 0
        return not self._earlier

    def _raise(self, now_s: float) -> None:
        half, was_careful = (self._ceiling + 1) // 2, self._is_careful
        bound = self._ceiling - 1 if was_careful else half
        self.limit = min(self.limit + self._raise_by, max(self.limit + 1, bound), self.most)
        self._raise_by = min(2 * self._raise_by, self.limit) if self._is_careful == was_careful else 1
        self.is_wanted, self._is_raised = False, True
        self._begin_round(now_s)
        if self.is_open:
            self.is_slowed = False
            self._forget_ceiling()
            self._raise_by = self.limit

    def _begin_round(self, now_s: float) -> None:
        self._answers, self._is_awaited = 0, False
        self.changed_at_s = now_s

    def _forget_ceiling(self) -> None:
        """The origin bears more than it did."""
        self._ceiling, self._patience_s, self._raise_by = 2 * self.most, PATIENCE_FIRST_S, 1


@dataclass(slots=True)
class Direction:
    """Whether a limit falls or rises, for people: small changes back and forth are no change."""

    highest: int
    lowest: int = 0
    falls: bool = False

    def turned(self, limit: int) -> bool:
        """Follow the limit; True when it has turned, which is to be told."""
        self.highest, self.lowest = max(self.highest, limit), min(self.lowest, limit)
        if not self.falls and 2 * limit <= self.highest:
            self.falls, self.lowest = True, limit
            return True
        if self.falls and limit >= 2 * self.lowest + 2:
            self.falls, self.highest = False, limit
            return True
        return False
