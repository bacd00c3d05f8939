"""The clients of an AWS runtime: items in the table of steps, cached for half a minute."""

import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from botocore.exceptions import ClientError

from atomic.adapters.aws import table
from atomic.adapters.aws.calls import AwsCalls
from atomic.adapters.aws.client_counts import shortest_days_update
from atomic.application.client_cache import CachedKey, cached_keys, callback_keys, client_of
from atomic.domain.clients import api_keys
from atomic.domain.clients.api_keys import Peppers
from atomic.domain.clients.client import Client
from atomic.domain.clients.records import OPERATOR_ID, ClientRecord
from atomic.protocol import keys

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

Found = TypeVar("Found")
_log = logging.getLogger("atomic.clients")

# Half of what is promised, since an eventually consistent read may be a little old, too.
KNOWN_S: Final = 30.0
# A client that is missing may be created at any moment.
UNKNOWN_S: Final = 5.0
_REMEMBERED_MAX: Final = 10_000
_PAGE: Final = 1_000


class DynamoClientStore:
    """Implements `application.client_admin.ClientStore`. Raises the errors of botocore."""

    def __init__(self, client: "DynamoDBClient", table_name: str) -> None:
        self._client = client
        self._table = table_name

    def load(self, client_id: str) -> ClientRecord | None:
        """A client."""
        found = self._client.get_item(
            TableName=self._table, Key=_client_key(client_id), ConsistentRead=True
        )
        return _record(found["Item"]) if "Item" in found else None

    def save(self, record: ClientRecord) -> bool:
        """Write the client, and an item for each key that names the client.

        The item of a removed key stays: its client does not accept the key any more. Maintenance may not
        read clients, so it is told of the shortest retention before a run has it.
        """
        item = _client_item(record)
        put: dict[str, Any] = {"TableName": self._table, "Item": item}
        if record.version == 0:
            put["ConditionExpression"] = "attribute_not_exists(pk)"
        else:
            put["ConditionExpression"] = "v = :v"
            put["ExpressionAttributeValues"] = {":v": {"N": str(record.version)}}
        puts: Any = [{"Put": put}]
        puts += [
            {"Put": {"TableName": self._table, "Item": _key_item(key.id, record.id)}} for key in record.keys
        ]
        if (days := record.retentions.shortest_days) is not None:
            puts.append({"Update": shortest_days_update(record.id, self._table, days)})
        try:
            self._client.transact_write_items(TransactItems=puts)
        except ClientError as error:
            # One reason for each item. A conflict with another transaction has another code.
            response: dict[str, Any] = dict(error.response)
            reasons = response.get("CancellationReasons")
            if not reasons or reasons[0].get("Code") != "ConditionalCheckFailed":
                raise
            return False
        return True

    def ids(self) -> Sequence[str]:
        """All clients; a new one is seen within seconds."""
        ids = self.page("", _PAGE)
        while ids and len(ids) % _PAGE == 0:
            more = self.page(ids[-1], _PAGE)
            if not more:
                break
            ids += more
        return ids

    def page(self, after: str, limit: int) -> list[str]:
        """Clients in the order of their ids, beginning after the given one; `limit` is 1,000 at most."""
        found = self._client.query(
            TableName=self._table,
            IndexName=table.LIST_INDEX,
            KeyConditionExpression="lp = :clients AND #at > :after",
            ExpressionAttributeNames={"#at": "at"},
            # A key is never empty, and no id begins with a space.
            ExpressionAttributeValues={
                ":clients": {"S": table.CLIENTS_PARTITION},
                ":after": {"S": after or " "},
            },
            Limit=limit,
        )
        return [str(item["at"]["S"]) for item in found["Items"]]


