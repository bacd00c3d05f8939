"""The asynchronous client, on aiohttp (`pip install atomic-workflows[async]`).

Threads around the blocking client would be a bounded pool that nested workflows share and starve in, and
httpx took seven times aiohttp's CPU for one call (2.0 ms against 0.28). So it is aiohttp, with no limit
of connections.
"""

import os
from collections.abc import AsyncGenerator
from importlib.util import find_spec
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, Unpack

from atomic.protocol.documents import DeadLetter, RunDocument, RunSummary, StepDocument, StepOutcome
from atomic.protocol.enums import StatusName
from atomic.sdk import _flow
from atomic.sdk._client import BaseClient
from atomic.sdk._documents import (
    Key,
    RunFilter,
    StepOptions,
    check_options,
    filter_document,
    start_document,
)
from atomic.sdk._http import Flow, HttpRequest, HttpResponse, drive_async
from atomic.sdk._settings import ca_file, proxy_of
from atomic.sdk._values import jsonable
from atomic.sdk._world import came, limits_from_now, lost
from atomic.sdk.retry import Seconds

if TYPE_CHECKING:
    # An extra: who only writes steps, or only blocking code, does not need it.
    import asyncio
    import ssl

    import aiohttp

Result = TypeVar("Result")


def require_aiohttp() -> None:
    """Raise ModuleNotFoundError with what to install, before the first request would."""
    if find_spec("aiohttp") is None:
        raise ModuleNotFoundError(
            "aiohttp is not installed, and AsyncClient and `async def` workflows need it: "
            "pip install 'atomic-workflows[async]'",
            name="aiohttp",
        )


class AsyncClient(BaseClient):
    """What `Client` is, method by method, for asyncio.

    It may be shared by event loops; each gets connections of its own, which close with it.
    """

    def _open(self) -> None:
        require_aiohttp()
        self._proxy = proxy_of(self.connection.url)
        self._kept: dict[asyncio.AbstractEventLoop, AsyncGenerator[aiohttp.ClientSession]] = {}
        self._sessions: dict[asyncio.AbstractEventLoop, aiohttp.ClientSession] = {}

    async def start(
        self,
        workflow_name: str,
        url: str,
        payload: Any = None,
        *,
        key: Key,
        timeout: Seconds | None = 60.0,  # noqa: ASYNC109 - a limit of the call, not of its task
        **options: Unpack[StepOptions],
    ) -> StepOutcome:
        """As `Client.start`."""
        check_options(options, StepOptions)
        written = jsonable(payload, f"the payload of workflow {workflow_name!r}")
        document = start_document(workflow_name, url, written, key=key, options=options)
        return await self.run_flow(
            _flow.start(self.client_id, document, limits_from_now(timeout, self.patience_s))
        )

    async def wait(
        self,
        step_id: str,
        *,
        timeout: Seconds | None = 60.0,  # noqa: ASYNC109 - as above
    ) -> StepDocument:
        """As `Client.wait`."""
        return await self.run_flow(
            _flow.wait(self.client_id, step_id, limits_from_now(timeout, self.patience_s))
        )

    async def get(self, run_id: str) -> RunDocument:
        """As `Client.get`."""
        return await self.run_flow(_flow.get_run(self.client_id, run_id, self.patience_s))

    async def step(self, step_id: str) -> StepDocument:
        """As `Client.step`."""
        return await self.run_flow(_flow.get_step(self.client_id, step_id, self.patience_s))

    async def runs(
        self, *, status: StatusName | None = None, limit: int = 100, **wanted: Unpack[RunFilter]
    ) -> list[RunSummary]:
        """As `Client.runs`."""
        query = {**({"status": status} if status else {}), **filter_document(wanted)}
        return await self.run_flow(_flow.list_runs(self.client_id, query, limit, self.patience_s))

    async def dead_letters(self, *, limit: int = 100, **wanted: Unpack[RunFilter]) -> list[DeadLetter]:
        """As `Client.dead_letters`."""
        flow = _flow.list_dead_letters(self.client_id, filter_document(wanted), limit, self.patience_s)
        return await self.run_flow(flow)

    async def cancel(self, run_id: str) -> RunSummary:
        """As `Client.cancel`."""
        return await self.run_flow(_flow.cancel(self.client_id, run_id, self.patience_s))

    async def redrive(self, step_id: str) -> StepOutcome:
        """As `Client.redrive`."""
        return await self.run_flow(_flow.redrive(self.client_id, step_id, self.patience_s))

    async def redrive_all(self, **wanted: Unpack[RunFilter]) -> list[str]:
        """As `Client.redrive_all`."""
        flow = _flow.redrive_all(self.client_id, filter_document(wanted), self.patience_s)
        return await self.run_flow(flow)

    async def complete(self, step_id: str, result: Any = None) -> StepOutcome:
        """As `Client.complete`."""
        flow = _flow.complete(
            self.client_id, step_id, jsonable(result, "the result of the event"), self.patience_s
        )
        return await self.run_flow(flow)

    async def close(self) -> None:
        """Close the connections of the running loop."""
        from asyncio import get_running_loop

        kept = self._kept.get(get_running_loop())
        if kept is not None:
            await kept.aclose()

    async def run_flow(self, flow: Flow[Result]) -> Result:
        """Drive a flow over this client's connections."""
        from asyncio import sleep

        return await drive_async(flow, self._send, sleep)

    async def _send(self, request: HttpRequest) -> HttpResponse:
        import aiohttp

        url = self.connection.url + request.target
        timeout = aiohttp.ClientTimeout(total=request.timeout_s)
        try:
            session = await self._session()
            async with session.request(
                request.method,
                url,
                data=request.body or None,
                headers=request.headers,
                timeout=timeout,
                allow_redirects=False,
                proxy=self._proxy,
            ) as answer:
                body = await answer.read()
        except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError) as wrong:
            raise ValueError(f"ATOMIC_URL {url!r} is no URL: {wrong}") from None
        except (aiohttp.ClientError, TimeoutError) as error:
            return lost(self.connection.url, error)
        return came(self.connection.url, answer.status, answer.headers, body)

    async def _session(self) -> "aiohttp.ClientSession":
        from asyncio import get_running_loop

        loop = get_running_loop()
        if loop not in self._sessions:
            # A loop that ends closes the generators that began on it, and nobody has to remember to.
            self._kept[loop] = self._session_of(loop)
            await anext(self._kept[loop])
        return self._sessions[loop]

    async def _session_of(
        self, loop: "asyncio.AbstractEventLoop"
    ) -> AsyncGenerator["aiohttp.ClientSession"]:
        import aiohttp

        key = self.connection.api_key
        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=_trusted()),
            headers={"Authorization": f"Bearer {key}"} if key else {},
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        self._sessions[loop] = session
        try:
            yield session
        finally:
            del self._sessions[loop], self._kept[loop]
            await session.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


def _trusted() -> "ssl.SSLContext | bool":
    import ssl

    path = ca_file()
    if path is None:
        return True
    is_folder = os.path.isdir(path)
    return ssl.create_default_context(
        cafile=None if is_folder else path, capath=path if is_folder else None
    )
