"""Turns the refusals of use cases into problems for the caller."""

from typing import Any, Final, assert_never, get_args

from atomic.application.redaction import redacted_payload
from atomic.application.refusals import (
    AttemptOver,
    Busy,
    ChangedMeanwhile,
    IsNoRoot,
    IsRoot,
    NotAnOpenEvent,
    NotFound,
    NotRedrivableStep,
    NotReschedulable,
    RunCancelled,
    RunEnded,
    RunExists,
    RunGoesOn,
    RunLive,
    RunNotFailed,
    StepCancelled,
    TakesNoEvents,
    TooDeep,
    TooManySchedules,
)
from atomic.domain.blobs import at_hand
from atomic.domain.clients.client import Client
from atomic.domain.links import DEPTH_MAX, root_of
from atomic.domain.steps import Step, StepSpec
from atomic.protocol import headers, keys, problems
from atomic.protocol.constants import SCHEDULES_MAX
from atomic.protocol.differences import first_difference
from atomic.protocol.enums import Kind, NotRedrivable, Status
from atomic.protocol.problems import Problem
from atomic.protocol.strict_json import parse_json

# The refusals that `problem_of` turns into problems. `payload_mismatch` does it for PayloadMismatch, since
# its text depends on what the caller may see.
Mapped = (
    NotFound
    | RunCancelled
    | StepCancelled
    | IsRoot
    | NotRedrivableStep
    | NotReschedulable
    | NotAnOpenEvent
    | TakesNoEvents
    | AttemptOver
    | TooDeep
    | RunExists
    | RunEnded
    | RunGoesOn
    | RunLive
    | RunNotFailed
    | ChangedMeanwhile
    | TooManySchedules
    | Busy
    | IsNoRoot
)
MAPPED: Final = get_args(Mapped)
_NOT_REDRIVABLE: Final[dict[NotRedrivable, str]] = {
    "cancelled": "Its run or a step above it was cancelled, and their endpoints are not called any more.",
    "handled": "An ancestor went on without it and succeeded, so no handler needs it any more.",
}


def problem_of(refusal: Mapped) -> Problem:  # noqa: C901 - one arm a refusal
    """The problem for a refusal."""
    match refusal:
        case NotFound():
            return problems.not_found()
        case RunCancelled():
            return Problem(problems.CANCELLED, "The run was cancelled and takes no more steps.")
        case StepCancelled():
            detail = "The step whose handler posts this was cancelled and takes no more steps."
            return Problem(problems.STEP_CANCELLED, detail)
        case RunExists(root=root):
            detail = (
                "The run exists and was not started as the one that goes on for this run. Use another "
                "idempotencyKey."
            )
            return Problem(problems.RUN_EXISTS, detail, {"id": root.id, "runId": root.spec.run_id})
        case TooDeep():
            detail = f"{DEPTH_MAX} runs above this one have started each other. Start the run from outside."
            return Problem(problems.TOO_DEEP, detail)
        case ChangedMeanwhile(version=version):
            what = "There is no such schedule." if version == 0 else f"The schedule has version {version}."
            detail = f"{what} Read it again, and repeat the change with its ETag, or without If-Match."
            return Problem(problems.PRECONDITION_FAILED, detail, {"version": version})
        case Busy(holder=holder):
            return _busy(holder)
        case IsNoRoot():
            cure = "only the start of a run may share a key; this would be a step of a run that exists"
            return problems.invalid("singleton, debounce", cure)
        case TooManySchedules():
            detail = f"A client has {SCHEDULES_MAX} schedules at most. Delete one that is over."
            return Problem(problems.TOO_MANY_SCHEDULES, detail)
        case IsRoot(run_id=run_id):
            detail = f"The step is a workflow: cancel its run (POST …/runs/{run_id}/cancel)."
            return Problem(problems.IS_ROOT, detail, {"runId": run_id})
        case RunEnded() | RunGoesOn() | RunNotFailed():
            return _of_state(refusal)
        case RunLive(run_id=run_id, live=live):
            cure = f"Its live steps: {live}. Cancel the run, then erase it."
            return Problem(problems.RUN_LIVE, cure, {"runId": run_id})
        case NotRedrivableStep(reason=reason):
            detail = f"{_NOT_REDRIVABLE[reason]} Start again with another idempotencyKey."
            return Problem(problems.NOT_REDRIVABLE, detail, {"notRedrivableReason": reason})
        case NotReschedulable(step=step):
            return _not_reschedulable(step)
        case AttemptOver(step=step, attempt=attempt):
            return _attempt_over(step, attempt)
        case NotAnOpenEvent(kind=kind, status=status):
            return _not_an_open_event(kind, status)
        case TakesNoEvents(status=status):
            detail = f"The workflow is {status} and waits for no event any more."
            return Problem(problems.NOT_AN_OPEN_EVENT, detail, {"workflowStatus": status.value})
        case _:
            assert_never(refusal)


