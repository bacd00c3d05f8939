"""Posts of steps: reads the request, starts the step or attaches to it, and makes the answer."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from atomic.application.blobs import with_payload, with_response
from atomic.application.child_runs import begin_run
from atomic.application.engine import Settings
from atomic.application.refusals import PayloadMismatch
from atomic.application.start import StartResult, start
from atomic.domain.blobs import Blob
from atomic.domain.clients.client import Client
from atomic.domain.event_steps import is_rejected
from atomic.domain.outcomes import is_step_cancelled, sentence_of
from atomic.domain.retry import RetryPolicy
from atomic.domain.steps import Step, StepSpec
from atomic.entrypoints.http_api.api import (
    Api,
    attempt_of,
    check_url,
    in_turn,
    rate_headers,
    reserve,
)
from atomic.entrypoints.http_api.callbacks import callback_member
from atomic.entrypoints.http_api.hooks import run_hooks
from atomic.entrypoints.http_api.http import ApiRequest, ApiResponse
from atomic.entrypoints.http_api.links import called_run, go_on, of_link, problem_of_link
from atomic.entrypoints.http_api.refusals import payload_mismatch
from atomic.entrypoints.http_api.route import OF_BODIES, Operation, Routes, in_header
from atomic.entrypoints.http_api.sharing import asked_limits, attached_member, followed, start_sharing
from atomic.entrypoints.http_api.start_times import start_times
from atomic.entrypoints.http_api.start_tokens import within_token
from atomic.entrypoints.http_api.views import (
    failure_members,
    json_response,
    outcome_view,
    problem_response,
)
from atomic.protocol import headers, keys, problems
from atomic.protocol.constants import PAYLOAD_MAX_BYTES
from atomic.protocol.enums import Status
from atomic.protocol.headers import Preferences
from atomic.protocol.problems import Problem
from atomic.protocol.requests import StartRequest, read_message
from atomic.protocol.strict_json import JsonTooLong, canonical_json, fingerprint
from atomic.protocol.tags import tag_texts
from atomic.protocol.urls import BUS, LAMBDA
from atomic.protocol.wire import RetryOptions, to_rfc3339

routes = Routes()

# What to do about another payload.
_OTHER_PAYLOAD: Final = "Use a new idempotencyKey for new work, or post the first payload again."

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
        (200, "PostedStep", "Succeeded."),
        (202, "PostedStep", "Not finished, and `Prefer: respond-async` was given."),
    ),
    refusals=(
        *OF_BODIES,
        problems.URL_NOT_ALLOWED,
        problems.BEYOND_TOKEN,
        problems.CANCELLED,
        problems.STEP_CANCELLED,
        problems.TOO_DEEP,
        problems.RUN_CYCLE,
        problems.RUN_EXISTS,
        problems.BUSY,
        problems.ATTEMPT_TOKEN_REQUIRED,
        problems.ATTEMPT_OVER,
        problems.PAYLOAD_MISMATCH,
        problems.STEP_FAILED,
        problems.EVENT_EXPIRED,
        problems.EVENT_REJECTED,
        problems.TOO_MANY_REQUESTS,
        problems.NOT_FINISHED,
        problems.STORAGE_FULL,
    ),
)


@routes.add("POST", "/{clientId}", _START, scope="start", by_token=True)
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
    return await _post(api, request, client, _read_step)


async def _post(
    api: Api,
    request: ApiRequest,
    client: Client,
    reading: Callable[[Api, ApiRequest, Client], tuple[StartRequest, StepSpec]],
) -> ApiResponse:
    preferences = headers.parse_prefer(request.headers.get(headers.PREFER, ""))
    message, spec = await in_turn(api, client, request, lambda: reading(api, request, client))
    check_admits(api, keys.run_of(spec.continued_from) if spec.continued_from else spec.run_id)
    wait_ms = _asked_wait_ms(message, preferences)
    try:
        async with await reserve(api, client, spec) as reservation:
            if spec.continued_from is not None:
                started = await go_on(api, request, client, message, spec, spec.continued_from)
                # Its poster is about to end, and waits for nothing.
                preferences = replace(preferences, respond_async=True)
            elif (spec.singleton or spec.debounce) and spec.kind == "http":
                started = await start_sharing(api.engine, spec, wait_ms)
            else:
                started = await start(
                    api.engine,
                    spec,
                    wait_ms=wait_ms,
                    attempt=None if spec.parent is None else attempt_of(request, client, spec.parent),
                    first=begin_run if spec.kind == "run" else None,
                )
            if started.created:
                reservation.keep()
    except PayloadMismatch as refused:
        raise await mismatch(api, client, refused, spec) from None
    if started.step.continued_as is not None:
        started = await followed(api.engine, started, 0.0)
    if started.step.response is not None and isinstance(started.step.response.text, Blob):
        started = replace(started, step=await with_response(api.engine.store, started.step))
    # Calls between modules cost each start.
    members = callback_member(api, client, started.step) if spec.kind == "event" else {}
    return _answer(
        started, spec, members, preferences, api.engine.clock.now_ms(), rate_headers(api, client)
    )


async def mismatch(
    api: Api, client: Client, refused: PayloadMismatch, spec: StepSpec, cure: str = _OTHER_PAYLOAD
) -> Problem:
    """The problem of a payload that is not the first one of its key. Large ones are compared in turn."""
    first = await with_payload(api.engine.store, refused.first)
    size = len(first.spec.payload) + len(spec.payload)
    return await api.engine.large_bodies.read(
        client.id, size, lambda: payload_mismatch(first, spec, client, cure)
    )


def check_admits(api: Api, run_id: str) -> None:
    """Raise Problem 503 for a new run while the server shuts down."""
    if not api.admits(run_id):
        raise Problem(
            problems.UNAVAILABLE,
            "The server is shutting down and takes no new runs; nothing was started. Try again.",
            headers={headers.RETRY_AFTER: "1"},
        )


def _answer(
    started: StartResult,
    asked: StepSpec,
    members: dict[str, str],
    preferences: Preferences,
    now_ms: int,
    extra: dict[str, str],
) -> ApiResponse:
    """The answer: `members` are further members of its document, `extra` are headers for it."""
    step = started.step
    more: dict[str, Any] = members if step.spec.run_id == asked.run_id else attached_member(step)
    if step.expires_at_ms is not None:
        extra[headers.IDEMPOTENCY_EXPIRES] = to_rfc3339(step.expires_at_ms)
    if started.replayed:
        extra[headers.IDEMPOTENCY_REPLAYED] = "true"
    if applied := preferences.applied():
        extra[headers.PREFERENCE_APPLIED] = applied
    if step.continued_as is not None:
        extra[headers.LOCATION] = f"/{step.spec.client_id}/steps/{step.continued_as}"
    match step.status:
        case Status.SUCCEEDED:
            return json_response(200, {**outcome_view(step), **more}, extra)
        case Status.FAILED:
            extra[headers.ERROR_SOURCE] = "step"
            kind, detail = _failure(step)
            return _problem(kind, detail, {**failure_members(step), **more}, extra)
        case Status.CANCELLED:
            return _cancelled(step, {} if more is members else more, extra)
        case _:
            return _unfinished(step, more, preferences, now_ms, extra)


def _failure(step: Step) -> tuple[problems.ProblemType, str]:
    """The problem of a step that has failed, and its detail."""
    sentence = (sentence_of(step.error) or "").rstrip(".")
    if step.is_dead_letter:
        when = f"at attempt {step.attempt_count}" if step.attempt_count else "before its first attempt"
        return problems.STEP_FAILED, f"The step failed {when}: {sentence}."
    sentence = f"{sentence[:1].upper()}{sentence[1:]}."
    if step.spec.kind == "run":
        kind, cure = problem_of_link(step)
        return kind, sentence + cure
    return problems.EVENT_REJECTED if is_rejected(step) else problems.EVENT_EXPIRED, sentence


def _cancelled(step: Step, more: dict[str, Any], extra: dict[str, str]) -> ApiResponse:
    members = {"id": step.id, "runId": step.spec.run_id, **more}
    if is_step_cancelled(step.error):
        return _problem(problems.STEP_CANCELLED, _STEP_CANCELLED, members, extra)
    return _problem(problems.CANCELLED, "The step was cancelled.", members, extra)


def _unfinished(
    step: Step, members: dict[str, Any], preferences: Preferences, now_ms: int, extra: dict[str, str]
) -> ApiResponse:
    due_in_s = 1 if step.due_at_ms is None else -(-(step.due_at_ms - now_ms) // 1000)
    extra[headers.LOCATION] = f"/{step.spec.client_id}/steps/{step.id}"
    extra[headers.RETRY_AFTER] = str(max(1, min(due_in_s, _RETRY_AFTER_MAX_S)))
    if preferences.respond_async:
        return json_response(202, {**outcome_view(step), **members}, extra)
    return _problem(
        problems.NOT_FINISHED,
        "The step goes on. Post the same again to wait for it, or read it at Location.",
        {"id": step.id, "runId": step.spec.run_id, "stepStatus": step.status.value, **members},
        extra,
    )


def _problem(
    kind: problems.ProblemType, detail: str, members: dict[str, Any], extra: dict[str, str]
) -> ApiResponse:
    return problem_response(Problem(kind, detail, members, extra))


def read_start(api: Api, request: ApiRequest, client: Client) -> tuple[StartRequest, StepSpec]:
    """The request's body, and the step that it asks for. Raises Problem."""
    message = read_message(StartRequest, request.body)
    spec = step_spec(api, request, client, message)
    return message, spec if client.token is None else within_token(client.token, spec)