class DynamoClientRegistry:
    """Implements `ports.ClientRegistry`.

    Clients are cached for 30 s, so a revoked key stays valid that long. That one is missing is cached for
    5 s, so a new key is valid after 5 s at most. `now_s` is a clock that never goes back.
    """

    def __init__(
        self,
        calls: AwsCalls,
        client: "DynamoDBClient",
        *,
        table_name: str,
        peppers: Peppers,
        now_ms: Callable[[], int],
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._calls = calls
        self._client = client
        self._table = table_name
        self._peppers = peppers
        self.callback_keys = callback_keys(peppers)
        self._now_ms = now_ms
        self._now_s = now_s
        self._remembered: OrderedDict[str, tuple[float | None, Any]] = OrderedDict()

    async def authenticate(self, api_key: str | None, client_id: str) -> Client | None:  # noqa: ARG002 - the port has it
        """The client of the API key."""
        key_id = api_keys.key_id_of(api_key) if api_key else None
        if api_key is None or key_id is None:
            return None
        owner = await self._look_up(_key_key(key_id), lambda item: str(item["client"]["S"]))
        cached = None if owner is None else await self._known(owner)
        if cached is not None and owner is not None and key_id not in cached.cached_keys:
            # The key may be new, or revoked.
            cached = await self._known(owner, is_doubted=True)
        cached_key = cached.cached_keys.get(key_id) if cached else None
        if cached_key is None:
            return None
        if cached_key.opens(api_key, now_ms=self._now_ms()):
            return cached_key.client
        if not cached_key.peppers:
            _log.warning(
                "a key was made under another KeyPepper than this function has", extra={"keyId": key_id}
            )
        return None

    async def get(self, client_id: str) -> Client | None:
        """A client by its id."""
        cached = await self._known(client_id) if keys.is_client_id(client_id) else None
        return None if cached is None else cached.client

    async def _known(self, client_id: str, *, is_doubted: bool = False) -> "_Known | None":
        return await self._look_up(_client_key(client_id), self._read, is_doubted=is_doubted)

    def _read(self, item: Any) -> "_Known":
        record = _record(item)
        client = client_of(record, self._now_ms(), self._peppers)
        return _Known(client, cached_keys(record, client, self._peppers))

    async def _look_up(
        self, key: dict[str, Any], read: Callable[[Any], Found], *, is_doubted: bool = False
    ) -> Found | None:
        """The item of the table, which may be cached for a short while."""
        name, now_s = key["pk"]["S"], self._now_s()
        asked_s, cached = self._remembered.get(name, (None, None))
        believed_s = UNKNOWN_S if cached is None or is_doubted else KNOWN_S
        if asked_s is not None and now_s - asked_s < believed_s:
            return cast("Found | None", cached)
        answer = await self._calls.start(self._client.get_item, TableName=self._table, Key=key)
        found = read(answer["Item"]) if "Item" in answer else None
        self._remembered[name] = (now_s, found)
        self._remembered.move_to_end(name)
        if len(self._remembered) > _REMEMBERED_MAX:
            self._remembered.popitem(last=False)
        return found


@dataclass(frozen=True, slots=True)
class _Known:
    """A client and its keys."""

    client: Client
    cached_keys: dict[str, CachedKey]


def _record(item: Any) -> ClientRecord:
    return ClientRecord.from_json(item["at"]["S"], int(item["v"]["N"]), item["record"]["S"])


def _client_item(record: ClientRecord) -> dict[str, Any]:
    item = _client_key(record.id) | {
        "at": {"S": record.id},
        "v": {"N": str(record.version + 1)},
        "record": {"S": record.to_json()},
    }
    if record.id != OPERATOR_ID:
        item["lp"] = {"S": table.CLIENTS_PARTITION}
    return item


def _key_item(key_id: str, client_id: str) -> dict[str, Any]:
    return _key_key(key_id) | {"client": {"S": client_id}}


def _client_key(client_id: str) -> dict[str, Any]:
    return {"pk": {"S": f"{table.CLIENT}{client_id}"}, "sk": {"S": "client"}}


def _key_key(key_id: str) -> dict[str, Any]:
    return {"pk": {"S": f"{table.KEY}{key_id}"}, "sk": {"S": "key"}}
