"""The routes by which a client manages its own keys and signing secrets, and the operator those of any."""

import logging
from collections.abc import Callable
from typing import Any, TypeVar

from atomic.application.client_admin import ClientAdmin
from atomic.domain.clients.client import Client
from atomic.domain.clients.quota import quota_view
from atomic.domain.clients.records import (
    ClientConflictError,
    ClientRecord,
    StoredKey,
    StoredSecret,
    UnknownClient,
    UnknownKey,
)
from atomic.entrypoints.http_api.api import Api, keeps_no_clients, read
from atomic.entrypoints.http_api.client_requests import RotateKeyRequest, RotateSecretRequest
from atomic.entrypoints.http_api.http import ApiRequest, ApiResponse, json_response
from atomic.protocol import problems
from atomic.protocol.timestamps import to_rfc3339

_log = logging.getLogger("atomic.clients")

Done = TypeVar("Done")
# What is shown once shall stay nowhere on its way.
SHOWN_ONCE = {"cache-control": "no-store"}


async def get_keys(api: Api, _request: ApiRequest, client: Client) -> ApiResponse:
    """The client's API keys, without what opens."""
    record = await manage(api, lambda admin: admin.known(client.id))
    return json_response(200, {"keys": [key_view(key) for key in record.keys]})


async def post_rotate_key(api: Api, request: ApiRequest, client: Client, key_id: str) -> ApiResponse:
    """Make a key that takes the place of another, and may do no more than that one."""
    wanted = await read(api, client, request, RotateKeyRequest)

    def rotate(admin: ClientAdmin) -> tuple[str, StoredKey]:
        return admin.rotate_key(
            client.id,
            key_id=key_id,
            scopes=wanted.scopes,
            expires_at_ms=None if wanted.expires_in is None else admin.now_ms() + wanted.expires_in,
            overlap_ms=wanted.overlap,
            may_widen=False,
        )

    api_key, stored = await manage(api, rotate, field="scopes")
    _log.info("key rotated", extra={"clientId": client.id, "keyId": stored.id})
    return json_response(201, {**key_view(stored), "apiKey": api_key}, SHOWN_ONCE)


async def delete_key(api: Api, request: ApiRequest, client: Client, key_id: str) -> ApiResponse:
    """Revoke a key, which may be the one that asks; the keys that are left."""
    if request.body not in {b"", b"{}"}:
        raise problems.invalid("body", "this request takes no body; leave it out")

    def revoke(admin: ClientAdmin) -> list[dict[str, Any]]:
        admin.revoke_key(client.id, key_id)
        return [key_view(key) for key in admin.known(client.id).keys]

    left = await manage(api, revoke)
    _log.info("key revoked", extra={"clientId": client.id, "keyId": key_id})
    return json_response(200, {"keys": left})


async def get_secrets(api: Api, _request: ApiRequest, client: Client) -> ApiResponse:
    """The client's signing secrets, without the secrets."""
    record = await manage(api, lambda admin: admin.known(client.id))
    return json_response(200, {"secrets": [_secret_view(secret) for secret in record.secrets]})


async def post_secret(api: Api, request: ApiRequest, client: Client) -> ApiResponse:
    """Make a signing secret; the one there is signs on for the overlap."""
    wanted = await read(api, client, request, RotateSecretRequest)
    made = await manage(api, lambda admin: admin.rotate_secret(client.id, overlap_ms=wanted.overlap))
    _log.info("signing secret rotated", extra={"clientId": client.id})
    return json_response(201, {**_secret_view(made), "signingSecret": made.text}, SHOWN_ONCE)


async def get_client(api: Api, _request: ApiRequest, client: Client) -> ApiResponse:
    """What the client may call and use, and what of it is hidden."""
    return json_response(200, client_view(await manage(api, lambda admin: admin.known(client.id))))


async def manage(api: Api, work: Callable[[ClientAdmin], Done], *, field: str = "body") -> Done:
    """Do the work on the clients. Raises Problem; `field` is what a 400 is about."""
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


def client_view(record: ClientRecord) -> dict[str, Any]:
    """A client as the API shows it: nothing that opens or signs."""
    return {
        "clientId": record.id,
        "createdAt": to_rfc3339(record.created_at_ms),
        "baseUrls": record.base_urls,
        **quota_view(record.quota),
        "redact": record.redact,
        "ed25519": record.ed25519,
    }


def key_view(key: StoredKey) -> dict[str, Any]:
    """A key as the API shows it: not the key itself."""
    return {
        "id": key.id,
        "scopes": key.scopes,
        "createdAt": to_rfc3339(key.created_at_ms),
        "expiresAt": _moment(key.expires_at_ms),
        "takesOver": key.takes_over,
    }


def _secret_view(secret: StoredSecret) -> dict[str, Any]:
    return {"createdAt": to_rfc3339(secret.created_at_ms), "expiresAt": _moment(secret.expires_at_ms)}


def _moment(at_ms: int | None) -> str | None:
    return None if at_ms is None else to_rfc3339(at_ms)
