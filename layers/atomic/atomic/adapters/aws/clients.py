"""The tenants of an AWS home: items beside the steps, remembered for a minute."""

import json
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from atomic.adapters.aws import table
from atomic.adapters.aws.calls import AwsCalls
from atomic.application.ports import Client
from atomic.protocol import api_keys, keys
from atomic.protocol.clients import already_exists, check_client
from atomic.protocol.signatures import decode_secret

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

KNOWN_S: Final = 60.0
# What is not there may be made any moment.
UNKNOWN_S: Final = 5.0
_REMEMBERED_MAX: Final = 10_000


def create_client(
    client: "DynamoDBClient",
    table_name: str,
    client_id: str,
    *,
    base_urls: Sequence[str],
    starts_per_s: float | None,
    now_ms: int,
) -> tuple[str, str]:
    """Add a client to the table: its API key and its signing secret.

    Of the key only a hash is stored, so it cannot be shown again. Raises ValueError for a client that
    exists and for an id, URL or rate that cannot be used, botocore's errors for what AWS refuses.
    """
    base_urls = check_client(client_id, base_urls, starts_per_s)
    issued = api_keys.issue(secrets.token_bytes)
    tenant = _client_item(
        client_id, base_urls=base_urls, starts_per_s=starts_per_s, signing_secret=issued.signing_secret
    )
    created = {"c": {"N": str(now_ms)}}
    puts: Any = [
        {"Put": {"TableName": table_name, "Item": item, "ConditionExpression": "attribute_not_exists(pk)"}}
        for item in (created | tenant, created | _api_key_item(issued, client_id))
    ]
    try:
        client.transact_write_items(TransactItems=puts)
    except ClientError as error:
        # One reason for each item; a conflict with another transaction would be another one.
        response: dict[str, Any] = dict(error.response)
        reasons = response.get("CancellationReasons")
        if not reasons or reasons[0].get("Code") != "ConditionalCheckFailed":
            raise
        raise already_exists(client_id) from None
    return issued.api_key, issued.signing_secret


class DynamoClientRegistry:
    """Implements `ports.ClientRegistry`.

    What is found is believed for 60 s, so a key that is taken away opens its client that long; what is
    not found for 5 s. `now_s` is a clock that never goes back.
    """

    def __init__(
        self,
        calls: AwsCalls,
        client: "DynamoDBClient",
        *,
        table_name: str,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._calls = calls
        self._client = client
        self._table = table_name
        self._now_s = now_s
        self._remembered: OrderedDict[str, tuple[float, Any]] = OrderedDict()

    async def authenticate(self, api_key: str | None, client_id: str) -> Client | None:  # noqa: ARG002
        """The client that the key opens."""
        key_id = api_keys.key_id_of(api_key) if api_key else None
        if api_key is None or key_id is None:
            return None
        item = await self._item(_api_key_key(key_id))
        if item is None or not api_keys.opens(api_key, item["sha256"]["B"]):
            return None
        return await self.get(item["client"]["S"])

    async def get(self, client_id: str) -> Client | None:
        """A client by its id."""
        item = await self._item(_client_key(client_id)) if keys.is_client_id(client_id) else None
        return None if item is None else _client(item)

    async def list_client_ids(self) -> Sequence[str]:
        """The ids of all clients, in their order; a new one is seen within seconds."""
        return await self._calls.start(self._list_ids)

    async def _item(self, key: dict[str, Any]) -> Any:
        name, now_s = key["pk"]["S"], self._now_s()
        until_s, item = self._remembered.get(name, (now_s, None))
        if now_s < until_s:
            return item
        found = await self._calls.start(self._client.get_item, TableName=self._table, Key=key)
        item = found.get("Item")
        self._remembered[name] = (now_s + (UNKNOWN_S if item is None else KNOWN_S), item)
        self._remembered.move_to_end(name)
        if len(self._remembered) > _REMEMBERED_MAX:
            self._remembered.popitem(last=False)
        return item

    def _list_ids(self) -> list[str]:
        pages = self._client.get_paginator("query").paginate(
            TableName=self._table,
            IndexName=table.LIST_INDEX,
            KeyConditionExpression="lp = :clients",
            ExpressionAttributeValues={":clients": {"S": table.CLIENTS_PARTITION}},
        )
        return [str(item["at"]["S"]) for page in pages for item in page["Items"]]


def _client(item: dict[str, Any]) -> Client:
    return Client(
        id=item["at"]["S"],
        base_urls=tuple(json.loads(item["urls"]["S"])),
        signing_secrets=tuple(decode_secret(text) for text in json.loads(item["secrets"]["S"])),
        starts_per_s=json.loads(item["rate"]["S"]),
    )


def _client_item(
    client_id: str, *, base_urls: Sequence[str], starts_per_s: float | None, signing_secret: str
) -> dict[str, Any]:
    return _client_key(client_id) | {
        "lp": {"S": table.CLIENTS_PARTITION},
        "at": {"S": client_id},
        "urls": {"S": json.dumps(list(base_urls))},
        "secrets": {"S": json.dumps([signing_secret])},
        "rate": {"S": json.dumps(starts_per_s)},
    }


def _api_key_item(issued: api_keys.Issued, client_id: str) -> dict[str, Any]:
    return _api_key_key(issued.key_id) | {
        "sha256": {"B": api_keys.digest(issued.api_key)},
        "client": {"S": client_id},
    }


def _client_key(client_id: str) -> dict[str, Any]:
    return {"pk": {"S": f"client#{client_id}"}, "sk": {"S": "client"}}


def _api_key_key(key_id: str) -> dict[str, Any]:
    return {"pk": {"S": f"key#{key_id}"}, "sk": {"S": "key"}}
