"""Steps that exist: read one."""

from atomic.application import queries
from atomic.application.redaction import all_redacted
from atomic.domain.clients.client import Client
from atomic.domain.steps import Step
from atomic.entrypoints.http_api.api import Api
from atomic.entrypoints.http_api.http import ApiRequest, ApiResponse, Query
from atomic.entrypoints.http_api.route import Operation, Routes, in_query
from atomic.entrypoints.http_api.views import json_response, outcome_view, step_view
from atomic.protocol import problems
from atomic.protocol.constants import DURATION_MAX_MS

routes = Routes()


@routes.add(
    "GET",
    "/{clientId}/steps/{stepId}",
    Operation(
        id="getStep",
        summary="Read a step, or wait for it",
        query=(
            in_query(
                "wait",
                "Wait this long (milliseconds) for the step to settle.",
                type="integer",
                minimum=0,
                maximum=DURATION_MAX_MS,
            ),
        ),
        answers=((200, "StepDocument", "The step."),),
        refusals=(problems.INVALID_REQUEST,),
    ),
    scope="read",
)
async def get_step(api: Api, request: ApiRequest, client: Client, step_id: str) -> ApiResponse:
    """A step; with `wait` (milliseconds) as soon as it settles."""
    query = Query(request)
    wait_ms = query.number("wait", 0, least=0, most=DURATION_MAX_MS)
    query.refuse_rest()
    wait_ms = min(wait_ms, api.engine.settings.wait_max_ms)
    step = await queries.wait_for_step(api.engine, client, step_id, wait_ms)
    [shown] = await all_redacted(api.engine.large_bodies, [step], client)
    return json_response(200, step_view(shown))


async def shown(api: Api, step: Step, client: Client) -> ApiResponse:
    """The answer with a step's outcome, as far as the client's readers may see it."""
    [visible] = await all_redacted(api.engine.large_bodies, [step], client)
    return json_response(200, outcome_view(visible))
