"""How many attempts at one origin may be under way at once, judged by how the earlier ones ended.

The limit begins moderate and doubles with each round of answers (a round is as many answers as the limit
has), as TCP starts slowly. One failure says nothing about load: its step may fail for reasons of its own.
Failures of several steps in a row, without an answer in between, are a sign of overload, and then each
takes one permit away. The limit grows again by 1, 2, 4 … a round, up to half of what was too much, and by
1 from there. The number that was too much is tried again after a second without a sign of overload, and
after twice that time whenever it was too much again. An origin that fails many steps in a row, one at a
time, rests for some seconds. Pure: times are seconds of a clock that only goes forward.
"""

from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from atomic.domain.outcomes import EndpointResponse
from atomic.protocol import headers
from atomic.protocol.error_kinds import ErrorKind

# A small server is not overrun by the first burst; a large one has its whole concurrency four rounds later.
FIRST_LIMIT: Final = 64
# So many different steps have to fail in a row, with more attempts than this under way.
SOME_FAIL: Final = 3
# With fewer attempts under way, more have to fail. Where so many were too much before, some in a round do,
# and with more than `FLOOR` at an origin that was overloaded.
FLOOR: Final = 8
ALL_FAIL: Final = 8
# A round with one failure in more answers than this is as good as one without.
ANSWERS_PER_FAILURE: Final = 32
# With fewer than these, failures are many.
SOME_ANSWERS_PER_FAILURE: Final = 16
REST_FIRST_S: Final = 0.25
# A server that is back is found after this time at most; `Retry-After` holds an origin no longer either.
REST_MAX_S: Final = 5.0
# How long an origin has to answer well before it gets as many attempts as were too much.
PATIENCE_FIRST_S: Final = 1.0
PATIENCE_MAX_S: Final = 60.0
# How often the limit is raised though no round is full: calls may just be long.
UNHEARD_S: Final = 2.0

_REFUSALS: Final = frozenset({429, 503})
_FAILURES: Final = {
    ErrorKind.TIMED_OUT: "late",
    ErrorKind.CONNECTION_TIMED_OUT: "late",
    ErrorKind.NETWORK: "unreached",
}


class Sign(Enum):
    """What the end of an attempt says about the load of its origin."""

    ANSWERED = "answered"
    # These three may be signs of overload.
    REFUSED = "refused"
    UNREACHED = "unreached"
    LATE = "late"
    NOTHING = "nothing"


def sign_of(answer: EndpointResponse, *, has_posted: bool) -> Sign:
    """Read an end. `has_posted`: the attempt posted steps, so it may be late by waiting for them."""
    if answer.status is None:
        kind = None if answer.error is None else answer.error.kind
        if kind not in _FAILURES or answer.not_made is not None:
            return Sign.NOTHING
        return Sign.NOTHING if has_posted and kind is ErrorKind.TIMED_OUT else Sign(_FAILURES[kind])
    if answer.status not in _REFUSALS:
        return Sign.ANSWERED
    # The SDK hands on that Atomic itself refused a post of the handler.
    is_ours = answer.headers.get(headers.REFUSED, "").strip().lower() == "true"
    return Sign.NOTHING if is_ours else Sign.REFUSED


def retry_after_s(answer: EndpointResponse, wall_ms: int) -> float:
    """For how long the answer asks to be left alone; 0 if it does not say."""
    asked = answer.headers.get(headers.RETRY_AFTER)
    wait_ms = headers.parse_retry_after_ms(asked, wall_ms) if asked else None
    return (wait_ms or 0) / 1000


