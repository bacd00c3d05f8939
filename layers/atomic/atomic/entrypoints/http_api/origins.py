"""Pages of other origins that call the API: what a browser is told (CORS, https://fetch.spec.whatwg.org).

A client lists the origins whose pages may call. A preflight has no key, so the client is the one that the
path names. No answer allows credentials: keys travel in a header, and a page has to know its own.
"""

from dataclasses import replace
from typing import Final

from atomic.application.ports import ClientRegistry
from atomic.entrypoints.http_api.http import ApiRequest, ApiResponse
from atomic.entrypoints.http_api.views import NO_GUESSING
from atomic.protocol import headers, keys

_METHODS: Final = "GET, POST, PATCH, DELETE"
_SENT: Final = (
    headers.AUTHORIZATION,
    headers.CONTENT_TYPE,
    headers.IDEMPOTENCY_KEY,
    headers.PREFER,
    headers.TRACEPARENT,
    headers.ATTEMPT_TOKEN,
)
# Without this list, a page sees only the content type and a few others.
_SEEN: Final = (
    headers.ERROR_SOURCE,
    headers.IDEMPOTENCY_EXPIRES,
    headers.IDEMPOTENCY_REPLAYED,
    "link",
    headers.LOCATION,
    headers.PREFERENCE_APPLIED,
    "ratelimit",
    "ratelimit-policy",
    headers.RETRY_AFTER,
)
# Chromium remembers a preflight for two hours at most. A page that is no longer allowed sees no answers,
# whatever is remembered.
_REMEMBERED_S: Final = 7200


async def allowed_origin(clients: ClientRegistry, request: ApiRequest) -> str | None:
    """The origin of the page that sends the request, if the client in the path allows it.

    Raises StoreUnavailable.
    """
    origin, client_id = request.headers.get(headers.ORIGIN), request.path[1:].partition("/")[0]
    client = await clients.get(client_id) if origin and keys.is_client_id(client_id) else None
    return origin if client is not None and origin in client.origins else None


def is_preflight(request: ApiRequest) -> bool:
    """Whether a browser asks whether a page may send a request."""
    return request.method == "OPTIONS" and "access-control-request-method" in request.headers


def preflight(origin: str) -> ApiResponse:
    """The answer to a preflight of an allowed page; it says nothing about the path."""
    allowed = {
        "access-control-allow-methods": _METHODS,
        "access-control-allow-headers": ", ".join(_SENT),
        "access-control-max-age": str(_REMEMBERED_S),
    }
    return shown_to(origin, ApiResponse(status=204, headers={**NO_GUESSING, **allowed}))


def shown_to(origin: str, response: ApiResponse) -> ApiResponse:
    """The response as a page of this origin may read it."""
    told = {
        "access-control-allow-origin": origin,
        "access-control-expose-headers": ", ".join(_SEEN),
        "vary": "Origin",
    }
    return replace(response, headers={**response.headers, **told})
