"""Clients, their API keys and signing secrets, for a client's key with `admin` and the operator's key."""

import logging
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final, TypeVar

from atomic.application.client_admin import ClientAdmin
from atomic.domain.clients.client import OPERATOR_SCOPE, Client, has_scope
from atomic.domain.clients.records import (
    ClientConflictError,
    ClientRecord,
    StoredKey,
    UnknownClient,
    UnknownKey,
)
from atomic.entrypoints.http_api.api import Api, check_url, keeps_no_clients, read
from atomic.entrypoints.http_api.client_requests import (
    AddKeyRequest,
    ChangeClientRequest,
    CreateClientRequest,
    RotateKeyRequest,
    RotateSecretRequest,
    StartTokenRequest,
)
from atomic.entrypoints.http_api.client_views import client_view, key_view, secret_view
from atomic.entrypoints.http_api.http import ApiRequest, ApiResponse, Query, link_header, refuse_body
from atomic.entrypoints.http_api.route import OF_BODIES, PAGE, Operation, Routes
from atomic.entrypoints.http_api.start_tokens import token_keys
from atomic.entrypoints.http_api.views import json_response
from atomic.protocol import keys, problems
from atomic.protocol.enums import SCOPES
from atomic.protocol.start_tokens import TOKEN_MAX_CHARS, StartToken, start_token
from atomic.protocol.urls import parse_url
from atomic.protocol.wire import to_rfc3339

_log = logging.getLogger("atomic.clients")

routes = Routes()

Done = TypeVar("Done")
# No cache may keep a secret that is shown once.
_SHOWN_ONCE: Final = {"cache-control": "no-store"}
_OF_CHANGES: Final = (*OF_BODIES, problems.CLIENT_CONFLICT)


@routes.add(
    "GET",
    "/{clientId}",
    Operation(
        id="getClient",
        summary="Read a client: base URLs, limits, redaction",
        answers=((200, "ClientDocument", "The client."),),
    ),
    scope="admin",
)
async def get_client(api: Api, _request: ApiRequest, client: Client) -> ApiResponse:
    """The client's base URLs, its limits, and the members that readers see as a hash."""
    return json_response(200, client_view(await _manage(api, lambda admin: admin.known(client.id))))


@routes.add(
    "PATCH",
    "/{clientId}",
    Operation(
        id="changeClient",
        summary="Change a client: base URLs, limits, redaction",
        description="For the operator. A member that is left out is not changed; a limit of null means "
        "unlimited. Later attempts at URLs that are under no base URL fail.",
        request=ChangeClientRequest,
        answers=((200, "ClientDocument", "The client as it stands now."),),
        refusals=_OF_CHANGES,
    ),
    scope=OPERATOR_SCOPE,
    is_act=True,
)
async def patch_client(api: Api, request: ApiRequest, client: Client) -> ApiResponse:
    """Change the given members of a client. The changes also apply to steps that exist."""
    changes = (await read(api, client, request, ChangeClientRequest)).changes()
    changed = await _manage(api, lambda admin: admin.change(client.id, **changes))
    _log.info("client changed", extra={"clientId": client.id})
    return json_response(200, client_view(changed))


@routes.add(
    "GET",
    "/{clientId}/key",
    Operation(
        id="getKey",
        summary="Read what the key of this request may do",
        description="A page learns from it which acts to offer.",
        answers=((200, "KeyRights", "The key."),),
    ),
    scope="read",
)
async def get_key(_api: Api, _request: ApiRequest, client: Client) -> ApiResponse:
    """The key of this request, or the role of its caller, and what it may do."""
    scopes = [scope for scope in SCOPES if has_scope(client.scopes, scope)]
    return json_response(200, {"keyId": client.key_id or None, "scopes": scopes})


@routes.add(
    "GET",
    "/{clientId}/keys",
    Operation(
        id="listKeys",
        summary="List the client's API keys",
        answers=((200, "KeyList", "The metadata of the keys; the keys themselves are never returned."),),
    ),
    scope="admin",
)
async def get_keys(api: Api, _request: ApiRequest, client: Client) -> ApiResponse:
    """The metadata of the client's API keys."""
    record = await _manage(api, lambda admin: admin.known(client.id))
    return json_response(200, {"keys": [key_view(key) for key in record.keys]})


@routes.add(
    "POST",
    "/{clientId}/keys",
    Operation(
        id="addKey",
        summary="Make another API key of a client",
        description="For the operator.",
        request=AddKeyRequest,
        answers=((201, "NewKey", "The new key, which is shown only once."),),
        refusals=_OF_CHANGES,
    ),
    scope=OPERATOR_SCOPE,
    is_act=True,
)
async def post_key(api: Api, request: ApiRequest, client: Client) -> ApiResponse:
    """Make another key of a client, with its own scopes."""
    wanted = await read(api, client, request, AddKeyRequest)

    def add(admin: ClientAdmin) -> tuple[str, StoredKey]:
        end_ms = _end_ms(admin, wanted.expires_in)
        return admin.add_key(client.id, scopes=wanted.scopes, expires_at_ms=end_ms)

    api_key, stored = await _manage(api, add)
    _log.info("key added", extra={"clientId": client.id, "keyId": stored.id})
    return json_response(201, {**key_view(stored), "apiKey": api_key}, _SHOWN_ONCE)


