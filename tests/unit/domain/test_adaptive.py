"""The limit of an origin: its bounds, how it falls and rises, and what counts as a sign of overload."""

import heapq
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atomic.domain.adaptive import (
    ALL_FAIL,
    FIRST_LIMIT,
    FLOOR,
    PATIENCE_MAX_S,
    REST_MAX_S,
    SOME_FAIL,
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
FAILURES = (Sign.REFUSED, Sign.UNREACHED, Sign.LATE)
Ends = st.lists(
    st.tuples(
        st.sampled_from(["begin", "answered", "neutral", "wanted", "still", *FAILURES]),
        st.floats(0, 20),
        st.floats(0, 4000),
        st.integers(0, 12),
    ),
    max_size=300,
)


def happen(limit: Concurrency, attempts: list[int], end: tuple[str | Sign, float, float, int]) -> None:
    """Let this happen; `attempts` are under way."""
    kind, now_s, rest_s, step = end
    if kind == "begin":
        attempts.append(limit.begin())
    elif kind == "wanted":
        limit.is_wanted = True
    elif kind == "still":
        limit.still_under_way(now_s)
    elif attempts:
        limit.end(attempts.pop(0))
        if kind == "answered":
            limit.answered(now_s)
        elif isinstance(kind, Sign):
            limit.failed(now_s, f"step-{step}", kind, rest_s=rest_s)


def follow(limit: Concurrency, ends: list[tuple[str | Sign, float, float, int]]) -> float:
    """Let all of this happen, and then nothing be under way; the time."""
    now_s, attempts = 0.0, list[int]()
    for kind, pause_s, rest_s, step in ends:
        now_s += pause_s
        happen(limit, attempts, (kind, now_s, rest_s, step))
    for attempt in attempts:
        limit.end(attempt)
    return now_s


def fail(limit: Concurrency, now_s: float, step: object, sign: Sign = Sign.REFUSED, **rest: float) -> None:
    """One more attempt of a step fails."""
    limit.end(limit.begin())
    limit.failed(now_s, f"step-{step}", sign, **rest)


def slowed_to(limit: int, sign: Sign = Sign.REFUSED) -> Concurrency:
    """An origin that was overloaded with one attempt more."""
    found = Concurrency(MOST, 0.0)
    attempts = [found.begin() for _ in range(limit)]
    for step in range(SOME_FAIL if limit >= FLOOR else ALL_FAIL):
        fail(found, 0.0, step, sign)
    for attempt in attempts:
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
                sign = Sign.LATE if self._refuses_after_s >= 1 else Sign.REFUSED
                self.limit.failed(self.now_s, f"step-{self.refused}", sign)
            else:
                self.served += 1
                self.limit.answered(self.now_s)


@given(Ends, st.integers(1, 2000))
def test_the_limit_stays_in_its_bounds_and_counts_what_is_under_way(
    ends: list[tuple[str | Sign, float, float, int]], most: int
) -> None:
    limit, now_s, attempts, in_a_row = Concurrency(most, 0.0), 0.0, list[int](), set[int]()
    known = FLOOR
    for kind, pause_s, rest_s, step in ends:
        now_s += pause_s
        before, under_way = limit.limit, len(attempts)
        happen(limit, attempts, (kind, now_s, rest_s, step))
        if under_way and kind == "answered":
            in_a_row.clear()
        elif under_way and isinstance(kind, Sign):
            in_a_row.add(step)
        assert limit.under_way == len(attempts)
        assert 1 <= limit.limit <= most
        # An answer never lowers it, a failure never raises it, and nothing else changes it.
        assert limit.limit <= before or kind in {"answered", "still"}
        assert limit.limit >= before or isinstance(kind, Sign)
        # Failures of a few steps say nothing, and those of some more only with many attempts under way.
        assert limit.limit == before or kind in {"answered", "still"} or len(in_a_row) >= SOME_FAIL
        if len(in_a_row) >= ALL_FAIL:
            known = min(known, limit.limit)
        assert limit.limit >= min(before, known)
        # It is closed for seconds at most, whatever the origin asks for.
        assert limit.open_at_s <= now_s or len(in_a_row) >= ALL_FAIL
        assert limit.open_at_s - now_s <= REST_MAX_S


@given(Ends)
def test_whatever_happened_an_origin_that_answers_gets_all_again(
    ends: list[tuple[str | Sign, float, float, int]],
) -> None:
    limit = Concurrency(MOST, 0.0)
    now_s = follow(limit, ends)
    began_s = now_s
    now_s = max(now_s, limit.open_at_s)
    assert now_s - began_s <= REST_MAX_S
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
        assert now_s - began_s < PATIENCE_MAX_S + 10


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
    assert server.refused <= FIRST_LIMIT + 25 * (bears + 1)
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
    assert limit.may_be_long(is_heard=False)
    assert not limit.may_be_long(is_heard=True)
    for number in range(4):
        limit.still_under_way((number + 0.9) * UNHEARD_S)
        assert limit.limit == FIRST_LIMIT << number
        limit.still_under_way((number + 1) * UNHEARD_S)
    assert limit.is_open
    assert not limit.may_be_long(is_heard=False)


def test_an_origin_that_refused_at_once_and_does_not_any_more_gets_more_before_it_answers() -> None:
    """Its calls may take minutes. What is too much for it shows at once."""
    limit, now_s = slowed_to(1), 0.0
    while not limit.is_open and now_s < 3600:
        assert limit.may_be_long(is_heard=True)
        now_s += UNHEARD_S
        limit.still_under_way(now_s)
    assert now_s <= 12 * UNHEARD_S
    # Those that ended by a time-out may be too much again, though nothing shows it yet.
    assert not slowed_to(1, Sign.LATE).may_be_long(is_heard=True)


@pytest.mark.parametrize("sign", FAILURES)
@pytest.mark.parametrize("besides", [0, 1, FLOOR])
def test_one_step_that_fails_says_nothing(sign: Sign, besides: int) -> None:
    """However often it is tried, and whatever it asks for."""
    limit = Concurrency(MOST, 0.0)
    for _ in range(besides):
        limit.begin()
    for number in range(100):
        fail(limit, float(number), "same", sign, rest_s=3600.0)
        assert (limit.limit, limit.is_slowed) == (FIRST_LIMIT, False)
        assert limit.admits(float(number))


@pytest.mark.parametrize("sign", FAILURES)
def test_steps_that_fail_now_and_then_say_nothing(sign: Sign) -> None:
    """Every second attempt fails, with few or with many under way."""
    for besides in (0, 1, 60):
        limit = Concurrency(MOST, 0.0)
        for _ in range(besides):
            limit.begin()
        for number in range(1000):
            fail(limit, float(number), number, sign)
            limit.end(limit.begin())
            limit.answered(float(number))
        assert (limit.limit, limit.is_slowed, limit.open_at_s) == (FIRST_LIMIT, False, 0.0)


def test_a_round_with_few_failures_is_as_good_as_one_without() -> None:
    for failures, limit_then in ((2, 2 * FIRST_LIMIT), (3, FIRST_LIMIT)):
        limit = Concurrency(MOST, 0.0)
        limit.is_wanted = True
        for number in range(failures):
            fail(limit, 0.0, number)
            limit.answered(0.0)
        for _ in range(FIRST_LIMIT - failures):
            limit.answered(0.0)
        assert limit.limit == limit_then


def test_where_it_was_too_much_before_some_failures_between_answers_are_enough() -> None:
    """A server that bears eight answers eight calls between the refusals of the others."""
    limit = slowed_to(FLOOR + 2)
    attempts = [limit.begin() for _ in range(FLOOR + 1)]
    limit.is_wanted = True
    for step in range(SOME_FAIL):
        assert limit.limit == FLOOR + 2
        for _ in range(FLOOR + 2):
            limit.end(attempts.pop())
            limit.answered(1.0)
            attempts.append(limit.begin())
        fail(limit, 1.0, step)
        limit.is_wanted = True
    assert limit.limit == FLOOR + 1


def test_a_call_without_an_answer_does_not_make_an_origin_slow_that_refuses_at_once() -> None:
    limit = slowed_to(1)
    fail(limit, 10.0, "hangs", Sign.LATE)
    assert limit.may_be_long(is_heard=True)


@pytest.mark.parametrize("sign", [Sign.REFUSED, Sign.LATE])
def test_an_origin_that_fails_many_steps_rests_for_seconds_and_is_probed(sign: Sign) -> None:
    limit, now_s, rests = Concurrency(MOST, 0.0), 0.0, list[float]()
    for step in range(ALL_FAIL + 8):
        assert limit.admits(now_s)
        fail(limit, now_s, step, sign)
        if step >= ALL_FAIL - 1:
            assert limit.limit == 1
            rests.append(limit.open_at_s - now_s)
            now_s = limit.open_at_s
    assert rests == pytest.approx([0.25, 0.5, 1, 2, 4, 5, 5, 5, 5])
    # `Retry-After` makes it longer, within the bound; an answer ends it.
    fail(limit, now_s, "last", sign, rest_s=3600.0)
    assert limit.open_at_s - now_s == REST_MAX_S
    limit.end(limit.begin())
    limit.answered(now_s)
    assert limit.admits(now_s)


def test_an_origin_that_refuses_connections_is_left_to_who_connects() -> None:
    limit = Concurrency(MOST, 0.0)
    for step in range(100):
        fail(limit, 0.0, step, Sign.UNREACHED)
    assert limit.admits(0.0)
    assert limit.limit == FIRST_LIMIT


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
        yield EndpointResponse(status=status), False, Sign.REFUSED
        yield EndpointResponse(status=status), True, Sign.REFUSED
    # Atomic refused what the handler posted: its server is well.
    yield EndpointResponse(status=503, headers={"atomic-refused": "true"}), True, Sign.NOTHING
    for kind in (ErrorKind.TIMED_OUT, ErrorKind.CONNECTION_TIMED_OUT):
        yield error(kind), False, Sign.LATE
    yield error(ErrorKind.NETWORK), False, Sign.UNREACHED
    # It was late because it waited for its own steps.
    yield error(ErrorKind.TIMED_OUT), True, Sign.NOTHING
    yield error(ErrorKind.NETWORK), True, Sign.UNREACHED
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
        ("3600", 3600),
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
