"""The API's description (OpenAPI 3.1), made from the wire models and the operations below.

`python -m atomic.entrypoints.http_api.openapi > docs/openapi.json` writes the committed copy anew.
"""

import json
from functools import cache
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from atomic import __version__
from atomic.entrypoints.http_api.operations import OPERATIONS, Operation
from atomic.protocol import documents, problems
from atomic.protocol.keys import CLIENT_ID_PATTERN

_REF: Final = "#/components/schemas/{model}"


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
            "required": operation.request is not None and operation.needs_body,
            "content": {"application/json": {"schema": schema}},
        }
    if problems.UNAUTHORIZED not in operation.refusals:
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
        "keyId": {"description": "The middle part of an API key.", "schema": {"type": "string"}},
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
