"""Answers requests: finds the route, authorizes the caller, and holds what all routes share.

The rate limit headers follow draft-ietf-httpapi-ratelimit-headers-10.
"""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count
from typing import Final, Protocol, TypeVar

from atomic.application.admission import Refused, Reservation
from atomic.application.blobs import with_response
from atomic.application.client_admin import ClientAdmin
from atomic.application.endpoint_health import EndpointHealth
from atomic.application.engine import Engine
from atomic.application.own_settings import OwnSettingsStore
from atomic.application.ports import StoreUnavailable
from atomic.application.redaction import all_redacted
from atomic.application.refusals import NotFound
from atomic.domain.clients.client import OPERATOR_SCOPE, SCOPES_DEFAULT, Client, has_scope
from atomic.domain.clients.iam import role_of
from atomic.domain.steps import Step, StepSpec
from atomic.entrypoints.http_api.auditing import note_act
from atomic.entrypoints.http_api.delivery import delivered
from atomic.entrypoints.http_api.http import ApiRequest, ApiResponse
from atomic.entrypoints.http_api.origins import allowed_origin, is_preflight, preflight, shown_to
from atomic.entrypoints.http_api.refusals import MAPPED, problem_of
from atomic.entrypoints.http_api.route import Route
from atomic.entrypoints.http_api.start_tokens import TOKEN_SCOPE, holder_of_token
from atomic.entrypoints.http_api.views import json_response, outcome_view, problem_response
from atomic.protocol import headers, keys, problems
from atomic.protocol.constants import BODY_MAX_BYTES
from atomic.protocol.enums import FEATURES
from atomic.protocol.problems import (
    NOT_FOUND,
    STORAGE_FULL,
    TOO_MANY_REQUESTS,
    UNAUTHORIZED,
    Problem,
    not_found,
)
from atomic.protocol.requests import Model, read_message
from atomic.protocol.start_tokens import is_start_token
from atomic.protocol.urls import LAMBDA, is_bus

_log = logging.getLogger("atomic.api")
Done = TypeVar("Done")
# A revoked key must be refused after 60 s, and processes may cache a key for half of that.
_AUTHORIZED_FOR_S: Final = 30.0
# While a deployment replaces processes, those of before may hash a key under their own pepper again.
_REHASH_EVERY_S: Final = 300.0
# The operator's scopes: an operator makes and manages clients, but does not read or start their runs.
_OPERATED: Final = frozenset({"admin", OPERATOR_SCOPE})


