"""A due step whose attempt may not begin yet: it waits for a permit, for a slot, or for its time."""

from dataclasses import replace

from atomic.domain import events
from atomic.domain.losses import LOST, not_repeated
from atomic.domain.steps import (
    Step,
    begin_by_ms,
    changed,
    closed,
    earliest_ms,
    is_too_late,
    out_of_time,
    within_limits,
)
from atomic.protocol.enums import Status


def _not_admitted(step: Step, until_ms: int, now_ms: int) -> Step:
    """The step keeps its due time and its retries. A late answer counts until the step is claimed again."""
    if until_ms <= now_ms:
        return step
    if step.status is Status.RUNNING and step.spec.fails_if_lost:
        return not_repeated(step, now_ms)
    if is_too_late(step, now_ms):
        log = step.attempt_log
        attempts = closed(log, LOST, now_ms) if step.status is Status.RUNNING else log
        return out_of_time(step, attempts, now_ms)
    return changed(step, due_at_ms=within_limits(step, until_ms), dated_at_ms=now_ms, in_line=False)


def held_back(step: Step, event: events.NotAdmitted | events.InLine | events.Paced, now_ms: int) -> Step:
    """The step waits for a permit, for a slot, or for the time that a rate gave it."""
    if isinstance(event, events.NotAdmitted):
        return _not_admitted(step, event.until_ms, now_ms)
    if step.spec.kind != "http":
        return step
    ended = _not_admitted(step, now_ms + 1, now_ms)
    if ended.is_settled:
        return ended
    if isinstance(event, events.Paced):
        paced = {"due_at_ms": within_limits(step, event.until_ms), "paced_ms": event.until_ms}
        after = changed(step, dated_at_ms=now_ms, in_line=False, **paced)
        return step if replace(after, version=step.version) == step else after
    place = {"line": event.key, "turn": event.turn}
    due_at_ms = earliest_ms(step.deadline_at_ms, step.cancel_by_ms, begin_by_ms(step))
    if step.in_line and step.due_at_ms == due_at_ms and (step.line, step.turn) == tuple(place.values()):
        return step
    return changed(step, in_line=True, due_at_ms=due_at_ms, dated_at_ms=now_ms, paced_ms=None, **place)
