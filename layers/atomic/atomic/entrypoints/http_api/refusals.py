"""Why a start is refused, in full: the client's limits, and a payload that is not the first one.

429 and 507 come with `Retry-After`; the RateLimit headers are those of
draft-ietf-httpapi-ratelimit-headers-10.
"""

from typing import Any

from atomic.application.admission import Refused, Reservation
from atomic.application.ports import Client
from atomic.application.redaction import redacted_payload
from atomic.domain.steps import Step, StepSpec
from atomic.entrypoints.http_api.api import Api
from atomic.protocol import headers
from atomic.protocol.canonical import parse_json
from atomic.protocol.differences import first_difference
from atomic.protocol.problems import PAYLOAD_MISMATCH, STORAGE_FULL, TOO_MANY_REQUESTS, Problem


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


def payload_mismatch(first: Step, spec: StepSpec, client: Client) -> Problem:
    """The 422. Of the first payload only a key that may read is told anything, without what is hidden.

    With the place alone, a key that may not could find out the payload member by member.
    """
    name = spec.step_name or spec.url
    members: dict[str, Any] = {
        "id": first.id,
        "stepInvokeUrl": spec.url or None,
        "stepName": spec.step_name or None,
        "firstFingerprint": first.spec.fingerprint[:12],
        "fingerprint": spec.fingerprint[:12],
    }
    where = "."
    if "read" in client.scopes:
        found = first_difference(
            *(
                parse_json(redacted_payload(payload, client))
                for payload in (first.spec.payload, spec.payload)
            )
        )
        if found is not None:
            where = f": {found.path} was {found.first} and is {found.now} now."
            members["difference"] = found.path
    detail = (
        f"{name} was posted before with another payload{where} That step is untouched. Use a new "
        "idempotencyKey for new work, or post the first payload again."
    )
    return Problem(PAYLOAD_MISMATCH, detail, members)
