"""The exact probability that a step survives an outage of its endpoint: `cd tests && python -m outages`.

A step fails when its last retry comes before the end of the outage. The model is the worst case: the first
attempt is made when the outage begins, and a failed attempt takes no time.
"""

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import product

from atomic.domain.retry import RetryPolicy, next_delay_ms

_SECOND, _MINUTE = 1_000, 60_000
OUTAGES_MS = {
    "10 s": 10 * _SECOND,
    "1 min": _MINUTE,
    "5 min": 5 * _MINUTE,
    "10 min": 10 * _MINUTE,
    "30 min": 30 * _MINUTE,
}
POLICIES = {
    "the default": RetryPolicy(),
    "`count` 50": RetryPolicy(count=50),
    "`maxBackOff` 1 h": RetryPolicy(max_back_off_ms=60 * _MINUTE),
}
HEAD = ["policy", "last retry", *OUTAGES_MS]


def outlived(policy: RetryPolicy, outage_ms: int) -> Fraction:
    """The probability that a retry comes after the outage."""
    delays_ms = planned_ms(policy)
    if policy.jitter == "none":
        return Fraction(sum(delays_ms) >= outage_ms)
    return 1 - _sum_is_below(delays_ms, outage_ms)


def planned_ms(policy: RetryPolicy) -> list[int]:
    """The delay before each retry, without jitter."""
    steady = replace(policy, jitter="none")
    return [next_delay_ms(steady, retry, jitter=0) for retry in range(1, policy.count + 1)]


def _sum_is_below(widths: list[int], limit: int) -> Fraction:
    """P(sum <= limit) for independent numbers, each uniform between 0 and its width.

    This is the volume of the corner that a plane cuts off a box, by inclusion and exclusion: from the whole
    simplex, the parts beyond one side are subtracted, those beyond two sides are added, and so on. Equal
    widths are grouped.
    """
    number, volume = len(widths), 0
    for weight, beyond in _corners(Counter(widths)):
        volume += weight * max(0, limit - beyond) ** number
    return Fraction(volume, math.factorial(number) * math.prod(widths))


def _corners(widths: Counter[int]) -> Iterator[tuple[int, int]]:
    """For each choice of sides: the number of such choices, with its sign, and the sum of the sides."""
    for chosen in product(*(range(there + 1) for there in widths.values())):
        ways = math.prod(
            math.comb(there, taken) for there, taken in zip(widths.values(), chosen, strict=True)
        )
        beyond = sum(width * taken for width, taken in zip(widths, chosen, strict=True))
        yield (-1) ** sum(chosen) * ways, beyond


def shown(chance: Fraction) -> str:
    """A probability in per cent, rounded down, so that the documentation never promises too much."""
    percent = float(chance * 100)
    if percent > 99.999:
        return "> 99.999 %"
    if percent < 0.1:
        return "< 0.1 %"
    digits = 3 if percent > 99 else 1
    return f"{math.floor(percent * 10**digits) / 10**digits:.{digits}f} %"


def row(policy: RetryPolicy) -> list[str]:
    """The mean time until the last retry, and the chance for each outage."""
    mean_ms = sum(planned_ms(policy)) // 2
    chances = [shown(outlived(policy, outage_ms)) for outage_ms in OUTAGES_MS.values()]
    return [f"{mean_ms / 60_000:.0f} min", *chances]


if __name__ == "__main__":
    print("".join(f"{cell:<24}" if n == 0 else f"{cell:>12}" for n, cell in enumerate(HEAD)))
    for name, policy in POLICIES.items():
        print(f"{name:<24}" + "".join(f"{cell:>12}" for cell in row(policy)))
