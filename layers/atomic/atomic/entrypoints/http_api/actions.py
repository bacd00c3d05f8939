"""The actions of operators on runs and steps (`protocol.actions`), each with its use case."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Final

from atomic.application import queries
from atomic.application.cancel import cancel_run, cancel_step
from atomic.application.commit import commit
from atomic.application.engine import Engine
from atomic.application.graceful_cancel import cancel_gracefully
from atomic.application.making_due import make_due
from atomic.application.pausing import pause_run, resume_run
from atomic.application.redaction import without_error_excerpt
from atomic.application.redrive import redrive_step
from atomic.application.refusals import RunEnded
from atomic.domain.clients.client import Client, has_scope
from atomic.domain.events import Paused
from atomic.domain.steps import Step
from atomic.entrypoints.http_api.api import Api, attempt_of, outcome_response, read
from atomic.entrypoints.http_api.http import ApiRequest, ApiResponse, refuse_body
from atomic.entrypoints.http_api.route import OF_BODIES, Operation, Routes, in_header
from atomic.entrypoints.http_api.start_times import until_within_a_year, within_a_year
from atomic.entrypoints.http_api.views import json_response, run_view
from atomic.protocol import problems
from atomic.protocol.actions import Action, named
from atomic.protocol.cancels import CancelRequest
from atomic.protocol.defaults import CANCEL_WITHIN_MS
from atomic.protocol.pauses import RunPauseRequest
from atomic.protocol.start_times import DueRequest

routes = Routes()

_OWN_STEP: Final = in_header(
    "Atomic-Attempt-Token", "Of an attempt of its parent: then a key for `start` is enough."
)


def _on_step(
    name: str,
    use_case: Callable[[Engine, Step], Awaitable[Step]],
    *refusals: problems.ProblemType,
    details: str = "",
    by_handlers: bool = False,
) -> None:
    """Add the route of an action on steps.

    `details` are sentences that only callers of the API need. `by_handlers`: a handler may do this to its
    own steps.
    """

    async def post(api: Api, request: ApiRequest, client: Client, step_id: str) -> ApiResponse:
        refuse_body(request)
        step = await queries.get_step(api.engine, client, step_id)
        is_handler = by_handlers and attempt_of(request, client, step.spec.parent) is not None
        # Without this scope, the route lets only handlers through.
        if not has_scope(client.scopes, "act") and not is_handler:
            raise problems.not_found()
        response = await outcome_response(api, await use_case(api.engine, step), client)
        return replace(response, of_handler=is_handler)

    operation = action_operation(named("step", name), "StepOutcome", *refusals, details=details)
    if by_handlers:
        operation = replace(operation, headers=(_OWN_STEP,))
    template = f"/{{clientId}}/steps/{{stepId}}/{name}"
    routes.add("POST", template, operation, scope="act", by_attempt=by_handlers, is_act=True)(post)


def action_operation(
    action: Action, answer: str, *refusals: problems.ProblemType, details: str = ""
) -> Operation:
    """The entry of an action in the API's description."""
    return Operation(
        id=f"{action.name}{action.of.capitalize()}",
        summary=action.summary,
        description=" ".join((*action.effect, details)).rstrip(),
        answers=((200, answer, f"The {action.of} as it stands now."),),
        refusals=(*OF_BODIES, *refusals),
    )


@routes.add(
    "POST",
    "/{clientId}/steps/{stepId}/due",
    replace(
        action_operation(
            named("step", "due"),
            "StepOutcome",
            problems.NOT_RESCHEDULABLE,
            details="Without a body now. A step that waits for no moment is refused: one that has ended, "
            "that is running, or that waits for a result or for other steps; `stepStatus` tells.",
        ),
        request=DueRequest,
        needs_body=False,
    ),
    scope="act",
    is_act=True,
)
async def post_due(api: Api, request: ApiRequest, client: Client, step_id: str) -> ApiResponse:
    """Make a step due now, or at another time."""
    asked = await read(api, client, request, DueRequest)
    if asked.at is not None:
        within_a_year("at", asked.at, api.engine.clock.now_ms())
    step = await queries.get_step(api.engine, client, step_id)
    return await outcome_response(api, await make_due(api.engine, step, asked.at), client)


@routes.add(
    "POST",
    "/{clientId}/runs/{runId}/cancel",
    replace(
        action_operation(
            named("run", "cancel"),
            "RunSummary",
            details="Without a body at once; with `mode` `graceful` its handlers are told first.",
        ),
        request=CancelRequest,
    ),
    scope="act",
    is_act=True,
)
async def post_cancel(api: Api, request: ApiRequest, client: Client, run_id: str) -> ApiResponse:
    """Cancel a run at once, or let its handlers undo what they did first."""
    asked = await read(api, client, request, CancelRequest)
    await queries.get_root(api.engine, client, run_id)
    if asked.mode == "graceful":
        within_ms = CANCEL_WITHIN_MS if asked.within is None else asked.within
        await cancel_gracefully(api.engine, run_id, within_ms)
    else:
        await cancel_run(api.engine, run_id)
    root = await queries.get_root(api.engine, client, run_id)
    return json_response(200, run_view(without_error_excerpt(root, client)))


@routes.add(
    "POST",
    "/{clientId}/runs/{runId}/pause",
    replace(
        action_operation(
            named("run", "pause"),
            "RunSummary",
            problems.RUN_ENDED,
            details="A second pause changes only what it gives. A run that has ended is refused.",
        ),
        request=RunPauseRequest,
        needs_body=False,
    ),
    scope="act",
    is_act=True,
)
async def post_pause(api: Api, request: ApiRequest, client: Client, run_id: str) -> ApiResponse:
    """Pause a run, until it is resumed or until a moment."""
    asked = await read(api, client, request, RunPauseRequest)
    if asked.until is not None:
        until_within_a_year(asked.until, api.engine.clock.now_ms())
    await queries.get_root(api.engine, client, run_id)
    await pause_run(api.engine, commit, run_id, Paused(asked.until, asked.note))
    root = await queries.get_root(api.engine, client, run_id)
    if root.is_settled:
        raise RunEnded(root)
    return json_response(200, run_view(without_error_excerpt(root, client)))


@routes.add(
    "POST",
    "/{clientId}/runs/{runId}/resume",
    action_operation(
        named("run", "resume"), "RunSummary", details="A run that is not paused is not changed."
    ),
    scope="act",
    is_act=True,
)
async def post_resume(api: Api, request: ApiRequest, client: Client, run_id: str) -> ApiResponse:
    """Let a paused run go on."""
    refuse_body(request)
    await queries.get_root(api.engine, client, run_id)
    await resume_run(api.engine, commit, run_id)
    root = await queries.get_root(api.engine, client, run_id)
    return json_response(200, run_view(without_error_excerpt(root, client)))


_on_step(
    "cancel",
    cancel_step,
    problems.IS_ROOT,
    details="A caller that waits for it, or posts it later, gets 409 `step-cancelled`. A step that has "
    "ended stays as it is. The root of a run is refused: cancel the run.",
    by_handlers=True,
)
_on_step(
    "redrive",
    redrive_step,
    problems.NOT_REDRIVABLE,
    problems.BUSY,
    details="A step that did not fail is not changed. The redrive is refused when the run was cancelled, "
    "or when an ancestor went on without it and succeeded; and with 409 `busy` while another run has the "
    "key of its singleton.",
)
