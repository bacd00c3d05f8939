"""`transition`: what an event makes of a step. An event that does not fit the state changes nothing.

Effects follow from the row and need no list of their own: a live step wants a hint at its `due_at_ms`,
a settled one wakes its `waiters`.
"""

from dataclasses import replace
from typing import Final, assert_never

from atomic.domain import events
from atomic.domain.outcomes import Outcome, OutcomeKind, Response
from atomic.domain.retry import next_delay_ms
from atomic.domain.steps import ATTEMPTS_KEPT, LEASE_MARGIN_MS, Attempt, Status, Step, StepSpec

# An endpoint that kills whoever calls it must not be called for ever; see `Step.lost_in_row`.
LOST_IN_ROW_MAX: Final = 10
_RECHECK_FIRST_MS: Final = 60_000
_RECHECK_MAX_MS: Final = 3_600_000


def begin(spec: StepSpec, place: str, now_ms: int, nonce: str) -> Step:
    """A new step: already claimed when it can run at once, else pending until it is due."""
    deadline_at_ms = None if spec.deadline_ms is None else now_ms + spec.deadline_ms
    step = Step(
        spec=spec,
        place=place,
        created_at_ms=now_ms,
        status=Status.PENDING,
        due_at_ms=now_ms + spec.delay_ms,
        deadline_at_ms=deadline_at_ms,
    )
    if spec.kind == "event":
        return replace(step, due_at_ms=deadline_at_ms)
    if spec.delay_ms > 0:
        return step
    return replace(_claimed(step, nonce, now_ms), version=1)


def transition(step: Step, event: events.Event, now_ms: int) -> Step:
    """The step after the event, its version one higher; the same object when nothing changes."""
    after = _after(step, event, now_ms)
    return after if after is step else replace(after, version=step.version + 1)


def _after(step: Step, event: events.Event, now_ms: int) -> Step:  # noqa: C901 - one arm an event
    match event:
        case events.Claimed(nonce):
            return _claimed(step, nonce, now_ms)
        case events.Ended():
            return _ended(step, event, now_ms)
        case events.AnsweredLate(number, note):
            return _noted(step, number, note)
        case events.WaiterAdded(waiter):
            known = step.is_settled or waiter in step.waiters
            return step if known else replace(step, waiters=(*step.waiters, waiter))
        case events.Woken():
            return _woken(step, now_ms)
        case events.Rechecked():
            return _rechecked(step, now_ms)
        case events.Orphaned():
            held = step.status in {Status.RUNNING, Status.WAITING}
            return replace(step, due_at_ms=now_ms) if held else step
        case events.ResultPosted(response):
            open_event = step.spec.kind == "event" and not step.is_settled
            return _succeeded(step, response, None, now_ms) if open_event else step
        case events.Cancelled():
            if step.is_settled:
                return step
            return _settled(step, Status.CANCELLED, now_ms, error="cancelled")
        case events.Redriven():
            return _redriven(step, now_ms) if step.status is Status.FAILED else step
        case _:
            assert_never(event)


def _claimed(step: Step, nonce: str, now_ms: int) -> Step:
    if step.is_settled or step.status is Status.WAITING:
        return step
    if step.due_at_ms is None or now_ms < step.due_at_ms:
        return step
    if _deadline_is_over(step, now_ms):
        return _out_of_time(_lost(step, now_ms), now_ms)
    if step.spec.kind == "timer":
        return _succeeded(step, Response(b"null", "json"), None, now_ms)
    step = _lost(step, now_ms)
    if step.lost_in_row > LOST_IN_ROW_MAX:
        error = f"{step.lost_in_row} attempts in a row ended without anybody to record the answer"
        return _settled(step, Status.FAILED, now_ms, error=error)
    return _running(step, nonce, now_ms)


def _running(step: Step, nonce: str, now_ms: int) -> Step:
    number = step.attempt + 1
    attempt = Attempt(number=number, generation=step.generation, started_at_ms=now_ms)
    return replace(
        step,
        status=Status.RUNNING,
        nonce=nonce,
        attempt=number,
        attempts=(*step.attempts, attempt)[-ATTEMPTS_KEPT:],
        due_at_ms=now_ms + attempt_timeout_ms(step, now_ms) + LEASE_MARGIN_MS,
        waiting_for=(),
        woken=False,
        rechecks=0,
    )


def attempt_timeout_ms(step: Step, now_ms: int) -> int:
    """Total time of an attempt that starts now: the deadline may leave less than the time-out."""
    if step.deadline_at_ms is None:
        return step.spec.attempt_timeout_ms
    return max(1, min(step.spec.attempt_timeout_ms, step.deadline_at_ms - now_ms))


def _lost(step: Step, now_ms: int) -> Step:
    """Close an attempt whose lease ran out. It is Atomic's loss, so the step's retries do not pay."""
    if step.status is not Status.RUNNING:
        return step
    outcome = Outcome(kind=OutcomeKind.NO_ANSWER, error="nobody was left to record the answer")
    return replace(_closed(step, outcome, now_ms), lost_in_row=step.lost_in_row + 1)