class ManageClients(Protocol):
    """Runs work on a runtime's clients. Their stores block, so each runtime does it in its own way."""

    def __call__(self, work: Callable[[ClientAdmin], Done], /) -> Awaitable[Done]:
        """Do the work beside the event loop.

        Raises the errors of the work, and StoreUnavailable when the store fails.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """The engine behind the API.

    `admits(run_id)` is False for new runs while a server shuts down. `estimated_usd` estimates the cost of
    steps, on runtimes that are paid by use. `manage` is None where no clients are stored; `own_settings`
    has what clients of a server without API keys have set. `features` are what `GET /health` lists.
    `rehash_after_s`: when a key, by its id, may be hashed under the current pepper again, in the loop's
    time. `act_numbers` number what operators do. `links`: where the dashboard leads, by name.
    `endpoints`: how endpoints have answered, on runtimes of which one process makes all attempts.
    """

    engine: Engine
    admits: Callable[[str], bool] = lambda _run_id: True
    estimated_usd: Callable[[Sequence[Step]], float] | None = None
    manage: ManageClients | None = None
    own_settings: OwnSettingsStore | None = None
    features: Sequence[str] = FEATURES
    rehash_after_s: dict[str, float] = field(default_factory=dict)
    act_numbers: Iterator[int] = field(default_factory=count)
    links: Mapping[str, str] = field(default_factory=dict)
    endpoints: EndpointHealth | None = None


class Table:
    """The routes by their number of slashes. Fixed paths come first: `/health` is not a client.

    The name of a workflow may have slashes, so its routes may fit any longer path as well.
    """

    def __init__(self, routes: Iterable[Route]) -> None:
        self._routes: dict[int, list[tuple[Route, re.Pattern[str]]]] = {}
        self._of_workflows: list[tuple[Route, re.Pattern[str]]] = []
        for route in sorted(routes, key=lambda route: "{clientId}" in route.template):
            same = self._routes.setdefault(route.template.count("/"), [])
            same.append((route, route.pattern))
            if "{workflowName}" in route.template:
                self._of_workflows.append(same[-1])
        for slashes, same in self._routes.items():
            same += [each for each in self._of_workflows if each[0].template.count("/") < slashes]

    def owners(self, path: str) -> Sequence[tuple[Route, Sequence[str]]]:
        """The routes of a path, one for each method, each with the ids in the path.

        The first template that fits owns the path, so a POST to `/health` never starts a step.
        """
        found: list[tuple[Route, Sequence[str]]] = []
        for route, pattern in self._routes.get(path.count("/"), self._of_workflows):
            is_owner = not found or route.template == found[0][0].template
            if is_owner and (match := pattern.fullmatch(path)):
                found.append((route, match.groups()))
        return found


async def answer(table: Table, api: Api, request: ApiRequest) -> ApiResponse:
    """Answer a request. Never raises: errors become problem+json."""
    page: str | None = None
    try:
        if headers.ORIGIN in request.headers:
            page = await allowed_origin(api.engine.clients, request)
            if page is not None and is_preflight(request):
                return preflight(page)
        if request.is_cut or len(request.body) > BODY_MAX_BYTES:
            raise Problem(problems.TOO_LARGE, f"body: {BODY_MAX_BYTES} bytes are allowed.")
        response = await _dispatch(table, api, request)
    except Exception as error:
        response = _failed(request, error)
    response = response if page is None else shown_to(page, response)
    return response if request.method == "POST" else await delivered(request, response)


def _failed(request: ApiRequest, error: Exception) -> ApiResponse:
    """The response to a request that raised this."""
    if isinstance(error, Problem):
        return problem_response(error)
    if isinstance(error, MAPPED):
        return problem_response(problem_of(error))
    if isinstance(error, StoreUnavailable):
        _log.error("the store is not available", exc_info=error)
        return unavailable()
    _log.error("unexpected error", exc_info=error, extra={"method": request.method})
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


async def _dispatch(table: Table, api: Api, request: ApiRequest) -> ApiResponse:
    # HEAD is answered like GET; runtimes leave out the body.
    method = "GET" if request.method == "HEAD" else request.method
    owners = table.owners(request.path)
    for route, ids in owners:
        if route.method == method:
            if not route.scope:
                return await route.handler(api, request, *ids)
            answer_it = _answer_and_note if route.is_act else _answer
            return await answer_it(api, request, route, ids)
    if owners:
        allowed = ", ".join("GET, HEAD" if route.method == "GET" else route.method for route, _ in owners)
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
    if route.by_token:
        scopes = (*scopes, TOKEN_SCOPE)
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


async def _answer_and_note(api: Api, request: ApiRequest, route: Route, ids: Sequence[str]) -> ApiResponse:
    """Answer a request by which an operator acts, and add it to the audit log, also when it is refused."""
    actor = await _actor(api, request, ids[0] if ids else "")
    if actor is None:
        return await _answer(api, request, route, ids)
    note = partial(note_act, api.engine, request, route, ids, actor)
    try:
        response = await _answer(api, request, route, ids)
    except asyncio.CancelledError:
        await note(None, number=next(api.act_numbers))
        raise
    except Exception as error:
        response = _failed(request, error)
    if not response.of_handler:
        await note(response, number=next(api.act_numbers))
    return response


async def _actor(api: Api, request: ApiRequest, client_id: str) -> Client | None:
    """Who acts on this client, whatever its scopes are; None for strangers.

    A start token is of everybody who sees its page, and so a stranger's.
    """
    try:
        holder = await _holder(api, request, _bearer(request), client_id)
    except Problem:
        return None
    if holder is None or holder.token is not None or (client_id and not keys.is_client_id(client_id)):
        return None
    return holder if holder.id == client_id or OPERATOR_SCOPE in holder.scopes else None


async def authorize(api: Api, request: ApiRequest, client_id: str, *scopes: str) -> Client:
    """The client that the path names, if the request's API key belongs to it and has one of the scopes.

    On routes that manage clients, the operator's key is valid for any client, even one that does not exist.
    On routes without a client (`client_id` is empty), only the operator's key is valid.
    Raises Problem 401 without a valid key. Raises Problem 404 when the key belongs to another client or
    lacks the scopes, and where no clients are stored.
    """
    if OPERATOR_SCOPE in scopes and api.manage is None:
        raise keeps_no_clients()
    given = _bearer(request)
    holder = await _holder(api, request, given, client_id)
    if holder is None:
        raise Problem(
            UNAUTHORIZED,
            "Send the header `Authorization: Bearer <API key>`; `atomic clients create` makes a key. Start "
            "tokens expire; ask for a new one.",
            headers={"www-authenticate": "Bearer"},
        )
    if client_id and not keys.is_client_id(client_id):
        raise not_found()
    if holder.has_old_hash:
        await _rehash(api, holder, given or "")
    if OPERATOR_SCOPE in holder.scopes and not _OPERATED.isdisjoint(scopes):
        return replace(holder, id=client_id)
    if holder.id != client_id or not any(has_scope(holder.scopes, scope) for scope in scopes):
        raise not_found()
    return holder


def _bearer(request: ApiRequest) -> str | None:
    """The API key or the token that the request has."""
    scheme, _, api_key = request.headers.get(headers.AUTHORIZATION, "").partition(" ")
    return api_key.strip() if scheme.lower() == "bearer" else None


async def _rehash(api: Api, holder: Client, api_key: str) -> None:
    """Hash the key under the current pepper. If this fails, a later request tries again."""
    now_s = asyncio.get_running_loop().time()
    if api.manage is None or now_s < api.rehash_after_s.get(holder.key_id, 0.0):
        return
    api.rehash_after_s[holder.key_id] = now_s + _REHASH_EVERY_S
    with suppress(StoreUnavailable, ValueError):
        await api.manage(lambda admin: admin.rehash(holder.id, api_key))
        _log.info("a key is hashed under the current pepper now", extra={"keyId": holder.key_id})


async def _holder(api: Api, request: ApiRequest, given: str | None, client_id: str) -> Client | None:
    """The client of the caller's role, or of the given key or token; None without a valid one."""
    if request.caller:
        return await _holder_of_role(api, request.caller, client_id)
    if given is not None and is_start_token(given):
        return await holder_of_token(api.engine.clients, given, api.engine.clock.now_ms())
    return await api.engine.clients.authenticate(given, client_id)


