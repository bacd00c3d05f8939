"""Helpers of the scenarios: start documents, an endpoint that waits, assertions about refusals."""

import asyncio
from datetime import datetime
from typing import Any

from atomic.testing import ApiReply, EndpointCall, EndpointReply

PROBLEM = "application/problem+json"
# No server listens there. All clients of runtimes with keys may call this URL.
NOBODY = "https://127.0.0.1:1/"


class Gate:
    """An endpoint that answers once it is opened."""

    def __init__(self, then: Any = None) -> None:
        self.entered = asyncio.Event()
        self._opened = asyncio.Event()
        self._then = then

    def open(self) -> None:
        """Release present and later calls."""
        self._opened.set()

    async def __call__(self, call: EndpointCall) -> EndpointReply:
        """Handle one call."""
        self.entered.set()
        await self._opened.wait()
        return EndpointReply(json=self._then)


def retries(count: int) -> dict[str, Any]:
    """A quick retry policy."""
    return {"count": count, "backOff": 15, "strategy": "fixed", "jitter": "none"}


def document(url: str, key: str = "k-1", **members: Any) -> dict[str, Any]:
    """A start with quick retries."""
    return {
        "workflowName": "w",
        "stepInvokeUrl": url,
        "idempotencyKey": key,
        "retry": retries(3),
        **members,
    }


def moment(text: str) -> datetime:
    """Parse a time of the wire format."""
    return datetime.fromisoformat(text)


def assert_problem(reply: ApiReply, status: int, name: str) -> None:
    """Assert that the reply is a problem of this type; the runtime has already validated its form."""
    assert (reply.status, reply.headers["content-type"]) == (status, PROBLEM), reply.body
    assert reply.json["type"] == f"urn:atomic:problem:{name}"
