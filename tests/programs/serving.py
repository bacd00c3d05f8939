"""Serves the endpoints of a program inside a worker, and connects their clients to the player."""

import asyncio
import itertools
import random
import sys
from collections.abc import Callable, Mapping
from copy import copy
from typing import Any, Final

from atomic.sdk import AsyncClient, Client
from atomic.sdk._endpoints.endpoint import Endpoint
from atomic.sdk._endpoints.endpoints import BaseEndpoints
from atomic.sdk._endpoints.serving import RawPath, Request
from atomic.sdk._wire.answers import HandlerResponse
from atomic.sdk._wire.transport import HttpRequest, HttpResponse
from programs import planted, wire
from programs.ledger import Effect, Ledger, keep
from programs.library import STEPS
from programs.simple import WORDS
from programs.turns import Turns, TurnThread

CLIENT_ID: Final = "me"
_ATOMIC: Final = "http://atomic.test"
_ORIGIN: Final = "https://app.test"
# The compiler builds a set of constants in another order when it is the first to intern one of them.
_INTERNED: Final = tuple(map(sys.intern, WORDS))


class Died(BaseException):
    """Raised inside a call to simulate the end of its process."""


class Link:
    """The connection of one call of an endpoint to Atomic, through the player."""

    def __init__(self, server: "Server", call: int) -> None:
        self.is_dead = False
        self.task: asyncio.Task[None] | None = None
        self._server = server
        self._call = call
        # By the number of a request, the callback for its answer; it gets None if the call has died.
        self._open: dict[int, Callable[[HttpResponse | None], object]] = {}

    def send(self, request: HttpRequest) -> HttpResponse:
        """Send a request from a thread, and wait for the answer."""
        turns = self._server.turns
        own = turns.running()
        answers: list[HttpResponse | None] = []

        def deliver(answer: HttpResponse | None) -> None:
            answers.append(answer)
            turns.wake(own)

        self._ask(request, deliver)
        turns.wait()
        if answers[0] is None:
            raise Died
        return answers[0]

    async def send_async(self, request: HttpRequest) -> HttpResponse:
        """Send a request from a task, and wait for the answer."""
        future: asyncio.Future[HttpResponse] = self._server.loop.create_future()

        def deliver(answer: HttpResponse | None) -> None:
            if answer is None:
                future.cancel()
            elif not future.done():
                future.set_result(answer)

        self._ask(request, deliver)
        return await future

    def deliver(self, number: int, answer: HttpResponse | None) -> None:
        """Deliver an answer to its request; None, when the call has died, ends the wait."""
        if number in self._open:
            self._open.pop(number)(answer)

    def die(self) -> None:
        """End the call at this point."""
        self.is_dead = True
        for number in list(self._open):
            self.deliver(number, None)
        if self.task is not None:
            self.task.cancel()

    def _ask(self, request: HttpRequest, deliver: Callable[[HttpResponse | None], object]) -> None:
        if self.is_dead:
            raise Died
        number = self._server.ask(self._call, request)
        self._open[number] = deliver


class _BlockingClient(Client):
    def __init__(self, link: Link) -> None:
        self._link = link
        super().__init__(_ATOMIC, client_id=CLIENT_ID)

    def _open(self) -> None:
        self._connections = self._link  # type: ignore[assignment]  # only `send` is used


class _AsyncClient(AsyncClient):
    def __init__(self, link: Link) -> None:
        self._link = link
        super().__init__(_ATOMIC, client_id=CLIENT_ID)

    async def _send(self, request: HttpRequest) -> HttpResponse:
        return await self._link.send_async(request)


class Server:
    """Serves one program after another."""

    def __init__(self, loop: asyncio.AbstractEventLoop, turns: Turns) -> None:
        self.loop = loop
        self.turns = turns
        self._serial = itertools.count(1)
        self._links: dict[int, Link] = {}
        self._asked_by: dict[int, Link] = {}
        self._subscription: list[wire.Ask | wire.Served] = []
        self._ledger = Ledger()
        self._steps = BaseEndpoints(steps=STEPS)
        self._endpoints: dict[str, Endpoint] = {}

    def take(self, command: Any) -> None:
        """Begin to execute a command of the player."""
        match command:
            case wire.Load():
                self._load(command)
            case wire.Serve():
                self._serve(command)
            case wire.Deliver(number, status, headers, body):
                link = self._asked_by.pop(number)
                link.deliver(number, self._answer_of(status, headers, body))
            case wire.Die(number):
                self._links[number].die()
            case wire.Plant(names):
                planted.plant_here(names)

    def _answer_of(self, status: int, headers: Mapping[str, str], body: bytes) -> HttpResponse:
        lower = {name.lower(): value for name, value in headers.items()}
        now_s, jitter = self.loop.time(), random.random()
        return HttpResponse(status=status, headers=lower, body=body, at_s=now_s, jitter=jitter)

    def ask(self, call: int, request: HttpRequest) -> int:
        """Record a request; return its number."""
        number = next(self._serial)
        self._asked_by[number] = self._links[call]
        given = dict(request.headers)
        self._subscription.append(
            wire.Ask(call, number, request.method, request.target, given, request.body)
        )
        return number

    def subscription(self) -> list[Effect | wire.Ask | wire.Served]:
        """The events since the last call of this method."""
        subscription = [*self._ledger.subscription, *self._subscription]
        self._ledger.subscription.clear()
        self._subscription.clear()
        return subscription

    def _load(self, program: wire.Load) -> None:
        for link in self._links.values():
            link.die()
        self._links.clear()
        self._asked_by.clear()
        # The SDK's random pauses use this source.
        random.seed(program.seed)
        self.turns.chance.seed(program.seed)
        self._ledger = Ledger()
        keep(self._ledger)
        names: dict[str, Any] = {"__name__": "program"}
        exec(compile(program.source, "<program>", "exec"), names)
        served = BaseEndpoints(wait=program.wait_s)
        # Inspecting signatures is slow, and the steps are always the same.
        served._names.update(self._steps._names)
        for name in program.workflows:
            served.workflow(names[name])
        self._endpoints = {**self._steps._endpoints, **served._endpoints}

    def _serve(self, call: wire.Serve) -> None:
        if call.made is not None:
            self._ledger.made[call.made.step, call.made.key] = call.made
        link = self._links[call.number] = Link(self, call.number)
        # Each call has clients of its own, so that a request can be attributed to its call.
        endpoint = copy(self._endpoints[call.name])
        endpoint._client = _AsyncClient(link) if endpoint.is_async else _BlockingClient(link)
        request = Request(
            origin=_ORIGIN, at=RawPath("", f"/{call.name}"), headers=call.headers, body=call.body
        )
        # Sync and async frameworks serve both kinds of functions. An `async def` function on a sync
        # framework would run a loop in a thread, which virtual time does not support.
        if endpoint.is_async or call.number % 2:
            link.task = self.loop.create_task(self._answer_async(call.number, endpoint, request))
        else:
            TurnThread(target=self._answer, args=(call.number, endpoint, request)).start()

    async def _answer_async(self, number: int, endpoint: Endpoint, request: Request) -> None:
        self._served(number, await endpoint.answer_async(request))

    def _answer(self, number: int, endpoint: Endpoint, request: Request) -> None:
        try:
            self._served(number, endpoint.answer(request))
        except Died:
            return

    def _served(self, number: int, response: HandlerResponse) -> None:
        given = dict(response.headers)
        self._subscription.append(wire.Served(number, response.status, given, response.body))
