"""Bulk: the same act on many runs."""

from dataclasses import replace
from typing import Any, Final

import orjson

from atomic.application import queries
from atomic.application.blobs import with_payload
from atomic.application.bulk import Job, counted, progress_of
from atomic.application.redaction import without_error_excerpt
from atomic.application.refusals import PayloadMismatch
from atomic.application.start import start_root
from atomic.domain.blobs import at_hand
from atomic.domain.bulk import bulk_spec
from atomic.domain.clients.client import Client, has_scope
from atomic.domain.outcomes import sentence_of
from atomic.domain.steps import Step
from atomic.entrypoints.http_api.api import Api, read
from atomic.entrypoints.http_api.http import ApiRequest, ApiResponse, Query
from atomic.entrypoints.http_api.route import OF_BODIES, Operation, Routes, in_header
from atomic.entrypoints.http_api.starts import check_admits, mismatch
from atomic.entrypoints.http_api.views import json_response, moment_view, run_view
from atomic.protocol import headers, keys, problems
from atomic.protocol.bulk import BulkFilter, BulkRequest
from atomic.protocol.strict_json import canonical_json
from atomic.protocol.wire import to_rfc3339

routes = Routes()

_SAMPLE_MAX: Final = 3
_MOMENTS: Final = ("createdAfter", "createdBefore")


@routes.add(
    "POST",
    "/{clientId}/bulk",
    Operation(
        id="startBulk",
        summary="Do the same to all runs that fit a filter",
        description="It is done in a run of its own (`bulk/{do}`), which goes on after a crash, and can be "
        "paused and cancelled. It concerns runs as they are when it begins.",
        headers=(
            in_header(
                "Idempotency-Key",
                "The same request with the same key finds the bulk that the first one has begun; without "
                "it, each request begins one.",
            ),
        ),
        request=BulkRequest,
        answers=(
            (200, "BulkCount", "A dry run: how many runs fit."),
            (202, "BulkDocument", "It goes on, or has ended if it was begun before."),
        ),
        refusals=(*OF_BODIES, problems.PAYLOAD_MISMATCH),
    ),
    scope="act",
    is_act=True,
)
async def post_bulk(api: Api, request: ApiRequest, client: Client) -> ApiResponse:
    """Begin a bulk, or count the runs that it would concern."""
    Query(request).refuse_rest()
    asked = await read(api, client, request, BulkRequest)
    if asked.do == "erase" and not has_scope(client.scopes, "admin"):
        raise problems.not_found()
    payload = canonical_json({"do": asked.do, "filter": _filter(asked.filter), "note": asked.note})
    if asked.dry_run:
        return replace(await _count(api, client, payload), noted={"do": asked.do, "dryRun": "true"})
    key = _key(request) or api.engine.entropy.token()
    spec = bulk_spec(client.id, asked.do, key, payload, retention_ms=api.engine.settings.retention_ms)
    check_admits(api, spec.run_id)
    root = (await start_root(api.engine, spec)).step
    if root.spec.fingerprint != spec.fingerprint or root.spec.identity != spec.identity:
        raise await mismatch(api, client, PayloadMismatch(root), spec)
    response = await _shown(api, client, root, 202)
    return replace(response, noted={"do": asked.do, "runId": root.spec.run_id})


@routes.add(
    "GET",
    "/{clientId}/bulk/{runId}",
    Operation(
        id="getBulk",
        summary="Read how far a bulk is",
        answers=((200, "BulkDocument", "The bulk."),),
        refusals=(problems.INVALID_REQUEST,),
    ),
    scope="read",
)
async def get_bulk(api: Api, request: ApiRequest, client: Client, run_id: str) -> ApiResponse:
    """How far a bulk is."""
    Query(request).refuse_rest()
    root = await queries.get_root(api.engine, client, run_id)
    if root.spec.url:
        raise problems.not_found()
    return await _shown(api, client, root, 200)


def _key(request: ApiRequest) -> str | None:
    """The key that the request gives. Raises Problem 400."""
    given = request.headers.get(headers.IDEMPOTENCY_KEY)
    key = None if given is None else headers.parse_idempotency_key(given)
    if key is not None and not keys.is_idempotency_key(key):
        raise problems.invalid("Idempotency-Key", "use 1 to 255 visible ASCII characters, no spaces")
    return key


def _filter(wanted: BulkFilter) -> dict[str, Any]:
    """The conditions that were given, as on the wire."""
    given: dict[str, Any] = wanted.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return given | {name: to_rfc3339(given[name]) for name in _MOMENTS if name in given}


async def _count(api: Api, client: Client, payload: bytes) -> ApiResponse:
    job = Job.of(client.id, payload)
    found, runs = await counted(api.engine, job)
    sample = [run_view(without_error_excerpt(run, client)) for run in runs[:_SAMPLE_MAX]]
    view = {"do": job.action, "runs": found.number, "isAll": found.is_all, "sample": sample}
    return json_response(200, view)


async def _shown(api: Api, client: Client, root: Step, status: int) -> ApiResponse:
    tally = (await progress_of(api.engine, root)).tally
    asked: dict[str, Any] = orjson.loads(at_hand((await with_payload(api.engine.store, root)).spec.payload))
    root = without_error_excerpt(root, client)
    return json_response(
        status,
        {
            "runId": root.spec.run_id,
            "do": asked["do"],
            "filter": asked["filter"],
            "note": asked["note"],
            "status": root.status.value,
            "runs": tally.runs,
            "isAll": None if tally.runs is None else tally.is_all,
            "done": tally.done,
            "skipped": tally.skipped,
            "refused": tally.refused,
            "refusals": [{"runId": run_id, "reason": why} for run_id, why in tally.refusals],
            "error": sentence_of(root.error),
            "createdAt": moment_view(root.created_at_ms),
            "finishedAt": moment_view(root.finished_at_ms),
        },
    )
