"""Requests of tests to an engine in memory."""

import json
from typing import Any

from atomic.testing import LocalAtomic


async def ask(atomic: LocalAtomic, method: str, path: str, document: Any = None, **headers: str) -> Any:
    """The document of the answer to a request of the client `me`, which must not be refused."""
    body = b"" if document is None else json.dumps(document).encode()
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    reply = await atomic.request(method, f"/me{path}", body=body, headers=given)
    assert reply.status < 300, reply.body
    return reply.json
