"""Restarts: a run that has ended is started again, as another run."""

from dataclasses import replace

from atomic.application import queries
from atomic.application.blobs import with_payload
from atomic.application.redaction import without_error_excerpt
from atomic.application.refusals import PayloadMismatch, RunExists
from atomic.application.restarting import check_ended, restart
from atomic.domain.blobs import Text
from atomic.domain.clients.client import Client, has_scope
from atomic.domain.restarts import is_encrypted, restart_spec
from atomic.domain.steps import Step, StepSpec
from atomic.entrypoints.http_api.actions import action_operation
from atomic.entrypoints.http_api.api import Api, check_url, in_turn, rate_headers, reserve
from atomic.entrypoints.http_api.http import ApiRequest, ApiResponse
from atomic.entrypoints.http_api.route import Routes, in_header
from atomic.entrypoints.http_api.starts import check_admits, mismatch, payload_text
from atomic.entrypoints.http_api.views import json_response, run_view
from atomic.protocol import headers, keys, problems
from atomic.protocol.actions import named
from atomic.protocol.problems import Problem
from atomic.protocol.requests import read_message
from atomic.protocol.restarts import RestartRequest
from atomic.protocol.strict_json import fingerprint

routes = Routes()


@routes.add(
    "POST",
    "/{clientId}/runs/{runId}/restart",
    replace(
        action_operation(
            named("run", "restart"),
            "RunSummary",
            problems.URL_NOT_ALLOWED,
            problems.RUN_LIVE,
            problems.RUN_EXISTS,
            problems.BUSY,
            problems.PAYLOAD_MISMATCH,
            problems.TOO_MANY_REQUESTS,
            problems.STORAGE_FULL,
            details="A run that has not ended is refused. The same request again finds the run that the "
            "first one has started.",
        ),
        headers=(in_header("traceparent", "W3C Trace Context to go on with."),),
        request=RestartRequest,
        needs_body=False,
        answers=(
            (200, "RunSummary", "The new run, which was started before, and has ended."),
            (202, "RunSummary", "The new run."),
        ),
    ),
    scope="act",
    is_act=True,
)
async def post_restart(api: Api, request: ApiRequest, client: Client, run_id: str) -> ApiResponse:
    """Start a run again, with its payload or another one."""
    asked, given = await in_turn(api, client, request, lambda: _read(request))
    is_other_work = given is not None or asked.url is not None
    if is_other_work and not has_scope(client.scopes, "start"):
        raise problems.not_found()
    root = await queries.get_root(api.engine, client, run_id)
    if not root.spec.url:
        cure = "a bulk is not restarted: begin it again (POST /{clientId}/bulk), where it is checked anew"
        raise problems.invalid("runId", cure)
    await check_ended(api.engine, root)
    spec = await _spec(api, request, client, root, asked, given)
    check_url(api, client, spec.url, "stepInvokeUrl" if asked.url is None else "url")
    check_admits(api, spec.run_id)
    try:
        async with await reserve(api, client, spec) as reservation:
            started = await restart(api.engine, root, spec)
            if started.created:
                reservation.keep()
    except PayloadMismatch as refused:
        raise await mismatch(api, client, refused, spec, _cure(refused.first)) from None
    except RunExists as refused:
        raise _key_is_used(refused.root, spec) from None
    return _answer(api, client, started.step, was_known=started.replayed)


def _read(request: ApiRequest) -> tuple[RestartRequest, bytes | None]:
    """The request, and the payload that it gives."""
    asked = read_message(RestartRequest, request.body or b"{}")
    return asked, payload_text(asked.payload) if "payload" in asked.model_fields_set else None


async def _spec(
    api: Api, request: ApiRequest, client: Client, root: Step, asked: RestartRequest, given: bytes | None
) -> StepSpec:
    """The root of the new run. Raises Problem 400 for a payload that only the run before can read."""
    payload: Text
    if given is None:
        payload = (await with_payload(api.engine.store, root)).spec.payload
        if is_encrypted(payload):
            raise problems.invalid(
                "payload",
                "the payload of the run is encrypted, and can be read in that run alone; send it encrypted "
                "for the new one, as `client.restart` of the Python SDK does",
            )
    else:
        payload = given
    is_restart = root.spec.restart_of is not None
    return restart_spec(
        root,
        asked.key or keys.restart_key(root.spec.idempotency_key, is_restart=is_restart),
        payload,
        root.spec.fingerprint if given is None else fingerprint(given),
        url=asked.url,
        trace=headers.parse_trace(request.headers.get(headers.TRACEPARENT, "")),
        retention_ms=api.engine.kept_ms(client, root.spec.workflow_name),
    )


def _answer(api: Api, client: Client, root: Step, *, was_known: bool) -> ApiResponse:
    extra = rate_headers(api, client)
    extra[headers.LOCATION] = f"/{client.id}/steps/{root.id}"
    if was_known:
        extra[headers.IDEMPOTENCY_REPLAYED] = "true"
    status = 200 if root.is_settled else 202
    return json_response(status, run_view(without_error_excerpt(root, client)), extra)


def _cure(first: Step) -> str:
    """What to do when the key of the new run is that of a run with another payload."""
    spec = first.spec
    if spec.restart_of is None:
        return f"It is no restart. Send another `key` than {spec.idempotency_key!r}."
    return f"Restart the run {spec.run_id} in its place, or send another `key`."


def _key_is_used(root: Step, wanted: StepSpec) -> Problem:
    spec = root.spec
    if spec.restart_of == wanted.restart_of and spec.url != wanted.url:
        is_what, cure = "a restart of this run at another URL", "Restart that run in its place, or send"
    else:
        is_what, cure = "no restart of this run", "Send"
    detail = (
        f"The key {spec.idempotency_key!r} is that of the run {spec.run_id}, which is {is_what}. "
        f"{cure} another `key`."
    )
    return Problem(problems.RUN_EXISTS, detail, {"id": root.id, "runId": spec.run_id})
