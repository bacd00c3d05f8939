"""The whole of Atomic in one object, for tests."""

import asyncio
import json
import random
from collections.abc import Mapping
from contextlib import nullcontext
from types import TracebackType
from typing import Any, Self

from atomic.adapters.memory.flow import MemoryFlowStore
from atomic.adapters.memory.store import MemoryStepStore
from atomic.adapters.memory.wakeups import MemoryNotifier, MemoryWakeupQueue
from atomic.application.admission import Admission
from atomic.application.bulk import do_bulk
from atomic.application.engine import Engine, OwnEndpoint, Settings
from atomic.application.ports import ClientRegistry, Destinations, StepStore
from atomic.application.process_wakeup import process_wakeup
from atomic.domain.clients.client import OpenRegistry
from atomic.entrypoints.http_api.api import Api, ManageClients
from atomic.entrypoints.http_api.http import ApiRequest
from atomic.entrypoints.http_api.routes import handle
from atomic.protocol.headers import FAULT
from atomic.runtime.faults import Faults, asking, read_faults
from atomic.runtime.faulty_ports import with_faults
from atomic.runtime.inflight import Tasks
from atomic.testing.endpoints import ApiReply, EndpointHandler, FunctionInvoker
from atomic.testing.stories import HOST, Stories
from atomic.testing.virtual_time import LoopClock
from atomic.testing.watching import Watch


def open_registry() -> OpenRegistry:
    """A registry in which each client id is a client. Tokens of attempts and callbacks repeat."""
    return OpenRegistry(attempt_key=b"attempts of tests", callback_key=b"callbacks of tests")


class SeededEntropy:
    """Random values that a seed makes repeatable."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311 - repeatable on purpose

    def token(self) -> str:
        """32 hex digits."""
        return f"{self._random.getrandbits(128):032x}"

    def fraction(self) -> float:
        """A number in [0, 1)."""
        return self._random.random()


class LocalAtomic(Stories):
    """Use it as an async context manager inside `atomic.testing.run`.

    - `seed`: of the random ids of attempts and of the jitter of retries (default 0).
    - `store`, `clients`, `settings`, `manage`, `destinations`: parts of the engine (default: those of a
      server in development, in memory).
    - `own`: the endpoint of steps that Atomic itself does (default: that of a server).
    - `faults`: what goes wrong on purpose (default: nothing).
    - `always_replay`: whether every wait of a workflow ends at once, so that the workflow is called again
      after each of its calls. A workflow that then makes other calls than before fails the test with a
      `DifferentReplayError` (default False).
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        store: StepStore | None = None,
        clients: ClientRegistry | None = None,
        settings: Settings | None = None,
        manage: ManageClients | None = None,
        destinations: Destinations | None = None,
        faults: Faults | None = None,
        always_replay: bool = False,
        own: OwnEndpoint = do_bulk,
    ) -> None:
        clock = LoopClock()
        self._watch = Watch(differs=always_replay)
        if always_replay and faults is None:
            faults = Faults()
            faults.make({"always-replay": 1.0})
        self._tasks = Tasks()
        self._invoker = FunctionInvoker()
        self._queue = MemoryWakeupQueue(clock)
        engine = Engine(
            store=store or MemoryStepStore(),
            queue=self._queue,
            invoker=self._invoker,
            own=own,
            notifier=MemoryNotifier(),
            clients=clients or open_registry(),
            telemetry=self._watch.progress,
            clock=clock,
            entropy=SeededEntropy(seed),
            spawn=self._tasks.spawn,
            settings=settings or Settings(),
            admission=Admission(destinations=destinations, server_flow=MemoryFlowStore()),
        )
        self.engine = engine if faults is None else with_faults(engine, faults)
        own_settings = self.engine.clients if isinstance(self.engine.clients, OpenRegistry) else None
        self._api = Api(engine=self.engine, manage=manage, own_settings=own_settings)

    async def __aenter__(self) -> Self:
        self._driver = asyncio.create_task(self._drive())
        self._open(self._invoker, self._watch)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._driver.cancel()
        await asyncio.gather(self._driver, return_exceptions=True)
        await self._tasks.cancel()
        self._close()
        if error is None:
            self._watch.check()

    def endpoint(self, path: str, handler: EndpointHandler) -> str:
        """Serve a function at a path; its URL."""
        url = HOST + path
        self._invoker.handlers[url] = handler
        return url

    async def request(
        self,
        method: str,
        target: str,
        *,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
    ) -> ApiReply:
        """Call the API; `target` is a path with an optional query."""
        path, _, query = target.partition("?")
        lower = {name.lower(): value for name, value in (headers or {}).items()}
        request = ApiRequest(method=method, path=path, query=query, headers=lower, body=body)
        with asking(read_faults(lower[FAULT])) if FAULT in lower else nullcontext():
            response = await handle(self._api, request)
        answered = b"" if method == "HEAD" else response.body
        return ApiReply(status=response.status, headers=response.headers, body=answered)

    async def post(self, target: str, document: Any = None) -> ApiReply:
        """POST a JSON document."""
        return await self.request("POST", target, body=json.dumps(document).encode())

    async def get(self, target: str) -> ApiReply:
        """GET a document."""
        return await self.request("GET", target)

    async def _drive(self) -> None:
        while True:
            step_id = await self._queue.receive()
            self._tasks.spawn(process_wakeup(self.engine, step_id), step_id=step_id)
