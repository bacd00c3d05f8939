"""What has to follow from a change of a row, as data: what, and when. Nothing here runs it.

`application.commit` does. What other processes depend on may be done twice, by a process that finds that it
may not have been done: a wake-up too many finds nothing to do, and the row tells whether a dead letter
stands. What this process counts and remembers is lost with it.
"""

from dataclasses import dataclass, replace
from typing import Final, Literal

from atomic.domain.step_errors import sentence_of
from atomic.domain.steps import Step
from atomic.protocol.enums import Status
from atomic.protocol.error_kinds import ErrorKind

# Longer than a write takes, shorter than any lease: the claim of an attempt never has to wait.
_SOON_MS: Final = 10_000
LOOK_AGAIN_MS: Final = 1_000
# With the run, what stands above the step has ended as well.
_ENDED_WITH_RUN: Final = frozenset({ErrorKind.CANCELLED, ErrorKind.RUN_ENDED, ErrorKind.RUN_GONE})


@dataclass(frozen=True, slots=True)
class SendWakeup:
    """Send a wake-up of the step for this moment."""

    at_ms: int


# What needs nothing but the row as it now stands. "look again": somebody looks at the step in a second,
# whatever has come of this. They are text because members of an enumeration are slow to match before 3.12.
Follow = Literal[
    "remember run",
    "tell callers",
    "count settled",
    "count reopened",
    "meter storage",
    "wake waiters",
    "look again",
]
Effect = SendWakeup | Follow


@dataclass(frozen=True, slots=True, kw_only=True)
class Effects:
    """What one change asks for, by when it has to happen.

    `dead_letter`: the reason to tell operators, acknowledged before the row says that the step has failed.
    `ahead`: acknowledged before the row is written. `beside`: begun with the write, and acknowledged before
    the step goes on. `after`: in this order, when the row stands. `if_unsure`: when any of that was refused
    or has no answer, so that it is not known what the row says and who heard of it.
    """

    dead_letter: str | None = None
    ahead: SendWakeup | None = None
    beside: SendWakeup | None = None
    after: tuple[Effect, ...] = ()
    if_unsure: tuple[Effect, ...] = ()


NONE: Final = Effects()


def _of_settled(*, is_root: bool, has_waiters: bool) -> Effects:
    first: tuple[Follow, ...] = ("remember run",) if is_root else ()
    last: tuple[Follow, ...] = ("wake waiters",) if has_waiters else ()
    after = (*first, "tell callers", "count settled", "meter storage", *last)
    return Effects(after=after, if_unsure=("look again",))


# By whether it is a root, and whether somebody waits for it.
_SETTLED: Final = {
    (is_root, has_waiters): _of_settled(is_root=is_root, has_waiters=has_waiters)
    for is_root in (False, True)
    for has_waiters in (False, True)
}


def effects_of(before: Step, after: Step, now_ms: int) -> Effects:
    """What follows when the row changes from one to the other at this moment."""
    was_settled = before.is_settled
    if not after.is_settled:
        return _of_live(before, after, now_ms, was_settled=was_settled)
    if was_settled:
        return NONE
    concerns_others = bool(after.waiters or after.watches) or (
        after.status is not Status.SUCCEEDED and _concerns_handler(after)
    )
    found = _SETTLED[after.is_root, concerns_others]
    # The letter goes first. A process that ends in between leaves a step that is live, whose wake-up comes,
    # so no dead letter is ever missing.
    return replace(found, dead_letter=sentence_of(after.error) or "") if after.is_dead_letter else found


def _concerns_handler(settled: Step) -> bool:
    """Whether a handler is to be told: one that waits for all hears of each step that did not succeed."""
    if settled.spec.parent is None or settled.is_root:
        return False
    return settled.error is None or settled.error.kind not in _ENDED_WITH_RUN


def _of_live(before: Step, after: Step, now_ms: int, *, was_settled: bool) -> Effects:
    follows: tuple[Effect, ...] = ()
    if was_settled:
        follows = ("remember run", "count reopened") if after.is_root else ("count reopened",)
    if after.due_at_ms is None or not _needs_wakeup(before, after):
        return Effects(after=follows) if follows else NONE
    wakeup = SendWakeup(after.due_at_ms)
    if not is_soon(after.due_at_ms, now_ms):
        return Effects(beside=wakeup, after=follows, if_unsure=(wakeup,))
    return Effects(
        # Without an earlier wake-up nothing keeps the step alive when the second one is never sent.
        ahead=wakeup if before.due_at_ms is None else None,
        after=(wakeup, *follows),
        if_unsure=(wakeup,),
    )


def _needs_wakeup(before: Step, after: Step) -> bool:
    # Who is woken at the moment of its own look: the wake-up for it may have been taken by somebody who
    # looks.
    is_woken = before.status is Status.WAITING and after.status is Status.PENDING
    return is_woken or after.due_at_ms != before.due_at_ms


def is_soon(due_at_ms: int, now_ms: int) -> bool:
    """Whether a wake-up for this moment might overtake the write and find the row as it was before.

    Such a wake-up would change nothing, so it is sent when the row is written.
    """
    return due_at_ms - now_ms < _SOON_MS
