"""Validates every reply of every scenario against the API's OpenAPI description."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from atomic.entrypoints.http_api.openapi import openapi
from atomic.testing import ApiReply

_DOCUMENT = "urn:atomic:openapi"
_JSON = frozenset({"application/json", "application/problem+json"})
# Served, but not part of the API: the files of the pages, and routes of the embedded server alone.
_UNDESCRIBED = re.compile(r"/static/.+|/metrics|/_dev/.+")

Answers = Mapping[int, Mapping[str, Draft202012Validator]]


@dataclass(frozen=True, slots=True)
class _Path:
    """A path of the description: for each method and status, the allowed bodies."""

    pattern: re.Pattern[str]
    operations: Mapping[str, Answers]


def check(method: str, target: str, reply: ApiReply) -> None:
    """Fail unless the description allows this reply."""
    path = target.partition("?")[0]
    if _UNDESCRIBED.fullmatch(path):
        return
    said = f"{method} {path} answered {reply.status} {reply.body[:500]!r}"
    assert reply.headers.get("x-content-type-options") == "nosniff", said
    media_type = reply.headers.get("content-type", "").partition(";")[0]
    if reply.status >= 400 and media_type == "application/problem+json":
        assert reply.json["status"] == reply.status, said
        assert reply.json["type"].startswith("urn:atomic:problem:"), said
    if method == "OPTIONS" and reply.status == 204 and "access-control-allow-methods" in reply.headers:
        # A preflight is of the browser, and any path may have one.
        return
    answers = _answers_of(method, path)
    is_foreign = reply.status == 403 and reply.json["type"].endswith(":foreign-origin")
    if answers is None or reply.status == 405 or is_foreign:
        assert is_foreign or reply.status in {404, 405}, said
        assert reply.status != 405 or reply.headers["allow"], said
        _check_body(said, _problem(), reply)
        return
    assert reply.status in answers, f"{said}; described are {sorted(answers)}"
    validators = answers[reply.status]
    if not validators:
        assert not reply.body, said
        return
    assert media_type in validators, f"{said} as {media_type!r}; described are {sorted(validators)}"
    if media_type in _JSON:
        _check_body(said, validators[media_type], reply)


def _check_body(said: str, validator: Draft202012Validator, reply: ApiReply) -> None:
    document = reply.json
    if not validator.is_valid(document):
        wrong = best_match(validator.iter_errors(document))
        raise AssertionError(f"{said}; at {wrong.json_path}: {wrong.message}")


def _answers_of(method: str, path: str) -> Answers | None:
    for described in _paths():
        if described.pattern.fullmatch(path):
            return described.operations.get(method)
    return None


@cache
def _paths() -> list[_Path]:
    # Fixed paths come first, because `/health` would also match `/{clientId}`.
    paths = sorted(openapi()["paths"].items(), key=lambda item: "{clientId}" in item[0])
    return [
        _Path(
            re.compile(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(path))),
            {method.upper(): dict(_answers(operation)) for method, operation in operations.items()},
        )
        for path, operations in paths
    ]


def _answers(operation: Mapping[str, Any]) -> Iterator[tuple[int, dict[str, Draft202012Validator]]]:
    for status, answer in operation["responses"].items():
        content = answer.get("content", {})
        yield int(status), {name: _validator(media["schema"]) for name, media in content.items()}


@cache
def _problem() -> Draft202012Validator:
    return _validator({"$ref": "#/components/schemas/ProblemDocument"})


def _validator(schema: Mapping[str, Any]) -> Draft202012Validator:
    reference = schema.get("$ref")
    return Draft202012Validator(
        {"$ref": _DOCUMENT + reference} if reference else dict(schema), registry=_registry()
    )


@cache
def _registry() -> Registry[Any]:
    empty: Registry[Any] = Registry()
    filled: Registry[Any] = empty.with_resource(_DOCUMENT, DRAFT202012.create_resource(openapi()))
    return filled