def _ended(step: Step, event: events.Ended, now_ms: int) -> Step:
    if step.status is not Status.RUNNING or step.nonce != event.nonce:
        return step
    outcome = event.outcome
    step = replace(_closed(step, outcome, now_ms), lost_in_row=0)
    match outcome.kind:
        case OutcomeKind.SUCCEEDED:
            response = outcome.response or Response(b"null", "json")
            return _succeeded(step, response, outcome.status, now_ms)
        case OutcomeKind.PERMANENT:
            return _gave_up(step, outcome, now_ms)
        case _ if step.woken or event.missed:
            return replace(step, status=Status.PENDING, due_at_ms=now_ms, woken=False)
        case _ if event.blocked_by:
            return _waiting(step, event.blocked_by, now_ms)
        case _:
            return _retrying(step, outcome, event.jitter, now_ms)


def _retrying(step: Step, outcome: Outcome, jitter: float, now_ms: int) -> Step:
    policy = step.spec.retry
    if step.retries_used >= policy.count:
        return _gave_up(step, outcome, now_ms)
    retry = step.retries_used + 1
    delay_ms = next_delay_ms(policy, retry, jitter=jitter, retry_after_ms=outcome.retry_after_ms)
    due_at_ms = now_ms + delay_ms
    step = replace(step, status=Status.RETRYING, retries_used=retry, due_at_ms=due_at_ms)
    if step.deadline_at_ms is not None and due_at_ms >= step.deadline_at_ms:
        return _out_of_time(step, now_ms)
    return replace(step, error=outcome.error, response_status=outcome.status)


def _waiting(step: Step, blocked_by: tuple[str, ...], now_ms: int) -> Step:
    step = replace(step, status=Status.WAITING, waiting_for=blocked_by, rechecks=0)
    return replace(step, due_at_ms=_recheck_at_ms(step, now_ms))


def _woken(step: Step, now_ms: int) -> Step:
    if step.status is Status.WAITING:
        return replace(step, status=Status.PENDING, due_at_ms=now_ms, waiting_for=())
    if step.status is Status.RUNNING and not step.woken:
        return replace(step, woken=True)
    return step


def _rechecked(step: Step, now_ms: int) -> Step:
    if step.status is not Status.WAITING:
        return step
    if _deadline_is_over(step, now_ms):
        return _out_of_time(step, now_ms)
    step = replace(step, rechecks=step.rechecks + 1)
    return replace(step, due_at_ms=_recheck_at_ms(step, now_ms))


def _recheck_at_ms(step: Step, now_ms: int) -> int:
    at_ms = now_ms + min(_RECHECK_FIRST_MS << min(step.rechecks, 10), _RECHECK_MAX_MS)
    return at_ms if step.deadline_at_ms is None else min(at_ms, step.deadline_at_ms)


def _redriven(step: Step, now_ms: int) -> Step:
    deadline_ms = step.spec.deadline_ms
    return replace(
        step,
        status=Status.PENDING,
        generation=step.generation + 1,
        due_at_ms=now_ms,
        deadline_at_ms=None if deadline_ms is None else now_ms + deadline_ms,
        retries_used=0,
        lost_in_row=0,
        waiters=(),
        response=None,
        response_status=None,
        error=None,
        finished_at_ms=None,
        expires_at_ms=None,
    )


def _noted(step: Step, number: int, note: str) -> Step:
    noted = tuple(
        replace(attempt, late=note) if attempt.number == number and not attempt.late else attempt
        for attempt in step.attempts
    )
    return step if noted == step.attempts else replace(step, attempts=noted)


def _closed(step: Step, outcome: Outcome, now_ms: int) -> Step:
    *earlier, last = step.attempts
    last = replace(
        last,
        ended_at_ms=now_ms,
        outcome=outcome.kind,
        status=outcome.status,
        error=outcome.error,
    )
    return replace(step, nonce=None, attempts=(*earlier, last))


def _succeeded(step: Step, response: Response, status: int | None, now_ms: int) -> Step:
    step = replace(step, response=response, response_status=status)
    return _settled(step, Status.SUCCEEDED, now_ms, error=None)


def _gave_up(step: Step, outcome: Outcome, now_ms: int) -> Step:
    step = replace(step, response=outcome.response, response_status=outcome.status)
    return _settled(step, Status.FAILED, now_ms, error=outcome.error)


def _out_of_time(step: Step, now_ms: int) -> Step:
    error = f"the deadline of {step.spec.deadline_ms} ms is over"
    if step.attempts and step.attempts[-1].error:
        error += f"; last: {step.attempts[-1].error}"
    return _settled(step, Status.FAILED, now_ms, error=error)


def _deadline_is_over(step: Step, now_ms: int) -> bool:
    return step.deadline_at_ms is not None and now_ms >= step.deadline_at_ms


def _settled(step: Step, status: Status, now_ms: int, *, error: str | None) -> Step:
    return replace(
        step,
        status=status,
        error=error,
        due_at_ms=None,
        nonce=None,
        waiting_for=(),
        woken=False,
        finished_at_ms=now_ms,
        expires_at_ms=now_ms + step.spec.retention_ms,
    )
