"""Retentions of workflows: set, delete, list."""

import logging
from typing import Final

from atomic.domain.clients.client import Client
from atomic.domain.retentions import DAY_MS, WorkflowRetention
from atomic.entrypoints.http_api.api import Api, read
from atomic.entrypoints.http_api.http import ApiRequest, ApiResponse, Query, refuse_body
from atomic.entrypoints.http_api.own_settings import own_settings
from atomic.entrypoints.http_api.route import OF_BODIES, Operation, Routes
from atomic.entrypoints.http_api.workflow_states import check_workflow_name, states_of, workflow_state
from atomic.protocol import keys, problems
from atomic.protocol.workflow_states import RetentionRequest

_log = logging.getLogger("atomic.workflows")

routes = Routes()

_STATE: Final = ((200, "WorkflowState", "The workflow as it stands now."),)


@routes.add(
    "PUT",
    "/{clientId}/workflows/{workflowName}/retention",
    Operation(
        id="putRetention",
        summary="Keep the runs of a workflow for fewer days than the server keeps others",
        description="Of runs that begin from two seconds on, on AWS from a minute on. A run keeps the "
        "retention that it began with. When its time is over, its key may begin a new run.",
        request=RetentionRequest,
        answers=_STATE,
        refusals=(*OF_BODIES, problems.TOO_MANY_RETENTIONS, problems.CLIENT_CONFLICT),
    ),
    scope="admin",
    is_act=True,
)
async def put_retention(api: Api, request: ApiRequest, client: Client, name: str) -> ApiResponse:
    """Set the retention of a workflow."""
    asked = await read(api, client, request, RetentionRequest)
    check_workflow_name(name)
    if name.startswith(keys.RESERVED_NAMES):
        cure = "Atomic itself starts these runs, and keeps them as others; name a workflow of your own"
        raise problems.invalid("workflowName", cure)
    most = api.engine.settings.retention_ms // DAY_MS
    if asked.days > most:
        raise problems.invalid("days", f"use at most {most}, for which the server keeps every run")
    retention = WorkflowRetention(workflow_name=name, days=asked.days)
    await own_settings(api, lambda store: store.set_retention(client.id, retention))
    _log.info("retention set", extra={"clientId": client.id, "workflowName": name})
    return await workflow_state(api, client, name)


@routes.add(
    "DELETE",
    "/{clientId}/workflows/{workflowName}/retention",
    Operation(
        id="deleteRetention",
        summary="Keep the runs of a workflow for as long as the server keeps others",
        description="Of runs that begin from now on. Without a retention of its own, nothing changes.",
        answers=_STATE,
        refusals=(problems.INVALID_REQUEST, problems.CLIENT_CONFLICT),
    ),
    scope="admin",
    is_act=True,
)
async def delete_retention(api: Api, request: ApiRequest, client: Client, name: str) -> ApiResponse:
    """Let a workflow have the retention of the server."""
    refuse_body(request)
    await own_settings(api, lambda store: store.clear_retention(client.id, name))
    _log.info("retention deleted", extra={"clientId": client.id, "workflowName": name})
    return await workflow_state(api, client, name)


@routes.add(
    "GET",
    "/{clientId}/workflow-retentions",
    Operation(
        id="listRetentions",
        summary="List the workflows that have retentions of their own, by name",
        answers=((200, "WorkflowRetentionList", "All of them."),),
        refusals=(problems.INVALID_REQUEST,),
    ),
    scope="read",
)
async def get_retentions(api: Api, request: ApiRequest, client: Client) -> ApiResponse:
    """All workflows of the client that have retentions of their own."""
    Query(request).refuse_rest()
    found = await own_settings(api, lambda store: store.retentions(client.id))
    return await states_of(api, client, [each.workflow_name for each in found.workflows])
