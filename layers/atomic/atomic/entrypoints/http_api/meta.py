"""Routes that need no API key: health, public keys, the API's description, the dashboard."""

import json
from dataclasses import replace
from functools import cache
from html import escape
from importlib import metadata, resources
from typing import Any

from atomic import __version__
from atomic.application.ports import StoreUnavailable
from atomic.dashboard import files
from atomic.entrypoints.http_api.api import Api
from atomic.entrypoints.http_api.delivery import takes_gzip
from atomic.entrypoints.http_api.http import ApiRequest, ApiResponse
from atomic.entrypoints.http_api.route import Operation, Routes
from atomic.entrypoints.http_api.views import json_response
from atomic.protocol import ed25519, keys, problems
from atomic.protocol.problems import not_found

routes = Routes()

# The page loads nothing from other servers and runs no inline script, so data of callers is never run.
_PAGE_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'; "
    "require-trusted-types-for 'script'; trusted-types 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",
}
# A file whose path has its version never changes. A browser asks for others each time.
_KEPT = {"cache-control": "public, max-age=31536000, immutable"}
_PROBE = "run_" + "0" * 32 + "-root"


@routes.add(
    "GET",
    "/.well-known/atomic/{client}/jwks.json",
    Operation(
        id="getSigningKeys",
        summary="Public keys that verify calls to endpoints (Ed25519)",
        description="Only for clients that also sign with Ed25519; 404 for others. No API key is needed.",
        answers=((200, "SigningKeys", "The keys."),),
        refusals=(problems.NOT_FOUND, problems.UNAVAILABLE),
    ),
)
async def get_signing_keys(api: Api, _request: ApiRequest, client_id: str) -> ApiResponse:
    """The public keys that verify the signatures of a client's calls. No API key is needed."""
    client = await api.engine.clients.get(client_id) if keys.is_client_id(client_id) else None
    if client is None or not client.ed25519:
        raise not_found()
    public = [ed25519.jwk(ed25519.public_key(secret)) for secret in client.signing_secrets]
    return json_response(200, {"keys": public}, {"cache-control": "public, max-age=60"})


@routes.add(
    "GET",
    "/health",
    Operation(
        id="getHealth",
        summary="Whether the server can take work",
        answers=((200, "Health", "It can."), (503, "Health", "It cannot.")),
    ),
)
async def get_health(api: Api, _request: ApiRequest) -> ApiResponse:
    """200 when the store answers and the server is not shutting down, else 503."""
    try:
        await api.engine.store.get(_PROBE)
        healthy = api.admits("")
    except StoreUnavailable:
        healthy = False
    status = "ok" if healthy else "unavailable"
    lacks = {"flow"} if api.engine.admission.flow is None else set()
    lacks |= {"endpoints"} if api.endpoints is None else set()
    features = [name for name in api.features if name not in lacks]
    document = {
        "status": status,
        "version": __version__,
        "build": build(),
        "features": features,
        "callsPerSecond": api.engine.admission.calls_per_s(),
    }
    return json_response(200 if healthy else 503, document)


@routes.add(
    "GET",
    "/",
    Operation(id="getRoot", summary="Leads to the dashboard", answers=((303, "", "To `/dashboard`."),)),
)
async def get_root(_api: Api, _request: ApiRequest) -> ApiResponse:
    """The way to the dashboard, for people who open the address of the server."""
    return ApiResponse(status=303, headers={"location": "/dashboard", "x-content-type-options": "nosniff"})


@routes.add(
    "GET",
    "/openapi.json",
    Operation(id="getOpenapi", summary="This description", content_type="application/json"),
)
async def get_openapi(_api: Api, _request: ApiRequest) -> ApiResponse:
    """The description of this API."""
    return json_response(200, _description())


@routes.add(
    "GET",
    "/docs",
    Operation(id="getDocs", summary="This description as a page", content_type="text/html"),
)
async def get_docs(_api: Api, _request: ApiRequest) -> ApiResponse:
    """The description as a page."""
    from atomic.entrypoints.http_api.docs_page import docs_page

    return _page(docs_page(_description()).encode(), "text/html; charset=utf-8")


@routes.add(
    "GET",
    "/dashboard",
    Operation(id="getDashboard", summary="The dashboard", content_type="text/html"),
)
async def get_dashboard(api: Api, _request: ApiRequest) -> ApiResponse:
    """The dashboard's one page."""
    links = "".join(f' data-{name}-link="{escape(link)}"' for name, link in api.links.items())
    page = files.page().replace(b'<div id="app"', f'<div id="app"{links}'.encode(), 1)
    return _page(page, "text/html; charset=utf-8")


@routes.add("GET", "/static/{file}", None)
@routes.add("GET", "/static/{folder}/{file}", None)
@routes.add("GET", "/static/{version}/{folder}/{file}", None)
async def get_static(_api: Api, request: ApiRequest, *path: str) -> ApiResponse:
    """A file of the dashboard or of the documentation page, with or without its version."""
    found = files.file(*files.without_version(path))
    if found is None:
        raise not_found()
    page = _page(found.body, found.content_type)
    # While servers are replaced, one may be asked for the version of another.
    kept = _KEPT if path[0] == files.version() else {}
    packed = {"content-encoding": "gzip", "vary": "Accept-Encoding"} if takes_gzip(request) else {}
    return replace(
        page,
        body=found.packed if packed else found.body,
        headers={**page.headers, **kept, **packed, "etag": f'"{files.version()}"'},
    )


@cache
def build() -> str | None:
    """The commit that the package is of; None if nobody noted it.

    `make build` writes it into the layer. pip notes it when it installs from a repository.
    """
    written = resources.files("atomic").joinpath("build.txt")
    if written.is_file():
        return written.read_text().strip() or None
    try:
        noted = metadata.distribution("atomic-workflows").read_text("direct_url.json")
    except metadata.PackageNotFoundError:
        return None
    vcs: dict[str, Any] = json.loads(noted or "{}").get("vcs_info", {})
    return vcs.get("commit_id")


def _description() -> dict[str, Any]:
    # Imported here: it loads models that nothing else needs, and the start of a Lambda must be fast.
    from atomic.entrypoints.http_api.openapi import openapi

    return openapi()


def _page(body: bytes, content_type: str) -> ApiResponse:
    return ApiResponse(status=200, body=body, headers={"content-type": content_type, **_PAGE_HEADERS})
