"""Pausing: the root's row says that its run is paused, and a step that comes due meanwhile rests.

The rest is one write. It keeps when the step was due, and the row is due when the step looks again, or when
its time is over. What happens to a step at rest changes it as it would any other, and it goes on resting.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from atomic.domain import events
from atomic.domain.links import is_called_off
from atomic.domain.losses import LOST, not_repeated
from atomic.domain.outcomes import Outcome
from atomic.domain.owing import paid
from atomic.domain.pauses import Pause, Rest
from atomic.domain.steps import Step, changed, closed, is_too_late, out_of_time, settled, within_limits
from atomic.protocol.enums import Status


def pause_changed(
    step: Step, event: events.Paused | events.Resumed | events.Rested | events.Released, now_ms: int
) -> Step:
    """The step after an event of its pause or rest."""
    match event:
        case events.Paused():
            return paused(step, event, now_ms)
        case events.Resumed():
            return resumed(step, now_ms)
        case events.Rested():
            return rested(step, event, now_ms)
        case events.Released():
            return released(step, now_ms)


def paused(root: Step, event: events.Paused, now_ms: int) -> Step:
    """The live root of a run, paused. What is given of a second pause replaces that of the first."""
    if root.is_settled:
        return root
    before = root.pause
    if before is None or before.is_over(now_ms):
        pause = Pause(since_ms=now_ms, until_ms=event.until_ms, note=event.note, by=event.by)
    else:
        until_ms = before.until_ms if event.until_ms is None else event.until_ms
        pause = replace(before, until_ms=until_ms, note=event.note or before.note, by=before.by or event.by)
    return root if pause == before else changed(root, pause=pause)


def resumed(root: Step, now_ms: int) -> Step:
    """The root of a run, not paused any more, and not at rest. A run that has ended may still be paused."""
    if root.pause is None:
        return released(root, now_ms)
    after = released(root, now_ms)
    return changed(root, pause=None) if after is root else replace(after, pause=None)


def rested(step: Step, event: events.Rested, now_ms: int) -> Step:
    """The step at rest, if it is due, and calls something when it goes on. One that is too late has ended.

    A link rests before it is due, too: the run that it starts looks at it.
    """
    if not may_rest(step):
        return step
    if event.run_over and step.rest is not None and step.rest.exhausted:
        # Nobody resumes it. A redrive of its run gives it a fresh budget.
        return settled(step, Status.FAILED, now_ms, error=step.error)
    is_link, is_claimed = step.spec.kind == "run", bool(event.nonce) and step.nonce == event.nonce
    is_due = is_claimed or step.in_line or (step.due_at_ms is not None and step.due_at_ms <= now_ms)
    # Where another wake-up has put the step to rest, one more look would be one more wake-up.
    is_new = is_link if step.rest is None else not _looks_at(step, event.until_ms)
    if not (is_due or is_new):
        return step
    is_lost = step.status is Status.RUNNING and not is_claimed
    if is_lost and step.spec.fails_if_lost:
        return not_repeated(step, now_ms)
    log = closed(step.attempt_log, LOST, now_ms) if is_lost else step.attempt_log
    if is_too_late(step, now_ms):
        return out_of_time(step, log[:-1] if is_claimed else log, now_ms)
    if is_claimed:
        step = replace(
            step, attempt_count=step.attempt_count - 1, attempt_log=log[:-1], **_not_under_way(step)
        )
    elif is_lost:
        lost = step.consecutive_lost + 1
        step = replace(step, attempt_log=log, consecutive_lost=lost, **_not_under_way(step))
    rest = step.rest or Rest(since_ms=now_ms, due_ms=0 if is_due else step.due_at_ms or 0)
    look_ms = rest.look_at_ms(now_ms) if event.until_ms is None else event.until_ms
    return _at_rest(step, rest, look_ms, now_ms)


def _looks_at(step: Step, until_ms: int | None) -> bool:
    """Whether the step at rest looks at the end of the pause; any look will do if it has none."""
    return until_ms is None or step.due_at_ms == within_limits(step, until_ms)


def may_rest(step: Step) -> bool:
    """Whether the step calls something when it goes on. One that waits, or is answered later, does not."""
    if step.spec.kind == "run":
        return not step.is_settled and not is_called_off(step)
    is_waiting = step.status is Status.WAITING or step.answer_by_ms is not None
    return step.spec.kind == "http" and not step.is_settled and not is_waiting


def exhausted(step: Step, outcome: Outcome, now_ms: int) -> Step:
    """The step whose last retry has failed and which is not to fail: it rests, and its run is paused."""
    rest = Rest(since_ms=now_ms, exhausted=True)
    after = replace(
        step, status=Status.RETRYING, error=outcome.error, response_status=outcome.status, rechecks=0
    )
    if step.is_root:
        pause = step.pause or Pause(since_ms=now_ms)
        after = replace(after, pause=replace(pause, by=pause.by or step.id))
    return _at_rest(after, rest, rest.look_at_ms(now_ms), now_ms)


def released(step: Step, now_ms: int) -> Step:
    """The step, due again; one that had used up its retries has a fresh budget of them."""
    rest = step.rest
    if rest is None:
        return step
    fresh: dict[str, Any] = {}
    if rest.exhausted:
        fresh = {
            "status": Status.PENDING,
            "generation": step.generation + 1,
            "retries_used": 0,
            "retries_before": step.retries_before + step.retries_used,
            "consecutive_lost": 0,
            "error": None,
            "response_status": None,
        }
    if step.pause is not None and step.pause.is_over(now_ms):
        fresh["pause"] = None
    due_at_ms = within_limits(step, max(rest.due_ms, now_ms))
    return changed(step, rest=None, due_at_ms=due_at_ms, dated_at_ms=now_ms, **fresh)


def while_at_rest(step: Step, event: events.Event, now_ms: int, change: Callable[[Step], Step]) -> Step:
    """The step at rest after an event; `change` is what the event does to a step that does not rest."""
    match event:
        case events.Claimed() | events.NotAdmitted() | events.InLine() | events.Paced():
            return step
        case events.Rested() | events.Released() | events.Resumed():
            return pause_changed(step, event, now_ms)
        case events.Paid(owed):
            return paid(step, owed)
        case events.Rescheduled(seen_ms, due_at_ms):
            # The clock that wrote the row was ahead.
            is_meant = step.due_at_ms == seen_ms != due_at_ms
            return changed(step, due_at_ms=due_at_ms, dated_at_ms=now_ms) if is_meant else step
        case _:
            return _rests_on(step, now_ms, change)


def _rests_on(step: Step, now_ms: int, change: Callable[[Step], Step]) -> Step:
    """The step after what does not concern its rest. It goes on resting, unless it has ended."""
    rest = step.rest
    assert rest is not None
    awake = replace(step, rest=None, due_at_ms=rest.due_ms)
    after = change(awake)
    if after is awake:
        return step
    if after.is_settled or is_called_off(after):
        return after
    look_ms = rest.look_at_ms(now_ms) if step.due_at_ms is None else step.due_at_ms
    due_ms = rest.due_ms if after.due_at_ms is None else after.due_at_ms
    at_rest = replace(after, rest=replace(rest, due_ms=due_ms), due_at_ms=within_limits(after, look_ms))
    return step if replace(at_rest, version=step.version) == step else at_rest


def _at_rest(step: Step, rest: Rest, look_ms: int, now_ms: int) -> Step:
    due_at_ms = within_limits(step, look_ms)
    kept = {"in_line": False, "paced_ms": None, "has_no_wakeup": False}
    return changed(step, rest=rest, due_at_ms=due_at_ms, dated_at_ms=now_ms, **kept)


def _not_under_way(step: Step) -> dict[str, Any]:
    return {
        "status": Status.RETRYING if step.retries_used else Status.PENDING,
        "nonce": None,
        "woken": False,
        "failed_meanwhile": False,
        "told": None,
    }
