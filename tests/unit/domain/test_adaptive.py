"""The limit of an origin: its bounds, how it falls and rises, and what counts as a sign of overload."""

import heapq
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atomic.domain.adaptive import (
    FIRST_LIMIT,
    PATIENCE_MAX_S,
    REST_MAX_S,
    RETRY_AFTER_MAX_S,
    UNHEARD_S,
    Concurrency,
    Direction,
    Sign,
    retry_after_s,
    sign_of,
)
from atomic.domain.outcomes import EndpointResponse, NotMade, StepError
from atomic.protocol.error_kinds import ErrorKind

MOST = 1000
Ends = st.lists(
    st.tuples(
        st.sampled_from(["begin", "answered", "overloaded", "neutral", "wanted", "unheard"]),
        st.floats(0, 20),
        st.floats(0, 100),
    ),
    max_size=300,
)


def follow(limit: Concurrency, ends: list[tuple[str, float, float]]) -> float:
    """Let all of this happen, and then nothing be under way; the time."""
    now_s, attempts = 0.0, list[int]()
    for kind, pause_s, rest_s in ends:
        now_s += pause_s
        if kind == "begin":
            attempts.append(limit.begin())
        elif kind in {"answered", "overloaded", "neutral"} and attempts:
            limit.end(attempts.pop(0))
            if kind == "answered":
                limit.answered(now_s)
            elif kind == "overloaded":
                limit.overloaded(now_s, rest_s=min(rest_s, RETRY_AFTER_MAX_S))
    for attempt in attempts:
        limit.end(attempt)
    return now_s


def slowed_to(limit: int) -> Concurrency:
    """An origin that was overloaded with one attempt more."""
    found = Concurrency(MOST, 0.0)
    attempts = [found.begin() for _ in range(limit + 1)]
    found.end(attempts[0])
    found.overloaded(0.0)
    for attempt in attempts[1:]:
        found.end(attempt)
    assert found.limit == limit
    return found


class Small:
    """A server that bears so many calls at once, and refuses the others, at once or after a time-out."""

    def __init__(self, bears: int, *, refuses_after_s: float, lasts_s: float = 0.05) -> None:
        self.bears = bears
        self.limit = Concurrency(MOST, 0.0)
        self.refused = self.served = 0
        self.now_s = 0.0
        self._refuses_after_s, self._lasts_s = refuses_after_s, lasts_s
        self._ends: list[tuple[float, int, bool, int]] = []
        self._number = 0

    def run(self, until_s: float) -> None:
        """Send it as much as the limit permits."""
        while self.now_s < until_s:
            while self.limit.admits(self.now_s) and len(self._ends) < MOST:
                self._number += 1
                is_refused = len(self._ends) >= self.bears
                after_s = self._refuses_after_s if is_refused else self._lasts_s
                attempt = (self.now_s + after_s, self._number, is_refused, self.limit.begin())
                heapq.heappush(self._ends, attempt)
            self.limit.is_wanted = True
            if not self._ends or self._ends[0][0] > self.limit.open_at_s > self.now_s:
                self.now_s = self.limit.open_at_s
                continue
            self.now_s, _, is_refused, attempt_generation = heapq.heappop(self._ends)
            self.limit.end(attempt_generation)
            if is_refused:
                self.refused += 1
                self.limit.overloaded(self.now_s)
            else:
                self.served += 1
                self.limit.answered(self.now_s)


@given(Ends, st.integers(1, 2000))
def test_the_limit_stays_in_its_bounds_and_counts_what_is_under_way(
    ends: list[tuple[str, float, float]], most: int
) -> None:
    limit, now_s, attempts = Concurrency(most, 0.0), 0.0, list[int]()
    for kind, pause_s, rest_s in ends:
        now_s += pause_s
        before = limit.limit
        if kind == "begin":
            attempts.append(limit.begin())
        elif kind == "wanted":
            limit.is_wanted = True
        elif kind == "unheard":
            limit.still_unheard(now_s)
        elif attempts:
            limit.end(attempts.pop(0))
            if kind == "answered":
                limit.answered(now_s)
            elif kind == "overloaded":
                limit.overloaded(now_s, rest_s=rest_s)
        assert limit.under_way == len(attempts)
        assert 1 <= limit.limit <= most
        # An answer never lowers it, a sign of overload never raises it, and nothing else changes it.
        assert limit.limit <= before or kind in {"answered", "unheard"}
        assert limit.limit >= before or kind == "overloaded"
        # It is never closed for longer than an origin may ask for.
        assert limit.open_at_s - now_s <= max(REST_MAX_S, rest_s, 100)


@given(Ends)
def test_whatever_happened_an_origin_that_answers_gets_all_again(
    ends: list[tuple[str, float, float]],
) -> None:
    limit = Concurrency(MOST, 0.0)
    now_s = follow(limit, ends)
    began_s = now_s
    now_s = max(now_s, limit.open_at_s)
    assert now_s - began_s <= max(REST_MAX_S, RETRY_AFTER_MAX_S)
    while not limit.is_open:
        # Rounds of 50 ms, each as full as the limit permits.
        limit.is_wanted = True
        assert limit.admits(now_s)
        round_of = [limit.begin() for _ in range(limit.limit)]
        now_s += 0.05
        for attempt in round_of:
            limit.end(attempt)
            limit.answered(now_s)
            limit.is_wanted = True
        assert now_s - began_s < RETRY_AFTER_MAX_S + PATIENCE_MAX_S + 10


@pytest.mark.parametrize("bears", [1, 2, 8, 30, 200])
def test_a_server_that_refuses_at_once_gets_what_it_bears(bears: int) -> None:
    server = Small(bears, refuses_after_s=0.001)
    server.run(60)
    assert server.refused <= 2 * FIRST_LIMIT + 10 * bears
    assert server.served >= 0.9 * bears * 60 / 0.05
    assert server.limit.limit in {bears, bears + 1}


