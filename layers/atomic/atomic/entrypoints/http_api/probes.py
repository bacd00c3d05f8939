"""The probe: one call of an endpoint, with no step."""

from atomic.application.probe import probe
from atomic.domain.clients.client import Client
from atomic.entrypoints.http_api.api import Api, charge_start, in_turn
from atomic.entrypoints.http_api.http import ApiRequest, ApiResponse
from atomic.entrypoints.http_api.route import OF_BODIES, Operation, Routes
from atomic.entrypoints.http_api.starts import read_start
from atomic.entrypoints.http_api.views import json_response, probe_view
from atomic.protocol import headers, problems
from atomic.protocol.problems import Problem
from atomic.protocol.requests import StartRequest

routes = Routes()


@routes.add(
    "POST",
    "/{clientId}/probe",
    Operation(
        id="probe",
        summary="Call an endpoint once, with no step",
        description="Makes the call that the first attempt of this start would make, signed in the same "
        "way. It is not recorded or retried, lasts 20 s at most, and counts as a start for the client's "
        "rate.",
        request=StartRequest,
        answers=((200, "ProbeResult", "The result of the call."),),
        refusals=(*OF_BODIES, problems.URL_NOT_ALLOWED, problems.TOO_MANY_REQUESTS),
    ),
    scope="start",
    is_act=True,
)
async def post_probe(api: Api, request: ApiRequest, client: Client) -> ApiResponse:
    """Call the endpoint of a start once and record nothing. It counts as a start for the client's rate.

    `atomic doctor` uses it to check whether Atomic reaches an endpoint, and what the endpoint answers.
    """
    _, spec = await in_turn(api, client, request, lambda: read_start(api, request, client))
    if spec.kind != "http":
        raise problems.invalid("kind", "only an endpoint can be called: leave it out, give stepInvokeUrl")
    await charge_start(api, client)
    probed = await probe(api.engine, client, spec)
    if probed is None:
        raise Problem(
            problems.TOO_MANY_REQUESTS,
            "Too many attempts of this client are under way to this destination; try again.",
            headers={headers.RETRY_AFTER: "1"},
        )
    return json_response(200, probe_view(probed))
