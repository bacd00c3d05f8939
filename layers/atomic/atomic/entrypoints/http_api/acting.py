"""The routes that act on what is there: cancel, redrive, post a result."""

from atomic.application import queries
from atomic.application.cancel import cancel_run
from atomic.application.ports import RunQuery
from atomic.application.redaction import all_redacted, without_error_excerpt
from atomic.application.redrive import redrive_many, redrive_step
from atomic.application.results import post_result
from atomic.domain.clients.client import Client
from atomic.domain.outcomes import StoredBody
from atomic.domain.steps import Step
from atomic.entrypoints.http_api.api import Api, in_turn, read
from atomic.entrypoints.http_api.http import ApiRequest, ApiResponse, json_response
from atomic.entrypoints.http_api.views import outcome_view, run_view
from atomic.protocol import problems
from atomic.protocol.canonical import JsonRefused, JsonTooLong, canonical_json, parse_json
from atomic.protocol.constants import BULK_MAX, RESPONSE_MAX_BYTES
from atomic.protocol.json_text import shortest
from atomic.protocol.requests import RedriveRequest
from atomic.protocol.timestamps import from_rfc3339


async def post_cancel(api: Api, request: ApiRequest, client: Client, run_id: str) -> ApiResponse:
    """Cancel a run; a run that has ended stays as it is."""
    _refuse_body(request)
    await queries.get_root(api.engine, client, run_id)
    await cancel_run(api.engine, run_id)
    root = await queries.get_root(api.engine, client, run_id)
    return json_response(200, run_view(without_error_excerpt(root, client)))


async def post_redrive_step(api: Api, request: ApiRequest, client: Client, step_id: str) -> ApiResponse:
    """Redrive one dead letter; a step that did not fail stays as it is."""
    _refuse_body(request)
    step = await queries.get_step(api.engine, client, step_id)
    return await _shown(api, await redrive_step(api.engine, step), client)


async def post_redrive(api: Api, request: ApiRequest, client: Client) -> ApiResponse:
    """Redrive the dead letters that fit a filter, the newest first."""
    wanted = (await read(api, client, request, RedriveRequest)).filter
    query = RunQuery(
        client_id=client.id,
        workflow_name=wanted.workflow_name,
        key_prefix=wanted.key_prefix,
        created_from_ms=_moment("filter.createdAfter", wanted.created_after),
        created_before_ms=_moment("filter.createdBefore", wanted.created_before),
        limit=BULK_MAX,
    )
    before_ms = _moment("filter.failedBefore", wanted.failed_before)
    redriven, more = await redrive_many(api.engine, query, failed_before_ms=before_ms)
    return json_response(200, {"redriven": len(redriven), "steps": redriven, "more": more})


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


def _refuse_body(request: ApiRequest) -> None:
    if request.body not in {b"", b"{}"}:
        raise problems.invalid("body", "this request takes no body; leave it out")


def _moment(where: str, text: str | None) -> int | None:
    try:
        return None if text is None else from_rfc3339(text)
    except ValueError:
        raise problems.invalid(where, "use a time as in 2026-11-23T07:38:00Z") from None
