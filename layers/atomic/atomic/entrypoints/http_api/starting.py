"""`POST /{clientId}`: from the wire to a step, and from a step to one of the answers of a start."""

from typing import Any

from atomic.application.refusals import PayloadMismatch
from atomic.application.start import StartResult, start
from atomic.domain.clients.client import Client
from atomic.domain.retry import RetryPolicy
from atomic.domain.step_errors import sentence_of
from atomic.domain.steps import Status, Step, StepSpec
from atomic.entrypoints.http_api.api import Api, in_turn
from atomic.entrypoints.http_api.http import (
    ApiRequest,
    ApiResponse,
    json_response,
    problem_response,
)
from atomic.entrypoints.http_api.limiting import rate_headers, reserve
from atomic.entrypoints.http_api.mismatch import payload_mismatch
from atomic.entrypoints.http_api.views import failure_members, outcome_view
from atomic.protocol import headers, keys, problems
from atomic.protocol.canonical import JsonTooLong, canonical_json, fingerprint
from atomic.protocol.constants import PAYLOAD_MAX_BYTES
from atomic.protocol.headers import Preferences
from atomic.protocol.problems import Problem
from atomic.protocol.requests import RetryOptions, StartRequest, read_message
from atomic.protocol.timestamps import to_rfc3339

_RETRY_AFTER_MAX_S = 60


async def post_start(api: Api, request: ApiRequest, client: Client) -> ApiResponse:
    """Create or attach, wait, answer."""
    preferences = headers.parse_prefer(request.headers.get(headers.PREFER, ""))
    message, spec = await in_turn(api, client, request, lambda: read_start(api, request, client))
    if not api.admits(spec.run_id):
        raise Problem(
            problems.UNAVAILABLE,
            "The server is shutting down and takes no new runs; nothing was started. Try again.",
            headers={headers.RETRY_AFTER: "1"},
        )
    try:
        async with await reserve(api, client, spec) as reservation:
            started = await start(api.engine, spec, wait_ms=_wait_ms(message, preferences))
            if started.created:
                reservation.keep()
    except PayloadMismatch as refused:
        first = refused.first
        size = len(first.spec.payload) + len(spec.payload)
        raise await api.engine.large_bodies.read(
            client.id, size, lambda: payload_mismatch(first, spec, client)
        ) from None
    return _answer(started, preferences, api.engine.clock.now_ms(), rate_headers(api, client))


def read_start(api: Api, request: ApiRequest, client: Client) -> tuple[StartRequest, StepSpec]:
    """The request's body, and the step that it asks for. Raises Problem."""
    message = read_message(StartRequest, request.body)
    return message, _spec(api, request, client, message)


def _spec(api: Api, request: ApiRequest, client: Client, message: StartRequest) -> StepSpec:
    key = _idempotency_key(request, message)
    url, step_name = _allowed_url(client, message), message.step_name or ""
    payload = _payload(message)
    run_id = keys.run_id(client.id, message.workflow_name, key)
    if message.parent is not None:
        run_id = keys.run_of(message.parent)
    trace_id = headers.parse_trace_id(request.headers.get(headers.TRACEPARENT, ""))
    return StepSpec(
        client_id=client.id,
        run_id=run_id,
        identity=keys.identity(
            client.id,
            message.workflow_name,
            message.parent or "",
            # What calls nothing has no URL; its kind stands in for it.
            url or message.kind,
            step_name,
            key,
        ),
        kind=message.kind,
        workflow_name=message.workflow_name,
        url=url,
        step_name=step_name,
        idempotency_key=key,
        parent=message.parent,
        payload=payload,
        fingerprint=fingerprint(payload),
        retry=_policy(message.retry),
        delay_ms=message.delay,
        attempt_timeout_ms=_attempt_timeout_ms(api, message),
        deadline_ms=message.deadline,
        retention_ms=api.engine.settings.retention_ms,
        # Without a caller's trace a run is a trace of its own; its id has just the right form.
        trace_id=trace_id or run_id.removeprefix("run_"),
    )


def _allowed_url(client: Client, message: StartRequest) -> str:
    url = message.step_invoke_url or ""
    if url and not client.may_call(url):
        raise Problem(
            problems.URL_NOT_ALLOWED,
            "stepInvokeUrl: not under a base URL of this client; use one of them or have it added.",
        )
    return url


def _attempt_timeout_ms(api: Api, message: StartRequest) -> int:
    settings = api.engine.settings
    timeout_ms = message.attempt_timeout or settings.attempt_timeout_default_ms
    if timeout_ms > settings.attempt_timeout_max_ms:
        most = settings.attempt_timeout_max_ms
        raise problems.invalid("attemptTimeout", f"use at most {most} (milliseconds)")
    return timeout_ms


def _payload(message: StartRequest) -> bytes:
    try:
        return canonical_json(message.payload, max_bytes=PAYLOAD_MAX_BYTES)
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


def _policy(retry: RetryOptions) -> RetryPolicy:
    return RetryPolicy(
        count=retry.count,
        back_off_ms=retry.back_off,
        strategy=retry.strategy,
        factor=retry.factor,
        max_back_off_ms=retry.max_back_off_ms,
        jitter=retry.jitter,
        on=retry.on,
        never=retry.never,
    )


def _wait_ms(message: StartRequest, preferences: Preferences) -> int | None:
    """How long the caller asks to wait; None when it does not say."""
    if preferences.respond_async and preferences.wait_ms is None:
        return 0
    asked = [ms for ms in (message.timeout, preferences.wait_ms) if ms is not None]
    if not asked:
        return None
    # Who is told 504 must be called again when the step settles, and only who waits for it is noted.
    return min(asked) if preferences.respond_async else max(1, min(asked))


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
            members = {"id": step.id, "runId": step.spec.run_id}
            return _problem(problems.CANCELLED, "The step was cancelled.", members, extra)
        case _:
            return _unfinished(step, preferences, now_ms, extra)


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
