"""The interface of a scenario to its runtime: the API, endpoints of its own, and time.

A scenario is `async def scenario_x(runtime: Runtime)` in `cases/`. It is written once: `test_memory.py`
runs it in virtual time, `test_embedded.py` on a server over HTTP, in virtual or in real time, and
tests/e2e_aws on a deployed stack.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from atomic.testing import ApiReply, EndpointCall, EndpointReply
from scenarios import conformance

Handler = Callable[[EndpointCall], Awaitable[EndpointReply]]
Send = Callable[..., Awaitable[ApiReply]]


@dataclass(frozen=True, slots=True)
class Seen:
    """A call that an endpoint received, and its answer (`status` 0: it did not answer).

    It began and ended in the endpoint's time; `server_s` is when it began in the server's time.
    """

    url: str
    call: EndpointCall
    began_s: float
    ended_s: float
    server_s: float
    status: int


class Serve(Protocol):
    """Serves a handler at a path, and returns its URL."""

    def __call__(self, path: str, handler: Handler) -> str: ...


async def _a_moment() -> None:
    await asyncio.sleep(0.01)


async def _at_once() -> None:
    """Counters are always up to date."""


class Runtime:
    """The runtime of one scenario. `keys` holds API keys by client id; it is empty if no key is required.

    `pace` is the factor by which this runtime is slower than the one in memory. A scenario in which one
    thing happens during another takes its durations from `ms`. `pause` waits before something is asked
    again. `count` brings counters up to date, where they are counted later. `now_s` is the server's time in
    seconds; `is_virtual`: it moves by itself when nothing is to be done, so that hours cost nothing.
    """

    def __init__(
        self,
        *,
        client: str,
        send: Send,
        serve: Serve,
        keys: Mapping[str, str] | None = None,
        pace: int = 1,
        pause: Callable[[], Awaitable[None]] = _a_moment,
        count: Callable[[], Awaitable[None]] = _at_once,
        now_s: Callable[[], float] | None = None,
        is_virtual: bool = False,
    ) -> None:
        self.client = client
        self.keys = keys or {}
        self.seen: list[Seen] = []
        self._pace = pace
        self._pause = pause
        self.count = count
        self.now_s = now_s or asyncio.get_running_loop().time
        self.is_virtual = is_virtual
        self._send = send
        self._serve = serve

    def ms(self, at_best: int) -> int:
        """A short duration, multiplied by the pace of this runtime."""
        return at_best * self._pace

    def endpoint(self, path: str, handler: Handler) -> str:
        """Serve a handler; its calls are added to `seen` when they end."""
        return self._serve(path, self._watched(handler))

    def calls(self, url: str) -> list[Seen]:
        """The calls that an endpoint has answered so far, in the order of their ends."""
        return [seen for seen in self.seen if seen.url == url]

    async def request(
        self,
        method: str,
        target: str,
        *,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        key_of: str | None = None,
    ) -> ApiReply:
        """Call the API with the key of a client (by default the scenario's own)."""
        key = self.keys.get(key_of or self.client)
        authorization = {"Authorization": f"Bearer {key}"} if key else {}
        reply: ApiReply = await self._send(
            method, target, body=body, headers={**authorization, **(headers or {})}
        )
        # The reply to a HEAD has no body to validate; the scenario checks its status.
        if method != "HEAD":
            conformance.check(method, target, reply)
        return reply

    async def start(self, document: Mapping[str, Any], **headers: str) -> ApiReply:
        """`POST /{clientId}`; header names are given with underscores."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.request(
            "POST",
            f"/{self.client}",
            body=json.dumps(document).encode(),
            headers={"Content-Type": "application/json", **given},
        )

    async def finish(self, document: Mapping[str, Any], **headers: str) -> ApiReply:
        """Start, and post again until the run is finished, as a patient caller does.

        Returns the last reply.
        """
        while True:
            reply = await self.start(document, **headers)
            # 503: all environments of the AWS runtime are busy.
            if reply.status not in {503, 504}:
                return reply

    async def get(self, target: str) -> ApiReply:
        """GET a path under this scenario's client."""
        return await self.request("GET", f"/{self.client}{target}")

    async def post(self, target: str, document: Any = None) -> ApiReply:
        """POST to a path under this scenario's client; without a document there is no body."""
        body = b"" if document is None else json.dumps(document).encode()
        return await self.request("POST", f"/{self.client}{target}", body=body)

    async def until(self, condition: Callable[[], Awaitable[Any]], *, within_s: float = 30) -> Any:
        """Poll the condition until its result is true; return the result."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + within_s
        while not (result := await condition()):
            assert loop.time() < deadline, f"still not true after {within_s} s"
            await self._pause()
        return result

    async def step_in(self, step_id: str, *statuses: str, within_s: float = 30) -> dict[str, Any]:
        """Wait until the step has one of the states; return it."""

        async def look() -> dict[str, Any] | None:
            step: dict[str, Any] = (await self.get(f"/steps/{step_id}")).json
            return step if step["status"] in statuses else None

        found: dict[str, Any] = await self.until(look, within_s=within_s)
        return found

    def _watched(self, handler: Handler) -> Handler:
        async def watched(call: EndpointCall) -> EndpointReply:
            loop = asyncio.get_running_loop()
            began_s, server_s, status = loop.time(), self.now_s(), 0
            try:
                reply = await handler(call)
                status = reply.status
                return reply
            except Exception:
                status = 500
                raise
            finally:
                ended_s = loop.time()
                self.seen.append(Seen(call.url, call, began_s, ended_s, server_s, status))

        return watched


async def answer_ok(call: EndpointCall) -> EndpointReply:
    """The simplest endpoint."""
    return EndpointReply(json={"ok": True})


def failing_first(times: int, status: int, then: Any = None, **headers: str) -> Handler:
    """An endpoint that answers a status a number of times and then succeeds."""
    left = times

    async def handler(call: EndpointCall) -> EndpointReply:
        nonlocal left
        if left > 0:
            left -= 1
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            return EndpointReply(status=status, json={"error": "not yet"}, headers=named)
        return EndpointReply(json=then)

    return handler


def always(status: int, json: Any = None, **headers: str) -> Handler:
    """An endpoint with one answer."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}

    async def handler(call: EndpointCall) -> EndpointReply:
        return EndpointReply(status=status, json=json, headers=named)

    return handler
