"""Reads a start request: its body and its headers become the spec of a step."""

from typing import Final

from atomic.domain.clients.client import Client
from atomic.domain.retry import RetryPolicy
from atomic.domain.steps import StepSpec
from atomic.entrypoints.http_api.api import Api
from atomic.entrypoints.http_api.http import ApiRequest
from atomic.protocol import headers, keys, problems
from atomic.protocol.canonical import JsonTooLong, canonical_json, fingerprint
from atomic.protocol.constants import PAYLOAD_MAX_BYTES
from atomic.protocol.headers import Preferences
from atomic.protocol.problems import Problem
from atomic.protocol.requests import StartRequest, read_message
from atomic.protocol.retry import RetryOptions


def read_start(api: Api, request: ApiRequest, client: Client) -> tuple[StartRequest, StepSpec]:
    """The request's body, and the step that it asks for. Raises Problem."""
    message = read_message(StartRequest, request.body)
    return message, step_spec(api, request, client, message)


def read_step(api: Api, request: ApiRequest, client: Client) -> tuple[StartRequest, StepSpec]:
    """The same for what a handler posts: it names the step whose handler it is. Raises Problem."""
    message, spec = read_start(api, request, client)
    if message.parent is None:
        raise problems.invalid(
            "parent",
            "required on this path: name the step whose handler posts this one, by its header "
            "Atomic-Step-Id; a run is started at /{clientId}",
        )
    return message, spec


def step_spec(api: Api, request: ApiRequest, client: Client, message: StartRequest) -> StepSpec:
    """The step that a message asks for. Raises Problem."""
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
            # A timer or an event has no URL; its kind takes the place of the URL.
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
        retry=_DEFAULT_POLICY if message.retry is _DEFAULT_RETRY else retry_policy(message.retry),
        delay_ms=message.delay,
        attempt_timeout_ms=_attempt_timeout_ms(api, message),
        deadline_ms=message.deadline,
        retention_ms=api.engine.settings.retention_ms,
        # Without a caller's trace, the run is its own trace; the run's id has the form of a trace id.
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


def retry_policy(retry: RetryOptions) -> RetryPolicy:
    """The policy that is in force for these options."""
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


def wait_ms(message: StartRequest, preferences: Preferences) -> int | None:
    """How long the caller asks to wait; None when it does not say."""
    if preferences.respond_async and preferences.wait_ms is None:
        return 0
    asked = [ms for ms in (message.timeout, preferences.wait_ms) if ms is not None]
    if not asked:
        return None
    # A handler that is told 504 must be called again when the step settles; only a waiting post is noted.
    return min(asked) if preferences.respond_async else max(1, min(asked))


def is_repeated(request: ApiRequest, client: Client, spec: StepSpec) -> bool:
    """Whether the handler that posts this has been called before: its attempt token says so."""
    token = request.headers.get(headers.ATTEMPT_TOKEN)
    if token is None or spec.parent is None:
        return False
    return (headers.parse_attempt_token(client.attempt_key, spec.parent, token) or 0) > 1


# Nearly every start has these options; pydantic gives each message the same object.
_DEFAULT_RETRY: Final = StartRequest.model_fields["retry"].default
_DEFAULT_POLICY: Final = retry_policy(_DEFAULT_RETRY)
