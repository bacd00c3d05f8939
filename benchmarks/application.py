"""The application under test: the user-creation workflow as endpoints on a bare ASGI server.

Usage: python benchmarks/application.py PORT ATOMIC_URL [--client bench] [--base http://127.0.0.1:PORT]

`--base` is the URL at which Atomic reaches the application. ATOMIC_API_KEY holds the API key, if the client
has one.
"""

import argparse
import asyncio
import os
from typing import Any

import aiohttp
import orjson
import uvicorn

from asgi import answer_json, body_of

PADDING = "x" * 900  # the payload is 1 KB, as in the peers' measurements


class Application:
    """Four endpoints: index posts createUser, then sendEmail and sendAnalytics in parallel."""

    def __init__(self, base: str, atomic: str, headers: dict[str, str]) -> None:
        self._base, self._atomic, self._headers = base, atomic, headers
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
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0), headers=self._headers
            )
        document = start_document(f"{self._base}/{name}", call["idempotencyKey"])
        async with self._session.post(self._atomic, data=orjson.dumps(document)) as reply:
            await reply.read()
            if reply.status != 200:
                raise RuntimeError(f"{name}: {reply.status}")


def start_document(url: str, key: str, **payload: Any) -> dict[str, Any]:
    """The body of the request that starts the user creation."""
    return {
        "workflowName": "createUser",
        "stepInvokeUrl": url,
        "idempotencyKey": key,
        "payload": {"userName": "ada", "padding": PADDING, **payload},
        "timeout": 20000,
        "retry": {"count": 10, "backOff": 1000},
    }


def headers() -> dict[str, str]:
    """The headers of a request; they hold the API key if there is one."""
    key = os.environ.get("ATOMIC_API_KEY")
    return {"content-type": "application/json", **({"authorization": f"Bearer {key}"} if key else {})}


def main() -> None:
    """Serve."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("port", type=int)
    arguments.add_argument("atomic_url")
    arguments.add_argument("--client", default="bench")
    arguments.add_argument("--base")
    options = arguments.parse_args()
    base = options.base or f"http://127.0.0.1:{options.port}"
    app = Application(base, f"{options.atomic_url}/{options.client}", headers())
    uvicorn.run(
        app, port=options.port, log_level="error", access_log=False, lifespan="off", timeout_keep_alive=75
    )


if __name__ == "__main__":
    main()
