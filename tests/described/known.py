"""The ids and keys in the fuzzed runtimes, and the API's description with these as examples.

Ids that a fuzzer draws from the description exist nowhere. With these examples, paths, headers and bodies
mostly refer to existing things. Everything is derived from the served description, so a new operation is
covered automatically.
"""

import copy
import itertools
from collections.abc import Callable
from hashlib import sha256
from typing import Any, Final

from atomic.domain.clients import api_keys
from atomic.domain.clients.client import OPERATOR_SCOPE
from atomic.entrypoints.http_api.openapi import openapi
from atomic.entrypoints.http_api.routes import ROUTES
from atomic.protocol import keys
from atomic.protocol.enums import SCOPES

CLIENT, OTHER = "fuzzed", "somebody"
# No server listens there, so an attempt fails at once.
BASE_URL: Final = "http://127.0.0.1:9/"
URL: Final = f"{BASE_URL}step"
_EACH: Final = 10


def seeded() -> Callable[[int], bytes]:
    """A deterministic `ClientAdmin.token_bytes`, so that keys are known before a runtime exists."""
    serial = itertools.count()
    return lambda size: sha256(b"%d" % next(serial)).digest()[:size]


_issue = seeded()
# No request names the keys that authenticate the fuzzer, so no request can revoke them.
API_KEYS: Final = {
    name: api_keys.issue(_issue) for name in ("all", *SCOPES, OPERATOR_SCOPE, "other", "nobody")
}
VICTIMS: Final = tuple(api_keys.issue(_issue) for _ in range(_EACH))

_OUTCOMES: Final = {
    "fails": {"stepInvokeUrl": URL, "retry": {"count": 0}},
    "retries": {"stepInvokeUrl": URL, "retry": {"count": 9, "backOff": 3_600_000}},
    "later": {"stepInvokeUrl": URL, "delay": 3_600_000},
    "ended": {"stepInvokeUrl": URL, "delay": 3_600_000},
}
# Steps of runs that have not begun.
_BELOW: Final = (
    {"kind": "event", "stepName": "e"},
    {"kind": "timer", "stepName": "t", "delay": 3_600_000},
    {"kind": "timer", "stepName": "done"},
    {"kind": "value", "stepName": "v", "payload": 1},
)
_RUNS: Final = {
    workflow: [keys.run_id(CLIENT, workflow, f"k-{number}") for number in range(_EACH)]
    for workflow in _OUTCOMES
}
STARTS: Final = [
    *(
        {"workflowName": workflow, "idempotencyKey": f"k-{number}", **members}
        for workflow, members in _OUTCOMES.items()
        for number in range(_EACH)
    ),
    *(
        {"workflowName": "later", "idempotencyKey": "k", "parent": keys.root_of(run), **members}
        for run in _RUNS["later"]
        for members in _BELOW
    ),
]
# A cancelled run does not change any more.
CANCELLED: Final = _RUNS["ended"][: _EACH // 2]
_LASTING: Final = [run for workflow, runs in _RUNS.items() if workflow != "ended" for run in runs]
_ROOTS: Final = [keys.root_of(run) for run in _LASTING]
_STEPS: Final = [
    keys.step_id(
        run,
        keys.identity(CLIENT, "later", keys.root_of(run), str(below["kind"]), str(below["stepName"]), "k"),
    )
    for run in _RUNS["later"]
    for below in _BELOW
]
_STRANGER: Final = keys.run_id(OTHER, "w", "k")

# The known values of each parameter or member, wherever a request has it.
_IDS: Final = {
    "client": [CLIENT, OTHER],
    "runId": [*_LASTING, _STRANGER],
    "stepId": [*_ROOTS, *_STEPS, keys.root_of(_STRANGER)],
    "keyId": [key.split("_")[1] for key in VICTIMS],
    "Prefer": ["respond-async"],
}
_MOMENTS: Final = ["2020-01-01T00:00:00Z", "2100-01-01T00:00:00Z"]
_MEMBERS: Final = {
    "clientId": [CLIENT, *(f"made-{number}" for number in range(50))],
    "baseUrls": [["https://app.example/"], ["https://app.example/a", "https://b.example/"]],
    "workflowName": list(_OUTCOMES),
    "idempotencyKey": [f"k-{number}" for number in range(_EACH)],
    "keyPrefix": ["k-", "k-1"],
    # The second URL is under no base URL, so it is refused and never called.
    "stepInvokeUrl": [URL, "https://elsewhere.example/"],
    "parent": _ROOTS,
    **dict.fromkeys(("createdAfter", "createdBefore", "failedBefore"), _MOMENTS),
}
_WHOLE: Final = {"StartRequest": [*STARTS, *({**start, "payload": "another"} for start in STARTS)]}
# Shorter than every id, because an alternative that matched ids would hide the known ones.
_ANYTHING: Final = {"type": "string", "maxLength": 10}


def described() -> dict[str, Any]:
    """The description in the form that the fuzzer reads."""
    document = copy.deepcopy(openapi())
    del document["security"], document["components"]["securitySchemes"]
    schemas = document["components"]["schemas"]
    operated = {(route.method, route.template) for route in ROUTES if route.scope == OPERATOR_SCOPE}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            operation.pop("security", None)
            key_name = OPERATOR_SCOPE if (method.upper(), path) in operated else "all"
            for parameter in operation["parameters"]:
                parameter["schema"] = _leading(parameter, operation["operationId"], key_name)
            operation["parameters"].append(_authorization(key_name))
            for media in operation.get("requestBody", {}).get("content", {}).values():
                media["schema"] = _leading_body(media["schema"], schemas)
    return document


def _authorization(key_name: str) -> dict[str, Any]:
    # Schemes are case-insensitive, so both spellings are valid, and the valid key is sent half of the time.
    schemes = ("Bearer", "bearer", "BEARER", "beareR", "bEARER", "BEARer")
    often = [f"{scheme} {API_KEYS[key_name]}" for scheme in schemes]
    seldom = [f"Bearer {key}" for name, key in API_KEYS.items() if name != key_name]
    return {"name": "Authorization", "in": "header", "required": True, "schema": {"enum": often + seldom}}


def _leading(parameter: dict[str, Any], operation_id: str, key_name: str) -> dict[str, Any]:
    name = parameter["name"]
    if name == "clientId":
        # Base URLs and quotas are changed only for a client that starts no runs.
        return {"enum": [OTHER if key_name == OPERATOR_SCOPE else CLIENT]}
    if name not in _IDS:
        return dict(parameter["schema"])
    known = _RUNS["ended"] if operation_id == "cancelRun" and name == "runId" else _IDS[name]
    return {"anyOf": [{"enum": known}, _ANYTHING]}


def _leading_body(schema: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    """The body as described, or with members that name existing things, or a complete known body."""
    if "$ref" not in schema:
        return schema
    whole = [{"enum": bodies} for model, bodies in _WHOLE.items() if schema["$ref"].endswith(f"/{model}")]
    return {"anyOf": [schema, _known(schema, schemas), *whole]}


def _known(schema: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    model = copy.deepcopy(schemas[schema["$ref"].rpartition("/")[2]])
    members = model["properties"]
    model["required"] = sorted({*model.get("required", ()), *(members.keys() & _MEMBERS.keys())})
    for name, member in members.items():
        if name in _MEMBERS:
            members[name] = {"enum": _MEMBERS[name]}
        elif "$ref" in member:
            members[name] = _known(member, schemas)
    return model
