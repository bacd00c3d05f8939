"""SDK handlers and the whole engine on one event loop in virtual time, so that long delays take no time."""

import asyncio
import gc
import json
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar, Unpack

from atomic.sdk import AsyncClient, AsyncContext
from atomic.sdk._endpoints.endpoint import Endpoint, EndpointOptions
from atomic.sdk._endpoints.serving import RawPath, Request
from atomic.sdk._wire.transport import HttpRequest, HttpResponse
from atomic.testing import EndpointCall, EndpointReply, LocalAtomic, run
from atomic.testing.endpoints import EndpointHandler

Result = TypeVar("Result")
DAY = 86_400.0


class InProcessClient(AsyncClient):
    """A client that calls the engine in this process."""

    def __init__(self, atomic: LocalAtomic) -> None:
        super().__init__("http://atomic.test", client_id="me")
        self.atomic = atomic
        self.posts: list[dict[str, Any]] = []
        # By how many seconds answers are delayed, by the name of the step; those with one result: `result`.
        self.late: dict[str, float] = {}
        # By how many seconds posts are delayed, by the name of the step.
        self.posts_late: dict[str, float] = {}

    async def _send(self, request: HttpRequest) -> HttpResponse:
        document = json.loads(request.body) if request.target in {"/me", "/me/steps"} else {}
        name = document.get("stepInvokeUrl", "").rpartition("/")[2]
        self.posts += [document] if document else []
        await asyncio.sleep(self.posts_late.get(name, 0))
        reply = await self.atomic.request(
            request.method, request.target, body=request.body, headers=request.headers
        )
        await asyncio.sleep(self.late.get("result" if "&id=" in request.target else name, 0))
        return HttpResponse(
            status=reply.status,
            headers={name.lower(): value for name, value in reply.headers.items()},
            body=reply.body,
            at_s=asyncio.get_running_loop().time(),
            jitter=0.5,
        )


class InProcess:
    """An application of `async def` workflows, and steps that take some seconds of virtual time."""

    def __init__(self, atomic: LocalAtomic) -> None:
        self._atomic = atomic
        self.client = InProcessClient(atomic)
        # The effects of steps, in order, with the second at which each began.
        self.effects: list[tuple[float, str]] = []
        # The status and the duration in seconds of every call of the workflow.
        self.answers: list[tuple[int, float]] = []

    @property
    def done(self) -> list[str]:
        """The effects without their times."""
        return [effect for _, effect in self.effects]

    def step(self, name: str, seconds: float = 0.0, error: str = "") -> None:
        """Serve a step that takes that long, and then returns its payload or fails permanently."""

        async def step(call: EndpointCall) -> EndpointReply:
            self.effects.append((asyncio.get_running_loop().time(), f"{name} {call.payload}"))
            await asyncio.sleep(seconds)
            if error:
                headers = {"Atomic-No-Retry": "true"}
                return EndpointReply(status=500, json={"detail": error}, headers=headers)
            return EndpointReply(json=call.payload)

        self.serve(name, step)

    def serve(self, name: str, endpoint: EndpointHandler) -> None:
        """Serve any handler."""
        self._atomic.endpoint(f"/{name}", endpoint)

    def workflow(
        self,
        handler: Callable[[AsyncContext], Awaitable[Any]],
        *,
        name: str = "main",
        wait: float = 1.0,
        **more: Unpack[EndpointOptions],
    ) -> None:
        """Serve a workflow."""
        options: EndpointOptions = {"client": self.client, "wait": wait, **more}
        endpoint = Endpoint(handler, is_workflow=True, options=options)

        async def serve(call: EndpointCall) -> EndpointReply:
            began_s = asyncio.get_running_loop().time()
            origin, path = "https://app.test", call.url.removeprefix("https://app.test")
            request = Request(origin=origin, at=RawPath("", path), headers=call.headers, body=call.body)
            answer = await endpoint.answer_async(request)
            self.answers.append((answer.status, asyncio.get_running_loop().time() - began_s))
            return EndpointReply(status=answer.status, body=answer.body, headers=dict(answer.headers))

        self.serve(name, serve)

    async def start(self, **options: Any) -> Any:
        """Start the workflow and wait for its outcome, for two years at most."""
        url = "https://app.test/main"
        started = await self.client.start("w", url, key="k", timeout=0, **{"retry": 0, **options})
        for _ in range(100_000):
            if (await self.client.step(started.id)).status in {"succeeded", "failed"}:
                return (await self.client.start("w", url, key="k")).response
            await asyncio.sleep(600)
        raise AssertionError("it is not finished after two years")


def in_process(play: Callable[[InProcess], Coroutine[Any, Any, Result]]) -> Result:
    """Run a scenario in an application of its own. Fails if asyncio reports an error afterwards."""
    complaints: list[str] = []

    async def scenario() -> Result:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: complaints.append(str(context["message"])))
        async with LocalAtomic() as atomic:
            result = await play(InProcess(atomic))
        gc.collect()
        return result

    result = run(scenario())
    gc.collect()
    assert complaints == []
    return result
