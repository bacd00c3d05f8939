"""How a client's endpoints do, and what the client uses of its limits."""

from typing import Any, Final

from atomic.application import usage
from atomic.application.adaptive import OriginLoad
from atomic.application.endpoint_health import MINUTES, OTHERS, Tally
from atomic.application.usage import Usage
from atomic.domain.clients.client import Client
from atomic.entrypoints.http_api.api import Api
from atomic.entrypoints.http_api.http import ApiRequest, ApiResponse, Query
from atomic.entrypoints.http_api.route import Operation, Routes
from atomic.entrypoints.http_api.views import json_response, moment_view
from atomic.protocol import problems

routes = Routes()

_IDLE: Final = OriginLoad(limit=None, is_slowed=False, under_way=0, waiting=0, rests_ms=0)


@routes.add(
    "GET",
    "/{clientId}/endpoints",
    Operation(
        id="listEndpoints",
        summary="List the origins that the client calls, with failures and durations of the last minutes",
        description="From the memory of this process of the embedded server: it is empty after a restart. "
        "On AWS no process sees all attempts: 404.",
        answers=((200, "EndpointList", "The origins."),),
        refusals=(problems.INVALID_REQUEST,),
    ),
    scope="read",
)
async def get_endpoints(api: Api, request: ApiRequest, client: Client) -> ApiResponse:
    """How the endpoints have answered lately, and how they are approached now."""
    Query(request).refuse_rest()
    if api.endpoints is None:
        raise problems.Problem(
            problems.NOT_FOUND,
            "On this server no process sees all attempts, so it cannot tell how endpoints do. GET /health "
            "lists what it can do. See the metrics of the stack instead.",
        )
    tallies = api.endpoints.of(client.id, api.engine.clock.now_ms())
    adaptive = api.engine.admission.adaptive
    loads = {} if adaptive is None else adaptive.loads(client.id)
    # Where nothing has ended yet, something may be under way or wait.
    busy = {origin for origin, load in loads.items() if load.under_way or load.waiting}
    unknown = None if adaptive is None else _IDLE
    views = [
        _endpoint_view(origin, tallies.get(origin) or Tally(), loads.get(origin, unknown))
        for origin in tallies.keys() | busy
    ]
    views.sort(key=lambda view: (-view["failed"], -view["attempts"], view["origin"] or ""))
    return json_response(200, {"minutes": MINUTES, "endpoints": views})


@routes.add(
    "GET",
    "/{clientId}/limits",
    Operation(
        id="getLimits",
        summary="Read the limits of the client, and what is used of them",
        answers=((200, "LimitsDocument", "The limits."),),
        refusals=(problems.INVALID_REQUEST,),
    ),
    scope="read",
)
async def get_limits(api: Api, request: ApiRequest, client: Client) -> ApiResponse:
    """What the operator allows the client, and how much of it is used."""
    Query(request).refuse_rest()
    return json_response(
        200,
        {
            "startsPerSecond": _usage_view(usage.starts_per_second(client)),
            "liveSteps": _usage_view(await usage.live_steps(api.engine, client)),
            "storedBytes": _usage_view(await usage.stored_bytes(api.engine, client)),
        },
    )


def _endpoint_view(origin: str, tally: Tally, load: OriginLoad | None) -> dict[str, Any]:
    now = load or _IDLE
    return {
        "origin": None if origin == OTHERS else origin,
        "attempts": tally.attempts,
        "failed": tally.failed,
        "durationMsP50": tally.duration_ms_of(0.5),
        "durationMsP95": tally.duration_ms_of(0.95),
        "underWay": None if load is None else now.under_way,
        "limit": now.limit,
        "slowed": now.is_slowed,
        "waiting": now.waiting,
        "rests": now.rests_ms,
    }


def _usage_view(found: Usage) -> dict[str, Any]:
    return {"limit": found.limit, "used": found.used, "countedAt": moment_view(found.counted_at_ms)}