def _not_an_open_event(kind: Kind, status: Status | None) -> Problem:
    if kind != "event":
        return Problem(problems.NOT_AN_OPEN_EVENT, f"The step is of kind {kind!r}, not 'event'.")
    if status is None:
        return Problem(problems.NOT_AN_OPEN_EVENT, "No handler has opened this event yet.")
    detail = f"The event step is {status} already; its outcome never changes."
    return Problem(problems.NOT_AN_OPEN_EVENT, detail, {"was": "done", "stepStatus": status.value})


def _of_state(refusal: RunEnded | RunGoesOn | RunNotFailed) -> Problem:
    """The problem of what a run in its state does not take."""
    root, run_id = refusal.root, refusal.root.spec.run_id
    match refusal:
        case RunEnded():
            kind, detail = (
                problems.RUN_ENDED,
                f"The run is {root.status}, so nothing of it is left to be paused.",
            )
        case RunGoesOn():
            cure = f"Cancel it first (POST …/runs/{run_id}/cancel), or wait until it has ended."
            kind, detail = problems.RUN_LIVE, f"The run {run_id} is {root.status}. {cure}"
        case RunNotFailed():
            cure = "Only a run that failed can be dismissed."
            kind, detail = problems.NOT_FAILED, f"The run is {root.status} and needs no action. {cure}"
    return Problem(kind, detail, {"runId": run_id, "stepStatus": root.status.value})


def _not_reschedulable(step: Step) -> Problem:
    if step.is_settled:
        detail = f"The step is {step.status} already; its outcome never changes."
    elif step.spec.kind == "event":
        detail = "The event waits for its result. Post it (POST …/steps/{stepId}/result)."
    elif step.spec.kind == "run":
        run_id = keys.run_of(root_of(step))
        detail = f"The step waits for the run {run_id}, which it has started. Ask the same of that run."
    elif step.status is Status.WAITING:
        detail = "Its handler waits for other steps. Ask the same of one of these (`waitingFor`)."
    else:
        detail = "An attempt is under way. Ask again when it has ended."
    members = {
        "id": step.id,
        "runId": step.spec.run_id,
        "stepStatus": step.status.value,
        "waitingFor": list(step.waiting_for),
    }
    return Problem(problems.NOT_RESCHEDULABLE, detail, members)


def _attempt_over(step: Step, attempt: int) -> Problem:
    members = {
        "id": step.id,
        "runId": step.spec.run_id,
        "stepStatus": step.status.value,
        "attempts": step.attempt_count,
    }
    detail = (
        f"Attempt {attempt} ended without this answer, which is noted and changes nothing: the step is "
        f"{step.status}, after {step.attempt_count} attempts."
    )
    return Problem(problems.ATTEMPT_OVER, detail, members)


def payload_mismatch(first: Step, spec: StepSpec, client: Client, cure: str) -> Problem:
    """The 422. It shows the first payload (redacted) only to a key with the scope `read`.

    Even the path of the difference would let another key find out the payload member by member.
    """
    name = spec.step_name or spec.url or spec.workflow_name
    members: dict[str, Any] = {
        "id": first.id,
        "stepInvokeUrl": spec.url or None,
        "stepName": spec.step_name or None,
        "firstFingerprint": first.spec.fingerprint[:12],
        "fingerprint": spec.fingerprint[:12],
    }
    where = "."
    if "read" in client.scopes:
        found = first_difference(
            *(
                parse_json(redacted_payload(at_hand(payload), client))
                for payload in (first.spec.payload, spec.payload)
            )
        )
        if found is not None:
            where = f": {found.path} was {found.first} and is {found.now} now."
            members["difference"] = found.path
    detail = f"{name} was posted before with another payload{where} That step is untouched. {cure}"
    return Problem(problems.PAYLOAD_MISMATCH, detail, members)


def _busy(holder: Step) -> Problem:
    """The problem of a start, or a redrive, that is left out because another run has the key."""
    spec = holder.spec
    key = spec.singleton.key if spec.singleton is not None else ""
    return Problem(
        problems.BUSY,
        f"The run {spec.run_id} has the singleton key {key!r} and goes on. Nothing was started. Read it at "
        "Location, cancel it, or post again when it has ended.",
        {
            "id": holder.id,
            "runId": spec.run_id,
            "workflowName": spec.workflow_name,
            "idempotencyKey": spec.idempotency_key,
        },
        {headers.LOCATION: f"/{spec.client_id}/steps/{holder.id}"},
    )
