"""The audit log, to read: what operators did, the newest first."""

import re
from dataclasses import replace
from typing import Any, Final

from atomic.application.audit_log import ActQuery
from atomic.domain.acts import Act
from atomic.domain.clients.client import OPERATOR_SCOPE, Client
from atomic.domain.clients.records import OPERATOR_ID
from atomic.entrypoints.http_api.api import Api
from atomic.entrypoints.http_api.http import (
    ApiRequest,
    ApiResponse,
    Query,
    link_header,
    read_cursor,
    write_cursor,
)
from atomic.entrypoints.http_api.route import PAGE, Operation, Routes, in_query
from atomic.entrypoints.http_api.views import json_response
from atomic.protocol import problems
from atomic.protocol.wire import to_rfc3339

routes = Routes()

_ACTION: Final = re.compile(r"[A-Za-z]{1,64}")
_QUERY: Final = (
    in_query("from", "Done at or after.", type="string", format="date-time"),
    in_query("before", "Done before.", type="string", format="date-time"),
    in_query("action", "Only this operation, such as `cancelRun`.", type="string"),
    in_query("by", "Only by this key id or ARN.", type="string"),
    *PAGE,
)
_OPERATION: Final = Operation(
    id="listActs",
    summary="Read the audit log: what operators did, the newest first",
    description="A page may have fewer acts than `limit`, or none, and not be the last one: follow `next` "
    "until it is null. An entry is written before the request that it tells of is answered.",
    query=_QUERY,
    answers=((200, "ActList", "A page of the audit log."),),
    refusals=(problems.INVALID_REQUEST,),
)


@routes.add("GET", "/{clientId}/audit", _OPERATION, scope="admin")
async def get_acts(api: Api, request: ApiRequest, client: Client) -> ApiResponse:
    """A page of the client's audit log, newest first."""
    return await _page(api, request, client.id)


@routes.add(
    "GET",
    "/audit",
    replace(
        _OPERATION,
        id="listOperatorActs",
        summary="Read what the operator did that is of no client yet: making one",
    ),
    scope=OPERATOR_SCOPE,
)
async def get_operator_acts(api: Api, request: ApiRequest, _operator: Client) -> ApiResponse:
    """A page of the operator's audit log, newest first."""
    return await _page(api, request, OPERATOR_ID)


async def _page(api: Api, request: ApiRequest, owner: str) -> ApiResponse:
    query = Query(request)
    wanted = ActQuery(
        client_id=owner,
        action=query.take("action", _read_action, "use the id of an operation, such as cancelRun"),
        by=query.take("by", str, ""),
        from_ms=query.moment("from"),
        before_ms=query.moment("before"),
        after=query.take("cursor", _read_cursor, "use the cursor of `next`, unchanged"),
        limit=query.page_limit(),
    )
    query.refuse_rest()
    page = await api.engine.store.acts(wanted)
    link = query.link(cursor=write_cursor(*page.next_after)) if page.next_after else None
    view = {"acts": [_view(act) for act in page.acts], "next": link}
    return json_response(200, view, link_header(link))


def _view(act: Act) -> dict[str, Any]:
    return {
        "id": act.id,
        "at": to_rfc3339(act.at_ms),
        "action": act.action,
        "target": act.target,
        "by": act.by or None,
        "byKind": act.by_kind,
        "source": act.source or None,
        "userAgent": act.user_agent or None,
        "requestId": act.request_id or None,
        "status": act.status,
    }


def _read_action(text: str) -> str:
    if not _ACTION.fullmatch(text):
        raise ValueError
    return text


def _read_cursor(text: str) -> tuple[int, str]:
    return read_cursor(text, _read_act_id)


def _read_act_id(text: str) -> str:
    if len(text) != 32 or not text.isalnum():
        raise ValueError
    return text
