"""The embedded runtime: a real `atomic serve` process, with HTTP in both directions."""

import asyncio
import io
import itertools
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from atomic.entrypoints.embedded import client_admin
from atomic.testing import ApiReply, EndpointCall
from scenarios.locked_clients import create_locked
from scenarios.runtime import Handler, Runtime, Send

_serial = itertools.count(1)


class AtomicServer:
    """An `atomic serve` process on a data directory; it can be stopped, killed and started again."""

    def __init__(
        self,
        data_dir: Path,
        *options: str,
        dev: bool = True,
        port: int | None = None,
        log_level: str = "info",
    ) -> None:
        self.data_dir = data_dir
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._options = ["--dev" if dev else "--allow-private", *options]
        self._log_level = log_level
        self._log = data_dir.parent / f"{data_dir.name}.log"

    def start(self, within_s: float = 20) -> float:
        """Start and wait until it is healthy; return the seconds that this took."""
        began = time.monotonic()
        command = [sys.executable, "-m", "atomic.cli", "serve", "--port", str(self.port)]
        command += ["--data-dir", str(self.data_dir), "--log-level", self._log_level]
        command += self._options
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        while not self._is_healthy():
            assert self.process.poll() is None, f"the server ended:\n{self.log()[-3000:]}"
            assert time.monotonic() < began + within_s, f"not healthy:\n{self.log()[-3000:]}"
            time.sleep(0.02)
        return time.monotonic() - began

    def stop(self, within_s: float = 40) -> int:
        """Send SIGTERM and wait; return the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(within_s)

    def kill(self) -> None:
        """Send SIGKILL and wait."""
        self.process.kill()
        self.process.wait(10)

    def log(self) -> str:
        """Its complete output."""
        return self._log.read_text()

    def _is_healthy(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as probe:
                probe.sendall(b"GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
                return probe.recv(100).startswith(b"HTTP/1.1 200")
        except OSError:
            return False


async def kill_in_call(
    server: AtomicServer, runtime: Runtime, document: Mapping[str, object], called: asyncio.Event
) -> str:
    """Start a step, and kill the server as soon as its endpoint is called; return the step's id."""
    posted = await runtime.start(document, Prefer="respond-async")
    assert posted.status == 202
    await asyncio.wait_for(called.wait(), 10)
    server.kill()
    step_id: str = posted.json["id"]
    return step_id


def free_port() -> int:
    """A free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def create_client(data_dir: Path, client_id: str, *options: str) -> str:
    """Create a client as an operator does; return its API key."""
    return clients_command(data_dir, "create", client_id, "--allow-http", "--allow-ip", *options)


def clients_command(data_dir: Path, *arguments: str) -> str:
    """Run `atomic clients …`; return the API key that it prints."""
    command = [sys.executable, "-m", "atomic.cli", "clients", *arguments, "--data-dir", str(data_dir)]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found = re.search(r"API key: +(\S+)", printed)
    assert found, printed
    return found[1]


class EndpointServer:
    """Serves the endpoints of one scenario."""

    def __init__(self, port: int, url: str | None = None) -> None:
        self.port = port
        self.url = url or f"http://127.0.0.1:{port}"
        self._handlers: dict[str, Handler] = {}

    def serve(self, path: str, handler: Handler) -> str:
        """Serve a handler at a path; return its URL."""
        self._handlers[path] = handler
        return self.url + path

    @asynccontextmanager
    async def running(self) -> AsyncIterator["EndpointServer"]:
        """Listen while the context lasts."""
        app = web.Application(client_max_size=16 * 1024 * 1024)
        app.router.add_route("*", "/{path:.*}", self._answer)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", self.port, reuse_address=True, backlog=2048).start()
        try:
            yield self
        finally:
            await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        url = self.url + request.path_qs
        headers = {name.lower(): value for name, value in request.headers.items()}
        call = EndpointCall(url=url, headers=headers, body=await request.read())
        try:
            reply = await self._handlers[request.path](call)
        except Exception as failure:
            return web.json_response({"error": str(failure)}, status=500)
        answer_headers, body = reply.content()
        return web.Response(status=reply.status, headers=answer_headers, body=body)


@asynccontextmanager
async def runtime_on(
    server: AtomicServer,
    *,
    client: str | None = None,
    keys: Mapping[str, str] | None = None,
    endpoint_port: int | None = None,
    around: Callable[[Send], Send] = lambda send: send,
    **more: Any,
) -> AsyncIterator[Runtime]:
    """The runtime of a scenario on a running server; by default with a new client.

    `around` is put around each request; `more` goes to the runtime.
    """
    connector = aiohttp.TCPConnector(limit=0)
    async with (
        EndpointServer(endpoint_port or free_port()).running() as endpoints,
        aiohttp.ClientSession(server.url, connector=connector) as session,
    ):

        async def send(
            method: str, target: str, *, body: bytes = b"", headers: Mapping[str, str] | None = None
        ) -> ApiReply:
            # aiohttp warns about large bodies that are bytes.
            data = io.BytesIO(body) if len(body) > 1024 * 1024 else body
            asked = session.request(method, target, data=data, headers=headers, allow_redirects=False)
            async with asked as answer:
                lower = {name.lower(): value for name, value in answer.headers.items()}
                return ApiReply(status=answer.status, headers=lower, body=await answer.read())

        yield Runtime(
            client=client or f"t{os.getpid()}-{next(_serial)}",
            send=around(send),
            serve=endpoints.serve,
            keys=keys,
            pace=3,
            **more,
        )


class LockedServer:
    """A server without `--dev`, with the clients of `locked_clients`."""

    def __init__(self, data_dir: Path) -> None:
        self.endpoint_port = free_port()
        with client_admin.admin(data_dir) as admin:
            self.keys = create_locked(admin, [f"http://127.0.0.1:{self.endpoint_port}/app"])
        self.server = AtomicServer(data_dir, dev=False)

    @asynccontextmanager
    async def runtime(self) -> AsyncIterator[Runtime]:
        """The runtime of a scenario, as the client alpha."""
        async with runtime_on(
            self.server, client="alpha", keys=self.keys, endpoint_port=self.endpoint_port
        ) as runtime:
            yield runtime


def post_json(
    url: str, document: object, timeout_s: float = 30, headers: Mapping[str, str] | None = None
) -> tuple[int, dict[str, object]]:
    """POST from a thread that has no event loop."""

    async def main() -> tuple[int, dict[str, object]]:
        timeout = aiohttp.ClientTimeout(total=timeout_s)
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.post(url, data=json.dumps(document), headers=headers) as answer,
        ):
            return answer.status, json.loads(await answer.read())

    return asyncio.run(main())
