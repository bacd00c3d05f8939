"""Callback URLs: a third party that has the URL of an event completes it, and needs no API key for it."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, Final

from atomic.application.blobs import with_response
from atomic.application.refusals import NotAnOpenEvent
from atomic.application.results import post_heartbeat
from atomic.domain.blobs import at_hand
from atomic.domain.clients.client import Client
from atomic.domain.event_steps import callback_ends_s
from atomic.domain.events import ResultPosted
from atomic.domain.steps import Step
from atomic.entrypoints.http_api.api import Api
from atomic.entrypoints.http_api.events import complete, rejected, stored_result
from atomic.entrypoints.http_api.http import ApiRequest, ApiResponse
from atomic.entrypoints.http_api.route import OF_BODIES, Operation, Routes
from atomic.entrypoints.http_api.views import NO_GUESSING, json_response, problem_response
from atomic.protocol import problems
from atomic.protocol.callbacks import Callback, callback_token, parse_callback_token
from atomic.protocol.enums import Status
from atomic.protocol.event_requests import read_rejection
from atomic.protocol.headers import LOCATION
from atomic.protocol.problems import Problem
from atomic.protocol.strict_json import parse_json

routes = Routes()

# The path of all callback URLs. The token proves what a request may do, wherever it comes from.
PATH: Final = "/callbacks/"
_NO_REASON: Final = "no reason was given"
# A page of any server may post. It cannot read the page of a callback, since only posts have this.
_ANY_ORIGIN: Final = {"access-control-allow-origin": "*", "cache-control": "no-store"}
_OPERATION: Final = Operation(
    id="postCallback",
    summary="Complete an event by its callback URL",
    any_body=True,
    description="The body becomes the step's response: JSON as it is, a form as an object, `text/*` as a "
    "text, anything else as `contentType`, `encoding` and `body`, nothing as null. If the event was posted "
    "with `capture`, the response has these headers and the body as it was sent. Posting the same again is "
    "not an error.",
    answers=(
        (200, "CallbackOutcome", "The event has this result, or is open after a heartbeat."),
        (303, "", "With `Accept: text/html`: the page says what the event is now."),
    ),
    refusals=(*OF_BODIES, problems.NOT_FOUND, problems.EVENT_ENDED, problems.UNAVAILABLE),
)
_PREFLIGHT: Final = Operation(
    id="preflightCallback",
    summary="Ask whether a page of another server may post",
    description="Every page may.",
    answers=((204, "", "It may."),),
)
_Reader = Callable[[Step], ResultPosted]
_Action = Callable[[Step, Client], Awaitable[Step]]


def callback_member(api: Api, client: Client, event: Step) -> dict[str, str]:
    """The callback URL of an event as a member of an answer; nothing for other steps."""
    keys = api.engine.clients.callback_keys
    if event.spec.kind != "event" or not client.callbacks or not keys:
        return {}
    token = callback_token(keys[0], Callback(event.id, callback_ends_s(event)))
    at = event.spec.reached_at
    return {"callbackUrl": f"{api.engine.settings.public_url if at is None else at}{PATH}{token}"}


@routes.add("POST", "/callbacks/{token}", _OPERATION)
async def post_callback(api: Api, request: ApiRequest, token: str) -> ApiResponse:
    """Complete an event with any body."""
    return await _complete(api, request, token, lambda event: _result(request, event))


@routes.add(
    "POST",
    "/callbacks/{token}/approve",
    replace(
        _OPERATION,
        id="approveCallback",
        summary="Complete an event with an approval",
        any_body=False,
        description='What the button of the page posts: the response is `{"approved": true}`.',
    ),
)
async def post_approval(api: Api, request: ApiRequest, token: str) -> ApiResponse:
    """Complete an event as the page does."""
    approved = ResultPosted(stored_result({"approved": True}, "body"))
    return await _complete(api, request, token, lambda _event: approved)


@routes.add(
    "POST",
    "/callbacks/{token}/reject",
    replace(
        _OPERATION,
        id="rejectCallback",
        summary="Reject an event by its callback URL",
        description="The body, if there is one, is an object or a form; its `detail` says why.",
    ),
)
async def post_callback_rejection(api: Api, request: ApiRequest, token: str) -> ApiResponse:
    """Reject an event."""
    return await _complete(api, request, token, lambda _event: _rejection(request))


@routes.add(
    "POST",
    "/callbacks/{token}/heartbeat",
    replace(
        _OPERATION,
        id="heartbeatCallback",
        summary="Tell an open event that somebody is at work on it, by its callback URL",
        any_body=False,
        description="There is no body.",
    ),
)
async def post_callback_heartbeat(api: Api, request: ApiRequest, token: str) -> ApiResponse:
    """Postpone the end of an event."""
    return await _act(api, request, token, lambda event, _client: post_heartbeat(api.engine, event))


@routes.add("OPTIONS", "/callbacks/{token}", _PREFLIGHT)
@routes.add("OPTIONS", "/callbacks/{token}/approve", replace(_PREFLIGHT, id="preflightApproval"))
@routes.add("OPTIONS", "/callbacks/{token}/reject", replace(_PREFLIGHT, id="preflightRejection"))
@routes.add("OPTIONS", "/callbacks/{token}/heartbeat", replace(_PREFLIGHT, id="preflightHeartbeat"))
async def preflight(_api: Api, _request: ApiRequest, _token: str) -> ApiResponse:
    """The preflight of a browser. It says nothing about the token."""
    allowed = {"allow-methods": "POST", "allow-headers": "*", "max-age": "86400"}
    named = {f"access-control-{name}": value for name, value in allowed.items()}
    return ApiResponse(status=204, headers={**NO_GUESSING, **_ANY_ORIGIN, **named})


@routes.add(
    "GET",
    "/callbacks/{token}",
    Operation(
        id="getCallback",
        summary="The page of a callback URL",
        description="It says whether the event is open, and has a form to approve and one to reject it. "
        "Reading it never changes anything.",
        content_type="text/html",
        refusals=(problems.NOT_FOUND, problems.UNAVAILABLE),
    ),
)
async def get_callback(api: Api, request: ApiRequest, token: str) -> ApiResponse:
    """The page for people."""
    # Imported here, like what reads bodies below: few processes need it, and a Lambda must start fast.
    from atomic.entrypoints.http_api.callback_page import event_page, unknown_page

    try:
        event, _ = await _event_of(api, token)
    except Problem as problem:
        return unknown_page() if _wants_page(request) else problem_response(problem)
    return event_page(event, token)


async def _complete(api: Api, request: ApiRequest, token: str, read: _Reader) -> ApiResponse:
    """Post the result that `read` finds in the request."""
    return await _act(
        api,
        request,
        token,
        lambda event, client: complete(api, request, client, event, lambda: read(event)),
    )


async def _act(api: Api, request: ApiRequest, token: str, act: _Action) -> ApiResponse:
    """Do this to the event, and answer; a browser that shows a page is led back to the page."""
    try:
        event = await act(*await _event_of(api, token))
        response = json_response(200, {"status": event.status.value}, _ANY_ORIGIN)
    except Problem as problem:
        response = problem_response(replace(problem, headers={**problem.headers, **_ANY_ORIGIN}))
    except NotAnOpenEvent as refused:
        detail = f"The event is {refused.status} already; its outcome never changes."
        members = {"stepStatus": refused.status}
        response = problem_response(Problem(problems.EVENT_ENDED, detail, members, _ANY_ORIGIN))
    if not _wants_page(request) or response.status not in {200, 410}:
        return response
    # Relative, since the server may be reached under a path that it does not know. The token is valid, so
    # it has no other characters than those of base64.
    page = token if request.path.endswith(token) else f"../{token}"
    return ApiResponse(status=303, headers={**NO_GUESSING, LOCATION: page, "cache-control": "no-store"})


async def _event_of(api: Api, token: str) -> tuple[Step, Client]:
    """The event of a valid token, and its client. Raises Problem 404; a forged token costs no read."""
    engine = api.engine
    now_s = engine.clock.now_ms() // 1000
    found = parse_callback_token(engine.clients.callback_keys, token, now_s)
    event = None if found is None else await engine.store.get(found.step_id)
    # A later event of the same identity has a URL of its own.
    if found is not None and event is not None and callback_ends_s(event) == found.ends_s:
        client = await engine.clients.get(event.spec.client_id)
        if client is not None and client.callbacks:
            return (await with_response(engine.store, event) if event.spec.capture else event), client
    raise Problem(problems.NOT_FOUND, "This callback URL is not valid, or not any more.")


def _result(request: ApiRequest, event: Step) -> ResultPosted:
    """The result that a request means for the event. Raises Problem."""
    from atomic.entrypoints.http_api.callback_bodies import captured, read_body

    if not event.spec.capture:
        body = read_body(request.headers, request.body)
        return ResultPosted(stored_result(body.value, "body", is_json=body.is_json))
    body = captured(request.headers, request.body, event.spec.capture)
    if event.status is Status.SUCCEEDED and event.response is not None:
        kept = parse_json(at_hand(event.response.text))
        # Senders sign each delivery anew, with the time in it. The same body is the same result.
        if isinstance(kept, dict) and kept == {**body.value, "headers": kept.get("headers")}:
            return ResultPosted(event.response)
    return ResultPosted(stored_result(body.value, "body", is_json=False))


def _wants_page(request: ApiRequest) -> bool:
    """Whether a person sees the answer in a browser."""
    return "text/html" in request.headers.get("accept", "")


def _rejection(request: ApiRequest) -> ResultPosted:
    """The rejection that a request means. Raises Problem."""
    from atomic.entrypoints.http_api.callback_bodies import read_body

    body = read_body(request.headers, request.body)
    # What is no JSON could not be hidden from readers.
    members: Any = {} if body.value is None else body.value if body.is_json else None
    if isinstance(members, dict) and members.get("detail", "") in ("", None):
        members = {**members, "detail": _NO_REASON}
    return rejected(read_rejection(members), "body")