@routes.add(
    "POST",
    "/{clientId}/start-tokens",
    Operation(
        id="makeStartToken",
        summary="Make a short-lived key that may start a few workflows",
        description="For a page in a browser: the token is sent like an API key. It starts these workflows "
        "and reads what it started, and nothing else. It is not stored, and ends with the key of this "
        "request at the latest.",
        request=StartTokenRequest,
        answers=((200, "StartTokenDocument", "The token, which cannot be read again."),),
        refusals=(*OF_BODIES, problems.URL_NOT_ALLOWED),
    ),
    scope="start",
    is_act=True,
)
async def post_start_token(api: Api, request: ApiRequest, client: Client) -> ApiResponse:
    """Make a start token. Nothing is written."""
    wanted = await read(api, client, request, StartTokenRequest)
    for url in wanted.workflows.values():
        check_url(api, client, _parsed(url), "workflows")
    if not has_scope(client.scopes, "read"):
        # Under a prefix that is not new, others may have started runs.
        for field, given in (("steps", wanted.steps), ("keyPrefix", wanted.key_prefix)):
            if given:
                raise problems.invalid(field, "only a key with the scope read may give this; leave it out")
    ends_s = (api.engine.clock.now_ms() + wanted.expires_in) // 1000
    token = StartToken(
        client_id=client.id,
        key_id=client.key_id,
        workflows=wanted.workflows,
        key_prefix=wanted.key_prefix or f"{api.engine.entropy.token()}-",
        steps=wanted.steps,
        ends_s=ends_s,
    )
    text = start_token(token_keys(api.engine.clients)[0], token)
    if len(text) > TOKEN_MAX_CHARS:
        raise problems.invalid("workflows", "too many or too long names and URLs; make several tokens")
    view = {
        "token": text,
        "expiresAt": to_rfc3339(1000 * ends_s),
        "keyPrefix": token.key_prefix,
        "workflows": token.workflows,
        "steps": token.steps,
    }
    return json_response(200, view, _SHOWN_ONCE)


@routes.add(
    "POST",
    "/{clientId}/keys/{keyId}/rotate",
    Operation(
        id="rotateKey",
        summary="Make an API key that replaces another",
        description="The new key has the scopes of the old one, or fewer, and expires with it at the "
        "latest. The old key expires after the overlap.",
        request=RotateKeyRequest,
        needs_body=False,
        answers=((201, "NewKey", "The new key, which is shown only once."),),
        refusals=_OF_CHANGES,
    ),
    scope="admin",
    is_act=True,
)
async def post_rotate_key(api: Api, request: ApiRequest, client: Client, key_id: str) -> ApiResponse:
    """Make a key that replaces another, with the same scopes or fewer."""
    wanted = await read(api, client, request, RotateKeyRequest)

    def rotate(admin: ClientAdmin) -> tuple[str, StoredKey]:
        return admin.rotate_key(
            client.id,
            key_id=key_id,
            scopes=wanted.scopes,
            expires_at_ms=_end_ms(admin, wanted.expires_in),
            overlap_ms=wanted.overlap,
            may_widen=False,
        )

    api_key, stored = await _manage(api, rotate, field="scopes")
    _log.info("key rotated", extra={"clientId": client.id, "keyId": stored.id})
    return json_response(201, {**key_view(stored), "apiKey": api_key}, _SHOWN_ONCE)


@routes.add(
    "DELETE",
    "/{clientId}/keys/{keyId}",
    Operation(
        id="revokeKey",
        summary="Revoke an API key",
        description="Every process refuses it within a minute.",
        answers=((200, "KeyList", "The keys that are left."),),
        refusals=_OF_CHANGES,
    ),
    scope="admin",
    is_act=True,
)
async def delete_key(api: Api, request: ApiRequest, client: Client, key_id: str) -> ApiResponse:
    """Revoke a key, which may be the request's own; the keys that are left."""
    refuse_body(request)

    def revoke(admin: ClientAdmin) -> list[dict[str, Any]]:
        admin.revoke_key(client.id, key_id)
        return [key_view(key) for key in admin.known(client.id).keys]

    left = await _manage(api, revoke)
    _log.info("key revoked", extra={"clientId": client.id, "keyId": key_id})
    return json_response(200, {"keys": left})


@routes.add(
    "GET",
    "/{clientId}/secrets",
    Operation(
        id="listSecrets",
        summary="List the client's signing secrets",
        answers=((200, "SecretList", "The metadata of the secrets; the secrets are never returned."),),
    ),
    scope="admin",
)
async def get_secrets(api: Api, _request: ApiRequest, client: Client) -> ApiResponse:
    """The metadata of the client's signing secrets."""
    record = await _manage(api, lambda admin: admin.known(client.id))
    return json_response(200, {"secrets": [secret_view(secret) for secret in record.secrets]})