async def _holder_of_role(api: Api, caller: str, client_id: str) -> Client:
    """The client in the path, if the caller has one of its roles. Raises Problem 404."""
    client = await api.engine.clients.get(client_id) if client_id else None
    role = None if client is None else role_of(caller, client.roles)
    if client is None or role is None:
        raise not_found()
    return replace(client, scopes=frozenset(SCOPES_DEFAULT), key_id=role)


def keeps_no_clients() -> Problem:
    """The 404 of routes that manage clients under `--dev`."""
    return Problem(
        NOT_FOUND,
        "This server stores no clients and needs no API keys; start it without --dev to manage clients. "
        "To start a step, POST to /{clientId}.",
    )


def of_another_client(owner: str, client_id: str) -> Problem:
    """A 404 that names the owner. For servers without keys, where the owner is not a secret."""
    return Problem(
        NOT_FOUND,
        f"This belongs to the client {owner!r}, but the request is for {client_id!r}: use the same client "
        "in both places (ATOMIC_CLIENT_ID, or the first part of the path).",
    )


def check_url(api: Api, client: Client, url: str, where: str) -> None:
    """Raise Problem 400 or 403 for a URL that the client may not call; `where` names the member."""
    if url.startswith(LAMBDA) and not api.engine.settings.lambda_targets:
        raise problems.invalid(
            where, "this server calls no Lambda functions (atomic serve --lambda-targets; LambdaTargets)"
        )
    if is_bus(url):
        raise problems.invalid(where, "only hooks may name an event bus; name an endpoint")
    check_base(client, url, where)


