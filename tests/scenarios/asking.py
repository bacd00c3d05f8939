"""Every operation of the API as a request, derived from the API's description: no route is missed."""

import json
from collections.abc import Iterator
from typing import Any, Final

from atomic.entrypoints.http_api.openapi import openapi
from atomic.testing import ApiReply, EndpointCall
from scenarios.runtime import Runtime
from scenarios.starts import document

VERBS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
_NO_STEP: Final = f"run_{'f' * 32}-root"
CREATED: Final = {"clientId": "made-by-matrix", "baseUrls": ["https://app.example/"]}


def guarded() -> frozenset[tuple[str, str]]:
    """Method and path of every operation that requires a key."""
    return frozenset(
        (method.upper(), path)
        for path, methods in openapi()["paths"].items()
        for method, operation in methods.items()
        if operation.get("security") != []
    )


def client_paths() -> Iterator[tuple[str, frozenset[str]]]:
    """The paths under a client, with their methods."""
    for path, methods in openapi()["paths"].items():
        if "{clientId}" in path:
            served = frozenset(method.upper() for method in methods)
            yield path, served | {"HEAD"} if "GET" in served else served


# A schedule or a hook, a key of flow control, and a workflow.
NAMES = {"name": "digest", "key": "mail", "workflowName": "asked"}


def operations(client: str, run_id: str, step_id: str, key_id: str = "x") -> Iterator[tuple[str, str]]:
    """Method and target of every operation that belongs to a client."""
    for path, served in client_paths():
        target = path.format(clientId=client, runId=run_id, stepId=step_id, keyId=key_id, **NAMES)
        yield from ((method, target) for method in sorted(served - {"HEAD"}))


async def send(
    runtime: Runtime,
    method: str,
    target: str,
    url: str,
    *,
    key_of: str | None = None,
    of: EndpointCall | None = None,
) -> ApiReply:
    """Send the request with what makes it valid; `of` is the call of a handler that asks."""
    step_id = _NO_STEP if of is None else of.json["stepId"]
    headers = {} if of is None else {"Atomic-Attempt-Token": of.headers["atomic-attempt-token"]}
    if of is not None and target.endswith("/results"):
        target += f"?parent={step_id}"
    if target.endswith("/trigger"):
        headers["Idempotency-Key"] = "k"
    body = _body(method, target, url, step_id)
    return await runtime.request(method, target, body=body, headers=headers, key_of=key_of)


def _body(method: str, target: str, url: str, step_id: str) -> bytes:
    if method == "PATCH":
        return b'{"liveSteps":100}'
    if method == "PUT":
        start = {"workflowName": "w", "stepInvokeUrl": url}
        puts: dict[str, Any] = {
            "schedules": {"start": start, "cron": "@yearly"},
            "hooks": {"url": url, "on": ["run.paused"]},
            # Of its retention.
            NAMES["workflowName"]: {"days": 1},
        }
        kind = target.rpartition("/")[0].rpartition("/")[2]
        return json.dumps(puts.get(kind, {"paused": False})).encode()
    if method != "POST":
        return b""
    if target == "/clients":
        return json.dumps(CREATED).encode()
    if target.count("/") == 1:
        return json.dumps(document(url, key="sent-1")).encode()
    # By the last part of the path; an action on a step or a run has no body.
    bodies: dict[str, Any] = {
        "keys": {"scopes": ["read"]},
        "probe": document(url, key="sent-1"),
        "steps": document(url, key="sent-1", parent=step_id),
        "events": {"workflowName": "w", "idempotencyKey": "sent-1", "name": "e"},
        "reject": {"detail": "no"},
        "backfill": {"from": "2025-01-01T00:00:00Z", "to": "2025-01-01T00:00:01Z"},
        "start-tokens": {"workflows": {"w": url}},
        "bulk": {"do": "resume", "filter": {"keyPrefix": "none"}},
    }
    if target.count("/") == 2:
        bodies["redrive"] = {"filter": {"workflowName": "w"}}
    given = bodies.get(target.rpartition("/")[2])
    return b"" if given is None else json.dumps(given).encode()


async def start_as(runtime: Runtime, client: str, document: dict[str, Any], prefer: str = "") -> ApiReply:
    """Start as another client."""
    body = json.dumps(document).encode()
    headers = {"Prefer": prefer} if prefer else {}
    return await runtime.request("POST", f"/{client}", body=body, headers=headers, key_of=client)


def visible(reply: ApiReply) -> dict[str, str]:
    """The headers that the API itself sets."""
    return {name: value for name, value in reply.headers.items() if name not in {"date", "connection"}}


def key_id(api_key: str) -> str:
    """The id of a key."""
    return api_key.split("_")[1]
