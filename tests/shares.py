"""Which share of the random tests' seeds is played: `SHARE` percent; `make random-tests` plays all."""

import os
from typing import Final

SHARE: Final = int(os.environ.get("SHARE", "20"))


def slices(seeds: int, length: int) -> range:
    """Return the first seed of each slice of `length` seeds, for the share of `seeds`; at least one."""
    return range(0, max(length, seeds * SHARE // 100), length)
