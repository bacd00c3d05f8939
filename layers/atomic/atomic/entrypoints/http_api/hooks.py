"""Hooks: put, read, list, delete; and those of a start."""

import logging
from collections.abc import Mapping
from typing import Any, Final

from atomic.domain.clients.client import Client
from atomic.domain.hooks import Hook, RunHook
from atomic.entrypoints.http_api.api import Api, check_base, check_url, read
from atomic.entrypoints.http_api.http import ApiRequest, ApiResponse, Query, refuse_body
from atomic.entrypoints.http_api.own_settings import own_settings
from atomic.entrypoints.http_api.route import OF_BODIES, Operation, Routes
from atomic.entrypoints.http_api.views import json_response
from atomic.protocol import problems
from atomic.protocol.enums import HOOK_EVENTS, RUN_EVENTS, RunEvent
from atomic.protocol.hooks import HOOK_NAME_FORM, HookRequest, is_hook_name
from atomic.protocol.urls import is_bus, parse_url

_log = logging.getLogger("atomic.hooks")

routes = Routes()

_TO_CHANGE: Final = (problems.INVALID_REQUEST, problems.CLIENT_CONFLICT)


@routes.add(
    "PUT",
    "/{clientId}/hooks/{name}",
    Operation(
        id="putHook",
        summary="Create or replace a hook",
        description="From then on the URL is called when one of the events happens: within two seconds on "
        "a server, within a minute on AWS. Each call is the root of a run `hook/{name}`: signed, retried, "
        "and a dead letter in the end. Runs of hooks have no hooks.",
        request=HookRequest,
        answers=((200, "HookDocument", "It was there."), (201, "HookDocument", "It is new.")),
        refusals=(*OF_BODIES, problems.URL_NOT_ALLOWED, problems.TOO_MANY_HOOKS, problems.CLIENT_CONFLICT),
    ),
    scope="act",
    is_act=True,
)
async def put_hook(api: Api, request: ApiRequest, client: Client, name: str) -> ApiResponse:
    """Create or replace a hook."""
    Query(request).refuse_rest()
    if not is_hook_name(name):
        raise problems.invalid("name", f"use {HOOK_NAME_FORM}")
    asked = await read(api, client, request, HookRequest)
    _check_target(api, client, asked.url, "url")
    events = tuple(event for event in HOOK_EVENTS if event in asked.on)
    hook = Hook(name=name, url=asked.url, on=events, workflow_name=asked.workflow_name)
    is_new = await own_settings(api, lambda store: store.put_hook(client.id, hook))
    _log.info("hook put", extra={"clientId": client.id, "hook": name})
    return json_response(201 if is_new else 200, _view(hook))


@routes.add(
    "GET",
    "/{clientId}/hooks",
    Operation(
        id="listHooks",
        summary="List hooks, by name",
        answers=((200, "HookList", "All of them."),),
        refusals=(problems.INVALID_REQUEST,),
    ),
    scope="read",
)
async def get_hooks(api: Api, request: ApiRequest, client: Client) -> ApiResponse:
    """All hooks of the client."""
    Query(request).refuse_rest()
    found = await own_settings(api, lambda store: store.hooks(client.id))
    return json_response(200, {"hooks": [_view(hook) for hook in found]})


@routes.add(
    "GET",
    "/{clientId}/hooks/{name}",
    Operation(
        id="getHook",
        summary="Read a hook",
        answers=((200, "HookDocument", "The hook."),),
        refusals=(problems.INVALID_REQUEST,),
    ),
    scope="read",
)
async def get_hook(api: Api, request: ApiRequest, client: Client, name: str) -> ApiResponse:
    """A hook."""
    Query(request).refuse_rest()
    found = await own_settings(api, lambda store: store.hooks(client.id))
    hook = next((each for each in found if each.name == name), None)
    if hook is None:
        raise problems.not_found()
    return json_response(200, _view(hook))


@routes.add(
    "DELETE",
    "/{clientId}/hooks/{name}",
    Operation(
        id="deleteHook",
        summary="Delete a hook",
        description="Deliveries that are under way go on.",
        answers=((200, "DeletedHook", "It is gone."),),
        refusals=_TO_CHANGE,
    ),
    scope="act",
    is_act=True,
)
async def delete_hook(api: Api, request: ApiRequest, client: Client, name: str) -> ApiResponse:
    """Delete a hook; deliveries that are under way go on."""
    refuse_body(request)
    await own_settings(api, lambda store: store.delete_hook(client.id, name))
    _log.info("hook deleted", extra={"clientId": client.id, "hook": name})
    return json_response(200, {"deleted": name})


def run_hooks(api: Api, client: Client, given: Mapping[RunEvent, str]) -> tuple[RunHook, ...]:
    """The hooks of a start. Raises Problem for a URL that the client may not call."""
    for event, url in given.items():
        _check_target(api, client, url, f"hooks.{event}")
    return tuple(RunHook(event, given[event]) for event in RUN_EVENTS if event in given)


def _check_target(api: Api, client: Client, url: str, where: str) -> None:
    """Raise Problem 400 or 403 for a URL that a hook of the client may not have."""
    if not is_bus(url):
        check_url(api, client, url, where)
        return
    bus = api.engine.settings.event_bus
    if parse_url(url).host != bus:
        ours = f"use eventbridge:{bus}" if bus else "it is an option of a stack on AWS (EventBusName)"
        raise problems.invalid(where, f"this server puts nothing on this event bus; {ours}")
    check_base(client, url, where)


def _view(hook: Hook) -> dict[str, Any]:
    return {"name": hook.name, "url": hook.url, "on": hook.on, "workflowName": hook.workflow_name}