@dataclass(slots=True)
class Concurrency:
    """The limit of one origin; at `most` it is open, and nothing waits.

    `is_wanted`: an attempt had to wait since the limit has changed. Without that, there is no reason to
    raise it, and answers need not be counted.
    """

    most: int
    changed_at_s: float
    limit: int = FIRST_LIMIT
    is_slowed: bool = False
    is_wanted: bool = False
    open_at_s: float = 0.0
    # The first steps that have failed since the last answer.
    _failing: set[str] = field(default_factory=set)
    # With so many attempts, the origin was overloaded when last seen so.
    _ceiling: int = 0
    _raise_by: int = 0
    _overloaded_at_s: float = 0.0
    _patience_s: float = PATIENCE_FIRST_S
    _is_raised: bool = False
    # Whether attempts that were too much ended at once when last seen so.
    _ends_at_once: bool = False
    _rest_s: float = REST_FIRST_S
    # A round: its answers and failures, and whether it only waits for attempts of earlier generations.
    _answers: int = 0
    _failures: int = 0
    # Those of the rounds before, if they were many.
    _earlier_failures: int = 0
    _is_awaited: bool = False
    _generation: int = 0
    _earlier: int = 0
    _present: int = 0

    def __post_init__(self) -> None:
        self.limit = self._raise_by = min(self.limit, self.most)
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

    @property
    def seems_down(self) -> bool:
        """Whether many different steps have failed in a row."""
        return len(self._failing) >= ALL_FAIL

    def answered(self, now_s: float) -> None:
        """An attempt that has ended got an answer that is no sign of overload."""
        if self._failing:
            self._failing.clear()
            self._rest_s, self.open_at_s = REST_FIRST_S, 0.0
        if self.is_open or not self.is_wanted:
            return
        self._answers += 1
        if self._answers < self.limit or not self._has_borne_it():
            return
        if ANSWERS_PER_FAILURE * self._failures > self._answers:
            are_many = SOME_ANSWERS_PER_FAILURE * self._failures > self._answers
            earlier = self._earlier_failures + self._failures if are_many else 0
            self._begin_round(now_s)
            self._earlier_failures = earlier
        else:
            self._try_to_raise(now_s)

    @property
    def look_at_s(self) -> float:
        """When to call `still_under_way`, if nothing changes before."""
        return self.changed_at_s + UNHEARD_S

    def may_be_long(self, *, is_heard: bool) -> bool:
        """Whether the calls under way may just be long. `is_heard`: their endpoint has answered before."""
        return not self.is_open and (self._ends_at_once if self.is_slowed else not is_heard)

    def still_under_way(self, now_s: float) -> None:
        """Attempts wait, and those under way may just be long: nothing has changed for some time."""
        if now_s >= self.look_at_s and not self._try_to_raise(now_s):
            self.changed_at_s = now_s

    def failed(self, now_s: float, step_id: str, sign: Sign, *, rest_s: float = 0.0) -> None:
        """An attempt of this step has ended with what may be a sign of overload.

        `rest_s`: its `Retry-After`, which is for the step; the origin rests if many others have failed too.
        """
        there = min(self.limit, self.under_way + 1)
        if not self.seems_down:
            self._failing.add(step_id)
        self._failures += 1
        if sign is Sign.LATE:
            # The answers that came before it say nothing.
            self._answers, self._is_awaited = 0, False
        is_known = there >= self._ceiling or (self.is_slowed and there > FLOOR)
        was_too_much = is_known and self._earlier_failures + self._failures >= SOME_FAIL
        if len(self._failing) < (SOME_FAIL if there > FLOOR else ALL_FAIL) and not was_too_much:
            return
        if there > 1:
            self._lower(there)
            self._ends_at_once = sign is not Sign.LATE
        elif sign is Sign.UNREACHED:
            # What refuses connections is left alone below this, by who connects.
            return
        else:
            self.limit, self.is_slowed = 1, True
            self.open_at_s = max(self.open_at_s, now_s + min(max(self._rest_s, rest_s), REST_MAX_S))
            self._rest_s = min(2 * self._rest_s, REST_MAX_S)
            self._ends_at_once |= sign is Sign.REFUSED
        self._is_raised, self._raise_by = False, 1
        self._overloaded_at_s = now_s
        self._begin_round(now_s)

    def _lower(self, there: int) -> None:
        """So many attempts were too much."""
        if self._is_raised or not self.is_slowed:
            if there >= self._ceiling:
                self._patience_s = min(2 * self._patience_s, PATIENCE_MAX_S)
            self._ceiling = there
        self.is_slowed, self.limit = True, there - 1

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

    def _try_to_raise(self, now_s: float) -> bool:
        if self._is_raised and self.limit >= self._ceiling:
            self._forget_ceiling()
        is_known_good = self.limit + 1 < self._ceiling
        if not is_known_good and now_s - self._overloaded_at_s < self._patience_s:
            return False
        self._raise(now_s)
        return True

    def _raise(self, now_s: float) -> None:
        half, was_careful = (self._ceiling + 1) // 2, self._is_careful
        bound = self._ceiling - 1 if was_careful else half
        self.limit = min(self.limit + self._raise_by, max(self.limit + 1, bound), self.most)
        self._raise_by = min(2 * self._raise_by, self.limit) if self._is_careful == was_careful else 1
        self._is_raised = True
        self._begin_round(now_s)
        if self.is_open:
            self.is_slowed = False
            self._forget_ceiling()
            self._raise_by = self.limit

    def _begin_round(self, now_s: float) -> None:
        self._answers = self._failures = self._earlier_failures = 0
        self.is_wanted = self._is_awaited = False
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
