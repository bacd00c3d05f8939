"""Event steps: how a posted result settles an event, even before a handler has opened it, and its expiry.

An event expires at its deadline, or when no heartbeat has come for a while. A heartbeat is one write of the
row: `heartbeat_by_ms` is postponed, and the wake-up for the earlier time finds that and waits for the rest.
"""

from dataclasses import replace
from typing import Any, Final

from atomic.domain.events import LimitsGiven, ResultPosted
from atomic.domain.outcomes import StepError, StoredBody, on_one_line
from atomic.domain.steps import Step, StepSpec, changed, deadline_is_over, earliest_ms, out_of_time, settled
from atomic.protocol import keys
from atomic.protocol.constants import DURATION_MAX_MS
from atomic.protocol.enums import Status
from atomic.protocol.error_kinds import ErrorKind

# How long a result is kept if no handler asks for it. If its run is kept longer, so is the result.
EARLY_KEPT_MS: Final = 7 * 24 * 3600 * 1000
# The content type of a result that was sent as JSON or as a form. One that was sent otherwise has none.
JSON_RESULT: Final = "application/json"


def callback_ends_s(event: Step) -> int:
    """When the event's callback URL ends (seconds since the epoch), however long the event is open.

    The URL is in payloads, which must not change. So it depends on nothing that changes in the row.
    """
    return (event.created_at_ms + DURATION_MAX_MS) // 1000


def rejection(response: StoredBody, detail: str) -> ResultPosted:
    """The event is rejected: `detail` says why, `response` is the whole answer."""
    return ResultPosted(response, StepError(ErrorKind.EVENT_REJECTED, excerpt=on_one_line(detail)))


def completed(step: Step, posted: ResultPosted, now_ms: int) -> Step:
    """The open event, with the result that was posted."""
    status = Status.SUCCEEDED if posted.rejection is None else Status.FAILED
    return settled(
        step, status, now_ms, error=posted.rejection, response=posted.response, message=posted.message
    )


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


def opened(step: Step, kept_ms: int, now_ms: int) -> Step:
    """The event after a handler has asked for it: from now on, an early result is kept like any other.

    So it is forgotten with its run, also within the week, and is no result for the next run of the key.
    """
    if step.early != "unopened":
        return step
    return changed(step, early="opened", expires_at_ms=now_ms + kept_ms)


def has_result(step: Step, posted: ResultPosted) -> bool:
    """Whether the event was settled by this very result."""
    is_same_end = step.status is Status.SUCCEEDED if posted.rejection is None else is_rejected(step)
    return is_same_end and step.response == posted.response and posted.message in {"", step.message}


def is_rejected(step: Step) -> bool:
    """Whether the event was rejected. That is its result: a redrive does not ask for another."""
    return step.error is not None and step.error.kind is ErrorKind.EVENT_REJECTED


def is_open(step: Step) -> bool:
    """Whether the step is an event that takes a result."""
    return step.spec.kind == "event" and not step.is_settled


def heard(step: Step, now_ms: int) -> Step:
    """The event after a heartbeat."""
    if not is_open(step) or step.heartbeat_ms is None:
        return step
    return changed(step, heartbeat_by_ms=max(step.heartbeat_by_ms or 0, now_ms + step.heartbeat_ms))


def limited(step: Step, given: LimitsGiven, now_ms: int) -> Step:
    """The event with the limits that it did not have yet; they count from now."""
    limits: dict[str, Any] = {}
    if given.deadline_ms is not None and step.deadline_ms is None:
        limits |= {"given_deadline_ms": given.deadline_ms, "deadline_at_ms": now_ms + given.deadline_ms}
    if given.heartbeat_ms is not None and step.heartbeat_ms is None:
        limits |= {"given_heartbeat_ms": given.heartbeat_ms, "heartbeat_by_ms": now_ms + given.heartbeat_ms}
    if not limits or not is_open(step):
        return step
    ends = limits.get("deadline_at_ms"), limits.get("heartbeat_by_ms")
    return changed(step, **limits, due_at_ms=earliest_ms(step.due_at_ms, *ends))


def after_due(step: Step, now_ms: int) -> Step:
    """The open event that is due: expired, or due later because heartbeats came."""
    if deadline_is_over(step, now_ms):
        return out_of_time(step, (), now_ms)
    if step.heartbeat_by_ms is not None and step.heartbeat_by_ms <= now_ms:
        error = StepError(ErrorKind.HEARTBEAT_MISSED, str(step.heartbeat_ms))
        return settled(step, Status.FAILED, now_ms, error=error)
    return changed(step, due_at_ms=earliest_ms(step.deadline_at_ms, step.heartbeat_by_ms))


def limits_from_now(step: Step, now_ms: int) -> dict[str, int | None]:
    """The times of an event whose run is redriven: a deadline that passed in the meantime begins anew.

    So does one that is later than it can be, because a clock that was ahead wrote it.
    """
    deadline_ms, at_ms, heartbeat_by_ms = step.deadline_ms, step.deadline_at_ms, None
    if deadline_ms is not None and at_ms is not None and not now_ms < at_ms <= now_ms + deadline_ms:
        at_ms = now_ms + deadline_ms
    if step.heartbeat_ms is not None:
        heartbeat_by_ms = now_ms + step.heartbeat_ms
    due_at_ms = earliest_ms(at_ms, heartbeat_by_ms)
    return {"deadline_at_ms": at_ms, "heartbeat_by_ms": heartbeat_by_ms, "due_at_ms": due_at_ms}
