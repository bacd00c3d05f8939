"""Lambda on this machine: a gateway, and processes as environments, each with one request at a time.

`python -m servers.environments PORT MOST MODULE` serves `handler` of the module in that many environments.
While all are busy, a request gets 429, as on Lambda above its concurrency.
"""

import asyncio
import importlib
import json
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web

Handler = Callable[[Mapping[str, Any], Any], dict[str, Any]]
_BODY_MAX = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Environment:
    """A process with the loaded function."""

    pid: int
    link: socket.socket

    @classmethod
    def start(cls, handler: Handler, others: list["Environment"]) -> "Environment":
        """Start an environment. It is forked, because the time to load a function does not matter here."""
        here, there = socket.socketpair()
        pid = os.fork()
        if pid == 0:
            # Only the gateway keeps the other ends of the pipes open, so that each environment ends with
            # the gateway.
            for link in (here, *(other.link for other in others)):
                link.close()
            with there, there.makefile("rw") as events:
                for line in events:
                    print(json.dumps(handler(json.loads(line), None)), file=events, flush=True)
            os._exit(0)
        there.close()
        return cls(pid, here)


class Gateway:
    """Passes requests to free environments."""

    def __init__(self, environments: list[Environment]) -> None:
        self._environments = environments
        self._free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def open(self, _: web.Application) -> None:
        """Connect to the environments."""
        for each in self._environments:
            self._free.append(await asyncio.open_connection(sock=each.link, limit=2 * _BODY_MAX))

    async def answer(self, request: web.Request) -> web.Response:
        """Answer a request."""
        event = await _event(request)
        if not self._free:
            return web.json_response({"Reason": "ConcurrentInvocationLimitExceeded"}, status=429)
        environment = self._free.pop()
        events, answers = environment[1], environment[0]
        events.write(json.dumps(event).encode() + b"\n")
        answer = json.loads(await answers.readline())
        self._free.append(environment)
        return web.Response(status=answer["statusCode"], headers=answer["headers"], text=answer["body"])


async def _event(request: web.Request) -> dict[str, Any]:
    """The request as API Gateway writes it for an HTTP API (format 2.0)."""
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": request.path,
        "rawQueryString": request.query_string,
        "headers": {name.lower(): value for name, value in request.headers.items()},
        "requestContext": {"domainName": request.host, "http": {"method": request.method}},
        "body": await request.text(),
        "isBase64Encoded": False,
    }


def main(port: int, most: int, module: str) -> None:
    """Serve."""
    handler: Handler = importlib.import_module(module).handler
    environments: list[Environment] = []
    for _ in range(most):
        environments.append(Environment.start(handler, environments))
    gateway = Gateway(environments)
    app = web.Application(client_max_size=_BODY_MAX)
    app.router.add_post("/{path:.*}", gateway.answer)
    app.on_startup.append(gateway.open)
    web.run_app(app, host="127.0.0.1", port=port, print=None, access_log=None, backlog=2048)
    for each in environments:
        # It may be waiting for a step that is never called any more.
        os.kill(each.pid, signal.SIGKILL)
        os.waitpid(each.pid, 0)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
