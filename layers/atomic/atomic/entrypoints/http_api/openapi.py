"""The API's description (OpenAPI 3.1), made from the wire models and the table of routes.

`python -m atomic.entrypoints.http_api.openapi > docs/openapi.json` writes the committed copy anew.
"""

import json
from functools import cache
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from atomic import __version__
from atomic.entrypoints.http_api.route import Operation, Route
from atomic.entrypoints.http_api.routes import ROUTES
from atomic.protocol import (
    audit_documents,
    bulk_documents,
    cause_documents,
    client_documents,
    counter_documents,
    documents,
    endpoint_documents,
    flow,
    hook_documents,
    problems,
    schedule_documents,
    workflow_states,
)
from atomic.protocol.keys import CLIENT_ID_PATTERN

_REF: Final = "#/components/schemas/{model}"


@cache
def openapi() -> dict[str, Any]:
    """The whole description. It is built at the first request, since most processes never serve it."""
    paths: dict[str, dict[str, Any]] = {}
    for route in ROUTES:
        if route.operation is not None:
            described = _described(route, route.operation)
            paths.setdefault(route.template, {})[route.method.lower()] = described
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


def _described(route: Route, operation: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {"operationId": operation.id, "summary": operation.summary}
    if operation.description:
        described["description"] = operation.description
    in_path = _path_parameters(route.template)
    described["parameters"] = [*in_path, *operation.query, *operation.headers]
    if operation.request or operation.any_json_body:
        schema = _reference(operation.request) if operation.request else {}
        described["requestBody"] = {
            "required": operation.request is not None and operation.needs_body,
            "content": {"application/json": {"schema": schema}},
        }
    elif operation.any_body:
        described["requestBody"] = {"required": False, "content": {"*/*": {"schema": {}}}}
    if not route.scope:
        described["security"] = []
    described["responses"] = _responses(operation, route.refusals)
    return described


def _path_parameters(path: str) -> list[dict[str, Any]]:
    described = {
        "clientId": {
            "description": "The id of the client that owns the runs.",
            "schema": {"type": "string", "pattern": CLIENT_ID_PATTERN},
        },
        "client": {"description": "The id of the client that owns the runs.", "schema": {"type": "string"}},
        "runId": {"description": "The run.", "schema": {"type": "string"}},
        "stepId": {"description": "The step.", "schema": {"type": "string"}},
        "token": {"description": "The last part of a `callbackUrl`.", "schema": {"type": "string"}},
        "keyId": {"description": "The middle part of an API key.", "schema": {"type": "string"}},
        "key": {"description": "A key of flow control.", "schema": {"type": "string"}},
        "workflowName": {
            "description": "The name of a workflow, which may have slashes.",
            "schema": {"type": "string"},
        },
        "name": {"description": "The name of a schedule, or of a hook.", "schema": {"type": "string"}},
    }
    return [
        {"name": name, "in": "path", "required": True, **parameter}
        for name, parameter in described.items()
        if f"{{{name}}}" in path
    ]


def _responses(operation: Operation, refusals: tuple[problems.ProblemType, ...]) -> dict[str, Any]:
    responses: dict[str, Any] = {}
    if operation.content_type is not None:
        responses["200"] = {"description": "OK", "content": {operation.content_type: {"schema": {}}}}
    for status, name, description in operation.answers:
        responses[str(status)] = {"description": description}
        if name:
            schema = _reference(_model(name))
            responses[str(status)]["content"] = {"application/json": {"schema": schema}}
    refusal = {problems.MEDIA_TYPE: {"schema": _reference(documents.ProblemDocument)}}
    for status in sorted({problem.status for problem in refusals}):
        kinds = [problem for problem in refusals if problem.status == status]
        description = " or ".join(f"`{kind.uri}`: {kind.title}" for kind in kinds)
        responses[str(status)] = {"description": description + ".", "content": refusal}
    return responses


def _model(name: str) -> type[BaseModel]:
    places = (
        documents,
        audit_documents,
        bulk_documents,
        cause_documents,
        client_documents,
        counter_documents,
        endpoint_documents,
        schedule_documents,
        flow,
        hook_documents,
        workflow_states,
    )
    found: type[BaseModel] = next(getattr(each, name) for each in places if hasattr(each, name))
    return found


def _reference(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": _REF.format(model=model.__name__)}


def _schemas() -> dict[str, Any]:
    operations = [route.operation for route in ROUTES if route.operation is not None]
    incoming = {operation.request for operation in operations if operation.request}
    outgoing = {_model(name) for each in operations for _, name, _ in each.answers if name}
    listed = sorted(incoming | outgoing | {documents.ProblemDocument}, key=lambda model: model.__name__)
    _, schema = models_json_schema([(model, "validation") for model in listed], ref_template=_REF)
    definitions: dict[str, Any] = schema["$defs"]
    return definitions


if __name__ == "__main__":
    print(json.dumps(openapi(), indent=2, ensure_ascii=False))
