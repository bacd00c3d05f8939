"""How workflows stand: whether they are paused, and how long their runs are kept."""

from collections.abc import Sequence
from typing import Any

from atomic.application.own_settings import OwnSettingsStore
from atomic.domain.clients.client import Client
from atomic.domain.retentions import DAY_MS, Retentions
from atomic.domain.workflow_pauses import WorkflowPause, pause_of
from atomic.entrypoints.http_api.api import Api
from atomic.entrypoints.http_api.http import ApiResponse
from atomic.entrypoints.http_api.own_settings import own_settings
from atomic.entrypoints.http_api.views import json_response, moment_view
from atomic.protocol import problems
from atomic.protocol.constants import NAME_MAX_CHARS
from atomic.protocol.requests import is_name
from atomic.protocol.wire import to_rfc3339


def check_workflow_name(name: str) -> None:
    """Raise Problem 400 for a name in a path that no workflow can have."""
    if not is_name(name):
        cure = f"use at most {NAME_MAX_CHARS} characters, no control characters, and no space at the ends"
        raise problems.invalid("workflowName", cure)


async def workflow_state(api: Api, client: Client, name: str) -> ApiResponse:
    """The answer of one workflow."""
    return json_response(200, (await _views(api, client, [name]))[0])


async def states_of(api: Api, client: Client, names: Sequence[str]) -> ApiResponse:
    """The answer of several workflows."""
    return json_response(200, {"workflows": await _views(api, client, names)})


async def _views(api: Api, client: Client, names: Sequence[str]) -> list[dict[str, Any]]:
    def read(store: OwnSettingsStore) -> tuple[tuple[WorkflowPause, ...], Retentions]:
        return store.workflow_pauses(client.id), store.retentions(client.id)

    pauses, retentions = await own_settings(api, read)
    now_ms, most_ms = api.engine.clock.now_ms(), api.engine.settings.retention_ms
    return [
        {
            "workflowName": name,
            "paused": _pause_view(pause_of(pauses, name, now_ms)),
            "retentionDays": retentions.ms_of(name, most_ms) // DAY_MS,
        }
        for name in names
    ]


def _pause_view(pause: WorkflowPause | None) -> dict[str, Any] | None:
    if pause is None:
        return None
    return {
        "since": to_rfc3339(pause.since_ms),
        "until": moment_view(pause.until_ms),
        "note": pause.note,
    }
