"""What only `atomic serve --dev` has: the routes `/_dev/*`, with which tests lead a server.

They need no client and no key. Elsewhere these paths do not exist.
"""

import asyncio
import logging
from dataclasses import replace
from typing import Annotated, Any, Final

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from atomic.entrypoints.embedded.http_server import HttpServer
from atomic.entrypoints.embedded.wiring import Server
from atomic.entrypoints.http_api.api import Api, Table, answer
from atomic.entrypoints.http_api.http import ApiRequest, ApiResponse, read_moment, refuse_body
from atomic.entrypoints.http_api.meta import get_dashboard
from atomic.entrypoints.http_api.route import Routes
from atomic.entrypoints.http_api.routes import ROUTES
from atomic.entrypoints.http_api.views import NO_GUESSING, json_response, problem_response
from atomic.protocol import headers, keys, problems
from atomic.protocol.enums import SETTLED, Status, StatusName
from atomic.protocol.problems import Problem, ProblemType, invalid
from atomic.protocol.requests import StepId, read_message
from atomic.protocol.wire import Duration, WireModel, to_rfc3339
from atomic.runtime.faults import (
    FAULTS,
    SEED_MAX,
    Fault,
    Faults,
    Profile,
    UnknownFault,
    asking,
    read_faults,
)
from atomic.runtime.virtual_time import FOREVER_MS, LATEST_MS, EndedMeanwhile, NotReached, VirtualTime

_log = logging.getLogger("atomic.server")

PATH: Final = "/_dev/"
_READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})

# Of these routes alone, so the API's description does not have them.
TIME_IS_REAL: Final = ProblemType("time-is-real", 409, "The time of this server is real")
TIME_NOT_REACHED: Final = ProblemType("time-not-reached", 408, "Virtual time could not be moved so far")


def _run_id(text: str) -> str:
    if not keys.is_run_id(text):
        raise PydanticCustomError("run_id", "use the id of a run, the `runId` of an answer")
    return text


RunId = Annotated[str, AfterValidator(_run_id)]


class AutoRequest(WireModel):
    """`PUT /_dev/time`."""

    auto: bool


class AdvanceRequest(WireModel):
    """`POST /_dev/time/advance`: how far to move, or to which time."""

    by: Duration | None = None
    to: Annotated[str, Field(max_length=40)] | None = None

    @model_validator(mode="after")
    def _is_one_of_them(self) -> "AdvanceRequest":
        if (self.by is None) is (self.to is None):
            raise PydanticCustomError(
                "one_target", "give `by` (milliseconds) or `to` (a time), and not both"
            )
        return self


class UntilRequest(WireModel):
    """`POST /_dev/time/until`: the run or the step that is to have one of the states."""

    run_id: RunId | None = None
    step_id: StepId | None = None
    status: Annotated[list[StatusName], Field(min_length=1)] = Field(
        default_factory=lambda: [status.value for status in sorted(SETTLED)]
    )
    max: Duration | None = None

    @model_validator(mode="after")
    def _is_one_of_them(self) -> "UntilRequest":
        if (self.run_id is None) is (self.step_id is None):
            raise PydanticCustomError("one_subject", "give `runId` or `stepId`, and not both")
        return self


class FaultsRequest(WireModel):
    """`PUT /_dev/faults`: a profile, or the probability of each fault; by default, with the first seed."""

    profile: Profile | None = None
    probabilities: dict[Fault, Annotated[float, Field(ge=0, le=1)]] | None = None
    seed: Annotated[int, Field(ge=0, le=SEED_MAX)] | None = None

    @model_validator(mode="after")
    def _is_one_of_them(self) -> "FaultsRequest":
        if (self.profile is None) is (self.probabilities is None):
            raise PydanticCustomError("one_of_faults", "give `profile` or `probabilities`, and not both")
        return self


