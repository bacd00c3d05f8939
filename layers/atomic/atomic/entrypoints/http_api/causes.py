"""Causes of failures: their list, and the dismissal of failed runs."""

from dataclasses import replace
from typing import Any

from atomic.application import queries
from atomic.application.cause_query import CauseGroup, CausePage, CauseQuery
from atomic.application.dismissing import dismiss_run, undismiss_run
from atomic.application.redaction import without_error_excerpt
from atomic.domain.clients.client import Client
from atomic.domain.steps import Step
from atomic.entrypoints.http_api.actions import action_operation
from atomic.entrypoints.http_api.api import Api, read
from atomic.entrypoints.http_api.http import ApiRequest, ApiResponse, Query, refuse_body
from atomic.entrypoints.http_api.route import OF_BODIES, Operation, Routes, in_query
from atomic.entrypoints.http_api.views import json_response, run_view
from atomic.protocol import problems
from atomic.protocol.actions import named
from atomic.protocol.constants import PAGE_MAX
from atomic.protocol.dismissals import DismissRequest
from atomic.protocol.enums import CAUSE_STATES
from atomic.protocol.wire import to_rfc3339

routes = Routes()


@routes.add(
    "GET",
    "/{clientId}/causes",
    Operation(
        id="listCauses",
        summary="Count failed runs by their causes, the most frequent cause first",
        description="Each failed run counts once, by the step because of which it failed. `handled` has "
        "dead letters instead: steps whose handler went on without them, among the newest 500.",
        query=(
            in_query("workflowName", "Only of this workflow.", type="string"),
            in_query(
                "state",
                "`open`: runs that need action (default). `dismissed`: those that were dismissed. "
                "`handled`: steps that failed and need no action.",
                type="string",
                enum=list(CAUSE_STATES),
            ),
            in_query("limit", "How many causes.", type="integer", minimum=1, maximum=PAGE_MAX),
        ),
        answers=((200, "CauseList", "The causes."),),
        refusals=(problems.INVALID_REQUEST,),
    ),
    scope="read",
)
async def get_causes(api: Api, request: ApiRequest, client: Client) -> ApiResponse:
    """The causes of the client's failures, the most frequent first."""
    query = Query(request)
    state = query.one_of("state", CAUSE_STATES) or "open"
    wanted = CauseQuery(
        client_id=client.id,
        workflow_name=query.take("workflowName", str, ""),
        dismissed=state == "dismissed",
        limit=query.page_limit(),
    )
    query.refuse_rest()
    if state == "handled":
        page = await queries.handled_causes(api.engine, wanted)
    else:
        page = await api.engine.store.causes(wanted)
    return json_response(200, _view(page, shows_excerpts=not client.redact))


@routes.add(
    "POST",
    "/{clientId}/runs/{runId}/dismiss",
    replace(
        action_operation(
            named("run", "dismiss"),
            "RunSummary",
            problems.NOT_FAILED,
            details="A second dismissal changes only its note. Any other run is refused.",
        ),
        request=DismissRequest,
        needs_body=False,
    ),
    scope="act",
    is_act=True,
)
async def post_dismiss(api: Api, request: ApiRequest, client: Client, run_id: str) -> ApiResponse:
    """Dismiss a failed run."""
    asked = await read(api, client, request, DismissRequest)
    root = await queries.get_root(api.engine, client, run_id)
    return _run(await dismiss_run(api.engine, root, asked.note), client)


@routes.add(
    "DELETE",
    "/{clientId}/runs/{runId}/dismiss",
    Operation(
        id="undismissRun",
        summary="Take the dismissal of a failed run back",
        description="The run needs action again. A run that is not dismissed is not changed.",
        answers=((200, "RunSummary", "The run as it stands now."),),
        refusals=OF_BODIES,
    ),
    scope="act",
    is_act=True,
)
async def delete_dismiss(api: Api, request: ApiRequest, client: Client, run_id: str) -> ApiResponse:
    """Take a dismissal back."""
    Query(request).refuse_rest()
    refuse_body(request)
    root = await queries.get_root(api.engine, client, run_id)
    return _run(await undismiss_run(api.engine, root), client)


def _run(root: Step, client: Client) -> ApiResponse:
    return json_response(200, run_view(without_error_excerpt(root, client)))


def _view(page: CausePage, *, shows_excerpts: bool) -> dict[str, Any]:
    groups = [_group(group, shows_excerpts=shows_excerpts) for group in page.groups]
    return {"causes": groups, "more": page.more, "isAll": page.is_all}


def _group(group: CauseGroup, *, shows_excerpts: bool) -> dict[str, Any]:
    cause = group.cause if shows_excerpts else group.cause.without_excerpt()
    return {
        # The id stays as it is, so that it can be asked for.
        "id": group.cause.id,
        "workflowName": cause.workflow_name,
        "stepName": cause.step_name or None,
        "errorKind": cause.error_kind,
        "errorType": cause.error_type or None,
        "responseStatus": cause.response_status,
        "text": cause.text,
        "count": group.count,
        "firstCreatedAt": to_rfc3339(group.first_created_ms),
        "lastCreatedAt": to_rfc3339(group.last_created_ms),
        "samples": [
            {
                "id": step.id,
                "runId": step.spec.run_id,
                "idempotencyKey": step.spec.idempotency_key,
                "createdAt": to_rfc3339(step.created_at_ms),
            }
            for step in group.samples
        ],
    }
