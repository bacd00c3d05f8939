"""Steps that exist: read one, answer an attempt of one."""

from atomic.application import queries
from atomic.application.answering import post_answer
from atomic.application.blobs import as_shown, with_payload
from atomic.application.redaction import all_redacted, redacted_payload
from atomic.domain.blobs import at_hand
from atomic.domain.clients.client import Client
from atomic.domain.outcomes import EndpointResponse
from atomic.entrypoints.http_api.api import Api, attempt_of, in_turn, outcome_response
from atomic.entrypoints.http_api.http import ApiRequest, ApiResponse, Query
from atomic.entrypoints.http_api.route import OF_BODIES, Operation, Routes, in_header, in_query
from atomic.entrypoints.http_api.start_tokens import refuse_unread
from atomic.entrypoints.http_api.views import NO_GUESSING, json_response, step_view
from atomic.protocol import headers, problems
from atomic.protocol.constants import BODY_MAX_BYTES, DURATION_MAX_MS, RESPONSE_MAX_BYTES
from atomic.protocol.problems import Problem
from atomic.protocol.requests import AnswerRequest, read_message
from atomic.protocol.strict_json import canonical_json

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
    by_token=True,
)
async def get_step(api: Api, request: ApiRequest, client: Client, step_id: str) -> ApiResponse:
    """A step; with `wait` (milliseconds) as soon as it settles."""
    query = Query(request)
    wait_ms = query.number("wait", 0, least=0, most=DURATION_MAX_MS)
    query.refuse_rest()
    wait_ms = min(wait_ms, api.engine.settings.wait_max_ms)
    step = await queries.get_step(api.engine, client, step_id)
    if client.token is not None:
        refuse_unread(client.token, step)
    step = await queries.wait_for_step(api.engine, step, wait_ms)
    shown = await as_shown(api.engine.store, step)
    [visible] = await all_redacted(api.engine.large_bodies, [shown], client)
    return json_response(200, step_view(visible))


@routes.add(
    "GET",
    "/{clientId}/steps/{stepId}/payload",
    Operation(
        id="getPayload",
        summary="Read the payload of a step",
        description="The body is the payload. The document of a step has it as well, up to 256 KiB; a "
        "longer one is `null` there, beside its `payloadBytes`.",
        content_type="application/json",
    ),
    scope="read",
)
async def get_payload(api: Api, request: ApiRequest, client: Client, step_id: str) -> ApiResponse:
    """The payload of a step, however long it is."""
    Query(request).refuse_rest()
    step = await queries.get_step(api.engine, client, step_id)
    step = await with_payload(api.engine.store, step)
    text = at_hand(step.spec.payload)
    text = await api.engine.large_bodies.read(client.id, len(text), lambda: redacted_payload(text, client))
    return ApiResponse(status=200, body=text, headers={"content-type": "application/json", **NO_GUESSING})


@routes.add(
    "POST",
    "/{clientId}/steps/{stepId}/answer",
    Operation(
        id="postAnswer",
        summary="Answer an attempt whose endpoint answers later",
        description="The body says what the endpoint would have answered; it is read by the same rules. "
        "Posting the same answer again is not an error.",
        headers=(in_header("Atomic-Attempt-Token", "Of the attempt that is answered; required."),),
        request=AnswerRequest,
        answers=((200, "StepOutcome", "The step as it stands now."),),
        refusals=(*OF_BODIES, problems.ATTEMPT_TOKEN_REQUIRED, problems.ATTEMPT_OVER),
    ),
    scope="start",
)
async def post_step_answer(api: Api, request: ApiRequest, client: Client, step_id: str) -> ApiResponse:
    """End an attempt with the answer that its endpoint postponed."""
    step = await queries.get_step(api.engine, client, step_id)
    attempt = attempt_of(request, client, step.id)
    if attempt is None:
        raise Problem(
            problems.ATTEMPT_TOKEN_REQUIRED,
            "Atomic-Attempt-Token: send the header of this name from the call that is answered, unchanged.",
        )
    answer = await in_turn(api, client, request, lambda: _answer(request.body or b"{}"))
    return await outcome_response(api, await post_answer(api.engine, client, step, attempt, answer), client)


def _answer(body: bytes) -> EndpointResponse:
    """What the endpoint would have answered. An answer that is too large is treated like any other."""
    given = read_message(AnswerRequest, body, max_bytes=BODY_MAX_BYTES)
    text = canonical_json(given.body)
    return EndpointResponse(
        status=given.status,
        headers={**given.headers, headers.CONTENT_TYPE: "application/json"},
        body=text if len(text) <= RESPONSE_MAX_BYTES else b"",
        too_large=len(text) > RESPONSE_MAX_BYTES,
    )
