"""Seeds that once broke a law; they always run.

A seed means what it meant only as long as `interleave.plan_of`, the pauses of the store and the order of
the engine's reads and writes stay as they are. When they change, other seeds find the same fault: see the
planted ones in `test_settle_and_suspend.py`.
"""

from typing import Final

SETTLE_AND_SUSPEND: Final = (
    1,  # the hint of a wake-up came before its row was written, and was spent in vain until the recheck
    9,  # the same for a step that was missed, 15 s late by way of its first lease
    281,  # the same for a retry: it began at the end of the lease, not after its back-off
    48,  # a step settled between its 504 and the end of the attempt, which overtook the wake-up and counted
    149,  # a hang that was over before the step was written left no waiter behind
    137,  # one settle called the workflow twice: by looking across, and by the wake-up itself
)