def check_base(client: Client, url: str, where: str) -> None:
    """Raise Problem 403 for a URL that is not under a base URL of the client; `where` names the member."""
    if not client.may_call(url):
        raise Problem(
            problems.URL_NOT_ALLOWED,
            f"{where}: not under a base URL of this client; use one of them or have it added.",
        )


async def in_turn(api: Api, client: Client, request: ApiRequest, work: Callable[[], Done]) -> Done:
    """Read the request's body by `work`. Large bodies delay all callers, so clients take turns."""
    return await api.engine.large_bodies.read(client.id, len(request.body), work)


async def read(api: Api, client: Client, request: ApiRequest, model: type[Model]) -> Model:
    """The request's body as a message. An empty body is read as an object without members.

    Raises Problem as `read_message` does.
    """
    return await in_turn(api, client, request, lambda: read_message(model, request.body or b"{}"))


async def reserve(api: Api, client: Client, spec: StepSpec) -> Reservation:
    """Reserve the step's share of the quota. Raises Problem 429 or 507 when the client may not start it."""
    engine = api.engine
    reserved = await engine.admission.reserve(engine.store, client, spec, engine.clock.now_ms())
    if isinstance(reserved, Refused):
        raise refusal(api, client, reserved)
    return reserved


async def charge_start(api: Api, client: Client) -> None:
    """Take one start of the client's rate for a call without a step. Raises Problem 429."""
    if refused := await api.engine.admission.charge(client, api.engine.clock.now_ms()):
        raise refusal(api, client, refused)


def refusal(api: Api, client: Client, refused: Refused) -> Problem:
    wait_s = -(-refused.wait_ms // 1000)
    retry_after = {headers.RETRY_AFTER: str(wait_s)}
    if refused.of == "storage":
        return Problem(STORAGE_FULL, refused.detail, headers=retry_after)
    more = rate_headers(api, client, wait_s)
    return Problem(TOO_MANY_REQUESTS, refused.detail, headers={**retry_after, **more})


def rate_headers(api: Api, client: Client, wait_s: int = 1) -> dict[str, str]:
    """The rate limit headers, for clients that have a rate."""
    per_s = client.quota.starts_per_second
    if per_s is None:
        return {}
    return {
        "ratelimit-policy": f'"starts";q={max(1, int(per_s))};w=1',
        "ratelimit": f'"starts";r={api.engine.admission.starts_left(client)};t={wait_s}',
    }


async def outcome_response(api: Api, step: Step, client: Client) -> ApiResponse:
    """The answer with a step's outcome, as far as the client's readers may see it."""
    step = await with_response(api.engine.store, step)
    [visible] = await all_redacted(api.engine.large_bodies, [step], client)
    return json_response(200, outcome_view(visible))


def attempt_of(request: ApiRequest, client: Client, step_id: str | None) -> int | None:
    """The number of the attempt of this step whose token the request has; None without such a token."""
    token = request.headers.get(headers.ATTEMPT_TOKEN, "")
    return headers.parse_attempt_token(client.attempt_keys, step_id or "", token)
