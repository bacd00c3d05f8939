"""A client's limits on the wire: 429 or 507 with `Retry-After`, and the RateLimit headers.

The headers are those of draft-ietf-httpapi-ratelimit-headers-10.
"""

from atomic.application.admission import Refused, Reservation
from atomic.domain.clients.client import Client
from atomic.domain.steps import StepSpec
from atomic.entrypoints.http_api.api import Api
from atomic.protocol import headers
from atomic.protocol.problems import STORAGE_FULL, TOO_MANY_REQUESTS, Problem


async def reserve(api: Api, client: Client, spec: StepSpec) -> Reservation:
    """Raise Problem 429 or 507 for a new step that the client may not start now."""
    engine = api.engine
    reserved = await engine.admission.reserve(engine.store, client, spec, engine.clock.now_ms())
    if isinstance(reserved, Refused):
        raise _refusal(api, client, reserved)
    return reserved


async def charge_start(api: Api, client: Client) -> None:
    """Raise Problem 429 when the client may not start anything now; nothing is stored or lives on."""
    if refused := await api.engine.admission.charge(client, api.engine.clock.now_ms()):
        raise _refusal(api, client, refused)


def _refusal(api: Api, client: Client, refused: Refused) -> Problem:
    wait_s = -(-refused.wait_ms // 1000)
    retry_after = {headers.RETRY_AFTER: str(wait_s)}
    if refused.of == "storage":
        return Problem(STORAGE_FULL, refused.detail, headers=retry_after)
    more = rate_headers(api, client, wait_s)
    return Problem(TOO_MANY_REQUESTS, refused.detail, headers={**retry_after, **more})


def rate_headers(api: Api, client: Client, wait_s: int = 1) -> dict[str, str]:
    """How many starts are left, for clients that have a rate."""
    per_s = client.quota.starts_per_second
    if per_s is None:
        return {}
    return {
        "ratelimit-policy": f'"starts";q={max(1, int(per_s))};w=1',
        "ratelimit": f'"starts";r={api.engine.admission.starts_left(client)};t={wait_s}',
    }
