"""Runs workflows without a server; a script of the test answers their posts."""

import inspect
import json
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from atomic.protocol import problems
from atomic.sdk import AsyncClient, Client
from atomic.sdk._endpoints.endpoint import Endpoint
from atomic.sdk._endpoints.serving import RawPath, Request
from atomic.sdk._wire.answers import HandlerResponse
from atomic.sdk._wire.transport import Flow, HttpRequest, HttpResponse, drive, drive_async

Result = TypeVar("Result")
# The answers to a step's posts in order, by its name (its own, or the last part of its URL).
Answers = Mapping[str, HttpResponse | Callable[[dict[str, Any]], HttpResponse]]


def answer(status: int, **members: Any) -> HttpResponse:
    """An answer of the API."""
    return HttpResponse(status=status, body=json.dumps(members).encode(), at_s=time.monotonic(), jitter=0.5)


def done(response: Any = None) -> HttpResponse:
    """The answer for a succeeded step."""
    return answer(200, response=response, finishedAt="2026-01-01T00:00:00.000Z", id="run_1-x")


def refused(kind: problems.ProblemType, detail: str, **members: Any) -> HttpResponse:
    """A problem as the API's answer."""
    return answer(kind.status, type=kind.uri, detail=detail, **members)


GOES_ON = refused(problems.NOT_FINISHED, "It goes on.", id="run_1-x")
REFUSED = refused(problems.TOO_MANY_REQUESTS, "Too many starts.")
NOBODY = HttpResponse(status=0, error="http://atomic.test: Connection refused", at_s=0.0, jitter=0.5)
MISMATCH = refused(problems.PAYLOAD_MISMATCH, "Other payload.")
FAILED = refused(problems.STEP_FAILED, "No luck.", id="run_1-x", finishedAt="2026-01-01T00:00:00.000Z")


class Script:
    """Answers posts, and records the names of the posted steps."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self.posts: list[str] = []

    def send(self, request: HttpRequest) -> HttpResponse:
        """The answer to a request.

        That to a question for results is called `results`, for one `result`, and that to a request to
        cancel a step `cancel`.
        """
        if request.method == "GET":
            name = "result" if "&id=" in request.target else "results"
            self.posts.append(name)
            found = self._answers[name]
            assert isinstance(found, HttpResponse)
            return found
        document = json.loads(request.body or b'{"stepName": "cancel"}')
        name = document.get("stepInvokeUrl", "").rpartition("/")[2] or document["stepName"]
        self.posts.append(name)
        found = self._answers[name]
        return found(document) if callable(found) else found


class ScriptedClient(Client):
    """A blocking client of the script."""

    script: Script

    def run_flow(self, flow: Flow[Result]) -> Result:
        return drive(flow, self.script.send, lambda _: None)


class ScriptedAsyncClient(AsyncClient):
    """An async client of the script."""

    script: Script

    async def run_flow(self, flow: Flow[Result]) -> Result:
        from asyncio import sleep

        async def send(request: HttpRequest) -> HttpResponse:
            await sleep(0)
            return self.script.send(request)

        return await drive_async(flow, send, lambda _: sleep(0))


def called(
    handler: Callable[..., Any], answers: Answers, **options: Any
) -> tuple[HandlerResponse, list[str]]:
    """Call a workflow once; return its answer and the names of the steps that it posted."""
    endpoint, sent, script = _served(handler, answers, **options)
    return endpoint.answer(sent), script.posts


async def called_async(
    handler: Callable[..., Any], answers: Answers, **options: Any
) -> tuple[HandlerResponse, list[str]]:
    """The same on the running event loop."""
    endpoint, sent, script = _served(handler, answers, **options)
    return await endpoint.answer_async(sent), script.posts


def _served(
    handler: Callable[..., Any],
    answers: Answers,
    *,
    wait: float = 0.05,
    attempt: int = 1,
    token: str = "",
    payload: Any = None,
    **more: Any,
) -> tuple[Endpoint, Request, Script]:
    script = Script(answers)
    client: Any = (ScriptedAsyncClient if inspect.iscoroutinefunction(handler) else ScriptedClient)(
        patience=0
    )
    client.script = script
    options: Any = {"client": client, "wait": wait, **more}
    endpoint = Endpoint(handler, is_workflow=True, options=options)
    return endpoint, request(attempt=attempt, token=token, payload=payload), script


def request(*, attempt: int = 1, token: str = "", payload: Any = None) -> Request:
    """A call of a workflow by Atomic."""
    call = {"runId": "run_1", "stepId": "run_1-root", "workflowName": "w", "idempotencyKey": "k"}
    body = json.dumps({**call, "attempt": attempt, "payload": payload}).encode()
    given = {"atomic-attempt-token": token} if token else {}
    return Request(origin="https://app.test", at=RawPath("", "/main"), headers=given, body=body)
