"""Durations that are counted up to each of a few bounds, instead of being kept one by one."""

from collections.abc import Sequence
from itertools import accumulate


def within(
    counts: Sequence[int], bounds: Sequence[int], share: float, *, least: int = 0, most: int | None = None
) -> int | None:
    """The duration that this share of those counted did not exceed; None without any.

    `counts` has one number more than `bounds`: those beyond the last one. It is interpolated between two
    bounds, and between the shortest and the longest duration where these are known. Beyond the last bound
    it is that bound, if the longest one is not known.
    """
    total = sum(counts)
    if not total:
        return None
    wanted = share * total
    sums = [*accumulate(counts)]
    at = next(number for number, reached in enumerate(sums) if reached >= wanted)
    above = bounds[at] if at < len(bounds) else (bounds[-1] if most is None else most)
    above = above if most is None else min(above, most)
    below = min(above, max(bounds[at - 1] if at else 0, least))
    into = (wanted - (sums[at] - counts[at])) / counts[at]
    return round(below + into * (above - below))
