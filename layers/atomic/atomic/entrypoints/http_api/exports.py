"""The export of runs: the documents of their steps, one a line."""

from typing import Final

import orjson

from atomic.application.exporting import Exported, export_page
from atomic.application.redaction import all_redacted
from atomic.domain.clients.client import Client
from atomic.entrypoints.http_api.api import Api
from atomic.entrypoints.http_api.http import (
    ApiRequest,
    ApiResponse,
    Query,
    link_header,
    read_cursor,
    write_cursor,
)
from atomic.entrypoints.http_api.route import Operation, Routes, in_query
from atomic.entrypoints.http_api.runs import FILTER, filtered
from atomic.entrypoints.http_api.views import NO_GUESSING, step_view
from atomic.protocol import problems

routes = Routes()

_LINES_MAX: Final = 1000
_JSON_LINES: Final = "application/x-ndjson"
# Responses are as endpoints wrote them. In JSON, line breaks stand between values only.
_IN_ONE_LINE: Final = bytes.maketrans(b"\r\n", b"  ")


@routes.add(
    "GET",
    "/{clientId}/export",
    Operation(
        id="exportRuns",
        summary="Export runs as JSON Lines: a line for each step, the newest run first",
        description="A line is the document of a step. All lines of a run follow each other, and the order "
        "of its steps is that of their ids. A page has about 2 MB at most; the header `Link` names the "
        "next one. Payloads and responses above 256 KiB are null.",
        query=(
            *FILTER,
            in_query("cursor", "Where the last page ended.", type="string"),
            in_query("limit", "Lines on a page.", type="integer", minimum=1, maximum=_LINES_MAX),
        ),
        content_type=_JSON_LINES,
        refusals=(problems.INVALID_REQUEST,),
    ),
    scope="read",
)
async def get_export(api: Api, request: ApiRequest, client: Client) -> ApiResponse:
    """A page of the client's runs with all of their steps."""
    query = Query(request, repeated="tag")
    after = query.take("cursor", _read_cursor, "use the cursor of the header Link, unchanged")
    limit = query.number("limit", _LINES_MAX, least=1, most=_LINES_MAX)
    wanted = filtered(query, client)
    query.refuse_rest()
    steps, end = await export_page(api.engine, wanted, after, limit)
    visible = await all_redacted(api.engine.large_bodies, steps, client)
    lines = b"".join(orjson.dumps(step_view(step)).translate(_IN_ONE_LINE) + b"\n" for step in visible)
    link = query.link(cursor=write_cursor(end.root_created_at_ms, end.step_id)) if end else None
    headers = {"content-type": _JSON_LINES, **NO_GUESSING, **link_header(link)}
    return ApiResponse(status=200, body=lines, headers=headers)


def _read_cursor(text: str) -> Exported:
    return Exported(*read_cursor(text))
