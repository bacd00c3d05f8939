"""Requests of the asynchronous client, by aiohttp.

With a blocking client in a limited pool of threads, nested workflows could all wait for a free thread.
httpx took seven times aiohttp's CPU time for one call (2.0 ms against 0.28). So this module uses aiohttp,
without a limit of connections.
"""

import os
from collections.abc import AsyncGenerator
from importlib.util import find_spec
from typing import TYPE_CHECKING

from atomic.sdk._wire.iam import signable
from atomic.sdk._wire.transport import (
    ApiTarget,
    HttpRequest,
    HttpResponse,
    ca_file,
    no_response,
    proxy_of,
    response_from,
)

if TYPE_CHECKING:
    # aiohttp is an extra: programs that have only steps or blocking code do not need it.
    import asyncio
    import ssl

    import aiohttp


def require_aiohttp() -> None:
    """Raise ModuleNotFoundError that says what to install, if aiohttp is missing."""
    if find_spec("aiohttp") is None:
        raise ModuleNotFoundError(
            "aiohttp is not installed, and AsyncClient and `async def` workflows need it: "
            "pip install 'atomic-workflows[async]'",
            name="aiohttp",
        )


class Sessions:
    """Connections to one server, those of each event loop in a session of its own."""

    def __init__(self, connection: ApiTarget) -> None:
        self._connection = connection
        self._proxy = proxy_of(connection.url)
        self._kept: dict[asyncio.AbstractEventLoop, AsyncGenerator[aiohttp.ClientSession]] = {}
        self._open: dict[asyncio.AbstractEventLoop, aiohttp.ClientSession] = {}

    async def close(self) -> None:
        """Close the connections of the running event loop. They open again when one is needed."""
        from asyncio import get_running_loop

        kept = self._kept.get(get_running_loop())
        if kept is not None:
            await kept.aclose()

    async def send(self, request: HttpRequest) -> HttpResponse:
        """The answer to a request, or the error of one that got none."""
        from asyncio import get_running_loop, to_thread

        import aiohttp
        from yarl import URL

        url, given = request.url_at(self._connection.url), request.headers
        if self._connection.sign is not None:
            url = signable(url)
            # Credentials of a role are refreshed over the network.
            more = await to_thread(self._connection.sign, request.method, url, request.body)
            given = {**given, **more}
        timeout = aiohttp.ClientTimeout(total=request.timeout_s)
        try:
            session = self._open.get(get_running_loop()) or await self._opened()
            async with session.request(
                request.method,
                # A signature is of the URL as it was written.
                url if self._connection.sign is None else URL(url, encoded=True),
                data=request.body or None,
                headers=given,
                timeout=timeout,
                allow_redirects=False,
                proxy=self._proxy,
            ) as response:
                body = await response.read()
        except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError) as wrong:
            raise ValueError(f"ATOMIC_URL {url!r} is not a URL: {wrong}") from None
        except (aiohttp.ClientError, TimeoutError) as error:
            return no_response(self._connection.url, error)
        return response_from(self._connection.url, response.status, response.headers, body)

    async def _opened(self) -> "aiohttp.ClientSession":
        """A new session for the running loop."""
        from asyncio import get_running_loop

        loop = get_running_loop()
        # A loop that ends closes its asynchronous generators, so users need not close anything.
        self._kept[loop] = self._session_of(loop)
        return await anext(self._kept[loop])

    async def _session_of(
        self, loop: "asyncio.AbstractEventLoop"
    ) -> AsyncGenerator["aiohttp.ClientSession"]:
        import aiohttp

        key = self._connection.api_key
        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=_trusted()),
            headers={"Authorization": f"Bearer {key}"} if key else {},
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        self._open[loop] = session
        try:
            yield session
        finally:
            del self._open[loop], self._kept[loop]
            await session.close()


def _trusted() -> "ssl.SSLContext | bool":
    import ssl

    path = ca_file()
    if path is None:
        return True
    is_folder = os.path.isdir(path)
    return ssl.create_default_context(
        cafile=None if is_folder else path, capath=path if is_folder else None
    )
