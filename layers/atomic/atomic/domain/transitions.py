"""`transition`: how an event changes a step. An event that does not fit the state changes nothing.

`effects_of` returns what must follow from the change, as data. `application.commit` runs these effects. An
effect that others depend on may be run twice. What a process only counts is lost when it ends.
"""

from dataclasses import dataclass, replace
from typing import Final, Literal, assert_never

from atomic.domain import event_steps, events
from atomic.domain.answers import answer_overdue, answers_later
from atomic.domain.endings import child_failed, deferred, ended, rechecked, told, wait_over, woken
from atomic.domain.failed_runs import after_failure
from atomic.domain.graceful_cancel import cancel_requested
from atomic.domain.holding_back import held_back
from atomic.domain.interventions import cancelled, rescheduled
from atomic.domain.links import begin_link, link_changed
from atomic.domain.losses import CONSECUTIVE_LOST_MAX, LOST, not_repeated, owner_lost
from atomic.domain.outcomes import NOTHING, StepError, StoredBody, sentence_of
from atomic.domain.owing import begins_pause, paid
from atomic.domain.pauses import Pause
from atomic.domain.resting import pause_changed, while_at_rest
from atomic.domain.slots import releases_slots
from atomic.domain.start_times import made_due
from atomic.domain.steps import (
    ATTEMPTS_KEPT,
    Attempt,
    Step,
    StepSpec,
    Watch,
    changed,
    closed,
    deadline_from_now_ms,
    first_due_ms,
    is_too_late,
    lease_end_ms,
    out_of_time,
    settled,
)
from atomic.protocol import keys
from atomic.protocol.enums import Status
from atomic.protocol.error_kinds import ErrorKind

# Longer than a write takes, but shorter than any lease, so that the claim of an attempt never has to wait.
_SOON_MS: Final = 10_000
LOOK_AGAIN_MS: Final = 1_000
# A row has a size limit on every runtime. Further waiters find the end when they are rechecked.
WAITERS_MAX: Final = 1_000
# With these errors, the steps above this one have ended together with the run.
_ENDED_WITH_RUN: Final = frozenset({ErrorKind.CANCELLED, ErrorKind.RUN_ENDED, ErrorKind.RUN_GONE})


def begin(spec: StepSpec, position: str, now_ms: int, nonce: str | None, *, awaited: bool = False) -> Step:
    """A new step: already claimed if it can run at once, else pending until it is due.

    Without a nonce it is pending, and its wake-up starts it. `awaited`: the poster asks to wait for it. A
    handler that waits needs no wake-up of it: if it dies, it is called again. A value has succeeded.
    """
    if spec.kind == "value":
        return _value(spec, position, now_ms)
    if spec.kind == "run":
        return begin_link(spec, position, now_ms, awaited=awaited)
    deadline_at_ms = deadline_from_now_ms(spec.deadline_ms, now_ms)
    heartbeat_by_ms = None if spec.heartbeat_ms is None else now_ms + spec.heartbeat_ms
    is_due = spec.delay_ms == 0 and (spec.start_at_ms is None or spec.start_at_ms <= now_ms)
    is_due = is_due and (spec.start_by_ms is None or spec.start_by_ms > now_ms)
    runs_now = nonce is not None and spec.kind == "http" and is_due and not spec.paused
    if runs_now:
        due_at_ms: int | None = lease_end_ms(spec, deadline_at_ms, now_ms)
    else:
        due_at_ms = first_due_ms(spec, deadline_at_ms, heartbeat_by_ms, now_ms)
    return Step(
        spec=spec,
        id=keys.step_id(spec.run_id, position),
        created_at_ms=now_ms,
        awaited=awaited,
        status=Status.RUNNING if runs_now else Status.PENDING,
        due_at_ms=due_at_ms,
        deadline_at_ms=deadline_at_ms,
        heartbeat_by_ms=heartbeat_by_ms,
        nonce=nonce if runs_now else None,
        has_no_wakeup=runs_now and awaited and spec.parent is not None,
        waiters=(spec.started_by,) if spec.started_by and not spec.detached else (),
        attempt_count=1 if runs_now else 0,
        attempt_log=(Attempt(number=1, generation=1, started_at_ms=now_ms),) if runs_now else (),
        pause=Pause(since_ms=now_ms) if spec.paused else None,
    )


