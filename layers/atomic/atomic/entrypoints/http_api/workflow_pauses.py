"""Pauses of workflows: pause, resume, read, list."""

import logging
from typing import Final

from atomic.domain.clients.client import Client
from atomic.domain.workflow_pauses import WorkflowPause, in_force
from atomic.entrypoints.http_api.api import Api, read
from atomic.entrypoints.http_api.http import ApiRequest, ApiResponse, Query, refuse_body
from atomic.entrypoints.http_api.own_settings import own_settings
from atomic.entrypoints.http_api.route import OF_BODIES, Operation, Routes
from atomic.entrypoints.http_api.start_times import until_within_a_year
from atomic.entrypoints.http_api.workflow_states import check_workflow_name, states_of, workflow_state
from atomic.protocol import problems
from atomic.protocol.workflow_states import WorkflowPauseRequest

_log = logging.getLogger("atomic.workflows")

routes = Routes()

_STATE: Final = ((200, "WorkflowState", "The workflow as it stands now."),)


# The names of workflows may have slashes, so these two come before the route that reads a workflow.
@routes.add(
    "POST",
    "/{clientId}/workflows/{workflowName}/pause",
    Operation(
        id="pauseWorkflow",
        summary="Pause a workflow: none of its runs is called until it is resumed",
        description="On a server from two seconds on, on AWS from a minute on. Starts are accepted and "
        "kept, attempts that are under way end, timers and events end, and deadlines go on. A second pause "
        "changes only what it gives. The workflow need not have runs.",
        request=WorkflowPauseRequest,
        needs_body=False,
        answers=_STATE,
        refusals=(*OF_BODIES, problems.TOO_MANY_PAUSES, problems.CLIENT_CONFLICT),
    ),
    scope="act",
    is_act=True,
)
async def post_pause(api: Api, request: ApiRequest, client: Client, name: str) -> ApiResponse:
    """Pause a workflow, until it is resumed or until a moment."""
    asked = await read(api, client, request, WorkflowPauseRequest)
    check_workflow_name(name)
    now_ms = api.engine.clock.now_ms()
    if asked.until is not None:
        until_within_a_year(asked.until, now_ms)
    pause = WorkflowPause(workflow_name=name, since_ms=now_ms, until_ms=asked.until, note=asked.note)
    await own_settings(api, lambda store: store.pause_workflow(client.id, pause))
    _log.info("workflow paused", extra={"clientId": client.id, "workflowName": name})
    return await workflow_state(api, client, name)


@routes.add(
    "POST",
    "/{clientId}/workflows/{workflowName}/resume",
    Operation(
        id="resumeWorkflow",
        summary="Let the runs of a paused workflow go on",
        description="They go on one after the other, within 15 minutes at the latest, and sooner after a "
        "short pause. A workflow that is not paused is not changed.",
        answers=_STATE,
        refusals=(problems.INVALID_REQUEST, problems.CLIENT_CONFLICT),
    ),
    scope="act",
    is_act=True,
)
async def post_resume(api: Api, request: ApiRequest, client: Client, name: str) -> ApiResponse:
    """Let the runs of a workflow go on."""
    refuse_body(request)
    await own_settings(api, lambda store: store.resume_workflow(client.id, name))
    _log.info("workflow resumed", extra={"clientId": client.id, "workflowName": name})
    return await workflow_state(api, client, name)


@routes.add(
    "GET",
    "/{clientId}/workflows/{workflowName}",
    Operation(
        id="getWorkflow",
        summary="Read whether a workflow is paused, and how long its runs are kept",
        answers=_STATE,
        refusals=(problems.INVALID_REQUEST,),
    ),
    scope="read",
)
async def get_workflow(api: Api, request: ApiRequest, client: Client, name: str) -> ApiResponse:
    """The pause and the retention of a workflow."""
    Query(request).refuse_rest()
    return await workflow_state(api, client, name)


@routes.add(
    "GET",
    "/{clientId}/paused-workflows",
    Operation(
        id="listPausedWorkflows",
        summary="List the paused workflows, by name",
        answers=((200, "PausedWorkflowList", "All of them."),),
        refusals=(problems.INVALID_REQUEST,),
    ),
    scope="read",
)
async def get_paused_workflows(api: Api, request: ApiRequest, client: Client) -> ApiResponse:
    """All paused workflows of the client."""
    Query(request).refuse_rest()
    found = await own_settings(api, lambda store: store.workflow_pauses(client.id))
    paused = in_force(found, api.engine.clock.now_ms())
    return await states_of(api, client, [each.workflow_name for each in paused])
