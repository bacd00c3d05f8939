"""Links: steps of kind `run`, which start a run of its own and take over the outcome of its root.

A link calls nothing. It is `waiting` while its run goes on, and is itself one of the root's waiters.
"""

from dataclasses import replace
from typing import Final

from atomic.domain import events
from atomic.domain.outcomes import CANCELLED, StepError, StoredBody
from atomic.domain.steps import LINK_RECHECK_MS, Step, StepSpec, changed, settled
from atomic.protocol import keys
from atomic.protocol.enums import Status
from atomic.protocol.error_kinds import ErrorKind

# A run that calls itself without an end must not do so for ever.
DEPTH_MAX: Final = 32
_RECHECK_MAX_MS: Final = 24 * 3_600_000
_CALLED_OFF: Final = frozenset({ErrorKind.CANCELLED, ErrorKind.STEP_CANCELLED})


def begin_link(spec: StepSpec, position: str, now_ms: int, *, awaited: bool) -> Step:
    """A new link, whose run is still to be created. If that is interrupted, its wake-up does it."""
    return Step(
        spec=spec,
        id=keys.step_id(spec.run_id, position),
        created_at_ms=now_ms,
        awaited=awaited,
        status=Status.WAITING,
        due_at_ms=now_ms + LINK_RECHECK_MS,
        waiting_for=(spec.child_root,),
    )


def root_of(link: Step) -> str:
    """The id of the root that the link waits for: that of its run, or of what this was continued as."""
    return link.continued_as or link.spec.child_root


def root_spec(link: Step, now_ms: int) -> StepSpec:
    """The root of the run that this link starts now."""
    spec, name, key = link.spec, link.spec.child_name, link.spec.child_key
    # The delay began with the link, as the time of `start_by_ms`. The start may have been refused since.
    left_ms = link.created_at_ms + spec.delay_ms - now_ms
    return replace(
        spec,
        run_id=keys.run_of(spec.child_root),
        identity=keys.identity(spec.client_id, name, "", spec.url, "", key),
        kind="http",
        workflow_name=name,
        step_name="",
        idempotency_key=key,
        parent=None,
        delay_ms=min(spec.delay_ms, max(0, left_ms)),
        child_name="",
        child_key="",
        keeps_child=False,
        started_by=link.id,
        continued_from=None,
    )


def is_same_run(root: Step, wanted: StepSpec) -> bool:
    """Whether an existing root is the one that a link would start."""
    return (root.spec.identity, root.spec.fingerprint) == (wanted.identity, wanted.fingerprint)


def is_closing(link: Step, root: Step) -> bool:
    """Whether the link may close a cycle: it does not, if it has created the root it waits for."""
    return root.spec.started_by != link.id or root.spec.continued_from is not None


def may_lack_run(step: Step) -> bool:
    """Whether this is a link whose run may not exist yet: its start was refused, or interrupted.

    Such a link still starts its run, also when its own run has succeeded meanwhile.
    """
    is_refused = step.error is not None and step.error.kind is ErrorKind.START_REFUSED
    is_unchecked = step.due_at_ms == step.created_at_ms + LINK_RECHECK_MS
    return step.spec.kind == "run" and (is_refused or is_unchecked)


def recheck_at_ms(link: Step, now_ms: int) -> int:
    """When a link is rechecked: the longer it waits, the less often."""
    age_ms = max(now_ms - link.created_at_ms, LINK_RECHECK_MS)
    return now_ms + min(age_ms, _RECHECK_MAX_MS)


def called_off(link: Step, event: events.Cancelled, now_ms: int) -> Step:
    """The live link that is to be cancelled: the row says so before the run is cancelled with it."""
    if is_called_off(link):
        return link
    return changed(link, error=event.error, due_at_ms=now_ms)


def must_cancel_run(link: Step, error: StepError | None) -> bool:
    """Whether the run is cancelled with a link that ends with this error.

    When a run has succeeded, those that it started go on.
    """
    is_tied = link.spec.kind == "run" and not (link.spec.keeps_child or link.spec.detached)
    return is_tied and error is not None and error.kind in _CALLED_OFF


def is_called_off(link: Step) -> bool:
    """Whether a link was cancelled together with its run. A live one still has to cancel the run."""
    return must_cancel_run(link, link.error)


def failed_with_run(link: Step) -> bool:
    """Whether the link has failed because its run has: then a redrive of either concerns the other."""
    return link.spec.kind == "run" and link.error is not None and link.error.kind is ErrorKind.CHILD_FAILED


def ended_by(link: Step, root: Step) -> events.LinkEnded:
    """The outcome of a settled root as the outcome of a link."""
    run_id, error = root.spec.run_id, root.error
    if root.status is Status.FAILED:
        # Of nested runs, the innermost error says what happened.
        cause = error.last if error is not None and error.kind is ErrorKind.CHILD_FAILED else error
        error = StepError(ErrorKind.CHILD_FAILED, run_id, last=cause)
    elif root.status is Status.CANCELLED:
        error = StepError(ErrorKind.CHILD_CANCELLED, run_id)
    return events.LinkEnded(
        link.generation, root.status, error, root.response, root.response_status, root.id
    )


def failed_by(link: Step, kind: ErrorKind, detail: str = "") -> events.LinkEnded:
    """The link fails for a reason of its own."""
    return events.LinkEnded(link.generation, Status.FAILED, StepError(kind, detail))


def run_exists(link: Step) -> events.LinkEnded:
    """The end of a detached link."""
    root = root_of(link)
    text = f'{{"id":"{root}","runId":"{keys.run_of(root)}"}}'
    response = StoredBody(text.encode(), "json", "application/json")
    return events.LinkEnded(link.generation, Status.SUCCEEDED, None, response)


def link_changed(
    link: Step, event: events.LinkEnded | events.LinkMoved | events.LinkDue, now_ms: int
) -> Step:
    """The link after an event of its own kind."""
    if link.is_settled:
        return link
    match event:
        case events.LinkDue(at_ms, error):
            is_known = is_called_off(link) or (link.due_at_ms, link.error) == (at_ms, error)
            return link if is_known else changed(link, due_at_ms=at_ms, error=error)
        case events.LinkMoved(generation, root, next_root):
            is_meant = (link.generation, root_of(link)) == (generation, root)
            moved = {"continued_as": next_root, "waiting_for": (next_root,)}
            return changed(link, **moved) if is_meant else link
        case events.LinkEnded():
            is_meant = link.generation == event.generation and event.root in {"", root_of(link)}
            return _ended(link, event, now_ms) if is_meant else link


def _ended(link: Step, event: events.LinkEnded, now_ms: int) -> Step:
    """The link with its outcome. A link that was called off is cancelled, however its run has ended."""
    if is_called_off(link):
        return settled(link, Status.CANCELLED, now_ms, error=link.error)
    # Its handler is told that its own run is cancelled, and not that somebody has cancelled the other run.
    is_with_run = event.status is Status.CANCELLED and bool(link.cancelling)
    return settled(
        link,
        event.status,
        now_ms,
        error=CANCELLED if is_with_run else event.error,
        response=event.response,
        response_status=event.response_status,
    )
