"""When an attempt is retried, and after which answers."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atomic.domain.retry import RETRY_AFTER_MAX_MS, RetryPolicy, next_delay_ms
from atomic.protocol.backoff import JITTERS, STRATEGIES
from atomic.protocol.constants import DURATION_MAX_MS, RETRY_COUNT_MAX
from unit.strategies import examples


def delays(**options: Any) -> list[int]:
    """The delays before the first six retries, without jitter."""
    policy = RetryPolicy(**{"jitter": "none", **options})
    return [next_delay_ms(policy, retry, jitter=0.5) for retry in range(1, 7)]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [1000, 2000, 4000, 8000, 16000, 32000]),
        ({"factor": 3.0}, [1000, 3000, 9000, 27000, 81000, 120000]),
        ({"factor": 1.5}, [1000, 1500, 2250, 3375, 5062, 7593]),
        ({"factor": 1.0}, [1000] * 6),
        ({"back_off_ms": 250}, [250, 500, 1000, 2000, 4000, 8000]),
        ({"back_off_ms": 0}, [0] * 6),
        ({"max_back_off_ms": 5000}, [1000, 2000, 4000, 5000, 5000, 5000]),
        ({"max_back_off_ms": 300}, [300] * 6),
        ({"max_back_off_ms": 0}, [0] * 6),
        ({"strategy": "linear"}, [1000, 2000, 3000, 4000, 5000, 6000]),
        ({"strategy": "linear", "factor": 9.0}, [1000, 2000, 3000, 4000, 5000, 6000]),
        ({"strategy": "linear", "max_back_off_ms": 2500}, [1000, 2000, 2500, 2500, 2500, 2500]),
        ({"strategy": "fixed"}, [1000] * 6),
        ({"strategy": "fixed", "max_back_off_ms": 700}, [700] * 6),
    ],
)
def test_schedules(options: dict[str, Any], expected: list[int]) -> None:
    assert delays(**options) == expected


def test_the_default_is_25_retries_doubling_from_a_second_to_two_minutes_with_full_jitter() -> None:
    policy = RetryPolicy()
    assert policy.count == 25
    assert [next_delay_ms(policy, retry, jitter=0.5) for retry in (1, 2, 3)] == [500, 1000, 2000]
    assert [next_delay_ms(policy, retry, jitter=0.5) for retry in (7, 8, 25)] == [32_000, 60_000, 60_000]


@pytest.mark.parametrize(("jitter", "delay_ms"), [(0.0, 0), (0.25, 1000), (0.5, 2000), (0.9999, 3999)])
def test_full_jitter_takes_a_part_of_the_delay(jitter: float, delay_ms: int) -> None:
    assert next_delay_ms(RetryPolicy(), 3, jitter=jitter) == delay_ms


@pytest.mark.parametrize("factor", [1.0, 1.0001, 2.0, 99.9, 100.0])
@pytest.mark.parametrize("back_off_ms", [1, 1000, DURATION_MAX_MS])
def test_the_thousandth_retry_is_still_under_the_cap(factor: float, back_off_ms: int) -> None:
    policy = RetryPolicy(back_off_ms=back_off_ms, factor=factor, jitter="none")
    late = [next_delay_ms(policy, retry, jitter=0) for retry in (1, 155, 156, 500, RETRY_COUNT_MAX)]
    assert late == sorted(late)
    assert late[-1] <= policy.max_back_off_ms


def test_no_back_off_stays_none_for_ever() -> None:
    policy = RetryPolicy(back_off_ms=0, factor=100.0, jitter="none")
    assert {next_delay_ms(policy, retry, jitter=0) for retry in range(1, RETRY_COUNT_MAX + 1)} == {0}


@pytest.mark.parametrize(
    ("retry_after_ms", "delay_ms"),
    [(None, 1000), (0, 1000), (999, 1000), (1001, 1001), (60_000, 60_000), (RETRY_AFTER_MAX_MS, 86_400_000),
     (RETRY_AFTER_MAX_MS + 1, 86_400_000), (10**15, 86_400_000)],
)  # fmt: skip
def test_retry_after_only_lengthens_up_to_a_day(retry_after_ms: int | None, delay_ms: int) -> None:
    policy = RetryPolicy(jitter="none", max_back_off_ms=5000)
    assert next_delay_ms(policy, 1, jitter=0, retry_after_ms=retry_after_ms) == delay_ms


def test_jitter_does_not_shorten_retry_after() -> None:
    assert next_delay_ms(RetryPolicy(), 1, jitter=0.0, retry_after_ms=700) == 700


durations = st.integers(0, DURATION_MAX_MS) | st.integers(0, 5000)
policies = st.builds(
    RetryPolicy,
    back_off_ms=durations,
    max_back_off_ms=durations,
    strategy=st.sampled_from(STRATEGIES),
    factor=st.floats(1, 100),
    jitter=st.sampled_from(JITTERS),
)
retries = st.integers(1, RETRY_COUNT_MAX)


@examples(250)
@given(policies, retries, st.floats(0, 1, exclude_max=True), st.none() | st.integers(0, 10**15))
def test_a_delay_is_never_above_the_cap_nor_below_retry_after(
    policy: RetryPolicy, retry: int, jitter: float, retry_after_ms: int | None
) -> None:
    floor = min(retry_after_ms or 0, RETRY_AFTER_MAX_MS)
    delay_ms = next_delay_ms(policy, retry, jitter=jitter, retry_after_ms=retry_after_ms)
    assert floor <= delay_ms <= max(policy.max_back_off_ms, floor)
    assert isinstance(delay_ms, int)


@examples(120)
@given(policies, retries, st.floats(0, 1, exclude_max=True))
def test_delays_grow_with_retries_and_with_jitter(policy: RetryPolicy, retry: int, jitter: float) -> None:
    delay_ms = next_delay_ms(policy, retry, jitter=jitter)
    assert delay_ms <= next_delay_ms(policy, retry + 1, jitter=jitter)
    assert delay_ms <= next_delay_ms(policy, retry, jitter=(jitter + 1) / 2)


@pytest.mark.parametrize(
    ("options", "retried", "not_retried"),
    [
        ({}, [400, 401, 403, 404, 408, 409, 422, 425, 429, 500, 502, 503, 504, 599, 100],
         [300, 301, 304, 399, 410]),
        ({"on": "404,5xx"}, [404, 500, 503, 599], [400, 408, 429, 301, 410, 499, 600]),
        ({"on": "301,410"}, [301, 410], [302, 404, 500]),
        ({"on": "3xx"}, [300, 302, 399], [404, 410, 500]),
        ({"never": "4xx"}, [500, 503], [400, 404, 429, 410, 301]),
        ({"never": "501"}, [500, 502, 404], [501, 301, 410]),
        ({"on": "5xx", "never": "501,505"}, [500, 502], [501, 505, 404]),
        ({"on": "404", "never": "404"}, [], [404, 500]),
        ({"on": "404", "never": "4xx"}, [], [404]),
        ({"on": "4xx", "never": "500"}, [404, 410], [500, 503]),
    ],
)  # fmt: skip
def test_status_rules(options: dict[str, Any], retried: list[int], not_retried: list[int]) -> None:
    policy = RetryPolicy(**options)
    assert [status for status in retried if not policy.retries(status)] == []
    assert [status for status in not_retried if policy.retries(status)] == []


@pytest.mark.parametrize(
    ("rules", "status", "types", "is_retried"),
    [
        ({}, 500, ("ValueError",), True),
        ({"on": "TimeoutError"}, 500, ("TimeoutError", "OSError", "Exception"), True),
        ({"on": "OSError"}, 500, ("TimeoutError", "OSError", "Exception"), True),
        ({"on": "TimeoutError"}, 500, ("ValueError", "Exception"), False),
        # A proxy names no error, and neither does an application that is being started.
        ({"on": "TimeoutError"}, 502, (), True),
        ({"on": "TimeoutError"}, 410, (), False),
        ({"on": "503,TimeoutError"}, 502, (), False),
        ({"on": "503,TimeoutError"}, 503, ("ValueError",), True),
        ({"on": "503,TimeoutError"}, 500, ("TimeoutError",), True),
        ({"on": "5xx"}, 500, ("ValueError",), True),
        ({"on": "404"}, 500, ("ValueError",), False),
        ({"never": "ValueError"}, 500, ("ValueError",), False),
        ({"never": "ValueError"}, 500, ("TimeoutError",), True),
        ({"never": "ValueError"}, 500, (), True),
        ({"on": "Exception", "never": "ValueError"}, 500, ("ValueError", "Exception"), False),
        ({"on": "Exception", "never": "ValueError"}, 500, ("KeyError", "Exception"), True),
        ({"on": "timeouterror"}, 500, ("TimeoutError",), False),
    ],
)
def test_which_errors_are_retried(
    rules: dict[str, str], status: int, types: tuple[str, ...], is_retried: bool
) -> None:
    assert RetryPolicy(**rules).retries(status, types) is is_retried
