"""Atomic in memory behind HTTP, in real time, so that handlers in threads can use it."""

import asyncio
import queue
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

import aiohttp
from aiohttp import web

from atomic.application.ports import EndpointRequest
from atomic.domain.outcomes import EndpointResponse, StepError
from atomic.protocol.error_kinds import ErrorKind
from atomic.testing import LocalAtomic


class MemoryServer:
    """It runs on an event loop of its own."""

    def __init__(self) -> None:
        self.url: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.stopped = asyncio.Event()
        self.loop = asyncio.new_event_loop()

    async def run(self) -> None:
        """Serve until it is stopped."""
        async with LocalAtomic() as self._atomic, aiohttp.ClientSession() as self._session:
            self._atomic.engine.invoker.post = self._call  # type: ignore[method-assign]
            app = web.Application(client_max_size=16 * 1024 * 1024)
            app.router.add_route("*", "/{path:.*}", self._answer)
            runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            self.url.put(f"http://127.0.0.1:{runner.addresses[0][1]}")
            await self.stopped.wait()
            await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        reply = await self._atomic.request(
            request.method, request.path_qs, body=await request.read(), headers=request.headers
        )
        return web.Response(status=reply.status, headers=reply.headers, body=reply.body)

    async def _call(self, request: EndpointRequest) -> EndpointResponse:
        timeout = aiohttp.ClientTimeout(request.timeout_ms / 1000)
        try:
            async with self._session.post(
                request.url,
                data=request.body,
                headers=request.headers,
                timeout=timeout,
                allow_redirects=False,
            ) as answer:
                headers = {name.lower(): value for name, value in answer.headers.items()}
                return EndpointResponse(status=answer.status, headers=headers, body=await answer.read())
        except TimeoutError:
            return EndpointResponse(error=StepError(ErrorKind.TIMED_OUT, str(request.timeout_ms)))
        except aiohttp.ClientError as error:
            return EndpointResponse(error=StepError(ErrorKind.NETWORK, str(error)))


@contextmanager
def memory_server() -> Iterator[str]:
    """Serve while the context lasts; yield the URL."""
    server = MemoryServer()
    thread = Thread(target=server.loop.run_until_complete, args=(server.run(),))
    thread.start()
    try:
        yield server.url.get(timeout=10)
    finally:
        server.loop.call_soon_threadsafe(server.stopped.set)
        thread.join()
        server.loop.close()
