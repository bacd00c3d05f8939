"""What has to follow from a change of a row, as data: what, and when. Nothing here runs it.

`application.commit` does. What other processes depend on may be done twice, by whoever finds that it may
not have been done: a wake-up too many finds nothing to do, and the row tells whether a dead letter stands.
What this process counts and remembers is lost with it.
"""

from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from atomic.domain.steps import Status, Step

# Longer than a write takes, shorter than any lease: the claim of an attempt never has to wait.
_SOON_MS: Final = 10_000
LOOK_AGAIN_MS: Final = 1_000


@dataclass(frozen=True, slots=True)
class SendWakeup:
    """Send a wake-up of the step for this moment."""

    at_ms: int


class Follow(Enum):
    """What needs nothing but the row as it now stands."""

    REMEMBER_RUN = auto()
    TELL_CALLERS = auto()
    COUNT_SETTLED = auto()
    COUNT_REOPENED = auto()
    METER_STORAGE = auto()
    WAKE_WAITERS = auto()
    # Somebody looks at the step in a second, whatever has come of this.
    LOOK_AGAIN = auto()


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
_SETTLED: Final = (Follow.TELL_CALLERS, Follow.COUNT_SETTLED, Follow.METER_STORAGE)


def effects_of(before: Step, after: Step, now_ms: int) -> Effects:
    """What follows when the row changes from one to the other at this moment."""
    if not after.is_settled:
        return _of_live(before, after, now_ms)
    if before.is_settled:
        return NONE
    first = (Follow.REMEMBER_RUN,) if after.is_root else ()
    last = (Follow.WAKE_WAITERS,) if after.waiters else ()
    return Effects(
        # The letter goes first. So who dies in between leaves a step that is live, whose wake-up comes, and
        # no dead letter is ever missing.
        dead_letter=(after.error or "") if after.is_dead_letter else None,
        after=(*first, *_SETTLED, *last),
        if_unsure=(Follow.LOOK_AGAIN,),
    )


def _of_live(before: Step, after: Step, now_ms: int) -> Effects:
    follows: tuple[Effect, ...] = ()
    if before.is_settled:
        follows = (
            (Follow.REMEMBER_RUN, Follow.COUNT_REOPENED) if after.is_root else (Follow.COUNT_REOPENED,)
        )
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

    Such a wake-up is spent in vain, so it is sent when the row stands.
    """
    return due_at_ms - now_ms < _SOON_MS
