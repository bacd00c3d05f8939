"""Endpoints of tests, as plain functions."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

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


EndpointHandler = Callable[[EndpointCall], Awaitable[EndpointReply]]


class FunctionInvoker:
    """An EndpointInvoker that calls functions; a URL without one refuses the connection."""

    def __init__(self) -> None:
        self.handlers: dict[str, EndpointHandler] = {}

    async def post(self, request: EndpointRequest) -> EndpointResponse:
        """Make one attempt."""
        handler = self.handlers.get(request.url)
        if handler is None:
            return EndpointResponse(error=StepError(ErrorKind.NETWORK, "connection refused"))
        headers = {name.lower(): value for name, value in request.headers.items()}
        call = EndpointCall(url=request.url, headers=headers, body=request.body)
        try:
            async with asyncio.timeout(request.timeout_ms / 1000):
                reply = await handler(call)
        except TimeoutError:
            return EndpointResponse(error=StepError(ErrorKind.TIMED_OUT, str(request.timeout_ms)))
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
