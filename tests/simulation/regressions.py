"""Seeds that once broke a law. They are run every time.

A seed keeps its meaning only as long as `interleave.plan_of`, the delays of the store and the order of the
engine's reads and writes do not change. When they change, other seeds find the same faults: see the planted
ones in `test_settle_and_suspend.py`.
"""

from typing import Final

SETTLE_AND_SUSPEND: Final = (
    1,  # a wake-up arrived before its row was written, and the step then waited for the recheck
    9,  # the same for a step that settled meanwhile: 15 s late, at the end of its first lease
    281,  # the same for a retry: it began at the end of the lease, not after its back-off
    48,  # a step settled after its 504, and the attempt ended before its wake-up: the failure counted
    149,  # a wait that ended before the step was written registered no waiter
    137,  # one settled step caused two calls of the workflow: by the recheck and by its wake-up
)

# Seeds of `simulate.play`. Each broke a law before the change of the engine that its comment names.
FAULTS: Final = (
    # A child's wake-up was lost with its receiver, and no other process checked the child. Now a step that
    # waits for an overdue step sends its wake-up again (`rechecking`).
    82,
    12,
    # A start whose wake-up was refused was acknowledged to the next caller, and never ran. Now attaching
    # during the first attempt sends the wake-up.
    864,
    2186,
    # Each retry left one more wake-up that was sent again for ever, and each of them woke the workflow. Now
    # a wake-up of an older state is spare while an attempt runs (`process_wakeup`).
    79,
    127,
    455,  # an interrupted redrive did nothing when it was repeated: the run stayed failed
    541,
    10369,  # an end decided before an attempt began, and seen after it: waiting cost the workflow a retry
    646,  # after a clock was set back and right again, the embedded driver slept for that difference
    51691,  # a clock was set back between the look at a wake-up and its claim: the step lost its wake-up
    74348,  # a redrive ended before its second wake-up, and its first one found the step still failed
    74351,  # a retry after a wait was redated by the end of an attempt that another clock had noted
    77230,  # a deferral was written, its wake-up refused, and its row changed before the repeat
)

# The same with `starts_runs`.
STARTING_RUNS: Final = (
    # The wake-up of a handler was late, and each caller sent another one that was late as well. The law did
    # not allow for these, and was changed.
    3067,
)

# The same with `adapts`.
ADAPTING: Final = (
    # After a restart, a step waited for a permit before its handler was called again. The handler took the
    # permit, posted the step and waited for it. Now the step that is posted again takes the permit over.
    1271,
)

# The same with `pauses`; even seeds with `starts_runs`.
PAUSING: Final = (
    # Two wake-ups of one moment both put a root to rest, and each added a look; it was redriven twice.
    102006,
    # A step used its last retry while its root could not be written, so its end was repeated.
    103339,
    104080,  # the wake-up of a link at rest was refused, and a repeat of the pause did not send it
    104235,  # each caller that waited for a root at rest sent one more wake-up
    103798,  # a link rested in a paused run, and the law said that it stood still
)

# Seeds of `flow_world.play`. A slot was released while the call of its cancelled attempt was open: by a
# wake-up of the ended step, by a claim that came too late, and by the repeated record of an older attempt.
FLOW: Final = (393, 1734, 272, 4357)

# Seeds of `programs.play_program`. Except for 4717, a law was stricter than the promise, and was changed.
PROGRAMS: Final = (
    1985,  # on AWS a handler posted after the cancel, and another process called the posted step
    3711,  # a step concurrent with a failure was cancelled before its call, but the model had it called
    12250,  # the same for a step concurrent with a failure further above
    4717,  # the store applied a cancel without an answer, and this process went on to call (`cancel_run`)
    20364,  # a post of the attempt before was answered less than a second after the next attempt began
)
