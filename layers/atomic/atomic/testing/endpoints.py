"""Endpoints of tests, as plain functions."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from atomic.application.ports import EndpointRequest
from atomic.domain.outcomes import EndpointResponse, StepError
from atomic.protocol.constants import RESPONSE_MAX_BYTES
from atomic.protocol.error_kinds import ErrorKind


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointCall:
    """One attempt as the endpoint sees it; header names are lower case."""

    url: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        """The body: `idempotencyKey`, `payload`, `attempt`, `runId`, `stepId`, `workflowName`."""
        document: dict[str, Any] = json.loads(self.body)
        return document

    @property
    def payload(self) -> Any:
        """The payload that the caller of the step sent."""
        return self.json["payload"]

    @property
    def attempt(self) -> int:
        """The number of this attempt, from 1."""
        return int(self.headers["atomic-attempt"])


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointReply:
    """The answer of an endpoint: `json` unless `body` is given."""

    status: int = 200
    json: Any = None
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def content(self) -> tuple[dict[str, str], bytes]:
        """Headers (lower case) and body as they are sent."""
        headers = {name.lower(): value for name, value in self.headers.items()}
        if self.body is not None:
            return headers, self.body
        return {"content-type": "application/json", **headers}, json.dumps(self.json).encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiReply:
    """The answer of the API; header names are lower case."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def json(self) -> Any:
        """The body, parsed."""
        return json.loads(self.body)


EndpointHandler = Callable[[EndpointCall], Awaitable[EndpointReply]]


class FunctionInvoker:
    """An EndpointInvoker that calls functions; a URL without one refuses the connection.

    `fakes` answer before all others, by the URL without its query, its path, or the last part of it.
    `handlers` are by URL. `applications` are by the URLs below which they are; the longest that fits
    counts.
    """

    def __init__(self) -> None:
        self.fakes: dict[str, EndpointHandler] = {}
        self.handlers: dict[str, EndpointHandler] = {}
        self.applications: dict[str, EndpointHandler] = {}

    async def post(self, request: EndpointRequest) -> EndpointResponse:
        """Make one attempt."""
        handler = self._handler_of(request.url)
        if handler is None:
            return EndpointResponse(error=StepError(ErrorKind.NETWORK, "connection refused"))
        headers = {name.lower(): value for name, value in request.headers.items()}
        call = EndpointCall(url=request.url, headers=headers, body=request.body)
        try:
            async with asyncio.timeout(request.timeout_ms / 1000):
                reply = await handler(call)
        except TimeoutError:
            return EndpointResponse(error=StepError(ErrorKind.TIMED_OUT, str(request.timeout_ms)))
        except ConnectionError as failure:
            return EndpointResponse(error=StepError(ErrorKind.NETWORK, str(failure)))
        except Exception as failure:
            reply = EndpointReply(status=500, json={"error": str(failure)})
        answer_headers, body = reply.content()
        too_large = len(body) > RESPONSE_MAX_BYTES
        return EndpointResponse(
            status=reply.status,
            headers=answer_headers,
            body=b"" if too_large else body,
            too_large=too_large,
        )

    def _handler_of(self, url: str) -> EndpointHandler | None:
        plain = url.partition("?")[0]
        path = urlsplit(plain).path
        for name in (plain, path, path.rpartition("/")[2]):
            if name in self.fakes:
                return self.fakes[name]
        if url in self.handlers:
            return self.handlers[url]
        fitting = [base for base in self.applications if f"{plain}/".startswith(f"{base}/")]
        return self.applications[max(fitting, key=len)] if fitting else None
