"""Seeds that once broke a law; they always run.

A seed means what it meant only as long as `interleave.plan_of`, the pauses of the store and the order of
the engine's reads and writes stay as they are. When they change, other seeds find the same fault: see the
planted ones in `test_settle_and_suspend.py`.
"""

from typing import Final

SETTLE_AND_SUSPEND: Final = (
    1,  # the wake-up of a wake-up came before its row was written, and was spent in vain until the recheck
    9,  # the same for a step that was missed, 15 s late by way of its first lease
    281,  # the same for a retry: it began at the end of the lease, not after its back-off
    48,  # a step settled between its 504 and the end of the attempt, which overtook the wake-up and counted
    149,  # a wait that was over before the step was written left no waiter behind
    137,  # one settle called the workflow twice: by looking across, and by the wake-up itself
)

# Seeds of `simulate.play`. Each broke a law before the engine was changed as the comment says.
FAULTS: Final = (
    82,  # a child's wake-up died with its receiver, and nobody else looked at the child:
    12,  # who waits for an overdue step now sends its wake-up again (`waiting.watch`)
    864,  # a start whose wake-up was refused was acknowledged to the next caller, and never ran:
    2186,  # whoever attaches during the first attempt now sends its wake-up
    79,  # each retry left one more wake-up that circled for ever, and each of those woke the workflow:
    127,  # a wake-up of an older state is spare while an attempt runs (`process_wakeup`)
    455,  # a redrive that broke off halfway did nothing when repeated: the run stayed dead
    541,
    10369,  # an end decided before an attempt began, and seen after it: the workflow paid for waiting
    646,  # a clock set back and then right again left the embedded driver asleep for that long
)

# Seeds of `programs.play_program`. But for 4717, a law was stricter than what is promised, and was changed.
PROGRAMS: Final = (
    1985,  # on AWS a handler posted after the cancel, and another process called what it had posted
    3711,  # what stood beside a failure was cancelled before it was called, and the model had it called:
    12250,  # so was what stood beside a failure further above
    4717,  # the store took a cancel and did not say so: this process went on to call (`cancel_run`)
    20364,  # what the attempt before had asked for was told less than a second after the next one began
)