@routes.add(
    "POST",
    "/{clientId}/secrets",
    Operation(
        id="rotateSecret",
        summary="Make a signing secret",
        description="Both secrets sign until the old one expires after the overlap.",
        request=RotateSecretRequest,
        needs_body=False,
        answers=((201, "NewSecret", "The new secret, which is shown only once."),),
        refusals=_OF_CHANGES,
    ),
    scope="admin",
    is_act=True,
)
async def post_secret(api: Api, request: ApiRequest, client: Client) -> ApiResponse:
    """Make a signing secret; the old one also signs until the overlap is over."""
    wanted = await read(api, client, request, RotateSecretRequest)
    made = await _manage(api, lambda admin: admin.rotate_secret(client.id, overlap_ms=wanted.overlap))
    _log.info("signing secret rotated", extra={"clientId": client.id})
    return json_response(201, {**secret_view(made), "signingSecret": made.text}, _SHOWN_ONCE)


@routes.add(
    "GET",
    "/clients",
    Operation(
        id="listClients",
        summary="List clients, by their ids",
        description="For the operator.",
        query=PAGE,
        answers=((200, "ClientList", "A page of clients."),),
        refusals=(problems.INVALID_REQUEST,),
    ),
    scope=OPERATOR_SCOPE,
)
async def get_clients(api: Api, request: ApiRequest, _operator: Client) -> ApiResponse:
    """A page of the clients, by their ids."""
    query = Query(request)
    after = query.take("cursor", _read_client_id, "use the cursor of `next`, unchanged")
    limit = query.page_limit()
    query.refuse_rest()

    def read(admin: ClientAdmin) -> tuple[list[ClientRecord], bool]:
        ids = admin.store.ids()
        first = 0 if after is None else bisect_right(ids, after)
        found = [admin.store.load(client_id) for client_id in ids[first : first + limit]]
        return [record for record in found if record is not None], len(ids) > first + limit

    page, has_more = await _manage(api, read)
    link = query.link(cursor=page[-1].id) if page and has_more else None
    view = {"clients": [client_view(record) for record in page], "next": link}
    return json_response(200, view, link_header(link))


@routes.add(
    "POST",
    "/clients",
    Operation(
        id="createClient",
        summary="Make a client, its first API key and its signing secret",
        description="For the operator. Key and secret are shown only once; if the answer is lost, make "
        "another key and secret for the client.",
        request=CreateClientRequest,
        answers=((201, "NewClient", "The client."),),
        refusals=_OF_CHANGES,
    ),
    scope=OPERATOR_SCOPE,
    is_act=True,
)
async def post_client(api: Api, request: ApiRequest, operator: Client) -> ApiResponse:
    """Make a client, with its first key and its signing secret."""
    wanted = await read(api, operator, request, CreateClientRequest)

    def create(admin: ClientAdmin) -> tuple[ClientRecord, str, str]:
        api_key, secret = admin.create(
            wanted.client_id,
            base_urls=wanted.base_urls,
            quota=wanted.quota(),
            scopes=wanted.scopes,
            expires_at_ms=_end_ms(admin, wanted.expires_in),
            ed25519=wanted.ed25519,
            redact=wanted.redact,
            callbacks=wanted.callbacks,
            origins=wanted.origins,
            roles=wanted.roles,
        )
        return admin.known(wanted.client_id), api_key, secret

    record, api_key, secret = await _manage(api, create)
    _log.info("client created", extra={"clientId": record.id, "keyId": record.keys[0].id})
    view = {**client_view(record), "apiKey": api_key, "signingSecret": secret}
    response = json_response(201, view, {**_SHOWN_ONCE, "location": f"/{record.id}"})
    return replace(response, noted={"clientId": record.id})


async def _manage(api: Api, work: Callable[[ClientAdmin], Done], *, field: str = "body") -> Done:
    """Do the work on the clients. Raises Problem; `field` is the member that a 400 names."""
    if api.manage is None:
        raise keeps_no_clients()
    try:
        return await api.manage(work)
    except (UnknownClient, UnknownKey):
        raise problems.not_found() from None
    except ClientConflictError as conflict:
        raise problems.Problem(problems.CLIENT_CONFLICT, f"{conflict}.") from None
    except ValueError as refused:
        raise problems.invalid(field, str(refused)) from None


def _parsed(url: str) -> str:
    """The URL, if it can be called. Raises Problem 400."""
    try:
        parse_url(url)
    except ValueError as cure:
        raise problems.invalid("workflows", str(cure)) from None
    return url


def _end_ms(admin: ClientAdmin, expires_in_ms: int | None) -> int | None:
    return None if expires_in_ms is None else admin.now_ms() + expires_in_ms


def _read_client_id(text: str) -> str:
    if not keys.is_client_id(text):
        raise ValueError
    return text
