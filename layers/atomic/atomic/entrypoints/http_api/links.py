"""Links, which are steps of kind `run`, and runs that are continued: requests and problems."""

from typing import Any, Final

from atomic.application.child_runs import continue_run
from atomic.application.start import StartResult
from atomic.domain.clients.client import Client
from atomic.domain.steps import Step, StepSpec
from atomic.entrypoints.http_api.api import Api, attempt_of
from atomic.entrypoints.http_api.http import ApiRequest
from atomic.protocol import keys, problems
from atomic.protocol.error_kinds import ErrorKind
from atomic.protocol.problems import Problem
from atomic.protocol.requests import ChildRun, StartRequest

# The limits of a step: members of a request, and of a `StepSpec`.
_LIMITS: Final = {
    "retry": "retry",
    "attempt_timeout": "attempt_timeout_ms",
    "deadline": "deadline_ms",
    "on_lost": "fails_if_lost",
    "flow": "flow",
    "singleton": "singleton",
    "tags": "tags",
    "hooks": "hooks",
}
# Where a link failed for a reason of its own: the problem, and the cure.
_PROBLEMS: Final = {
    ErrorKind.CHILD_DIFFERS: (
        problems.PAYLOAD_MISMATCH,
        " That run is untouched. Start another one, under another run.idempotencyKey.",
    ),
    ErrorKind.RUN_CYCLE: (
        problems.RUN_CYCLE,
        " To start it without waiting for it, send `detached`: true.",
    ),
}


def called_run(client: Client, message: StartRequest, run: ChildRun) -> str:
    """What a link calls, as a part of its identity."""
    run_id = keys.run_id(client.id, run.workflow_name, run.idempotency_key)
    return keys.called_by_link(run_id, detached=message.detached)


def of_link(message: StartRequest, run: ChildRun) -> dict[str, Any]:
    """The members of a `StepSpec` that only links have."""
    return {
        "child_name": run.workflow_name,
        "child_key": run.idempotency_key,
        "detached": message.detached,
        "keeps_child": message.on_cancel == "keep",
    }


async def go_on(
    api: Api, request: ApiRequest, client: Client, message: StartRequest, spec: StepSpec, root_id: str
) -> StartResult:
    """Start the run that goes on for this root, with its limits except for those given. Raises Problem."""
    attempt = _attempt_that_continues(request, client, spec, root_id)
    inherited = {_LIMITS[name] for name in _LIMITS.keys() - message.model_fields_set}
    return await continue_run(api.engine, spec, attempt, inherited)


def _attempt_that_continues(request: ApiRequest, client: Client, spec: StepSpec, root_id: str) -> int:
    """The number of the attempt of this root that starts the run which goes on for it. Raises Problem."""
    if root_id == keys.root_of(spec.run_id):
        raise problems.invalid("idempotencyKey", "a run cannot go on as itself; use another key")
    attempt = attempt_of(request, client, root_id)
    if attempt is None:
        raise Problem(
            problems.ATTEMPT_TOKEN_REQUIRED,
            "Atomic-Attempt-Token: send the header of this name from the call that continues its run.",
        )
    return attempt


def problem_of_link(link: Step) -> tuple[problems.ProblemType, str]:
    """The problem of a link that has failed, and the cure, if there is one, as a sentence to add."""
    assert link.error is not None
    return _PROBLEMS.get(link.error.kind, (problems.STEP_FAILED, ""))
