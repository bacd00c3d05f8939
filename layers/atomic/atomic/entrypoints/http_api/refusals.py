"""What use cases refuse, as the problem that the caller is told."""

from typing import Final, assert_never

from atomic.application.refusals import (
    NotAnOpenEvent,
    NotFound,
    NotRedrivableStep,
    RunCancelled,
)
from atomic.domain.dead_letters import NotRedrivable
from atomic.protocol import problems
from atomic.protocol.problems import Problem

# What `problem_of` puts into words. A PayloadMismatch is told with what the caller may see: `mismatch`.
MAPPED: Final = (NotFound, RunCancelled, NotRedrivableStep, NotAnOpenEvent)
_NOT_REDRIVABLE: Final[dict[NotRedrivable, str]] = {
    "cancelled": "Its run was cancelled, and nothing of a cancelled run is called any more.",
    "handled": "The handler above it went on without it and succeeded, so nobody waits for it any more.",
}


def problem_of(refusal: NotFound | RunCancelled | NotRedrivableStep | NotAnOpenEvent) -> Problem:
    """The problem for a refusal."""
    match refusal:
        case NotFound():
            return problems.not_found()
        case RunCancelled():
            return Problem(problems.CANCELLED, "The run was cancelled and takes no more steps.")
        case NotRedrivableStep(reason=reason):
            detail = f"{_NOT_REDRIVABLE[reason]} Start anew under another idempotencyKey."
            return Problem(problems.NOT_REDRIVABLE, detail, {"notRedrivableReason": reason})
        case NotAnOpenEvent(kind="event", status=status):
            detail = f"The event step is {status} already; its outcome never changes."
            return Problem(problems.NOT_AN_OPEN_EVENT, detail)
        case NotAnOpenEvent(kind=kind):
            return Problem(problems.NOT_AN_OPEN_EVENT, f"The step is of kind {kind!r}, not 'event'.")
        case _:
            assert_never(refusal)
