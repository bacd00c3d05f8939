"""Servers that write arbitrary bytes, and the invoker that calls them."""

import asyncio
import gc
import os
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any

from atomic.adapters.http.addresses import is_public_or_private
from atomic.adapters.http.invoker import HttpInvoker
from atomic.application.ports import EndpointRequest
from atomic.domain.outcomes import EndpointResponse

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Peer:
    """The server's end of one connection; `number` counts connections from 1."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        self.reader, self.writer, self.number = reader, writer, number

    async def request(self) -> bytes:
        """Read the next complete request; raises IncompleteReadError at the end of the connection."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        lengths = [line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
        return head + await self.reader.readexactly(int(lengths[0].partition(b":")[2]))

    async def write(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    def reset(self) -> None:
        """Close so that the client sees a reset."""
        # SO_LINGER with no time.
        self.writer.get_extra_info("socket").setsockopt(1, 13, b"\1\0\0\0\0\0\0\0")
        self.writer.transport.abort()


Behaviour = Callable[[Peer], Awaitable[None]]


class Server:
    """The server of a test."""

    def __init__(self, behaviour: Behaviour) -> None:
        self._behaviour = behaviour
        self._tasks: set[asyncio.Task[None]] = set()
        self.connections = 0
        self.port = 0
        self.scheme = "http"

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}/step"

    async def ended(self) -> None:
        """Wait until every connection is closed."""
        await asyncio.wait_for(asyncio.gather(*self._tasks), 5)

    def cancel(self) -> None:
        for task in self._tasks:
            task.cancel()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.create_task(self._serve(Peer(reader, writer, self.connections)))
        self._tasks.add(task)

    async def _serve(self, peer: Peer) -> None:
        # The client may disconnect at any time, and the test may end.
        try:
            with suppress(OSError, EOFError, ssl.SSLError, asyncio.CancelledError):
                await self._behaviour(peer)
        finally:
            peer.writer.transport.abort() if peer.writer.is_closing() else peer.writer.close()
            with suppress(OSError, ssl.SSLError, asyncio.CancelledError):
                await asyncio.wait_for(peer.writer.wait_closed(), 1)


@asynccontextmanager
async def serving(
    behaviour: Behaviour, *, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1"
) -> AsyncIterator[Server]:
    server = Server(behaviour)
    listener = await asyncio.start_server(server.serve, host, 0, ssl=tls, limit=2**22)
    server.port = listener.sockets[0].getsockname()[1]
    server.scheme = "https" if tls else "http"
    try:
        yield server
    finally:
        listener.close()
        server.cancel()
        await server.ended()
        await listener.wait_closed()


@asynccontextmanager
async def invoking(**options: Any) -> AsyncIterator[HttpInvoker]:
    invoker = HttpInvoker(**{"allows": is_public_or_private, **options})
    try:
        yield invoker
    finally:
        await invoker.close()


async def post(
    invoker: HttpInvoker,
    url: str,
    *,
    timeout_ms: int = 5000,
    body: bytes = b"{}",
    client_id: str = "c",
    once: bool = False,
) -> EndpointResponse:
    headers = {"Content-Type": "application/json"}
    return await invoker.post(
        EndpointRequest(
            client_id=client_id, url=url, headers=headers, body=body, timeout_ms=timeout_ms, once=once
        )
    )


async def answer_to(
    behaviour: Behaviour, *, timeout_ms: int = 5000, body: bytes = b"{}"
) -> EndpointResponse:
    """The outcome of one call of a server by the invoker."""
    async with serving(behaviour) as server, invoking() as invoker:
        return await post(invoker, server.url, timeout_ms=timeout_ms, body=body)


def writes(*parts: bytes, then_closes: bool = True) -> Behaviour:
    """A server that reads one request and writes the parts with pauses; then it closes or stays open."""

    async def behaviour(peer: Peer) -> None:
        await peer.request()
        for part in parts:
            await peer.write(part)
            await asyncio.sleep(0.005)
        if not then_closes:
            await peer.reader.read()

    return behaviour


def keeps_writing(*parts: bytes) -> Behaviour:
    """A server that answers every request of a connection with the parts."""

    async def behaviour(peer: Peer) -> None:
        while await peer.request():
            await peer.write(b"".join(parts))

    return behaviour


async def until(holds: Callable[[], bool]) -> None:
    """Wait until the condition is true, for 5 s at most."""
    for _ in range(500):
        if holds():
            return
        await asyncio.sleep(0.01)
    assert holds()


def open_sockets() -> int:
    """How many sockets this process has."""
    found = 0
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            found += os.readlink(f"/proc/self/fd/{name}").startswith("socket:")
    return found


def run_on(loop_factory: Callable[[], asyncio.AbstractEventLoop], work: Coroutine[Any, Any, Any]) -> Any:
    """Run the work on a new loop, and assert that nothing is left of it."""
    before = open_sockets()
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        result = runner.run(_alone(work))
    gc.collect()
    assert open_sockets() == before
    return result


async def _alone(work: Coroutine[Any, Any, Any]) -> Any:
    result = await work
    # The server's listening socket may still be closing.
    await asyncio.sleep(0.01)
    others = asyncio.all_tasks() - {asyncio.current_task()}
    assert not others, others
    return result
