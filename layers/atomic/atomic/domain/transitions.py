"""`transition`: what an event makes of a step. An event that does not fit the state changes nothing.

Effects follow from the row and need no list of their own: a live step wants a hint at its `due_at_ms`,
a settled one wakes its `waiters`.
"""

from dataclasses import replace
from typing import Any, Final, assert_never

from atomic.domain import events, moments
from atomic.domain.outcomes import Outcome, OutcomeKind, Response
from atomic.domain.retry import next_delay_ms
from atomic.domain.steps import ATTEMPTS_KEPT, LEASE_MARGIN_MS, Attempt, Status, Step, StepSpec

# An endpoint that kills whoever calls it must not be called for ever; see `Step.lost_in_row`.
LOST_IN_ROW_MAX: Final = 10
_RECHECK_FIRST_MS: Final = 60_000
_RECHECK_MAX_MS: Final = 3_600_000
LOST: Final = Outcome(kind=OutcomeKind.NO_ANSWER, error="nobody was left to record the answer")
_BROKEN_OFF: Final = Outcome(kind=OutcomeKind.NO_ANSWER, error="cancelled")
# What a timer answers.
NOTHING: Final = Response(b"null", "json")


def begin(spec: StepSpec, place: str, now_ms: int, nonce: str | None) -> Step:
    """A new step: already claimed when it can run at once, else pending until it is due.

    Without a nonce nobody is there to run it, and it is due for whoever takes the hint.
    """
    deadline_at_ms = moments.deadline_at_ms(spec.deadline_ms, now_ms)
    runs_now = nonce is not None and spec.kind == "http" and spec.delay_ms == 0
    if runs_now:
        due_at_ms: int | None = _lease_end_ms(spec, deadline_at_ms, now_ms)
    else:
        due_at_ms = moments.first_due_ms(spec, deadline_at_ms, now_ms)
    return Step(
        spec=spec,
        place=place,
        created_at_ms=now_ms,
        status=Status.RUNNING if runs_now else Status.PENDING,
        due_at_ms=due_at_ms,
        deadline_at_ms=deadline_at_ms,
        nonce=nonce if runs_now else None,
        attempt=1 if runs_now else 0,
        attempts=(Attempt(number=1, generation=1, started_at_ms=now_ms),) if runs_now else (),
    )


def transition(step: Step, event: events.Event, now_ms: int) -> Step:  # noqa: C901 - one arm an event
    """The step after the event, its version one higher; the same object when nothing changes."""
    match event:
        case events.Claimed(nonce):
            return _claimed(step, nonce, now_ms)
        case events.PutOff(until_ms):
            return _put_off(step, until_ms, now_ms)
        case events.Ended():
            return _ended(step, event, now_ms)
        case events.AnsweredLate(number, note):
            return _noted(step, number, note)
        case events.WaiterAdded(waiter):
            known = step.is_settled or waiter in step.waiters
            return step if known else _next(step, waiters=(*step.waiters, waiter))
        case events.Woken():
            return _woken(step, now_ms)
        case events.Rechecked():
            return _rechecked(step, now_ms)
        case events.Orphaned():
            return _orphaned(step, now_ms)
        case events.ResultPosted(response):
            is_open = step.spec.kind == "event" and not step.is_settled
            return _settled(step, Status.SUCCEEDED, now_ms, response=response) if is_open else step
        case events.DeadlineGiven(deadline_ms):
            return _given_deadline(step, deadline_ms, now_ms + deadline_ms)
        case events.Cancelled():
            return step if step.is_settled else _cancelled(step, event, now_ms)
        case events.Rescheduled(seen_ms, due_at_ms):
            is_meant = not step.is_settled and step.due_at_ms == seen_ms != due_at_ms
            return _rescheduled(step, due_at_ms, now_ms) if is_meant else step
        case events.Redriven(generation):
            is_meant = step.status is Status.FAILED and step.generation == generation
            return _redriven(step, now_ms) if is_meant else step
        case _:
            assert_never(event)


def _next(step: Step, **changes: Any) -> Step:
    """Every event writes once, so each path through this module ends in one call of this."""
    return replace(step, version=step.version + 1, **changes)


