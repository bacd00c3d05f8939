"""A request and a response as every runtime can make them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from atomic.protocol.problems import MEDIA_TYPE, Problem

# Answers hold what endpoints and callers said: a browser takes them for JSON, whatever they look like.
_NO_GUESSING: Final = {"x-content-type-options": "nosniff"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiRequest:
    """`path` is decoded and starts with "/", header names are lower case, `query` is still encoded."""

    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiResponse:
    """`headers` holds everything but Content-Length."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


def json_response(
    status: int, document: Mapping[str, Any], headers: Mapping[str, str] | None = None
) -> ApiResponse:
    """A JSON answer."""
    return ApiResponse(
        status=status,
        body=orjson.dumps(document),
        headers={"content-type": "application/json", **_NO_GUESSING, **(headers or {})},
    )


def problem_response(problem: Problem) -> ApiResponse:
    """A refusal as RFC 9457 wants it."""
    return ApiResponse(
        status=problem.type.status,
        body=orjson.dumps(problem.document()),
        headers={"content-type": MEDIA_TYPE, **_NO_GUESSING, **problem.headers},
    )
