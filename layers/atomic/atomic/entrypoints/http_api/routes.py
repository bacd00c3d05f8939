"""All routes as one table, and the one function that answers a request."""

import asyncio
import logging
import re
from collections.abc import Sequence
from typing import Final

from atomic.application.ports import StoreUnavailable
from atomic.application.refusals import NotFound
from atomic.entrypoints.http_api import clients, meta, results, runs, steps
from atomic.entrypoints.http_api.api import Api, authorize, of_another_client
from atomic.entrypoints.http_api.http import ApiRequest, ApiResponse, problem_response
from atomic.entrypoints.http_api.refusals import MAPPED, problem_of
from atomic.entrypoints.http_api.route import Route
from atomic.protocol import headers, problems
from atomic.protocol.constants import BODY_MAX_BYTES
from atomic.protocol.problems import Problem

_log = logging.getLogger("atomic.api")

# A revoked key must be refused after 60 s, and processes may cache a key for half of that.
_AUTHORIZED_FOR_S: Final = 30.0

ROUTES: Final = (*steps.routes, *results.routes, *runs.routes, *clients.routes, *meta.routes)


def _table() -> dict[int, tuple[tuple[Route, re.Pattern[str]], ...]]:
    """The routes by their number of slashes. Fixed paths come first: `/health` is not a client."""
    ordered = sorted(ROUTES, key=lambda route: "{clientId}" in route.template)
    return {
        slashes: tuple((route, route.pattern) for route in ordered if route.template.count("/") == slashes)
        for slashes in {route.template.count("/") for route in ordered}
    }


_TABLE: Final = _table()


async def handle(api: Api, request: ApiRequest) -> ApiResponse:
    """Answer a request. Never raises: errors become problem+json."""
    try:
        if len(request.body) > BODY_MAX_BYTES:
            raise too_large()
        return await _dispatch(api, request)
    except Problem as problem:
        return problem_response(problem)
    except MAPPED as refusal:
        return problem_response(problem_of(refusal))
    except StoreUnavailable:
        _log.exception("the store is not available")
        return unavailable()
    except Exception:
        _log.exception("unexpected error", extra={"method": request.method})
        return problem_response(Problem(problems.INTERNAL, "The server failed; its log says why."))


def unavailable() -> ApiResponse:
    """The response when the store does not answer in time."""
    return problem_response(
        Problem(
            problems.UNAVAILABLE,
            "The store does not answer; whether the request took effect is not known. Post the "
            "same again: a start with the same key is never doubled.",
            headers={headers.RETRY_AFTER: "1"},
        )
    )


def too_large() -> Problem:
    """The problem for a body over the limit, of which nothing was read."""
    return Problem(problems.TOO_LARGE, f"body: {BODY_MAX_BYTES} bytes are allowed.")


async def _dispatch(api: Api, request: ApiRequest) -> ApiResponse:
    # HEAD is answered like GET; runtimes leave out the body.
    method = "GET" if request.method == "HEAD" else request.method
    others: list[Route] = []
    for route, pattern in _TABLE.get(request.path.count("/"), ()):
        match = pattern.fullmatch(request.path)
        # The first template that fits owns the path, so a POST to `/health` never starts a step.
        if match is None or (others and others[0].template != route.template):
            continue
        if route.method != method:
            others.append(route)
            continue
        ids = match.groups()
        if not route.scope:
            return await route.handler(api, request, *ids)
        return await _answer(api, request, route, ids)
    if others:
        allowed = ", ".join("GET, HEAD" if route.method == "GET" else route.method for route in others)
        raise Problem(problems.METHOD_NOT_ALLOWED, f"Use {allowed} here.", headers={"allow": allowed})
    raise problems.not_found()


async def _answer(api: Api, request: ApiRequest, route: Route, ids: Sequence[str]) -> ApiResponse:
    """Answer an authorized request; authorize it again if the answer took long."""
    client_id = ids[0] if ids else ""
    clock = asyncio.get_running_loop()
    began_s = clock.time()
    scopes: tuple[str, ...] = (route.scope,)
    if route.by_attempt and headers.ATTEMPT_TOKEN in request.headers:
        scopes = (route.scope, "start")
    client = await authorize(api, request, client_id, *scopes)
    try:
        response = await route.handler(api, request, client, *ids[1:])
    except NotFound as missing:
        if api.manage is None and missing.owner is not None:
            raise of_another_client(missing.owner, client_id) from None
        raise
    if clock.time() - began_s > _AUTHORIZED_FOR_S:
        # The key may have been revoked while the request waited for a step.
        await authorize(api, request, client_id, *scopes)
    return response