def _read_step(api: Api, request: ApiRequest, client: Client) -> tuple[StartRequest, StepSpec]:
    """The same for a post of a handler. It names the step whose handler this is. Raises Problem."""
    message, spec = read_start(api, request, client)
    if message.parent is None and message.continues is None:
        raise problems.invalid(
            "parent",
            "required on this path: name the step whose handler posts this one, by its header "
            "Atomic-Step-Id; a run is started at /{clientId}",
        )
    return message, spec


def step_spec(api: Api, request: ApiRequest, client: Client, message: StartRequest) -> StepSpec:
    """The step that a message asks for. Raises Problem."""
    key, name, settings = _idempotency_key(request, message), message.workflow_name, api.engine.settings
    url, step_name = message.step_invoke_url or "", message.step_name or ""
    # Nearly all URLs are allowed, and calls between modules cost each start.
    if url and (url.startswith((LAMBDA, BUS)) or not client.may_call(url)):
        check_url(api, client, url, "stepInvokeUrl")
    payload = payload_text(message.payload)
    run_id = keys.run_of(message.parent) if message.parent else keys.run_id(client.id, name, key)
    kept_ms = api.engine.kept_ms(client, name) if client.retentions.workflows else settings.retention_ms
    trace_id, unsampled = headers.parse_trace(request.headers.get(headers.TRACEPARENT, ""))
    return StepSpec(
        client_id=client.id,
        run_id=run_id,
        identity=keys.identity(
            client.id,
            name,
            message.parent or "",
            # A link is told apart by its run. A timer or an event has its kind in place of a URL.
            (url or message.kind) if message.run is None else called_run(client, message, message.run),
            step_name,
            key,
        ),
        trace_id=trace_id or keys.trace_of(run_id),
        kind=message.kind,
        workflow_name=name,
        url=url,
        step_name=step_name,
        idempotency_key=key,
        parent=message.parent,
        payload=payload,
        fingerprint=fingerprint(payload),
        retry=_policy_of(message),
        delay_ms=message.delay,
        attempt_timeout_ms=_attempt_timeout_ms(settings, message),
        deadline_ms=message.deadline,
        heartbeat_ms=message.heartbeat,
        fails_if_lost=message.on_lost == "fail",
        capture=tuple(message.capture),
        reached_at=settings.public_url if message.kind == "event" else None,
        retention_ms=kept_ms,
        unsampled=unsampled,
        continued_from=message.continues,
        paused=message.paused,
        tags=tag_texts(message.tags) if message.tags else (),
        hooks=run_hooks(api, client, message.hooks) if message.hooks else (),
        **({} if message.start_at is message.start_by is None else start_times(api, message)),
        **(asked_limits(api, message) if message.flow or message.singleton or message.debounce else {}),
        **({} if message.run is None else of_link(message, message.run)),
    )