def _claimed(step: Step, nonce: str, now_ms: int) -> Step:
    if not _is_to_be_run(step, now_ms):
        return step
    attempts, lost_in_row = step.attempts, step.lost_in_row
    if step.status is Status.RUNNING:
        # Its lease ran out. That is Atomic's loss, so the step's retries do not pay for it.
        attempts, lost_in_row = _closed(attempts, LOST, now_ms), lost_in_row + 1
    if _deadline_is_over(step, now_ms):
        return _out_of_time(step, attempts, now_ms)
    if step.spec.kind == "timer":
        return _settled(step, Status.SUCCEEDED, now_ms, response=NOTHING)
    if lost_in_row > LOST_IN_ROW_MAX:
        error = f"{lost_in_row} attempts in a row ended without anybody to record the answer"
        return _settled(step, Status.FAILED, now_ms, error=error, attempts=attempts)
    number = step.attempt + 1
    begun = Attempt(number=number, generation=step.generation, started_at_ms=now_ms)
    return _next(
        step,
        status=Status.RUNNING,
        nonce=nonce,
        attempt=number,
        attempts=(*attempts, begun)[-ATTEMPTS_KEPT:],
        lost_in_row=lost_in_row,
        due_at_ms=_lease_end_ms(step.spec, step.deadline_at_ms, now_ms),
        woken=False,
    )


def _put_off(step: Step, until_ms: int, now_ms: int) -> Step:
    """Its time and its retries are not touched; a late answer still counts while nobody claims it."""
    if not _is_to_be_run(step, now_ms) or until_ms <= now_ms:
        return step
    if _deadline_is_over(step, now_ms):
        attempts = _closed(step.attempts, LOST, now_ms) if step.status is Status.RUNNING else step.attempts
        return _out_of_time(step, attempts, now_ms)
    return _next(step, due_at_ms=min(until_ms, step.deadline_at_ms or until_ms))


def _is_to_be_run(step: Step, now_ms: int) -> bool:
    # What has settled is due no more.
    return step.status is not Status.WAITING and step.due_at_ms is not None and step.due_at_ms <= now_ms


def _lease_end_ms(spec: StepSpec, deadline_at_ms: int | None, now_ms: int) -> int:
    return now_ms + moments.attempt_timeout_ms(spec, deadline_at_ms, now_ms) + LEASE_MARGIN_MS


def _ended(step: Step, event: events.Ended, now_ms: int) -> Step:
    if step.status is not Status.RUNNING or step.nonce != event.nonce:
        return step
    outcome = event.outcome
    closed: dict[str, Any] = {"attempts": _closed(step.attempts, outcome, now_ms), "lost_in_row": 0}
    answered: dict[str, Any] = {"response": outcome.response, "response_status": outcome.status}
    freed: dict[str, Any] = {"nonce": None, "woken": False}
    match outcome.kind:
        case OutcomeKind.SUCCEEDED:
            return _settled(step, Status.SUCCEEDED, now_ms, **closed, **answered)
        case OutcomeKind.PERMANENT:
            return _settled(step, Status.FAILED, now_ms, error=outcome.error, **closed, **answered)
        case _ if step.woken or event.missed:
            return _next(step, status=Status.PENDING, due_at_ms=now_ms, **freed, **closed)
        case _ if event.blocked_by:
            due = _recheck_at_ms(step, 0, now_ms)
            waiting = {"status": Status.WAITING, "waiting_for": event.blocked_by, "rechecks": 0}
            return _next(step, **waiting, due_at_ms=due, **freed, **closed)
        case _ if step.retries_used >= step.spec.retry.count:
            return _settled(step, Status.FAILED, now_ms, error=outcome.error, **closed, **answered)
        case _:
            return _retrying(step, event, now_ms, {**closed, **freed})


def _retrying(step: Step, event: events.Ended, now_ms: int, closed: dict[str, Any]) -> Step:
    outcome = event.outcome
    retry = step.retries_used + 1
    due_at_ms = now_ms + next_delay_ms(
        step.spec.retry, retry, jitter=event.jitter, retry_after_ms=outcome.retry_after_ms
    )
    if step.deadline_at_ms is not None and due_at_ms >= step.deadline_at_ms:
        error = f"no time for another attempt within the deadline of {step.spec.deadline_ms} ms"
        answered = {"response": outcome.response, "response_status": outcome.status}
        error = f"{error}; last: {outcome.error}"
        return _settled(step, Status.FAILED, now_ms, error=error, attempts=closed["attempts"], **answered)
    return _next(
        step,
        status=Status.RETRYING,
        retries_used=retry,
        due_at_ms=due_at_ms,
        error=outcome.error,
        response_status=outcome.status,
        **closed,
    )


def _woken(step: Step, now_ms: int) -> Step:
    if step.status is Status.WAITING:
        return _next(step, status=Status.PENDING, due_at_ms=now_ms, waiting_for=())
    if step.status is Status.RUNNING and not step.woken:
        return _next(step, woken=True)
    return step