def _value(spec: StepSpec, position: str, now_ms: int) -> Step:
    """A step of kind value. What was posted is stored as the response only, and not also as the payload."""
    return Step(
        spec=replace(spec, payload=NOTHING.text),
        id=keys.step_id(spec.run_id, position),
        created_at_ms=now_ms,
        status=Status.SUCCEEDED,
        due_at_ms=None,
        response=StoredBody(spec.payload, "json"),
        finished_at_ms=now_ms,
        expires_at_ms=now_ms + spec.retention_ms,
    )


def transition(step: Step, event: events.Event, now_ms: int) -> Step:  # noqa: C901 - one arm an event
    """The step after the event, its version one higher; the same object when nothing changes."""
    if step.rest is not None:
        return while_at_rest(step, event, now_ms, lambda awake: transition(awake, event, now_ms))
    match event:
        case events.Claimed(nonce, cancelling, until_ms):
            return _claimed(step, nonce, until_ms, now_ms) if step.cancelling == cancelling else step
        case events.NotAdmitted() | events.InLine() | events.Paced():
            return held_back(step, event, now_ms) if _is_to_be_run(step, now_ms) else step
        case events.Deferred():
            return deferred(step, event, now_ms)
        case events.ToldUnfinished():
            return told(step, event)
        case events.Ended():
            return ended(step, event, now_ms)
        case events.AnswersLater():
            return answers_later(step, event, now_ms)
        case events.AnswerOverdue():
            return answer_overdue(step, event, now_ms)
        case events.AnsweredLate(number, note):
            return _noted(step, number, note)
        case events.WaiterAdded() | events.WatchAdded():
            return _waited_for(step, event)
        case events.Woken():
            return woken(step, event, now_ms)
        case events.ChildFailed():
            return child_failed(step, event, now_ms)
        case events.WaitOver():
            return wait_over(step, event, now_ms)
        case events.Rechecked():
            return rechecked(step, event, now_ms)
        case events.OwnerLost():
            return owner_lost(step, now_ms)
        case events.ResultPosted():
            return event_steps.completed(step, event, now_ms) if event_steps.is_open(step) else step
        case events.Opened(kept_ms):
            return event_steps.opened(step, kept_ms, now_ms)
        case events.LimitsGiven():
            return event_steps.limited(step, event, now_ms)
        case events.HeartbeatPosted():
            return event_steps.heard(step, now_ms)
        case events.Cancelled() | events.Superseded():
            return step if step.is_settled else cancelled(step, event, now_ms)
        case events.CancelRequested():
            return cancel_requested(step, event, now_ms)
        case events.MadeDue():
            return made_due(step, event, now_ms)
        case events.Rescheduled():
            return rescheduled(step, event, now_ms)
        case events.LinkEnded() | events.LinkMoved() | events.LinkDue():
            return link_changed(step, event, now_ms) if step.spec.kind == "run" else step
        case events.Paid(owed):
            return paid(step, owed)
        case events.Paused() | events.Resumed() | events.Rested() | events.Released():
            return pause_changed(step, event, now_ms)
        case events.Redriven() | events.Dismissed() | events.DismissalUndone():
            return after_failure(step, event, now_ms)
        case _:
            assert_never(event)