@pytest.mark.parametrize("bears", [2, 8, 30])
def test_a_server_that_never_answers_what_is_too_much_is_not_overrun(bears: int) -> None:
    """The calls that are too much still occupy it, until they time out."""
    server = Small(bears, refuses_after_s=2.0)
    server.run(300)
    assert server.refused <= FIRST_LIMIT + 20 * (bears + 1)
    assert server.served >= 0.8 * bears * 300 / 0.05


def test_a_server_that_bears_more_later_gets_more() -> None:
    server = Small(8, refuses_after_s=0.001)
    server.run(100)
    server.bears = 500
    # By now it is tried once a minute.
    server.run(100 + PATIENCE_MAX_S + 5)
    assert server.limit.is_open or server.limit.limit >= 500


def test_a_server_that_is_down_is_found_again_within_seconds() -> None:
    server = Small(0, refuses_after_s=0.001)
    server.run(600)
    # One attempt in five seconds.
    assert server.limit.limit == 1
    assert server.refused <= FIRST_LIMIT + 600 / REST_MAX_S + 10
    server.bears = MOST
    server.run(600 + REST_MAX_S + 2)
    assert server.limit.is_open


def test_the_first_limit_doubles_with_each_round() -> None:
    limit, found = Concurrency(MOST, 0.0), list[int]()
    while not limit.is_open:
        found.append(limit.limit)
        limit.is_wanted = True
        for _ in range(limit.limit):
            limit.end(limit.begin())
            limit.answered(0.0)
    assert found == [64, 128, 256, 512]


def test_an_origin_that_has_not_answered_yet_may_just_be_slow() -> None:
    limit = Concurrency(MOST, 0.0)
    for number in range(4):
        limit.still_unheard((number + 0.9) * UNHEARD_S)
        assert limit.limit == FIRST_LIMIT << number
        limit.still_unheard((number + 1) * UNHEARD_S)
    assert limit.is_open
    slowed = slowed_to(8)
    slowed.still_unheard(1000.0)
    assert slowed.limit == 8


def test_retry_after_is_kept() -> None:
    limit = slowed_to(1)
    limit.end(limit.begin())
    limit.overloaded(10.0, rest_s=30.0)
    assert not limit.admits(39.9)
    assert limit.admits(40.0)
    more = slowed_to(8)
    more.end(more.begin())
    more.overloaded(10.0, rest_s=30.0)
    before = more.limit
    for now_s in (20.0, 39.9):
        for _ in range(50):
            more.is_wanted = True
            more.end(more.begin())
            more.answered(now_s)
        assert more.limit == before
    more.is_wanted = True
    more.end(more.begin())
    more.answered(40.0)
    assert more.limit == before + 1


def test_nothing_is_raised_that_nobody_needs() -> None:
    limit = slowed_to(8)
    for _ in range(1000):
        limit.end(limit.begin())
        limit.answered(100.0)
    assert limit.limit == 8


def error(kind: ErrorKind) -> EndpointResponse:
    return EndpointResponse(error=StepError(kind))


def cases() -> Iterator[tuple[EndpointResponse, bool, Sign]]:
    for status in (200, 202, 400, 404, 409, 425, 500, 502, 504):
        yield EndpointResponse(status=status), False, Sign.ANSWERED
    for status in (429, 503):
        yield EndpointResponse(status=status), False, Sign.OVERLOADED
        yield EndpointResponse(status=status), True, Sign.OVERLOADED
    # Atomic refused what the handler posted: its server is well.
    yield EndpointResponse(status=503, headers={"atomic-refused": "true"}), True, Sign.NOTHING
    for kind in (ErrorKind.TIMED_OUT, ErrorKind.CONNECTION_TIMED_OUT, ErrorKind.NETWORK):
        yield error(kind), False, Sign.OVERLOADED
    # It was late because it waited for its own steps.
    yield error(ErrorKind.TIMED_OUT), True, Sign.NOTHING
    yield error(ErrorKind.NETWORK), True, Sign.OVERLOADED
    for kind in (ErrorKind.ADDRESS_NOT_ALLOWED, ErrorKind.CLIENT_MAY_NOT_CALL, ErrorKind.NO_ANSWER):
        yield error(kind), False, Sign.NOTHING
    not_made = NotMade(StepError(ErrorKind.CIRCUIT_OPEN))
    yield EndpointResponse(not_made=not_made), False, Sign.NOTHING


@pytest.mark.parametrize(("answer", "has_posted", "sign"), tuple(cases()))
def test_what_an_end_says_of_the_load(answer: EndpointResponse, has_posted: bool, sign: Sign) -> None:
    assert sign_of(answer, has_posted=has_posted) is sign


@pytest.mark.parametrize(
    ("text", "wait_s"),
    [
        ("7", 7),
        ("0", 0),
        ("3600", RETRY_AFTER_MAX_S),
        ("soon", 0),
        ("Thu, 01 Jan 1970 00:00:12 GMT", 12),
    ],
)
def test_how_long_an_answer_asks_for(text: str, wait_s: float) -> None:
    assert retry_after_s(EndpointResponse(status=503, headers={"retry-after": text}), 0) == wait_s
    assert retry_after_s(EndpointResponse(status=503), 0) == 0


def test_only_a_change_of_direction_is_told() -> None:
    direction = Direction(64)
    limits = [63, 40, 32, 9, 8, 9, 8, 10, 17, 18, 30, 64, 63, 32, 31, 1, 2, 1, 3, 4, 5]
    assert [limit for limit in limits if direction.turned(limit)] == [32, 18, 32, 4]
