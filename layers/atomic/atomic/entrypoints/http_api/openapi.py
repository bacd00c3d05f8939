"""The API's description (OpenAPI 3.1), made from the wire models and the operations below.

`python -m atomic.entrypoints.http_api.openapi > docs/openapi.json` writes the committed copy anew.
"""

import json
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from atomic import __version__
from atomic.domain.steps import Status
from atomic.protocol import documents, messages, problems
from atomic.protocol.keys import CLIENT_ID_PATTERN
from atomic.protocol.limits import DURATION_MAX_MS, PAGE_MAX

_REF: Final = "#/components/schemas/{model}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One route as a reader of the documentation needs it."""

    method: str
    path: str
    id: str
    summary: str
    description: str = ""
    query: tuple[dict[str, Any], ...] = ()
    headers: tuple[dict[str, Any], ...] = ()
    request: type[BaseModel] | None = None
    any_json_body: bool = False
    answers: tuple[tuple[int, type[BaseModel], str], ...] = ()
    content_type: str | None = None
    refusals: tuple[problems.ProblemType, ...] = ()


def _parameter(name: str, where: str, description: str, **schema: Any) -> dict[str, Any]:
    return {"name": name, "in": where, "description": description, "schema": schema}


_MOMENTS = (
    _parameter("createdAfter", "query", "Created at or after.", type="string", format="date-time"),
    _parameter("createdBefore", "query", "Created before.", type="string", format="date-time"),
)
_PAGE = (
    _parameter("cursor", "query", "Where the last page ended.", type="string"),
    _parameter("limit", "query", "How many on a page.", type="integer", minimum=1, maximum=PAGE_MAX),
)
_WAIT = _parameter(
    "wait",
    "query",
    "Hang this long (milliseconds) for the step to settle.",
    type="integer",
    minimum=0,
    maximum=DURATION_MAX_MS,
)
_TENANT = (problems.UNAUTHORIZED, problems.NOT_FOUND, problems.UNAVAILABLE)
_ACT = (problems.INVALID_REQUEST, *_TENANT, problems.TOO_LARGE)

OPERATIONS: Final = (
    Operation(
        method="POST", path="/{clientId}", id="start", summary="Start a step, or attach to it",
        description="Call this URL with this key until it succeeds, remember the answer, give it again "
        "whenever it is asked for. The first post of a run is its workflow; what its handler posts under "
        "the same workflowName and idempotencyKey, or with `parent`, are the steps.",
        headers=(
            _parameter("Idempotency-Key", "header", "Instead of the member.", type="string"),
            _parameter("Prefer", "header", "`wait=SECONDS`, `respond-async` (RFC 7240).", type="string"),
            _parameter("traceparent", "header", "W3C Trace Context to go on with.", type="string"),
        ),
        request=messages.StartRequest,
        answers=(
            (200, documents.StepOutcome, "Succeeded."),
            (202, documents.StepOutcome, "Not finished, and `Prefer: respond-async` was given."),
        ),
        refusals=(
            problems.INVALID_REQUEST, *_TENANT, problems.URL_NOT_ALLOWED, problems.CANCELLED,
            problems.TOO_LARGE, problems.PAYLOAD_MISMATCH, problems.STEP_FAILED,
            problems.TOO_MANY_REQUESTS, problems.NOT_FINISHED,
        ),
    ),
    Operation(
        method="GET", path="/{clientId}/runs", id="listRuns", summary="List runs, newest first",
        query=(
            _parameter("status", "query", "Only in this state.", type="string", enum=list(Status)),
            _parameter("workflowName", "query", "Only of this workflow.", type="string"),
            _parameter("keyPrefix", "query", "Only keys that begin so.", type="string"),
            *_MOMENTS,
            _parameter("progress", "query", "Say how far each run is, too.", type="boolean"),
            *_PAGE,
        ),
        answers=((200, documents.RunList, "A page of runs."),),
        refusals=(problems.INVALID_REQUEST, *_TENANT),
    ),
    Operation(
        method="GET", path="/{clientId}/dead-letters", id="listDeadLetters",
        summary="List the steps that gave up, newest first",
        query=(
            _parameter("workflowName", "query", "Only of this workflow.", type="string"),
            _parameter("keyPrefix", "query", "Only keys that begin so.", type="string"),
            *_MOMENTS, *_PAGE,
        ),
        answers=((200, documents.DeadLetterList, "A page of dead letters."),),
        refusals=(problems.INVALID_REQUEST, *_TENANT),
    ),
    Operation(
        method="GET", path="/{clientId}/runs/{runId}", id="getRun",
        summary="Read a run: root, steps, attempts",
        query=(
            _parameter("after", "query", "Where the last page of steps ended.", type="string"),
            _parameter("limit", "query", "Steps on a page.", type="integer", minimum=1, maximum=1000),
        ),
        answers=((200, documents.RunDocument, "The run."),),
        refusals=(problems.INVALID_REQUEST, *_TENANT),
    ),
    Operation(
        method="POST", path="/{clientId}/runs/{runId}/cancel", id="cancelRun", summary="Cancel a run",
        description="Every live step ends as cancelled; doing it again changes nothing.",
        answers=((200, documents.RunSummary, "The run as it stands now."),),
        refusals=_ACT,
    ),
    Operation(
        method="GET", path="/{clientId}/steps/{stepId}", id="getStep",
        summary="Read a step, or wait for it", query=(_WAIT,),
        answers=((200, documents.StepDocument, "The step."),),
        refusals=(problems.INVALID_REQUEST, *_TENANT),
    ),
    Operation(
        method="POST", path="/{clientId}/steps/{stepId}/redrive", id="redriveStep",
        summary="Give a dead letter a fresh budget of attempts",
        description="The failed steps above it go along, so that the run goes on; a root takes every "
        "failed step of its run along. A step that did not fail stays as it is.",
        answers=((200, documents.StepOutcome, "The step as it stands now."),),
        refusals=_ACT,
    ),
    Operation(
        method="POST", path="/{clientId}/redrive", id="redriveMany",
        summary="Redrive the dead letters that fit a filter", request=messages.RedriveRequest,
        answers=((200, documents.RedriveResult, "What was redriven."),),
        refusals=_ACT,
    ),
    Operation(
        method="POST", path="/{clientId}/steps/{stepId}/result", id="postResult",
        summary="Complete an event step", any_json_body=True,
        description="The body, any JSON value, becomes the step's response. The same again is no error.",
        answers=((200, documents.StepOutcome, "The step as it stands now."),),
        refusals=(*_ACT, problems.NOT_AN_OPEN_EVENT),
    ),
    Operation(
        method="GET", path="/{clientId}/stats", id="getStats", summary="Count steps and recent runs",
        query=(
            _parameter(
                "window", "query", "Count runs created within this time (milliseconds).",
                type="integer", minimum=1, maximum=DURATION_MAX_MS,
            ),
        ),
        answers=((200, documents.Stats, "The counts."),),
        refusals=(problems.INVALID_REQUEST, *_TENANT),
    ),
    Operation(
        method="GET", path="/.well-known/atomic/{client}/jwks.json", id="getSigningKeys",
        summary="Public keys that verify calls to endpoints (Ed25519)",
        description="For clients that sign by Ed25519, too; 404 for any other. No API key is needed.",
        answers=((200, documents.SigningKeys, "The keys."),),
        refusals=(problems.NOT_FOUND, problems.UNAVAILABLE),
    ),
    Operation(
        method="GET", path="/health", id="getHealth", summary="Whether the server can take work",
        answers=((200, documents.Health, "It can."), (503, documents.Health, "It cannot.")),
    ),
    Operation(
        method="GET", path="/openapi.json", id="getOpenapi", summary="This description",
        content_type="application/json",
    ),
    Operation(
        method="GET", path="/docs", id="getDocs", summary="This description as a page",
        content_type="text/html",
    ),
    Operation(
        method="GET", path="/dashboard", id="getDashboard", summary="The dashboard",
        content_type="text/html",
    ),
)  # fmt: skip


