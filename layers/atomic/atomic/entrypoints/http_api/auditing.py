"""Adds to the audit log what operators do: one row for each request to a route that `is_act`.

The row is written after the act, so that it has the answer's status, and before the answer is sent. If it
cannot be written, the act stands and the log of the process says so: an operator has to be able to cancel
a run while the store is in trouble.
"""

import logging
from collections.abc import Sequence

from atomic.application.engine import Engine
from atomic.application.ports import StoreUnavailable
from atomic.domain.acts import TEXT_MAX_CHARS, Act
from atomic.domain.clients.client import OPERATOR_SCOPE, Client
from atomic.domain.clients.records import OPERATOR_ID
from atomic.entrypoints.http_api.http import ApiRequest, ApiResponse
from atomic.entrypoints.http_api.route import Route
from atomic.protocol.enums import ActorKind

_log = logging.getLogger("atomic.audit")


async def note_act(
    engine: Engine,
    request: ApiRequest,
    route: Route,
    ids: Sequence[str],
    actor: Client,
    response: ApiResponse | None,
    *,
    number: int,
) -> None:
    """Add a row for an act of this caller, the process's act of this number. Never raises.

    `ids` are the parts of the path. `response` is None when the request ended without one.
    """
    named = dict(zip(route.names, ids, strict=True))
    client_id = named.pop("clientId", OPERATOR_ID)
    if response is not None:
        named |= response.noted
    action = route.operation.id if route.operation else route.template
    kind, by = _actor(request, actor)
    act = Act(
        # Of acts of the same millisecond, the later one has the higher id.
        id=f"{number:08x}{engine.entropy.token()[8:]}",
        client_id=client_id,
        at_ms=engine.clock.now_ms(),
        action=action,
        target={name: _cut(text) for name, text in named.items()},
        by_kind=kind,
        by=_cut(by),
        source=_cut(request.source),
        user_agent=_cut(request.headers.get("user-agent", "")),
        request_id=_cut(request.request_id or request.headers.get("x-request-id", "")),
        status=None if response is None else response.status,
    )
    try:
        await engine.store.add_act(act, act.at_ms + engine.settings.audit_ms)
    except StoreUnavailable:
        _log.exception(
            "an act is missing in the audit log",
            extra={
                "clientId": act.client_id,
                "action": action,
                "keyId": actor.key_id,
                "status": act.status,
            },
        )


def _actor(request: ApiRequest, actor: Client) -> tuple[ActorKind, str]:
    if request.caller:
        return "iam", request.caller
    if OPERATOR_SCOPE in actor.scopes:
        return "operator", actor.key_id
    return ("key", actor.key_id) if actor.key_id else ("anybody", "")


def _cut(text: str) -> str:
    return text[:TEXT_MAX_CHARS]
