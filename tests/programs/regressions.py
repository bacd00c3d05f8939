"""Seeds that once failed. They are run every time.

A seed keeps its meaning only as long as the generator, the schedule and the order of reads and writes do
not change. When they change, other seeds find the same faults: see test_planted_faults.py.
"""

from typing import Final

FOUND: Final[tuple[int, ...]] = (
    # A late 504 of the attempt before counted for the next one.
    20583,
    # Results that lagged lacked the loser of a race that the record names: it was never cancelled.
    21216,
)
