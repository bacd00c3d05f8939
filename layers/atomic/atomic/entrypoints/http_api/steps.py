"""Steps: start or attach, probe an endpoint, read, redrive, complete an event."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from atomic.application import queries
from atomic.application.cancel import cancel_step
from atomic.application.probe import probe
from atomic.application.redaction import all_redacted
from atomic.application.redrive import redrive_step
from atomic.application.refusals import PayloadMismatch
from atomic.application.results import post_result
from atomic.application.start import StartResult, start
from atomic.domain.clients.client import Client, has_scope
from atomic.domain.outcomes import StoredBody
from atomic.domain.step_errors import is_step_cancelled, sentence_of
from atomic.domain.steps import Step, StepSpec
from atomic.entrypoints.http_api.api import Api, charge_start, in_turn, rate_headers, reserve
from atomic.entrypoints.http_api.http import (
    ApiRequest,
    ApiResponse,
    Query,
    json_response,
    problem_response,
    refuse_body,
)
from atomic.entrypoints.http_api.refusals import payload_mismatch
from atomic.entrypoints.http_api.route import OF_BODIES, Operation, Routes, in_header, in_query
from atomic.entrypoints.http_api.start_request import is_repeated, read_start, read_step, wait_ms
from atomic.entrypoints.http_api.views import failure_members, outcome_view, probe_view, step_view
from atomic.protocol import headers, problems
from atomic.protocol.canonical import JsonRefused, JsonTooLong, canonical_json, parse_json
from atomic.protocol.constants import DURATION_MAX_MS, RESPONSE_MAX_BYTES
from atomic.protocol.enums import Status
from atomic.protocol.headers import Preferences
from atomic.protocol.json_text import shortest
from atomic.protocol.problems import Problem
from atomic.protocol.requests import StartRequest
from atomic.protocol.timestamps import to_rfc3339

routes = Routes()

_RETRY_AFTER_MAX_S = 60
_STEP_CANCELLED = (
    "The step was cancelled, and its run goes on: go on without it, or post the work under another "
    "idempotencyKey or stepName."
)


_START: Final = Operation(
    id="start",
    summary="Start a step, or attach to it",
    description="Atomic calls the URL with the key until it succeeds, and records the answer. Posting "
    "the same again returns the recorded answer. The first post of a run is its root, the workflow. "
    "Its handler posts the steps, with the same workflowName and idempotencyKey, or with `parent`.",
    headers=(
        in_header("Idempotency-Key", "Instead of the member."),
        in_header("Prefer", "`wait=SECONDS`, `respond-async` (RFC 7240)."),
        in_header("traceparent", "W3C Trace Context to go on with."),
        in_header("Atomic-Attempt-Token", "Of the call in which the step is posted, from its headers."),
    ),
    request=StartRequest,
    answers=(
        (200, "StepOutcome", "Succeeded."),
        (202, "StepOutcome", "Not finished, and `Prefer: respond-async` was given."),
    ),
    refusals=(
        *OF_BODIES,
        problems.URL_NOT_ALLOWED,
        problems.CANCELLED,
        problems.STEP_CANCELLED,
        problems.PAYLOAD_MISMATCH,
        problems.STEP_FAILED,
        problems.EVENT_EXPIRED,
        problems.TOO_MANY_REQUESTS,
        problems.NOT_FINISHED,
        problems.STORAGE_FULL,
    ),
)


@routes.add("POST", "/{clientId}", _START, scope="start")
async def post_start(api: Api, request: ApiRequest, client: Client) -> ApiResponse:
    """Create or attach, wait, answer."""
    return await _post(api, request, client, read_start)


@routes.add(
    "POST",
    "/{clientId}/steps",
    replace(
        _START,
        id="postStep",
        summary="Post a step of a run, or attach to it",
        description="What the handler of a step posts: the same as a start, and `parent` is required. "
        "Each call of an endpoint names this path in its header `Atomic-Steps-Url`.",
    ),
    scope="start",
)
async def post_step(api: Api, request: ApiRequest, client: Client) -> ApiResponse:
    """Create or attach, wait, answer: a step of a handler."""
    return await _post(api, request, client, read_step)


async def _post(
    api: Api,
    request: ApiRequest,
    client: Client,
    reading: Callable[[Api, ApiRequest, Client], tuple[StartRequest, StepSpec]],
) -> ApiResponse:
    preferences = headers.parse_prefer(request.headers.get(headers.PREFER, ""))
    message, spec = await in_turn(api, client, request, lambda: reading(api, request, client))
    if not api.admits(spec.run_id):
        raise Problem(
            problems.UNAVAILABLE,
            "The server is shutting down and takes no new runs; nothing was started. Try again.",
            headers={headers.RETRY_AFTER: "1"},
        )
    try:
        async with await reserve(api, client, spec) as reservation:
            started = await start(
                api.engine,
                spec,
                wait_ms=wait_ms(message, preferences),
                is_repeated=is_repeated(request, client, spec),
            )
            if started.created:
                reservation.keep()
    except PayloadMismatch as refused:
        first = refused.first
        size = len(first.spec.payload) + len(spec.payload)
        raise await api.engine.large_bodies.read(
            client.id, size, lambda: payload_mismatch(first, spec, client)
        ) from None
    return _answer(started, preferences, api.engine.clock.now_ms(), rate_headers(api, client))


@routes.add(
    "POST",
    "/{clientId}/probe",
    Operation(
        id="probe",
        summary="Call an endpoint once, with no step",
        description="Makes the call that the first attempt of this start would make, signed in the same "
        "way. It is not recorded or retried, lasts 20 s at most, and counts as a start for the client's "
        "rate.",
        request=StartRequest,
        answers=((200, "ProbeResult", "The result of the call."),),
        refusals=(*OF_BODIES, problems.URL_NOT_ALLOWED, problems.TOO_MANY_REQUESTS),
    ),
    scope="start",
)
async def post_probe(api: Api, request: ApiRequest, client: Client) -> ApiResponse:
    """Call the endpoint of a start once and record nothing. It counts as a start for the client's rate.

    `atomic doctor` uses it to check whether Atomic reaches an endpoint, and what the endpoint answers.
    """
    _, spec = await in_turn(api, client, request, lambda: read_start(api, request, client))
    if spec.kind != "http":
        raise problems.invalid("kind", "only an endpoint can be called: leave it out, give stepInvokeUrl")
    await charge_start(api, client)
    probed = await probe(api.engine, client, spec)
    if probed is None:
        raise Problem(
            problems.TOO_MANY_REQUESTS,
            "Too many attempts of this client are under way to this destination; try again.",
            headers={headers.RETRY_AFTER: "1"},
        )
    return json_response(200, probe_view(probed))


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


def _answer(
    started: StartResult, preferences: Preferences, now_ms: int, extra: dict[str, str]
) -> ApiResponse:
    step = started.step
    if step.expires_at_ms is not None:
        extra[headers.IDEMPOTENCY_EXPIRES] = to_rfc3339(step.expires_at_ms)
    if started.replayed:
        extra[headers.IDEMPOTENCY_REPLAYED] = "true"
    if applied := preferences.applied():
        extra[headers.PREFERENCE_APPLIED] = applied
    match step.status:
        case Status.SUCCEEDED:
            return json_response(200, outcome_view(step), extra)
        case Status.FAILED if not step.is_dead_letter:
            extra[headers.ERROR_SOURCE] = "step"
            detail = f"{(sentence_of(step.error) or '').capitalize()}."
            return _problem(problems.EVENT_EXPIRED, detail, failure_members(step), extra)
        case Status.FAILED:
            extra[headers.ERROR_SOURCE] = "step"
            return _problem(problems.STEP_FAILED, _failure_detail(step), failure_members(step), extra)
        case Status.CANCELLED:
            return _cancelled(step, extra)
        case _:
            return _unfinished(step, preferences, now_ms, extra)


def _cancelled(step: Step, extra: dict[str, str]) -> ApiResponse:
    members = {"id": step.id, "runId": step.spec.run_id}
    if is_step_cancelled(step.error):
        return _problem(problems.STEP_CANCELLED, _STEP_CANCELLED, members, extra)
    return _problem(problems.CANCELLED, "The step was cancelled.", members, extra)


def _unfinished(step: Step, preferences: Preferences, now_ms: int, extra: dict[str, str]) -> ApiResponse:
    due_in_s = 1 if step.due_at_ms is None else -(-(step.due_at_ms - now_ms) // 1000)
    extra[headers.LOCATION] = f"/{step.spec.client_id}/steps/{step.id}"
    extra[headers.RETRY_AFTER] = str(max(1, min(due_in_s, _RETRY_AFTER_MAX_S)))
    if preferences.respond_async:
        return json_response(202, outcome_view(step), extra)
    return _problem(
        problems.NOT_FINISHED,
        "The step goes on. Post the same again to wait for it, or read it at Location.",
        {"id": step.id, "runId": step.spec.run_id, "stepStatus": step.status.value},
        extra,
    )


def _failure_detail(step: Step) -> str:
    return (
        f"The step failed at attempt {step.attempt_count}: {(sentence_of(step.error) or '').rstrip('.')}."
    )


def _problem(
    kind: problems.ProblemType, detail: str, members: dict[str, Any], extra: dict[str, str]
) -> ApiResponse:
    return problem_response(Problem(kind, detail, members, extra))


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
