"""Durations that are counted up to each of a few bounds, instead of being kept one by one."""

from collections.abc import Sequence
from itertools import accumulate


def within(counts: Sequence[int], bounds: Sequence[int], share: float) -> int | None:
    """The duration that this share of those counted did not exceed; None without any.

    `counts` has one number more than `bounds`: those beyond the last one. It is interpolated between two
    bounds. Beyond the last bound it is that bound.
    """
    total = sum(counts)
    if not total:
        return None
    wanted = share * total
    sums = [*accumulate(counts)]
    at = next(number for number, reached in enumerate(sums) if reached >= wanted)
    if at == len(bounds):
        return bounds[-1]
    least = bounds[at - 1] if at else 0
    into = (wanted - (sums[at] - counts[at])) / counts[at]
    return round(least + into * (bounds[at] - least))