def _attempt_timeout_ms(settings: Settings, message: StartRequest) -> int:
    """The time of one attempt. Raises Problem 400 when this server does not allow so much."""
    timeout_ms = message.attempt_timeout or settings.attempt_timeout_default_ms
    if timeout_ms > settings.attempt_timeout_max_ms:
        most = settings.attempt_timeout_max_ms
        raise problems.invalid("attemptTimeout", f"use at most {most} (milliseconds)")
    return timeout_ms


def _policy_of(message: StartRequest) -> RetryPolicy:
    """The policy of a start. Nearly every start has the default one."""
    return _DEFAULT_POLICY if message.retry is _DEFAULT_RETRY else retry_policy(message.retry)


def retry_policy(retry: RetryOptions) -> RetryPolicy:
    """The policy that is in force for these options."""
    return RetryPolicy(
        count=retry.count, back_off_ms=retry.back_off, strategy=retry.strategy, factor=retry.factor,
        max_back_off_ms=retry.max_back_off_ms, jitter=retry.jitter, on=retry.on, never=retry.never,
        then_pauses=retry.then == "pause",
    )  # fmt: skip


def payload_text(payload: Any) -> bytes:
    """The payload as canonical JSON. Raises Problem 413 for a long one."""
    try:
        return canonical_json(payload, max_bytes=PAYLOAD_MAX_BYTES)
    except JsonTooLong:
        raise problems.too_long("payload", PAYLOAD_MAX_BYTES) from None


