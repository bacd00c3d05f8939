"""Flow control: what a start asks for, and the keys: list, read, pin, pause."""

from collections.abc import Sequence
from typing import Any

from atomic.application import flow
from atomic.domain.clients.client import Client
from atomic.domain.flow import FlowEntry, Rate
from atomic.domain.flow_table import KeyState
from atomic.entrypoints.http_api.api import Api, read
from atomic.entrypoints.http_api.http import ApiRequest, ApiResponse, Query, link_header
from atomic.entrypoints.http_api.route import OF_BODIES, Operation, Routes, in_query
from atomic.entrypoints.http_api.views import json_response, moment_view
from atomic.protocol import problems
from atomic.protocol.constants import PAGE_MAX
from atomic.protocol.flow import FLOW_KEY_FORM, FlowOptions, FlowPinRequest, FlowRate, is_flow_key
from atomic.protocol.wire import to_rfc3339

routes = Routes()


def asked_entries(api: Api, asked: Sequence[FlowOptions]) -> tuple[FlowEntry, ...]:
    """The entries of a start. Raises Problem 400 where the runtime has no flow control."""
    if api.engine.admission.flow is None:
        raise problems.invalid("flow", "this server has no flow control; GET /health lists what it can do")
    for number, entry in enumerate(asked):
        _check_concurrency(api, f"flow.{number}.concurrency", entry.concurrency)
    return tuple(
        FlowEntry(
            key=entry.key,
            concurrency=entry.concurrency,
            rate=_rate(entry.rate),
            scope=entry.scope,
            priority=entry.priority,
            fair=entry.fair,
        )
        for entry in asked
    )


@routes.add(
    "GET",
    "/{clientId}/flow",
    Operation(
        id="listFlow",
        summary="List the keys of flow control",
        description="In their order. A key that no step has named for a day is forgotten, unless it is "
        "pinned.",
        query=(
            in_query("after", "Only keys after this one.", type="string"),
            in_query("limit", "How many on a page.", type="integer", minimum=1, maximum=PAGE_MAX),
        ),
        answers=((200, "FlowKeyList", "A page of keys."),),
        refusals=(problems.INVALID_REQUEST,),
    ),
    scope="read",
)
async def get_flow(api: Api, request: ApiRequest, client: Client) -> ApiResponse:
    """A page of the client's keys."""
    query = Query(request)
    after = query.take("after", str, "") or ""
    limit = query.page_limit()
    query.refuse_rest()
    found = await flow.states(api.engine, client.id, after=after, limit=limit)
    link = query.link(after=found[-1].key) if len(found) == limit else None
    return json_response(200, {"keys": [key_view(key) for key in found], "next": link}, link_header(link))


@routes.add(
    "GET",
    "/{clientId}/flow/{key}",
    Operation(
        id="getFlowKey",
        summary="Read a key of flow control",
        answers=((200, "FlowKeyDocument", "The key."),),
    ),
    scope="read",
)
async def get_flow_key(api: Api, request: ApiRequest, client: Client, key: str) -> ApiResponse:
    """How many slots of a key are taken, and how many steps wait."""
    Query(request).refuse_rest()
    found = await flow.state(api.engine, client.id, key)
    if found is None:
        raise problems.not_found()
    return json_response(200, key_view(found))


@routes.add(
    "GET",
    "/{clientId}/flow/{key}/steps",
    Operation(
        id="listFlowSteps",
        summary="List the steps that have a slot of a key, and those in its line",
        description="The first of each. A key without a limit keeps no slots on AWS.",
        query=(in_query("limit", "How many of each.", type="integer", minimum=1, maximum=PAGE_MAX),),
        answers=((200, "FlowStepList", "The steps."),),
        refusals=(problems.INVALID_REQUEST,),
    ),
    scope="read",
)
async def get_flow_steps(api: Api, request: ApiRequest, client: Client, key: str) -> ApiResponse:
    """The steps that have a slot, and those in line."""
    query = Query(request)
    limit = query.page_limit()
    query.refuse_rest()
    running, queued = await flow.members(api.engine, client.id, key, limit)
    if not (running or queued) and await flow.state(api.engine, client.id, key) is None:
        raise problems.not_found()
    view = {"running": [*map(_step_view, running)], "queued": [*map(_step_view, queued)]}
    return json_response(200, view)


@routes.add(
    "PUT",
    "/{clientId}/flow/{key}",
    Operation(
        id="pinFlowKey",
        summary="Pin the limits of a key, pause it, resume it",
        description="A pin holds whatever steps say. It counts for what is let in from now on; what is "
        "inside stays inside. A key that no step has named yet may be pinned as well.",
        request=FlowPinRequest,
        answers=((200, "FlowKeyDocument", "The key as it is now."),),
        refusals=OF_BODIES,
    ),
    scope="act",
    is_act=True,
)
async def put_flow_key(api: Api, request: ApiRequest, client: Client, key: str) -> ApiResponse:
    """Change what is pinned."""
    Query(request).refuse_rest()
    if not is_flow_key(key):
        raise problems.invalid("key", f"use {FLOW_KEY_FORM}")
    pinned = await read(api, client, request, FlowPinRequest)
    _check_concurrency(api, "concurrency", pinned.concurrency)
    changes: dict[str, Any] = {}
    if "concurrency" in pinned.model_fields_set:
        changes["pinned_concurrency"] = pinned.concurrency
    if "rate" in pinned.model_fields_set:
        changes["pinned_rate"] = _rate(pinned.rate)
    if pinned.paused is not None:
        changes |= {"is_paused": pinned.paused, "note": pinned.note}
    found = await flow.pin(api.engine, client.id, key, changes)
    if found is None:
        raise problems.not_found()
    return json_response(200, key_view(found))


def key_view(state: KeyState) -> dict[str, Any]:
    """A key as the API shows it."""
    row, rate = state.row, state.row.rate_in_force
    return {
        "key": state.key,
        "concurrency": row.most,
        "paused": row.is_paused,
        "note": row.note,
        "running": state.running,
        "queued": state.queued,
        "oldest": moment_view(state.oldest_ms),
        "pace": rate and {**_rate_view(rate), "nextAt": to_rfc3339(-(-row.pace.next_us // 1000))},
        "pinned": {
            "concurrency": row.pinned_concurrency,
            "rate": row.pinned_rate and _rate_view(row.pinned_rate),
        },
    }


def _step_view(member: flow.MemberStep) -> dict[str, Any]:
    step, entry = member.step, member.entry
    return {
        "id": step.id,
        "runId": step.spec.run_id,
        "workflowName": step.spec.workflow_name,
        "idempotencyKey": step.spec.idempotency_key,
        "stepName": step.spec.step_name or None,
        "status": step.status,
        "fair": entry.fair,
        "priority": entry.priority,
        "since": moment_view(member.since_ms),
    }


def _check_concurrency(api: Api, field: str, asked: int | None) -> None:
    """Raise Problem 400 for more slots than this runtime keeps."""
    most = api.engine.settings.concurrency_max
    if asked is not None and most is not None and asked > most:
        raise problems.invalid(field, f"use at most {most}, or leave it out for any number")


def _rate(asked: FlowRate | None) -> Rate | None:
    return None if asked is None else Rate(asked.limit, asked.per)


def _rate_view(rate: Rate) -> dict[str, int]:
    return {"limit": rate.limit, "per": rate.per_ms}
