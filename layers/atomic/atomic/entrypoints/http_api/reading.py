"""The routes that read: runs, steps, counts."""

import base64
import binascii
from dataclasses import replace

from atomic.application import queries
from atomic.application.ports import RunQuery
from atomic.application.redaction import all_redacted, without_error_excerpt
from atomic.domain.clients.client import Client
from atomic.domain.steps import Status
from atomic.entrypoints.http_api.api import Api
from atomic.entrypoints.http_api.http import ApiRequest, ApiResponse, json_response
from atomic.entrypoints.http_api.query import Query, link_header, read_number
from atomic.entrypoints.http_api.views import (
    dead_letters_view,
    run_list_view,
    run_page_view,
    stats_view,
    step_view,
)
from atomic.protocol import keys
from atomic.protocol.constants import DURATION_MAX_MS, PAGE_MAX

_LIMIT_DEFAULT = 50
_STEPS_DEFAULT = 1000
_WINDOW_DEFAULT_MS = 24 * 3600 * 1000


async def get_runs(api: Api, request: ApiRequest, client: Client) -> ApiResponse:
    """A page of the client's runs, newest first."""
    query = Query(request)
    status = query.take("status", Status, f"use one of {', '.join(Status)}")
    with_progress = query.take("progress", _read_flag, "use true or false")
    wanted = _wanted(query, client, status)
    roots = await queries.list_runs(api.engine, wanted)
    progress = await queries.progress(api.engine, roots) if with_progress else None
    last = roots[-1] if len(roots) == wanted.limit else None
    link = query.link(cursor=_write_cursor(last.created_at_ms, last.id)) if last else None
    shown = [without_error_excerpt(root, client) for root in roots]
    return json_response(200, run_list_view(shown, progress, link), link_header(link))


async def get_dead_letters(api: Api, request: ApiRequest, client: Client) -> ApiResponse:
    """A page of the client's steps that failed, newest first."""
    query = Query(request)
    letters, next_after = await queries.dead_letters(api.engine, _wanted(query, client, None))
    link = query.link(cursor=_write_cursor(*next_after)) if next_after else None
    shown = [replace(letter, step=without_error_excerpt(letter.step, client)) for letter in letters]
    return json_response(200, dead_letters_view(shown, link), link_header(link))


async def get_run(api: Api, request: ApiRequest, client: Client, run_id: str) -> ApiResponse:
    """A run with a page of its steps."""
    query = Query(request)
    after = query.take("after", _read_step_id, "use the value of `next`, unchanged")
    limit = query.number("limit", _STEPS_DEFAULT, least=1, most=_STEPS_DEFAULT)
    query.refuse_rest()
    page = await queries.get_run(api.engine, client, run_id, after=after, limit=limit)
    link = query.link(after=page.next_after) if page.next_after else None
    price = api.estimated_usd and api.estimated_usd([page.root, *page.steps])
    root, *steps = await all_redacted(api.engine.large_bodies, [page.root, *page.steps], client)
    page = replace(page, root=root, steps=steps)
    return json_response(200, run_page_view(page, link, price), link_header(link))


async def get_step(api: Api, request: ApiRequest, client: Client, step_id: str) -> ApiResponse:
    """A step; with `wait` (milliseconds) as soon as it settles."""
    query = Query(request)
    wait_ms = query.number("wait", 0, least=0, most=DURATION_MAX_MS)
    query.refuse_rest()
    wait_ms = min(wait_ms, api.engine.settings.wait_max_ms)
    step = await queries.wait_for_step(api.engine, client, step_id, wait_ms)
    [shown] = await all_redacted(api.engine.large_bodies, [step], client)
    return json_response(200, step_view(shown))


async def get_stats(api: Api, request: ApiRequest, client: Client) -> ApiResponse:
    """How many of the client's steps and recent runs are in which state."""
    query = Query(request)
    window_ms = query.number("window", _WINDOW_DEFAULT_MS, least=1, most=DURATION_MAX_MS)
    query.refuse_rest()
    counts = await queries.count(api.engine, client, window_ms)
    return json_response(200, stats_view(counts, window_ms))


def _wanted(query: Query, client: Client, status: Status | None) -> RunQuery:
    wanted = RunQuery(
        client_id=client.id,
        status=status,
        workflow_name=query.take("workflowName", str, ""),
        key_prefix=query.take("keyPrefix", str, ""),
        created_from_ms=query.moment("createdAfter"),
        created_before_ms=query.moment("createdBefore"),
        after=query.take("cursor", _read_cursor, "use the cursor of `next`, unchanged"),
        limit=query.number("limit", _LIMIT_DEFAULT, least=1, most=PAGE_MAX),
    )
    query.refuse_rest()
    return wanted


def _read_step_id(text: str) -> str:
    if not keys.is_step_id(text):
        raise ValueError
    return text


def _read_flag(text: str) -> bool:
    if text not in {"true", "false"}:
        raise ValueError
    return text == "true"


def _write_cursor(created_at_ms: int, step_id: str) -> str:
    return base64.urlsafe_b64encode(f"{created_at_ms}.{step_id}".encode()).decode()


def _read_cursor(text: str) -> tuple[int, str]:
    try:
        created_at_ms, _, step_id = base64.urlsafe_b64decode(text).decode("ascii").partition(".")
    except binascii.Error:
        raise ValueError from None
    return read_number(created_at_ms), _read_step_id(step_id)