def _idempotency_key(request: ApiRequest, message: StartRequest) -> str:
    header = request.headers.get(headers.IDEMPOTENCY_KEY)
    if header is None:
        if message.idempotency_key is None:
            raise problems.invalid(
                "idempotencyKey", "required, as a member of the body or as the header Idempotency-Key"
            )
        return message.idempotency_key
    key = headers.parse_idempotency_key(header)
    if not keys.is_idempotency_key(key):
        raise problems.invalid("Idempotency-Key", "use 1 to 255 visible ASCII characters, no spaces")
    if message.idempotency_key not in {None, key}:
        raise problems.invalid(
            "Idempotency-Key", "differs from idempotencyKey in the body; send one of them, or both equal"
        )
    return key


def _asked_wait_ms(message: StartRequest, preferences: Preferences) -> int | None:
    """How long the caller asks to wait; None when it does not say."""
    if preferences.respond_async and preferences.wait_ms is None:
        return 0
    asked = [ms for ms in (message.timeout, preferences.wait_ms) if ms is not None]
    if not asked:
        return None
    # A handler that is told 504 must be called again when the step settles. Only a post that waits makes a
    # note for this.
    return min(asked) if preferences.respond_async else max(1, min(asked))


# Pydantic gives each message without options the same object.
_DEFAULT_RETRY: Final = StartRequest.model_fields["retry"].default
_DEFAULT_POLICY: Final = retry_policy(_DEFAULT_RETRY)
