"""How clients of the SDK reach the engine of a test in their own process."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar
from urllib.parse import urlsplit

from atomic.sdk import Hooks
from atomic.sdk._wire.transport import HttpRequest, HttpResponse
from atomic.testing.endpoints import ApiReply
from atomic.testing.virtual_time import CALL, VirtualTimeLoop
from atomic.testing.watching import Watch

Result = TypeVar("Result")


class Wire:
    """The way to one engine, from every thread and every event loop of the process."""

    def __init__(self, request: Callable[..., Coroutine[Any, Any, ApiReply]], watch: Watch) -> None:
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._request = request
        self._watch = watch
        self.hooks: Sequence[Hooks] = (watch.replays,)

    def now_s(self) -> float:
        """Seconds of virtual time."""
        return self._loop.time()

    async def send(self, request: HttpRequest) -> HttpResponse:
        """The engine's answer to a request."""
        url = urlsplit(request.target)
        target = f"{url.path}?{url.query}" if url.query else url.path
        reply = await self._watch.watched(
            self._request(request.method, target, body=request.body, headers=request.headers)
        )
        headers = {name.lower(): value for name, value in reply.headers.items()}
        return HttpResponse(
            status=reply.status,
            headers=headers,
            body=reply.body,
            url="LocalAtomic",
            at_s=self.now_s(),
            jitter=0.5,
        )

    async def sleep(self, seconds: float) -> None:
        """Let virtual time pass."""
        await asyncio.sleep(seconds)

    def block(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Do the work on the loop, while the calling thread waits.

        Raises RuntimeError on the thread of the loop while it runs: nothing could go on there.
        """
        if not self._loop.is_running():
            return self._loop.run_until_complete(work)
        if threading.get_ident() == self._thread:
            work.close()
            raise RuntimeError(
                "this blocks the event loop of the test: use AsyncClient, or asyncio.to_thread"
            )
        return asyncio.run_coroutine_threadsafe(self._counted(work, CALL.get()), self._loop).result()

    async def join(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Do the work on the loop, on which the caller may be, too."""
        if asyncio.get_running_loop() is self._loop:
            return await work
        counted = self._counted(work, CALL.get())
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(counted, self._loop))

    async def _counted(self, work: Coroutine[Any, Any, Result], call: object) -> Result:
        if not isinstance(self._loop, VirtualTimeLoop):
            return await work
        with self._loop.thread_waits(call):
            return await work
