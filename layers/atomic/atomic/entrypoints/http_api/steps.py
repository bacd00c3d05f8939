"""Steps that exist: read, redrive, cancel, complete an event."""

from atomic.application import queries
from atomic.application.cancel import cancel_step
from atomic.application.redaction import all_redacted
from atomic.application.redrive import redrive_step
from atomic.application.results import post_result
from atomic.domain.clients.client import Client, has_scope
from atomic.domain.outcomes import StoredBody
from atomic.domain.steps import Step
from atomic.entrypoints.http_api.api import Api, in_turn
from atomic.entrypoints.http_api.http import ApiRequest, ApiResponse, Query, refuse_body
from atomic.entrypoints.http_api.route import OF_BODIES, Operation, Routes, in_header, in_query
from atomic.entrypoints.http_api.views import json_response, outcome_view, step_view
from atomic.protocol import headers, problems
from atomic.protocol.constants import DURATION_MAX_MS, RESPONSE_MAX_BYTES
from atomic.protocol.strict_json import JsonRefused, JsonTooLong, canonical_json, parse_json, shortest

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


@routes.add(
    "POST",
    "/{clientId}/steps/{stepId}/redrive",
    Operation(
        id="redriveStep",
        summary="Give a dead letter a fresh budget of attempts",
        description="Its failed ancestors are redriven with it, so that the run goes on. With a root, "
        "every failed step of its run is redriven. A step that did not fail is not changed. The redrive "
        "is refused when the run was cancelled, or when an ancestor went on without it and succeeded.",
        answers=((200, "StepOutcome", "The step as it stands now."),),
        refusals=(*OF_BODIES, problems.NOT_REDRIVABLE),
    ),
    scope="act",
)
async def post_redrive_step(api: Api, request: ApiRequest, client: Client, step_id: str) -> ApiResponse:
    """Redrive one dead letter; a step that did not fail stays as it is."""
    refuse_body(request)
    step = await queries.get_step(api.engine, client, step_id)
    return await _shown(api, await redrive_step(api.engine, step), client)


@routes.add(
    "POST",
    "/{clientId}/steps/{stepId}/cancel",
    Operation(
        id="cancelStep",
        summary="Cancel one step and the live steps below it",
        description="Its run goes on. A caller that waits for it, or posts it later, gets 409 "
        "`step-cancelled`. A step that has ended stays as it is. The root of a run is "
        "refused: cancel the run.",
        headers=(
            in_header(
                "Atomic-Attempt-Token", "Of an attempt of its parent: then a key for `start` is enough."
            ),
        ),
        answers=((200, "StepOutcome", "The step as it stands now."),),
        refusals=(*OF_BODIES, problems.IS_ROOT),
    ),
    scope="act",
    by_attempt=True,
)
async def post_cancel_step(api: Api, request: ApiRequest, client: Client, step_id: str) -> ApiResponse:
    """Cancel one step; a step that has ended stays as it is."""
    refuse_body(request)
    step = await queries.get_step(api.engine, client, step_id)
    token = request.headers.get(headers.ATTEMPT_TOKEN, "")
    is_own = headers.parse_attempt_token(client.attempt_key, step.spec.parent or "", token) is not None
    if not is_own and not has_scope(client.scopes, "act"):
        raise problems.not_found()
    return await _shown(api, await cancel_step(api.engine, step), client)


@routes.add(
    "POST",
    "/{clientId}/steps/{stepId}/result",
    Operation(
        id="postResult",
        summary="Complete an event step",
        any_json_body=True,
        description="The body, any JSON value, becomes the step's response. Posting the same result again "
        "is not an error.",
        answers=((200, "StepOutcome", "The step as it stands now."),),
        refusals=(*OF_BODIES, problems.NOT_AN_OPEN_EVENT),
    ),
    scope="signal",
)
async def post_step_result(api: Api, request: ApiRequest, client: Client, step_id: str) -> ApiResponse:
    """Complete an event step with any JSON value."""
    step = await queries.get_step(api.engine, client, step_id)
    text = await in_turn(api, client, request, lambda: _result(request.body or b"null"))
    response = StoredBody(text, "json", "application/json")
    after = await post_result(api.engine, step, response)
    return await _shown(api, after, client)


async def _shown(api: Api, step: Step, client: Client) -> ApiResponse:
    [shown] = await all_redacted(api.engine.large_bodies, [step], client)
    return json_response(200, outcome_view(shown))


def _result(body: bytes) -> bytes:
    if len(body) > RESPONSE_MAX_BYTES and shortest(body) > RESPONSE_MAX_BYTES:
        raise problems.too_long("body", RESPONSE_MAX_BYTES)
    try:
        return canonical_json(parse_json(body), max_bytes=RESPONSE_MAX_BYTES)
    except JsonTooLong:
        raise problems.too_long("body", RESPONSE_MAX_BYTES) from None
    except JsonRefused as refused:
        raise problems.invalid("body", str(refused)) from None
