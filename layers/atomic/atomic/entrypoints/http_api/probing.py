"""`POST /{clientId}/probe`: does Atomic reach an endpoint, and what does it say? `atomic doctor` asks."""

from atomic.application.probe import probe
from atomic.domain.clients.client import Client
from atomic.entrypoints.http_api.api import Api, in_turn
from atomic.entrypoints.http_api.http import ApiRequest, ApiResponse, json_response
from atomic.entrypoints.http_api.limiting import charge_start
from atomic.entrypoints.http_api.starting import read_start
from atomic.entrypoints.http_api.views import probe_view
from atomic.protocol import headers, problems
from atomic.protocol.problems import Problem


async def post_probe(api: Api, request: ApiRequest, client: Client) -> ApiResponse:
    """Call the endpoint of a start once, and keep nothing of it; for the client's rate it is a start."""
    _, spec = await in_turn(api, client, request, lambda: read_start(api, request, client))
    if spec.kind != "http":
        raise problems.invalid("kind", "only an endpoint can be called: leave it out, name stepInvokeUrl")
    await charge_start(api, client)
    probed = await probe(api.engine, client, spec)
    if probed is None:
        raise Problem(
            problems.TOO_MANY_REQUESTS,
            "Too many attempts of this client are under way to this destination; try again.",
            headers={headers.RETRY_AFTER: "1"},
        )
    return json_response(200, probe_view(probed))