def _claimed(step: Step, nonce: str, until_ms: int | None, now_ms: int) -> Step:
    if not _is_to_be_run(step, until_ms if until_ms and until_ms == step.due_at_ms else now_ms):
        return step
    if step.spec.kind == "event":
        return event_steps.after_due(step, now_ms)
    attempts, consecutive_lost = step.attempt_log, step.consecutive_lost
    if step.status is Status.RUNNING:
        if step.spec.fails_if_lost:
            return not_repeated(step, now_ms)
        # The lease expired. The endpoint did not fail, so the step uses no retry.
        attempts, consecutive_lost = closed(attempts, LOST, now_ms), consecutive_lost + 1
    if is_too_late(step, now_ms):
        return out_of_time(step, attempts, now_ms)
    if step.spec.kind == "timer":
        return settled(step, Status.SUCCEEDED, now_ms, response=NOTHING)
    if consecutive_lost > CONSECUTIVE_LOST_MAX:
        error = StepError(ErrorKind.LOST_TOO_OFTEN, str(consecutive_lost))
        return settled(step, Status.FAILED, now_ms, error=error, attempt_log=attempts)
    number = step.attempt_count + 1
    begun = Attempt(number=number, generation=step.generation, started_at_ms=now_ms)
    return changed(
        step,
        status=Status.RUNNING,
        nonce=nonce,
        attempt_count=number,
        attempt_log=(*attempts, begun)[-ATTEMPTS_KEPT:],
        consecutive_lost=consecutive_lost,
        due_at_ms=lease_end_ms(step.spec, step.deadline_at_ms, now_ms),
        woken=False,
        failed_meanwhile=False,
        told=None,
        dated_at_ms=None,
        has_no_wakeup=False,
        cancelling="recalled" if step.cancelling else "",
        in_line=False,
        paced_ms=None,
        pause=None if step.pause is None or step.pause.is_over(now_ms) else step.pause,
    )


def _is_to_be_run(step: Step, now_ms: int) -> bool:
    # A settled step is never due. One that waits in line may be handed a slot at any time.
    has_to_wait = step.status is Status.WAITING or step.answer_by_ms is not None
    is_due = step.in_line or (step.due_at_ms is not None and step.due_at_ms <= now_ms)
    return is_due and not has_to_wait


def _waited_for(step: Step, event: events.WaiterAdded | events.WatchAdded) -> Step:
    if isinstance(event, events.WatchAdded):
        return _watched(step, event.watch)
    if step.is_settled or event.waiter in step.waiters or len(step.waiters) >= WAITERS_MAX:
        return step
    return changed(step, waiters=(*step.waiters, event.waiter), has_no_wakeup=False)


def _watched(step: Step, watch: Watch) -> Step:
    if step.is_settled or watch in step.watches:
        return step
    # The waits of the waiter's earlier attempts are over, so their watches are dropped.
    others = (w for w in step.watches if w.waiter != watch.waiter or w.attempt == watch.attempt)
    return changed(step, watches=(*others, watch), has_no_wakeup=False)


def _noted(step: Step, number: int, note: str) -> Step:
    noted = tuple(
        replace(attempt, late=note) if attempt.number == number and not attempt.late else attempt
        for attempt in step.attempt_log
    )
    return step if noted == step.attempt_log else changed(step, attempt_log=noted)


@dataclass(frozen=True, slots=True)
class SendWakeup:
    """Send a wake-up of the step for this moment."""

    at_ms: int


# Effects that need nothing but the row as it now is. "look again": a process looks at the step in a second,
# whatever has happened. They are text because members of an enumeration are slow to match before 3.12.
Follow = Literal[
    "remember run",
    "tell callers",
    "count settled",
    "count reopened",
    "meter storage",
    "wake waiters",
    "look again",
    "release slots",
    "pause run",
]
Effect = SendWakeup | Follow


@dataclass(frozen=True, slots=True, kw_only=True)
class Effects:
    """The effects of one change, by the time at which they have to happen.

    `dead_letter`: the reason to tell operators, acknowledged before the row says that the step has failed.
    `ahead`: acknowledged before the row is written. `beside`: begun with the write, and acknowledged before
    the step goes on. `after`: in this order, when the row is written. `if_unsure`: when any of these was
    refused or not answered. Then it is not known what the row says and who was told. `concerns_hooks`: the
    client may have hooks for this change.
    """

    dead_letter: str | None = None
    ahead: SendWakeup | None = None
    beside: SendWakeup | None = None
    after: tuple[Effect, ...] = ()
    if_unsure: tuple[Effect, ...] = ()
    concerns_hooks: bool = False


NONE: Final = Effects()


def _of_settled(*, is_root: bool, has_waiters: bool) -> Effects:
    first: tuple[Follow, ...] = ("remember run",) if is_root else ()
    last: tuple[Follow, ...] = ("wake waiters",) if has_waiters else ()
    return Effects(
        after=(*first, "tell callers", "count settled", "meter storage", *last),
        if_unsure=("look again",),
        concerns_hooks=is_root,
    )


