"""What many scenarios need to start steps: documents, an endpoint that waits, the reading of refusals."""

import asyncio
from datetime import datetime
from typing import Any

from atomic.testing import ApiReply, EndpointCall, EndpointReply

PROBLEM = "application/problem+json"
# No connection comes about here. Runtimes whose clients may call few URLs only let them call this one.
NOBODY = "https://127.0.0.1:1/"


class Gate:
    """An endpoint that answers once it is opened."""

    def __init__(self, then: Any = None) -> None:
        self.entered = asyncio.Event()
        self._opened = asyncio.Event()
        self._then = then

    def open(self) -> None:
        """Let every call pass, those to come as well."""
        self._opened.set()

    async def __call__(self, call: EndpointCall) -> EndpointReply:
        """One call."""
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
    """A moment of the wire."""
    return datetime.fromisoformat(text)


def assert_problem(reply: ApiReply, status: int, name: str) -> None:
    """The reply is a problem of this kind; the scenario's runtime checks its form."""
    assert (reply.status, reply.headers["content-type"]) == (status, PROBLEM), reply.body
    assert reply.json["type"] == f"urn:atomic:problem:{name}"
