"""Durations that are counted up to each of a few bounds, instead of being kept one by one."""

from collections.abc import Sequence
from itertools import accumulate
from typing import Final

# From 2 ms on, a bound is at most 1.5 times the one before; the last one is 31 days. Stored counters have
# one number for each: another list needs a migration.
BOUNDS_MS: Final = (
    *(1, 2, 3, 4, 6, 8),
    *(bound * 10**zeros for zeros in range(8) for bound in (10, 15, 22, 33, 47, 68)),
    *(1_000_000_000, 1_500_000_000, 2_200_000_000, 31 * 24 * 3_600_000),
)


def within(counts: Sequence[int], share: float, *, least: int, most: int) -> int | None:
    """The duration that this share of those counted did not exceed; None without any.

    `counts` has one number for each bound, and one for those beyond the last one. It is interpolated
    between two bounds, and never outside of the shortest and the longest duration, `least` and `most`. So
    it is exact where all durations are the same, and else wrong by less than half of it.
    """
    total = sum(counts)
    if not total:
        return None
    wanted = share * total
    sums = [*accumulate(counts)]
    at = next(number for number, reached in enumerate(sums) if reached >= wanted)
    above = min(BOUNDS_MS[at], most) if at < len(BOUNDS_MS) else most
    below = min(above, max(BOUNDS_MS[at - 1] if at else 0, least))
    into = (wanted - (sums[at] - counts[at])) / counts[at]
    return round(below + into * (above - below))
