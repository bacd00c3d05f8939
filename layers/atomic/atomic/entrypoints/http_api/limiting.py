"""A client's limits on the wire: 429 or 507 with `Retry-After`, and the RateLimit headers.

The headers are those of draft-ietf-httpapi-ratelimit-headers-10.
"""

from atomic.application.admission import Refused, Reservation
from atomic.application.ports import Client
from atomic.domain.steps import StepSpec
from atomic.entrypoints.http_api.api import Api
from atomic.protocol import headers
from atomic.protocol.problems import STORAGE_FULL, TOO_MANY_REQUESTS, Problem


async def reserve(api: Api, client: Client, spec: StepSpec) -> Reservation:
    """Raise Problem 429 or 507 for a new step that the client may not start now."""
    taken = await api.limits.take(api.engine, client, spec)
    if isinstance(taken, Refused):
        raise _refusal(api, client, taken)
    return taken


async def charge_start(api: Api, client: Client) -> None:
    """Raise Problem 429 when the client may not start anything now; nothing is stored or lives on."""
    if refused := await api.limits.charge(api.engine, client):
        raise _refusal(api, client, refused)


def _refusal(api: Api, client: Client, refused: Refused) -> Problem:
    wait_s = -(-refused.wait_ms // 1000)
    if refused.limit == "stored":
        return Problem(STORAGE_FULL, _detail(client, refused), headers={headers.RETRY_AFTER: str(wait_s)})
    return Problem(
        TOO_MANY_REQUESTS,
        _detail(client, refused),
        headers={headers.RETRY_AFTER: str(wait_s), **rate_headers(api, client, wait_s)},
    )


def rate_headers(api: Api, client: Client, wait_s: int = 1) -> dict[str, str]:
    """How many starts are left, for clients that have a rate."""
    if client.starts_per_s is None:
        return {}
    return {
        "ratelimit-policy": f'"starts";q={max(1, int(client.starts_per_s))};w=1',
        "ratelimit": f'"starts";r={api.limits.left(client)};t={wait_s}',
    }


def _detail(client: Client, refused: Refused) -> str:
    if refused.limit == "starts":
        return f"This client may start {client.starts_per_s:g} steps a second; wait and post again."
    if refused.limit == "stored":
        return (
            f"This client may store {client.stored_bytes} bytes of payloads and answers. Steps are "
            "forgotten some time after their end; have the limit raised, or store data elsewhere and send "
            "references."
        )
    return f"This client may have {client.live_steps} live steps; wait until some have ended."