@cache
def openapi() -> dict[str, Any]:
    """The whole description. It is built when first asked for: most processes never are."""
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Atomic",
            "version": __version__,
            "description": "Durable workflows made of plain HTTP endpoints.",
        },
        "servers": [{"url": "/"}],
        "security": [{"apiKey": []}],
        "paths": paths,
        "components": {
            "schemas": _schemas(),
            "securitySchemes": {"apiKey": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(operation: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {"operationId": operation.id, "summary": operation.summary}
    if operation.description:
        described["description"] = operation.description
    described["parameters"] = [
        *_path_parameters(operation.path), *operation.query, *operation.headers
    ]  # fmt: skip
    if operation.request or operation.any_json_body:
        schema = _reference(operation.request) if operation.request else {}
        described["requestBody"] = {
            "required": operation.request is not None,
            "content": {"application/json": {"schema": schema}},
        }
    if "{clientId}" not in operation.path:
        described["security"] = []
    described["responses"] = _responses(operation)
    return described


def _path_parameters(path: str) -> list[dict[str, Any]]:
    described = {
        "clientId": {
            "description": "The client: whose runs these are.",
            "schema": {"type": "string", "pattern": CLIENT_ID_PATTERN},
        },
        "client": {"description": "The client: whose runs these are.", "schema": {"type": "string"}},
        "runId": {"description": "The run.", "schema": {"type": "string"}},
        "stepId": {"description": "The step.", "schema": {"type": "string"}},
    }
    return [
        {"name": name, "in": "path", "required": True, **parameter}
        for name, parameter in described.items()
        if f"{{{name}}}" in path
    ]


def _responses(operation: Operation) -> dict[str, Any]:
    responses: dict[str, Any] = {}
    if operation.content_type is not None:
        responses["200"] = {"description": "OK", "content": {operation.content_type: {"schema": {}}}}
    for status, model, description in operation.answers:
        content = {"application/json": {"schema": _reference(model)}}
        responses[str(status)] = {"description": description, "content": content}
    refusal = {problems.MEDIA_TYPE: {"schema": _reference(documents.ProblemDocument)}}
    for status in sorted({problem.status for problem in operation.refusals}):
        kinds = [problem for problem in operation.refusals if problem.status == status]
        description = " or ".join(f"`{kind.uri}`: {kind.title}" for kind in kinds)
        responses[str(status)] = {"description": description + ".", "content": refusal}
    return responses


def _reference(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": _REF.format(model=model.__name__)}


def _schemas() -> dict[str, Any]:
    incoming = {operation.request for operation in OPERATIONS if operation.request}
    outgoing = {model for operation in OPERATIONS for _, model, _ in operation.answers}
    listed = sorted(incoming | outgoing | {documents.ProblemDocument}, key=lambda model: model.__name__)
    _, schema = models_json_schema([(model, "validation") for model in listed], ref_template=_REF)
    definitions: dict[str, Any] = schema["$defs"]
    return definitions


if __name__ == "__main__":
    print(json.dumps(openapi(), indent=2, ensure_ascii=False))
