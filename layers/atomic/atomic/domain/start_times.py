"""Starts that come too late (`startBy`), and steps that an operator makes due at another moment."""

from typing import Final

from atomic.domain import events
from atomic.domain.outcomes import NOTHING
from atomic.domain.steps import (
    Step,
    changed,
    deadline_is_over,
    out_of_time,
    settled,
    within_limits,
)
from atomic.protocol.enums import Kind, Status

_STARTED: Final[frozenset[Kind]] = frozenset({"http", "timer"})
_BETWEEN_ATTEMPTS: Final = frozenset({Status.PENDING, Status.RETRYING})


def waits_for_a_moment(step: Step) -> bool:
    """Whether the step waits for its start, its next attempt or, as a timer, for its end."""
    return step.status in _BETWEEN_ATTEMPTS and step.spec.kind in _STARTED


def ends_at(step: Step, at_ms: int | None, now_ms: int) -> bool:
    """Whether a step that is made due at this moment ends at once, because it is a timer."""
    return step.spec.kind == "timer" and waits_for_a_moment(step) and (at_ms is None or at_ms <= now_ms)


def made_due(step: Step, event: events.MadeDue, now_ms: int) -> Step:
    """The step, due at the moment of the event; a timer that is due now has ended.

    Its limits stay: it is due no later than its deadline.
    """
    if not waits_for_a_moment(step):
        return step
    if ends_at(step, event.at_ms, now_ms):
        if deadline_is_over(step, now_ms):
            return out_of_time(step, (), now_ms)
        return settled(step, Status.SUCCEEDED, now_ms, response=NOTHING)
    due_at_ms = within_limits(step, max(event.at_ms or 0, now_ms))
    is_due = due_at_ms <= now_ms and step.due_at_ms is not None and step.due_at_ms <= now_ms
    if is_due or due_at_ms == step.due_at_ms:
        return step
    return changed(
        step, due_at_ms=due_at_ms, made_due_ms=due_at_ms, dated_at_ms=now_ms, has_no_wakeup=False
    )
