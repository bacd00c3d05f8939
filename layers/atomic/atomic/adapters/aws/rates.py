"""The rate at which clients start steps, over all environments: one small item for each client."""

from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from atomic.adapters.aws.calls import AwsCalls
from atomic.adapters.aws.items import ConditionFailed, answered
from atomic.adapters.aws.table import RATE
from atomic.application.ports import RateDecision, StoreUnavailable
from atomic.application.rates import RateLimit

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

# Meanwhile the bucket may become full, or another environment may create it.
_TRIES: Final = 4
_KEPT_S: Final = 24 * 3600


class SharedStarts:
    """Implements `application.rates.StartRates`. Each call is one write."""

    def __init__(self, calls: AwsCalls, client: "DynamoDBClient", table_name: str) -> None:
        self._calls = calls
        self._client = client
        self._table = table_name
        # The last known state. It saves a write for each refused start.
        self._full_at_us: dict[str, int] = {}

    async def take(self, client_id: str, per_s: float, now_ms: int) -> RateDecision:
        """Take one start, if there is one."""
        rate, now_us = RateLimit.of(per_s), now_ms * 1000
        seen_us = self._full_at_us.get(client_id, 0)
        if now_us + rate.tolerance_us < seen_us <= rate.stale_us(now_us):
            return rate.refused(seen_us, now_us)
        try:
            start, seen_us = await self._calls.start(self._take, client_id, rate, seen_us, now_us)
        except StoreUnavailable:
            return RateDecision(wait_ms=0, left=0)
        self._full_at_us[client_id] = seen_us
        return start

    async def release(self, client_id: str, per_s: float) -> None:
        """Return one start that was taken."""
        interval_us = RateLimit.of(per_s).interval_us
        self._full_at_us[client_id] = self._full_at_us.get(client_id, 0) - interval_us
        with suppress(StoreUnavailable):
            await self._calls.start(
                self._client.update_item,
                TableName=self._table,
                Key=_key(client_id),
                UpdateExpression="ADD f :back",
                ExpressionAttributeValues={":back": _number(-interval_us)},
            )

    def _take(self, client_id: str, rate: RateLimit, seen_us: int, now_us: int) -> tuple[RateDecision, int]:
        """The start, and the moment at which the bucket is full again."""
        latest_us = now_us + rate.tolerance_us
        for _ in range(_TRIES):
            if latest_us < seen_us <= rate.stale_us(now_us):
                return rate.refused(seen_us, now_us), seen_us
            answer = answered(
                self._client.update_item,
                TableName=self._table,
                Key=_key(client_id),
                ExpressionAttributeNames={"#ttl": "ttl"},
                ReturnValues="UPDATED_NEW",
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
                **_change(rate, seen_us, now_us),
            )
            if not isinstance(answer, ConditionFailed):
                full_at_us = int(answer["Attributes"]["f"]["N"])
                return rate.started(full_at_us, now_us), full_at_us
            seen_us = int(answer.item["f"]["N"]) if answer.item else 0
        return RateDecision(wait_ms=0, left=0), seen_us


def _change(rate: RateLimit, seen_us: int, now_us: int) -> dict[str, Any]:
    """Take a start from a bucket whose last known state is given: full by now or void, or not full yet."""
    latest_us = now_us + rate.tolerance_us
    forgotten_s = (latest_us + rate.interval_us) // 1_000_000 + _KEPT_S
    values = {":now": _number(now_us), ":ttl": _number(forgotten_s)}
    if not now_us <= seen_us <= rate.stale_us(now_us):
        return {
            "UpdateExpression": "SET f = :next, #ttl = :ttl",
            "ConditionExpression": "attribute_not_exists(f) OR NOT f BETWEEN :now AND :stale",
            "ExpressionAttributeValues": {
                **values,
                ":next": _number(now_us + rate.interval_us),
                ":stale": _number(rate.stale_us(now_us)),
            },
        }
    return {
        "UpdateExpression": "SET f = f + :interval, #ttl = :ttl",
        "ConditionExpression": "f BETWEEN :now AND :latest",
        "ExpressionAttributeValues": {
            **values,
            ":latest": _number(latest_us),
            ":interval": _number(rate.interval_us),
        },
    }


def _key(client_id: str) -> dict[str, Any]:
    return {"pk": {"S": f"{RATE}{client_id}"}, "sk": {"S": "rate"}}


def _number(value: int) -> dict[str, Any]:
    return {"N": str(value)}
