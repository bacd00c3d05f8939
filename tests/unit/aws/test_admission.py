"""How long callers wait, and what is lost, when they need more environments than the account has.

Half as many callers more than there are environments begin at once. Each occupies one of them, and each of
its steps needs another one. `make admission` repeats this with more seeds and a larger account.
"""

import os

import pytest

from unit.aws.pool import INVOKERS, LONG_INVOKERS, ROOTS, STEPS, Account, Result, played

# A median caller may wait so many times as long as the environments need for the work of all callers.
MOST = 1.5
ROUNDS = os.environ.get("ROUNDS")
SEEDS = range(int(ROUNDS or 1))
SMALL = Account(10, invokers_max=3, reserved={})
USUAL = Account(100, invokers_max=50, reserved={})
LARGE = Account(1000, invokers_max=300, reserved={})


def check(account: Account, step_s: float, seed: int, *, posts_only: bool = False) -> Result:
    callers = account.environments * 3 // 2
    alone = played(account, callers=1, step_s=step_s, posts_only=posts_only)
    result = played(account, callers=callers, step_s=step_s, seed=seed, posts_only=posts_only)
    work_s = callers * alone.busy_s / account.environments
    print(f"p50 {result.p50_s:.1f} s, work {work_s:.1f} s, alone {alone.p50_s:.1f} s; {result.throttled}")
    assert (result.failed, result.retries, result.lost_wakeups) == (0, 0, 0)
    assert result.p50_s <= MOST * max(work_s, alone.p50_s)
    return result


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("step_s", [0.05, 5.0])
def test_callers_get_through_without_a_reservation(step_s: float, seed: int) -> None:
    result = check(USUAL, step_s, seed)
    # The account was too small: that is what is tested.
    assert result.throttled[STEPS] > 100


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("step_s", [0.05, 5.0])
def test_a_new_account_takes_runs_that_nobody_waits_for(step_s: float, seed: int) -> None:
    check(SMALL, step_s, seed, posts_only=True)


@pytest.mark.parametrize("seed", SEEDS)
def test_with_reserved_environments_no_step_is_refused(seed: int) -> None:
    reserved = {ROOTS: 40, STEPS: 40, INVOKERS: 10, LONG_INVOKERS: 10}
    result = check(Account(100, invokers_max=10, reserved=reserved), 0.05, seed)
    assert result.throttled[STEPS] == 0 < result.throttled[ROOTS]


@pytest.mark.skipif(ROUNDS is None, reason="takes minutes: make admission")
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("step_s", [0.05, 5.0])
def test_an_account_of_a_thousand(step_s: float, seed: int) -> None:
    check(LARGE, step_s, seed)
