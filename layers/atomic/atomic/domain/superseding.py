"""Roots that give way to another run before their first attempt: those of a singleton or of a burst."""

from typing import Final

from atomic.domain import events
from atomic.domain.outcomes import BROKEN_OFF, StepError
from atomic.domain.steps import Step, closed, settled
from atomic.protocol import keys
from atomic.protocol.enums import OutcomeKind, Status
from atomic.protocol.error_kinds import ErrorKind

_UNHEARD: Final = frozenset({None, OutcomeKind.NO_ANSWER})


def is_heard(root: Step) -> bool:
    """Whether an attempt of this generation has ended with an answer, so that the run has its key.

    The first attempt may be claimed together with the row, and is made only when the run has its key. If
    the process ends in between, the attempt is lost.
    """
    made = (attempt for attempt in root.attempt_log if attempt.generation == root.generation)
    return any(attempt.outcome not in _UNHEARD for attempt in made)


def superseded(root: Step, event: events.Superseded, now_ms: int) -> Step:
    """The root, ended in favour of another one. One whose attempts have begun goes on."""
    is_meant = root.attempt_count == 0 or root.version == event.version
    if root.is_settled or not (root.is_root and is_meant):
        return root
    log = root.attempt_log
    return settled(
        root,
        Status.CANCELLED,
        now_ms,
        error=StepError(ErrorKind.SUPERSEDED, keys.run_of(event.by)),
        attempt_log=closed(log, BROKEN_OFF, now_ms) if root.status is Status.RUNNING else log,
        continued_as=event.by,
    )


def successor(root: Step) -> str | None:
    """The root whose answer callers of this one get, if it gave way."""
    is_superseded = root.error is not None and root.error.kind is ErrorKind.SUPERSEDED
    return root.continued_as if is_superseded else None
