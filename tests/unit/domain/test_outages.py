"""The outages that the default retries survive, as in `docs/errors.md`, and a check of the formula."""

import random
from fractions import Fraction
from pathlib import Path

import pytest

from atomic.domain.retry import RetryPolicy, next_delay_ms
from outages import HEAD, OUTAGES_MS, POLICIES, outlived, row

ERRORS_PAGE = Path(__file__).parents[3] / "docs" / "errors.md"
MINUTE = 60_000


def test_ten_minutes_are_outlived_with_more_than_999_in_a_thousand() -> None:
    assert outlived(RetryPolicy(), 10 * MINUTE) > Fraction(999, 1000)
    assert outlived(RetryPolicy(), 10_000) > 1 - Fraction(1, 10**9)


def test_three_retries_of_a_second_do_not_outlive_a_deployment() -> None:
    assert outlived(RetryPolicy(count=3), 10_000) == 0


def test_without_jitter_it_is_certain() -> None:
    steady = RetryPolicy(count=3, jitter="none")
    assert [outlived(steady, outage_ms) for outage_ms in (7000, 7001)] == [1, 0]


@pytest.mark.parametrize(
    ("policy", "outage_ms"),
    [
        (RetryPolicy(count=3), 3500),
        (RetryPolicy(count=5, strategy="linear"), 9000),
        (RetryPolicy(), 18 * MINUTE),
        (RetryPolicy(), 21 * MINUTE),
        (RetryPolicy(count=2, strategy="fixed"), 300),
    ],
)
def test_the_formula_is_what_the_engine_draws(policy: RetryPolicy, outage_ms: int) -> None:
    chance, rounds = random.Random(7), 20_000

    def last_retry_ms() -> int:
        retries = range(1, policy.count + 1)
        return sum(next_delay_ms(policy, retry, jitter=chance.random()) for retry in retries)

    drawn = sum(last_retry_ms() > outage_ms for _ in range(rounds)) / rounds
    # Four standard deviations for that many draws.
    assert drawn == pytest.approx(float(outlived(policy, outage_ms)), abs=0.0142)


def test_the_page_shows_what_is_computed() -> None:
    page = ERRORS_PAGE.read_text()
    assert f"| {' | '.join(HEAD)} |" in page
    for name, policy in POLICIES.items():
        assert f"| {name} | {' | '.join(row(policy))} |" in page
    assert list(OUTAGES_MS) == ["10 s", "1 min", "5 min", "10 min", "30 min"]
