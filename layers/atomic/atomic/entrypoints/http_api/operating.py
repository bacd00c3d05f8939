"""The routes by which the operator makes clients, says what they may use, and gives them further keys."""

import logging
from bisect import bisect_right

from atomic.application.client_admin import ClientAdmin
from atomic.domain.clients.client import Client
from atomic.domain.clients.records import ClientRecord, StoredKey
from atomic.entrypoints.http_api.api import Api, read
from atomic.entrypoints.http_api.client_requests import (
    AddKeyRequest,
    ChangeClientRequest,
    CreateClientRequest,
)
from atomic.entrypoints.http_api.http import ApiRequest, ApiResponse, json_response
from atomic.entrypoints.http_api.managing import SHOWN_ONCE, client_view, key_view, manage
from atomic.entrypoints.http_api.query import Query, link_header
from atomic.protocol import keys
from atomic.protocol.constants import PAGE_MAX

_log = logging.getLogger("atomic.clients")

_LIMIT_DEFAULT = 50


async def get_clients(api: Api, request: ApiRequest, _operator: Client) -> ApiResponse:
    """A page of the clients, by their ids."""
    query = Query(request)
    after = query.take("cursor", _read_client_id, "use the cursor of `next`, unchanged")
    limit = query.number("limit", _LIMIT_DEFAULT, least=1, most=PAGE_MAX)
    query.refuse_rest()

    def read(admin: ClientAdmin) -> tuple[list[ClientRecord], bool]:
        ids = admin.store.ids()
        first = 0 if after is None else bisect_right(ids, after)
        found = [admin.store.load(client_id) for client_id in ids[first : first + limit]]
        return [record for record in found if record is not None], len(ids) > first + limit

    page, has_more = await manage(api, read)
    link = query.link(cursor=page[-1].id) if page and has_more else None
    view = {"clients": [client_view(record) for record in page], "next": link}
    return json_response(200, view, link_header(link))


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
        )
        return admin.known(wanted.client_id), api_key, secret

    record, api_key, secret = await manage(api, create)
    _log.info("client created", extra={"clientId": record.id, "keyId": record.keys[0].id})
    view = {**client_view(record), "apiKey": api_key, "signingSecret": secret}
    return json_response(201, view, {**SHOWN_ONCE, "location": f"/{record.id}"})


async def patch_client(api: Api, request: ApiRequest, client: Client) -> ApiResponse:
    """Change what is named of a client; all of it holds for steps that were taken before, too."""
    changes = (await read(api, client, request, ChangeClientRequest)).changes()
    changed = await manage(api, lambda admin: admin.change(client.id, **changes))
    _log.info("client changed", extra={"clientId": client.id})
    return json_response(200, client_view(changed))


async def post_key(api: Api, request: ApiRequest, client: Client) -> ApiResponse:
    """Make one more key of a client, with scopes of its own."""
    wanted = await read(api, client, request, AddKeyRequest)

    def add(admin: ClientAdmin) -> tuple[str, StoredKey]:
        end_ms = _end_ms(admin, wanted.expires_in)
        return admin.add_key(client.id, scopes=wanted.scopes, expires_at_ms=end_ms)

    api_key, stored = await manage(api, add)
    _log.info("key added", extra={"clientId": client.id, "keyId": stored.id})
    return json_response(201, {**key_view(stored), "apiKey": api_key}, SHOWN_ONCE)


def _end_ms(admin: ClientAdmin, expires_in_ms: int | None) -> int | None:
    return None if expires_in_ms is None else admin.now_ms() + expires_in_ms


def _read_client_id(text: str) -> str:
    if not keys.is_client_id(text):
        raise ValueError
    return text