class Development:
    """A server with these routes. Its engine may end and begin anew, while its sockets stay open."""

    def __init__(self, server: Server, http: HttpServer) -> None:
        self._server = server
        self._app = server.app
        self._http = http
        # It outlives the engine. `--dev` always has it.
        self._faults = server.faults or Faults()
        self._renewals = asyncio.Lock()
        self._is_up = asyncio.Event()
        routes = Routes()
        for method, name, handler in (
            ("GET", "time", self._get_time),
            ("PUT", "time", self._put_time),
            ("POST", "time/advance", self._post_advance),
            ("POST", "time/until", self._post_until),
            ("GET", "faults", self._get_faults),
            ("PUT", "faults", self._put_faults),
            ("POST", "reset", self._post_reset),
            ("POST", "crash", self._post_crash),
        ):
            routes.add(method, PATH + name, None)(handler)
        if self._faults.profile != "calm":
            _log.info("faults", extra={"profile": self._faults.profile, "seed": self._faults.seed})
        routes.add("GET", "/dashboard", None)(_get_dashboard)
        own = {(route.method, route.template) for route in routes}
        others = (route for route in ROUTES if (route.method, route.template) not in own)
        self._table = Table((*routes, *others))
        self._serve(server)

    async def kill(self) -> None:
        """See `Server.kill`."""
        await self._server.kill()

    async def drain(self) -> None:
        """See `Server.drain`."""
        await self._server.drain()

    def send_away(self) -> None:
        """See `Server.send_away`."""
        self._server.send_away()

    def _serve(self, server: Server) -> None:
        self._server = server
        self._app.api, self._app.metrics = server.api, server.metrics
        self._misbehaves = not self._faults.is_idle
        self._app.answer = self._answer if server.time is None else self._counted
        self._is_up.set()

    async def _counted(self, api: Api, request: ApiRequest) -> ApiResponse:
        """Answer; time stands still while something may be changed."""
        if request.method in _READING or request.path.startswith(PATH):
            return await self._answer(api, request)
        with self._server.activity_of(f"{request.method} {request.path}"):
            return await self._answer(api, request)

    async def _answer(self, api: Api, request: ApiRequest) -> ApiResponse:
        """Answer; the step that a start creates has the faults that the start asks for."""
        if headers.FAULT not in request.headers:
            return await answer(self._table, api, request)
        try:
            asked = read_faults(request.headers[headers.FAULT])
        except UnknownFault as unknown:
            return problem_response(invalid("Atomic-Fault", str(unknown)))
        self._misbehave()
        with asking(asked):
            return await answer(self._table, self._app.api, request)

    def _misbehave(self) -> None:
        """Put the faults around the engine, unless they are already."""
        if not self._misbehaves:
            self._misbehaves = True
            self._server.misbehave(self._faults)
            self._app.api = self._server.api

    async def _later(self, _api: Api, request: ApiRequest) -> ApiResponse:
        """Answer when the engine is up again."""
        await self._is_up.wait()
        return await self._app.answer(self._app.api, request)

    async def _get_time(self, _api: Api, _request: ApiRequest) -> ApiResponse:
        return json_response(200, await self._time())

    async def _put_time(self, _api: Api, request: ApiRequest) -> ApiResponse:
        time = self._virtual_time()
        time.auto = read_message(AutoRequest, request.body or b"{}").auto
        return json_response(200, await self._time())

    async def _post_advance(self, _api: Api, request: ApiRequest) -> ApiResponse:
        time = self._virtual_time()
        wanted = read_message(AdvanceRequest, request.body or b"{}")
        to_ms = read_moment("to", wanted.to)

        def target(now_ms: int) -> int:
            at_ms = now_ms + (wanted.by or 0) if to_ms is None else to_ms
            if at_ms < now_ms:
                raise invalid("to", f"time never goes back, and it is {to_rfc3339(now_ms)}")
            if at_ms > LATEST_MS:
                raise invalid(
                    "to" if wanted.by is None else "by", f"use a time before {to_rfc3339(LATEST_MS)}"
                )
            return at_ms

        try:
            await time.advance(target)
        except NotReached as reason:
            raise await self._not_reached(f"The time was not reached: {reason}.") from None
        except EndedMeanwhile:
            raise _ended_meanwhile() from None
        return json_response(200, await self._time())

    async def _post_until(self, _api: Api, request: ApiRequest) -> ApiResponse:
        time = self._virtual_time()
        wanted = read_message(UntilRequest, request.body or b"{}")
        step_id = wanted.step_id or keys.root_of(wanted.run_id or "")
        client_id = ""
        status = Status.PENDING

        async def is_there() -> bool:
            nonlocal client_id, status
            step = await self._server.engine.store.get(step_id)
            if step is None:
                name, what = ("runId", "run") if wanted.step_id is None else ("stepId", "step")
                raise Problem(problems.NOT_FOUND, f"{name}: this server has no such {what}.")
            client_id, status = step.spec.client_id, step.status
            return status in wanted.status

        try:
            await time.until(is_there, wanted.max)
        except NotReached as reason:
            if not await is_there():
                detail = f"The {'step' if wanted.step_id else 'run'} is {status}, and did not become "
                detail += f"{' or '.join(wanted.status)}: {reason}."
                raise await self._not_reached(detail, stepStatus=status.value) from None
        except EndedMeanwhile:
            raise _ended_meanwhile() from None
        path = f"/steps/{step_id}" if wanted.step_id else f"/runs/{wanted.run_id}"
        return await answer(
            self._table, self._app.api, ApiRequest(method="GET", path=f"/{client_id}{path}")
        )

    async def _get_faults(self, _api: Api, _request: ApiRequest) -> ApiResponse:
        return json_response(200, self._faults_view())

    async def _put_faults(self, _api: Api, request: ApiRequest) -> ApiResponse:
        wanted = read_message(FaultsRequest, request.body or b"{}")
        if wanted.profile is not None:
            self._faults.follow(wanted.profile, wanted.seed)
        else:
            self._faults.make(wanted.probabilities or {}, wanted.seed)
        self._misbehave()
        _log.info("faults", extra={"profile": self._faults.profile, "seed": self._faults.seed})
        return json_response(200, self._faults_view())

    def _faults_view(self) -> dict[str, Any]:
        faults = self._faults
        return {
            "profile": faults.profile,
            "seed": faults.seed,
            "probabilities": faults.probabilities,
            "made": {name: faults.made[name] for name in FAULTS},
        }

    async def _post_reset(self, _api: Api, request: ApiRequest) -> ApiResponse:
        refuse_body(request)
        await self._renew(is_reset=True)
        return ApiResponse(status=204, headers=NO_GUESSING)

    async def _post_crash(self, _api: Api, request: ApiRequest) -> ApiResponse:
        refuse_body(request)
        await self._renew(is_reset=False)
        return ApiResponse(status=204, headers=NO_GUESSING)

    async def _renew(self, *, is_reset: bool) -> None:
        """End the engine as the end of its process would, and start another one on the same store."""
        async with self._renewals:
            self._is_up.clear()
            self._app.answer = self._later
            await self._http.drop_callers(unless=PATH)
            await self._server.kill()
            if is_reset:
                await self._server.clear()
                self._faults.reset()
                if self._server.time is not None:
                    self._server.time.reset()
            server = self._server.again()
            server.metrics.found_live(await server.store.count_live())
            recovered = await server.recover()
            server.start()
            self._serve(server)
            _log.info("reset" if is_reset else "crashed and started again", extra={"recovered": recovered})

    def _virtual_time(self) -> VirtualTime:
        """What moves the time. Raises Problem 409."""
        if self._server.time is None:
            raise Problem(TIME_IS_REAL, "Time cannot be moved: start the server with --virtual-time.")
        return self._server.time

    async def _time(self) -> dict[str, Any]:
        time = self._server.time
        if time is None:
            due = await self._server.store.due(FOREVER_MS, 1)
            next_ms, in_flight = due[0].due_at_ms if due else None, len(self._server.tasks.step_ids)
        else:
            next_ms, in_flight = await time.next_due_ms(), time.in_flight()
        return {
            "virtual": time is not None,
            "now": to_rfc3339(self._server.engine.clock.now_ms()),
            "nextDue": None if next_ms is None else to_rfc3339(next_ms),
            "inFlight": in_flight,
            "waiting": 0 if time is None else time.waiting(),
            "auto": time is not None and time.auto,
        }

    async def _not_reached(self, detail: str, **members: str) -> Problem:
        return Problem(TIME_NOT_REACHED, detail, {**members, **await self._time()})


async def _get_dashboard(api: Api, request: ApiRequest) -> ApiResponse:
    """The dashboard's page, which shows the bar of a server in development."""
    page = await get_dashboard(api, request)
    return replace(page, body=page.body.replace(b'<div id="app"', b'<div id="app" data-development', 1))


def _ended_meanwhile() -> Problem:
    return Problem(
        problems.UNAVAILABLE,
        "The server was reset, or began to shut down, while the time moved.",
        headers={headers.RETRY_AFTER: "1"},
    )