# By whether it is a root, and whether somebody waits for it.
_SETTLED: Final = {
    (is_root, has_waiters): _of_settled(is_root=is_root, has_waiters=has_waiters)
    for is_root in (False, True)
    for has_waiters in (False, True)
}


def effects_of(before: Step, after: Step, now_ms: int) -> Effects:
    """The effects when the row changes from `before` to `after` at this time."""
    found = _effects_of(before, after, now_ms)
    if after.spec.flow and releases_slots(before, after):
        # Before its own wake-up: the step may be called again at once, and takes a slot of its own then.
        return replace(found, after=("release slots", *found.after))
    return found


def _effects_of(before: Step, after: Step, now_ms: int) -> Effects:
    if not after.is_settled:
        found = _of_live(before, after, now_ms, was_settled=before.is_settled)
        return found if after.pause is None else replace(found, concerns_hooks=begins_pause(before, after))
    if before.is_settled:
        return NONE
    concerns_others = bool(after.waiters or after.watches) or (
        after.status is not Status.SUCCEEDED and _concerns_handler(after)
    )
    found = _SETTLED[after.is_root, concerns_others]
    # The dead letter is sent before the row is written. If the process ends in between, the step is still
    # live and its wake-up comes. So no dead letter is ever missing. Others than the client may read it.
    own = after.error and after.error.without_excerpt()
    if not after.is_dead_letter:
        return found
    return replace(found, dead_letter=sentence_of(own) or "", concerns_hooks=True)


def with_paying(effects: Effects, now_ms: int) -> Effects:
    """The effects of a change that owes something to hooks: a process looks at the row at once."""
    look = SendWakeup(now_ms)
    return replace(effects, after=(*effects.after, look), if_unsure=(*effects.if_unsure, look))


def _concerns_handler(settled: Step) -> bool:
    """Whether a handler must be told: one that waits for all is told of each step that did not succeed."""
    if settled.spec.parent is None or settled.is_root:
        return False
    return settled.error is None or settled.error.kind not in _ENDED_WITH_RUN


def _of_live(before: Step, after: Step, now_ms: int, *, was_settled: bool) -> Effects:
    follows: tuple[Effect, ...] = ()
    if was_settled:
        follows = ("remember run", "count reopened") if after.is_root else ("count reopened",)
    if after.rest is not None and after.rest.exhausted and before.rest is None:
        follows = (*follows, "pause run")
    is_first = before.has_no_wakeup and not after.has_no_wakeup and after.due_at_ms == before.due_at_ms
    if after.due_at_ms is None or not (is_first or _needs_wakeup(before, after)):
        return Effects(after=follows) if follows else NONE
    wakeup = SendWakeup(after.due_at_ms)
    if is_first:
        # The row says that somebody waits for the step only when its wake-up is acknowledged.
        return Effects(ahead=wakeup)
    if after.made_due_ms != before.made_due_ms and after.due_at_ms > (before.due_at_ms or 0):
        # The wake-up for the earlier time may come at any moment, and is spare once the row is written.
        return Effects(ahead=wakeup, after=follows)
    if not is_soon(after.due_at_ms, now_ms):
        return Effects(beside=wakeup, after=follows, if_unsure=(wakeup,))
    return Effects(
        # If the step has no wake-up yet and the later one is never sent, nothing would process the step.
        ahead=wakeup if before.due_at_ms is None else None,
        after=(wakeup, *follows),
        if_unsure=(wakeup,),
    )


def _needs_wakeup(before: Step, after: Step) -> bool:
    # The receiver of the wake-up for this very time may be about to change the step: it is woken when it is
    # rechecked, a cancel is requested when an attempt is due, an answer that is overdue is retried at once.
    if after.rest is not None:
        return after.due_at_ms != before.due_at_ms
    is_woken = before.status is Status.WAITING or before.cancelling != after.cancelling
    is_retried = before.answer_by_ms is not None and after.status is Status.RETRYING
    is_again = (is_woken and after.status is Status.PENDING) or is_retried or before.rest is not None
    return is_again or after.due_at_ms != before.due_at_ms


def is_soon(due_at_ms: int, now_ms: int) -> bool:
    """Whether a wake-up for this moment might overtake the write, and then find nothing to do."""
    return due_at_ms - now_ms < _SOON_MS
