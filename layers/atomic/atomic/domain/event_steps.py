"""Event steps: how a posted result settles an event, even before a handler has opened it."""

from dataclasses import replace
from typing import Final

from atomic.domain.events import ResultPosted
from atomic.domain.outcomes import StepError, StoredBody, on_one_line
from atomic.domain.steps import Step, StepSpec, changed, settled
from atomic.protocol import keys
from atomic.protocol.enums import Status
from atomic.protocol.error_kinds import ErrorKind

# How long a result is kept if no handler asks for it. If its run is kept longer, so is the result.
EARLY_KEPT_MS: Final = 7 * 24 * 3600 * 1000


def rejection(response: StoredBody, detail: str) -> ResultPosted:
    """The event is rejected: `detail` says why, `response` is the whole answer."""
    return ResultPosted(response, StepError(ErrorKind.EVENT_REJECTED, excerpt=on_one_line(detail)))


def completed(step: Step, posted: ResultPosted, now_ms: int) -> Step:
    """The open event, with the result that was posted."""
    status = Status.SUCCEEDED if posted.rejection is None else Status.FAILED
    return settled(step, status, now_ms, error=posted.rejection, response=posted.response)


def early(spec: StepSpec, posted: ResultPosted, now_ms: int) -> Step:
    """A new event that has its result before any handler asks for it."""
    opening = Step(
        spec=spec,
        id=keys.step_id(spec.run_id, spec.identity),
        created_at_ms=now_ms,
        status=Status.PENDING,
        due_at_ms=None,
        early="unopened",
    )
    after = completed(opening, posted, now_ms)
    return replace(after, version=opening.version, expires_at_ms=now_ms + EARLY_KEPT_MS)


def opened(step: Step, now_ms: int) -> Step:
    """The event after a handler has asked for it: from now on, an early result is kept like any other."""
    if step.early != "unopened":
        return step
    expires_at_ms = max(step.expires_at_ms or 0, now_ms + step.spec.retention_ms)
    return changed(step, early="opened", expires_at_ms=expires_at_ms)


def has_result(step: Step, posted: ResultPosted) -> bool:
    """Whether the event was settled by this very result."""
    is_same_end = step.status is Status.SUCCEEDED if posted.rejection is None else is_rejected(step)
    return is_same_end and step.response == posted.response


def is_rejected(step: Step) -> bool:
    """Whether the event was rejected. That is its result: a redrive does not ask for another."""
    return step.error is not None and step.error.kind is ErrorKind.EVENT_REJECTED
