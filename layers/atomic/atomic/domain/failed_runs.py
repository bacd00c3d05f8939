"""What failed: because of which step a run did, and what operators do about it."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from atomic.domain import events
from atomic.domain.blobs import at_hand, is_at_hand
from atomic.domain.causes import Cause, Dismissal, found_of, normalized
from atomic.domain.event_steps import is_rejected
from atomic.domain.interventions import redriven
from atomic.domain.outlines import StepOutline
from atomic.domain.steps import Step, changed
from atomic.protocol import keys
from atomic.protocol.enums import Status
from atomic.protocol.failures import innermost, is_step_failed
from atomic.protocol.strict_json import parse_json


def cause_of(step: Step) -> Cause:
    """The cause of a failed step, as its own row tells it."""
    error, spec = step.error, step.spec
    return Cause(
        step_id=step.id,
        workflow_name=spec.workflow_name,
        step_name="" if step.is_root else spec.step_name or normalized(urlsplit(spec.url).path),
        error_kind=None if error is None else error.kind,
        error_type="" if error is None else error.raised,
        response_status=last_status(step),
        found="" if error is None else found_of(error),
        said="" if error is None else normalized(error.said, error.raised),
    )


def last_status(step: Step) -> int | None:
    """What the endpoint answered last, as far as that is known."""
    last = step.attempt_log[-1].status if step.attempt_log else None
    return last if step.response_status is None else step.response_status


def named_step(root: Step) -> str | None:
    """The step of the run that failed first, as the answer of a failed root names it.

    A handler of an SDK answers with the problem of the step that it could not do without.
    """
    response = root.response
    if response is None or response.form != "json" or not is_at_hand(response.text):
        return None
    problem: Any = parse_json(at_hand(response.text))
    if not isinstance(problem, dict) or not is_step_failed(problem):
        return None
    step_id = innermost(problem).get("id")
    if not isinstance(step_id, str) or not keys.is_step_id(step_id):
        return None
    return step_id if keys.run_of(step_id) == root.spec.run_id else None


def innermost_failed(root: Step, outline: Iterable[StepOutline]) -> str:
    """The step because of which a run failed, as far as the states of its steps tell: the root if no other.

    From the root down, it is the failed child that ended last before its parent did: a handler that went on
    without an earlier one ended because of a later one.
    """
    children: dict[str | None, list[StepOutline]] = defaultdict(list)
    for step in outline:
        if step.status is Status.FAILED and step.id != root.id:
            children[step.parent].append(step)
    found, ended_ms = root.id, root.finished_at_ms or 0
    while below := _ended_by(children.pop(found, ()), ended_ms):
        last = max(below, key=lambda step: (step.finished_at_ms or 0, step.id))
        found, ended_ms = last.id, last.finished_at_ms or 0
    return found


def _ended_by(steps: Sequence[StepOutline], at_ms: int) -> list[StepOutline]:
    return [step for step in steps if (step.finished_at_ms or 0) <= at_ms]


def after_failure(
    step: Step, event: events.Redriven | events.Dismissed | events.DismissalUndone, now_ms: int
) -> Step:
    """The step after what operators do once it has failed. Any other step is not changed."""
    if step.status is not Status.FAILED:
        return step
    match event:
        case events.Redriven(generation):
            may_be = step.generation == generation and not is_rejected(step)
            return redriven(step, now_ms) if may_be else step
        case events.Dismissed(note):
            return _dismissed(step, note, now_ms)
        case events.DismissalUndone():
            return step if step.dismissal is None else changed(step, dismissal=None)


def _dismissed(root: Step, note: str, now_ms: int) -> Step:
    """The root of a failed run, dismissed. A second dismissal changes the note only.

    A run that failed before causes were kept gets that of its root.
    """
    before = root.dismissal
    if not root.is_root:
        return root
    if before is None:
        dismissal = Dismissal(at_ms=now_ms, note=note)
        return changed(root, cause=root.cause or cause_of(root), dismissal=dismissal)
    return root if note in {"", before.note} else changed(root, dismissal=replace(before, note=note))
