"""Events: their results come from outside, by the id of the step or by the event's name."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from atomic.application import queries
from atomic.application.messages import send_message
from atomic.application.results import post_heartbeat, post_result, signal, signal_heartbeat
from atomic.domain.clients.client import Client
from atomic.domain.event_steps import JSON_RESULT, rejection
from atomic.domain.events import ResultPosted
from atomic.domain.messages import note_id
from atomic.domain.outcomes import StoredBody
from atomic.domain.steps import Step, StepSpec
from atomic.entrypoints.http_api.api import Api, in_turn, outcome_response, reserve
from atomic.entrypoints.http_api.http import ApiRequest, ApiResponse
from atomic.entrypoints.http_api.route import OF_BODIES, Operation, Routes
from atomic.entrypoints.http_api.views import event_view, json_response
from atomic.protocol import keys, problems
from atomic.protocol.constants import RESPONSE_MAX_BYTES
from atomic.protocol.event_requests import EventRequest, read_rejection
from atomic.protocol.requests import read_message
from atomic.protocol.strict_json import (
    JsonRefused,
    JsonTooLong,
    canonical_json,
    fingerprint,
    parse_json,
    shortest,
)

routes = Routes()

# A handler that opens an event sends no payload, as a rule.
_NO_PAYLOAD: Final = b"null"


@routes.add(
    "POST",
    "/{clientId}/events",
    Operation(
        id="postEvent",
        summary="Post the result of an event by its name",
        description="Reaches an event of the run `workflowName` and `idempotencyKey`, or of the workflow "
        "`parent`, before or after its handler opens it. The first result counts, and the same one again "
        "is not an error. `heartbeat` reaches an open event only, `next` the first event of its name "
        "that has no result.",
        request=EventRequest,
        answers=((200, "EventOutcome", "The event has this result."),),
        refusals=(
            *OF_BODIES,
            problems.NOT_AN_OPEN_EVENT,
            problems.TOO_MANY_REQUESTS,
            problems.STORAGE_FULL,
        ),
    ),
    scope="signal",
)
async def post_event(api: Api, request: ApiRequest, client: Client) -> ApiResponse:
    """Complete or reject an event by its name."""
    message, posted = await in_turn(api, client, request, lambda: _read(request.body))
    handler = None if message.parent is None else await queries.get_step(api.engine, client, message.parent)
    spec = _spec(api, client, message, handler)
    if message.heartbeat:
        return json_response(200, event_view(await signal_heartbeat(api.engine, spec), "open"))
    # An early result is stored and its step is never live, like a value.
    stored = replace(spec, kind="value", payload=posted.response.text)
    if message.next:
        # Another event than the first one may be made, and a message that exists needs nothing.
        stored = replace(stored, identity=keys.position_of(note_id(spec, message.id or "")))
    async with await reserve(api, client, stored) as reservation:
        if message.next:
            step, was = await send_message(api.engine, spec, posted, message.id, handler)
        else:
            step, was = await signal(api.engine, spec, posted, handler)
        if was == "early":
            reservation.keep()
    return json_response(200, event_view(step, was))


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
    return await _complete_step(
        api, request, client, step_id, lambda: ResultPosted(stored_result(read_json(request.body), "body"))
    )


@routes.add(
    "POST",
    "/{clientId}/steps/{stepId}/reject",
    Operation(
        id="rejectEvent",
        summary="Reject an event step",
        any_json_body=True,
        description="The body is an object whose `detail` says why; its handler gets it as `response` of "
        "the problem `event-rejected`. Rejecting for the same reason again is not an error.",
        answers=((200, "StepOutcome", "The step as it stands now."),),
        refusals=(*OF_BODIES, problems.NOT_AN_OPEN_EVENT),
    ),
    scope="signal",
)
async def post_step_rejection(api: Api, request: ApiRequest, client: Client, step_id: str) -> ApiResponse:
    """Reject an event step."""
    return await _complete_step(
        api, request, client, step_id, lambda: rejected(read_rejection(read_json(request.body)), "body")
    )


@routes.add(
    "POST",
    "/{clientId}/steps/{stepId}/heartbeat",
    Operation(
        id="postHeartbeat",
        summary="Tell an open event that somebody is at work on it",
        description="An event with `heartbeat` expires when none comes for so long. For any other open "
        "event, nothing changes. There is no body.",
        answers=((200, "StepOutcome", "The step as it stands now."),),
        refusals=(problems.NOT_AN_OPEN_EVENT,),
    ),
    scope="signal",
)
async def post_step_heartbeat(api: Api, _: ApiRequest, client: Client, step_id: str) -> ApiResponse:
    """Postpone the expiry of an event step."""
    step = await queries.get_step(api.engine, client, step_id)
    return await outcome_response(api, await post_heartbeat(api.engine, step), client)


async def _complete_step(
    api: Api, request: ApiRequest, client: Client, step_id: str, read: Callable[[], ResultPosted]
) -> ApiResponse:
    step = await queries.get_step(api.engine, client, step_id)
    return await outcome_response(api, await complete(api, request, client, step, read), client)


async def complete(
    api: Api, request: ApiRequest, client: Client, event: Step, read: Callable[[], ResultPosted]
) -> Step:
    """Post the result that `read` finds in the request; the event as it then stands."""
    posted = await in_turn(api, client, request, read)
    # This process may have had no other request of the client.
    api.engine.admission.meter.watch(client)
    return (await post_result(api.engine, event, posted)).step


def _read(body: bytes) -> tuple[EventRequest, ResultPosted]:
    message = read_message(EventRequest, body)
    if message.reject is not None:
        return message, rejected(message.reject, "reject")
    return message, ResultPosted(stored_result(message.result, "result"))


def _spec(api: Api, client: Client, message: EventRequest, handler: Step | None) -> StepSpec:
    """The event as its handler asks for it: under the name and the key that the handler was given."""
    name, key = message.workflow_name or "", message.idempotency_key or ""
    if handler is not None:
        if handler.spec.kind != "http":
            cure = f"a step of kind {handler.spec.kind} has no handler that waits for events"
            raise problems.invalid("parent", cure)
        name, key = handler.spec.workflow_name, handler.spec.endpoint_key
    run_id = keys.run_id(client.id, name, key) if handler is None else handler.spec.run_id
    parent = keys.root_of(run_id) if handler is None else handler.id
    return StepSpec(
        client_id=client.id,
        run_id=run_id,
        identity=keys.identity(client.id, name, parent, "event", message.name, key),
        kind="event",
        workflow_name=name,
        url="",
        step_name=message.name,
        idempotency_key=key,
        parent=parent,
        payload=_NO_PAYLOAD,
        reached_at=api.engine.settings.public_url,
        fingerprint=fingerprint(_NO_PAYLOAD),
        retention_ms=api.engine.kept_ms(client, name) if handler is None else handler.spec.retention_ms,
        trace_id=keys.trace_of(run_id),
    )


def read_json(body: bytes) -> Any:
    """The value of a body; an empty one is null. Raises Problem."""
    if len(body) > RESPONSE_MAX_BYTES and shortest(body) > RESPONSE_MAX_BYTES:
        raise problems.too_long("body", RESPONSE_MAX_BYTES)
    try:
        return parse_json(body or b"null")
    except JsonRefused as refused:
        raise problems.invalid("body", str(refused)) from None


def rejected(members: dict[str, Any], where: str) -> ResultPosted:
    return rejection(stored_result(members, where), members["detail"])


def stored_result(value: Any, where: str, *, is_json: bool = True) -> StoredBody:
    """A result as it is stored. `is_json`: it has members, to be hidden one by one. Raises Problem 413."""
    try:
        text = canonical_json(value, max_bytes=RESPONSE_MAX_BYTES)
    except JsonTooLong:
        raise problems.too_long(where, RESPONSE_MAX_BYTES) from None
    return StoredBody(text, "json", JSON_RESULT if is_json else None)