def _rechecked(step: Step, now_ms: int) -> Step:
    if step.status is not Status.WAITING or (step.due_at_ms or 0) > now_ms:
        return step
    if _deadline_is_over(step, now_ms):
        return _out_of_time(step, step.attempts, now_ms)
    rechecks = step.rechecks + 1
    return _next(step, rechecks=rechecks, due_at_ms=_recheck_at_ms(step, rechecks, now_ms))


def _recheck_at_ms(step: Step, rechecks: int, now_ms: int) -> int:
    at_ms = now_ms + min(_RECHECK_FIRST_MS << min(rechecks, 10), _RECHECK_MAX_MS)
    return at_ms if step.deadline_at_ms is None else min(at_ms, step.deadline_at_ms)


def _orphaned(step: Step, now_ms: int) -> Step:
    if step.status is Status.WAITING:
        return _next(step, due_at_ms=now_ms, rechecks=0) if step.due_at_ms != now_ms else step
    if step.status is not Status.RUNNING:
        return step
    # The server ended, so this tells nothing about the endpoint and is not counted in `lost_in_row`.
    attempts = _closed(step.attempts, LOST, now_ms)
    return _next(step, status=Status.PENDING, nonce=None, due_at_ms=now_ms, attempts=attempts)


def _given_deadline(step: Step, deadline_ms: int, at_ms: int) -> Step:
    if step.spec.kind != "event" or step.is_settled or step.deadline_at_ms is not None:
        return step
    return _next(step, given_deadline_ms=deadline_ms, deadline_at_ms=at_ms, due_at_ms=at_ms)


def _cancelled(step: Step, event: events.Cancelled, now_ms: int) -> Step:
    attempts = step.attempts
    if step.status is Status.RUNNING:
        attempts = _closed(attempts, _BROKEN_OFF, now_ms)
    after = _settled(step, Status.CANCELLED, now_ms, error=event.error, attempts=attempts)
    return after if event.expires_at_ms is None else replace(after, expires_at_ms=event.expires_at_ms)


def _rescheduled(step: Step, due_at_ms: int | None, now_ms: int) -> Step:
    # An event is looked at for its deadline alone.
    deadline_at_ms = due_at_ms if step.spec.kind == "event" and due_at_ms else step.deadline_at_ms
    # What has happened has happened by now, whatever a clock that was ahead has written.
    attempts = tuple(
        replace(
            attempt,
            started_at_ms=min(attempt.started_at_ms, now_ms),
            ended_at_ms=None if attempt.ended_at_ms is None else min(attempt.ended_at_ms, now_ms),
        )
        for attempt in step.attempts
    )
    return _next(step, due_at_ms=due_at_ms, deadline_at_ms=deadline_at_ms, attempts=attempts)


def _redriven(step: Step, now_ms: int) -> Step:
    deadline_at_ms = moments.deadline_at_ms(step.deadline_ms, now_ms)
    is_http = step.spec.kind == "http"
    return _next(
        step,
        status=Status.PENDING,
        generation=step.generation + 1,
        due_at_ms=now_ms if is_http else moments.first_due_ms(step.spec, deadline_at_ms, now_ms),
        deadline_at_ms=deadline_at_ms,
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
    return step if noted == step.attempts else _next(step, attempts=noted)


def _closed(attempts: tuple[Attempt, ...], outcome: Outcome, now_ms: int) -> tuple[Attempt, ...]:
    last = replace(
        attempts[-1],
        ended_at_ms=now_ms,
        outcome=outcome.kind,
        status=outcome.status,
        error=outcome.error,
    )
    return (*attempts[:-1], last)


def _out_of_time(step: Step, attempts: tuple[Attempt, ...], now_ms: int) -> Step:
    error = f"the deadline of {step.spec.deadline_ms} ms is over"
    if step.spec.kind == "event":
        error = f"nobody completed the event within {step.deadline_ms} ms"
    if attempts and attempts[-1].error:
        error += f"; last: {attempts[-1].error}"
    status = attempts[-1].status if attempts else None
    return _settled(step, Status.FAILED, now_ms, error=error, attempts=attempts, response_status=status)


def _deadline_is_over(step: Step, now_ms: int) -> bool:
    return step.deadline_at_ms is not None and now_ms >= step.deadline_at_ms


def _settled(step: Step, status: Status, now_ms: int, *, error: str | None = None, **also: Any) -> Step:
    return _next(
        step,
        status=status,
        error=error,
        due_at_ms=None,
        nonce=None,
        waiting_for=(),
        woken=False,
        finished_at_ms=now_ms,
        expires_at_ms=now_ms + step.spec.retention_ms,
        **also,
    )
