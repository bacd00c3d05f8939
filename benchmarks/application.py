"""The application under test: the mission's workflow as endpoints on a bare ASGI server.

Usage: python benchmarks/application.py PORT ATOMIC_URL
"""

import asyncio
import sys
from typing import Any

import aiohttp
import orjson
import uvicorn

from asgi import answer_json, body_of

PADDING = "x" * 900  # the payload is 1 KB, as in the peers' measurements


class Application:
    """Four endpoints: index posts createUser, then sendEmail and sendAnalytics in parallel."""

    def __init__(self, base: str, atomic: str) -> None:
        self._base, self._atomic = base, atomic
        self._session: aiohttp.ClientSession | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = await body_of(receive)
        answer = b'{"ok":true}'
        if scope["path"] == "/index":
            call = orjson.loads(body)
            await self._step("createUser", call)
            await asyncio.gather(self._step("sendEmail", call), self._step("sendAnalytics", call))
        await answer_json(send, answer)

    async def _step(self, name: str, call: dict[str, Any]) -> None:
        if self._session is None:
            self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        document = start_document(f"{self._base}/{name}", call["idempotencyKey"])
        async with self._session.post(self._atomic, data=orjson.dumps(document)) as reply:
            await reply.read()
            if reply.status != 200:
                raise RuntimeError(f"{name}: {reply.status}")


def start_document(url: str, key: str, **payload: Any) -> dict[str, Any]:
    """The mission's JSON."""
    return {
        "workflowName": "createUser",
        "stepInvokeUrl": url,
        "idempotencyKey": key,
        "payload": {"userName": "ada", "padding": PADDING, **payload},
        "timeout": 20000,
        "retry": {"count": 10, "backOff": 1000},
    }


if __name__ == "__main__":
    port, atomic_url = int(sys.argv[1]), sys.argv[2]
    app = Application(f"http://127.0.0.1:{port}", f"{atomic_url}/bench")
    uvicorn.run(app, port=port, log_level="error", access_log=False, lifespan="off", timeout_keep_alive=75)
