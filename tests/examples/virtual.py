"""An example in virtual time: its application and all of Atomic on one event loop, without sockets.

Months pass at once. The process of the application may die at any moment: `dies_at` counts the moments at
which an answer is under way, from the server to a workflow, or from an endpoint to the server. All calls of
the application that are running die with it.
"""

import asyncio
import importlib.util
import io
import json
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar
from urllib.parse import urlsplit

import pytest
import requests
from requests.adapters import BaseAdapter

from atomic.runtime.faults import Faults
from atomic.sdk import AsyncClient
from atomic.sdk._endpoints import endpoint as endpoints
from atomic.sdk._wire.transport import HttpRequest, HttpResponse
from atomic.testing import EndpointCall, EndpointReply, LocalAtomic, run
from examples.outside import Asked, Service
from sdk.in_process import InProcessClient

EXAMPLES = Path(__file__).parents[2] / "examples"
ORIGIN = "https://app.test"
Done = TypeVar("Done")
# What dies before it began was never awaited.
dying = pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
_process: ContextVar["asyncio.Future[None]"] = ContextVar("process")


def load(name: str) -> ModuleType:
    """Import an example anew, as a process of its own does."""
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Offline(BaseAdapter):
    """Gives what a session sends to a function."""

    def __init__(self, service: Service) -> None:
        super().__init__()
        self._service = service

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        headers = {name.lower(): text for name, text in request.headers.items()}
        given = request.body or b""
        body = given if isinstance(given, bytes) else given.encode()
        assert request.method is not None
        assert request.url is not None
        answer = requests.Response()
        answer.request, answer.url = request, request.url
        path = urlsplit(request.url).path
        answer.status_code, document = self._service(Asked(request.method, path, headers, body))
        answer.raw = io.BytesIO(json.dumps(document).encode())
        return answer

    def close(self) -> None:
        """Nothing is open."""


class World:
    """The application of an example, beside Atomic. Workflows are at their URLs below `ORIGIN`."""

    def __init__(self, atomic: LocalAtomic, app: Any, dies_at: int) -> None:
        self.atomic = atomic
        self.client: AsyncClient = self.new_client()
        self.moments = 0
        self._app = app
        self._dies_at = dies_at
        self._alive: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        for route in app.routes:
            if "POST" in getattr(route, "methods", ()):
                atomic.endpoint(route.path, self._call)

    def new_client(self) -> AsyncClient:
        """A client of this server. Calls of workflows have clients whose answers may be lost."""
        return _Client(self)

    async def until(self, step_id: str) -> Any:
        """The response of a run, at the next ten minutes. A run that fails raises its error."""
        for _ in range(100_000):
            step = await self.client.step(step_id)
            if step.status not in {"succeeded", "failed", "cancelled"}:
                await asyncio.sleep(600)
            elif step.continued_as is None:
                return (await self.client.wait(step_id)).response
            step_id = step.continued_as or step_id
        raise AssertionError("it is not finished after two years")

    async def moment(self) -> None:
        """Die here, if this is the moment."""
        process = _process.get(None)
        if process is None:
            return
        self.moments += 1
        if self.moments == self._dies_at and not process.done():
            process.set_result(None)
            self._alive = asyncio.get_running_loop().create_future()
        if process.done():
            await asyncio.Event().wait()

    async def _call(self, call: EndpointCall) -> EndpointReply:
        process = self._alive
        task = asyncio.create_task(self._answer(call, process))
        await asyncio.wait({task, process}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        task.cancel()
        await asyncio.wait({task})
        raise ConnectionError("the process has died")

    async def _answer(self, call: EndpointCall, process: "asyncio.Future[None]") -> EndpointReply:
        _process.set(process)
        reply = await asgi(self._app, call)
        await self.moment()
        return reply


class _Client(InProcessClient):
    def __init__(self, world: World) -> None:
        super().__init__(world.atomic)
        self._world = world

    async def _send(self, request: HttpRequest) -> HttpResponse:
        process = _process.get(None)
        if process is not None and process.done():
            await asyncio.Event().wait()
        # The server finishes each request, also after its caller has ended.
        answer = await asyncio.shield(asyncio.create_task(super()._send(request)))
        await self._world.moment()
        return answer


async def asgi(app: Any, call: EndpointCall) -> EndpointReply:
    """Call an application as its server does."""
    path = call.url.removeprefix(ORIGIN)
    headers = [(name.encode(), text.encode()) for name, text in call.headers.items()]
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "https",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", ORIGIN.removeprefix("https://").encode()), *headers],
        "server": None,
        "client": None,
    }
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": call.body, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await app(scope, receive, send)
    body = b"".join(message.get("body", b"") for message in sent[1:])
    answered = {name.decode(): text.decode() for name, text in sent[0]["headers"]}
    return EndpointReply(status=sent[0]["status"], body=body, headers=answered)


async def at_once(context: Context, work: Callable[[], Done]) -> Done:
    """Instead of a thread, which takes real time."""
    return context.run(work)


def play(
    name: str,
    service: Service,
    story: Callable[[World], Coroutine[Any, Any, Done]],
    *,
    dies_at: int = 0,
    faults: Faults | None = None,
) -> tuple[Done, int]:
    """Play a story with an example and its outside service; its result, and how many moments it had."""

    async def scenario() -> tuple[Done, int]:
        async with LocalAtomic(faults=faults) as atomic:
            example = load(name)
            for scheme in ("http://", "https://"):
                example.http.mount(scheme, Offline(service))
            world = World(atomic, example.app, dies_at)
            with pytest.MonkeyPatch.context() as patched:
                patched.setattr(endpoints, "AsyncClient", _client_class(world))
                patched.setattr(endpoints, "in_thread", at_once)
                return await story(world), world.moments

    return run(scenario())


def _client_class(world: World) -> type[AsyncClient]:
    """What a workflow without a `client` of its own makes."""

    class OfWorkflow(_Client):
        def __init__(self) -> None:
            super().__init__(world)

    return OfWorkflow
